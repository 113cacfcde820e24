"""The step over real parts, with strategies that misbehave."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal, getcontext
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import pytest

from data.calendars import ExchangeClock
from execution.book.adjustments import Adjustment, AdjustmentKind, CorporateAction
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import NANOS, timestamp
from execution.errors import JournalError, NotConnectedError, OrderInDoubtError, OrderRejectedError
from execution.events import KillSwitchEvent, StepProgress
from execution.models import Bar, Fill, OrderRequest, OrderType, Side
from execution.testing import FixedClock, RecordingExecutionEngine, bars_from_closes
from strategies.base import Gap, Split, Strategy, StrategyParams
from strategies.identities import order_identity
from strategies.signals import Direction, Signal, StatedSignal
from strategies.step import TradingStep, missing_sessions


def buy(symbol: str = "AAA", quantity: int = 1, **more: Any) -> OrderRequest:
    return OrderRequest(symbol, Decimal(quantity), OrderType.MARKET, Side.BUY, **more)


class Scripted:
    """A strategy that answers each bar from a function, and counts its calls."""

    name = "scripted"
    Params = StrategyParams

    def __init__(self, answer: Callable[[Bar], Any]) -> None:
        self.answer = answer
        self.seen: list[str] = []
        self.fills: list[Fill] = []
        self.gaps: list[Gap] = []
        self.splits: list[Split] = []

    def on_split(self, split: Split) -> None:
        self.seen.append(f"split of {split.symbol}")
        self.splits.append(split)

    def on_gap(self, gap: Gap) -> None:
        self.seen.append(f"gap before {gap.symbol}")
        self.gaps.append(gap)
        if gap.symbol == "BAD":
            raise RuntimeError("a bug")

    def on_bar(self, bar: Bar) -> Any:
        self.seen.append(bar.symbol)
        return self.answer(bar)

    def on_fill(self, fill: Fill) -> None:
        self.fills.append(fill)
        if fill.symbol == "BAD":
            raise RuntimeError("a bug")


class Desk:
    def __init__(self, answer: Callable[[Bar], Any] = lambda bar: buy(bar.symbol), **more: Any) -> None:
        self.strategy = Scripted(answer)
        self.engine = RecordingExecutionEngine()
        self.portfolio = LedgerPortfolio(Ledger(cash=Decimal(1000)))
        self.progress: list[StepProgress] = []
        self.denied: set[str] = set()
        risk = SimpleNamespace(validate=lambda order: None if order.symbol in self.denied else order)
        self.step = TradingStep(
            **{
                "strategy": self.strategy,
                "strategy_name": "scripted",
                "portfolio": self.portfolio,
                "risk_manager": risk,
                "execution": self.engine,
                "clock": FixedClock(),
                "progress": [SimpleNamespace(on_step=self.progress.append)],
                **more,
            }
        )

    def run(self, *bars: Bar, replay: bool = False) -> Any:
        return self.step.run(bars[0].end_ns, bars, replay=replay)


def pair(close: float = 100.0) -> tuple[Bar, Bar]:
    return bars_from_closes([close], "BBB")[0], bars_from_closes([close], "AAA")[0]


def test_symbols_are_visited_in_order_and_orders_carry_ids_of_their_bar() -> None:
    desk = Desk()
    result = desk.run(*pair())
    assert desk.strategy.seen == ["AAA", "BBB"]
    assert list(desk.engine.orders) == [
        "scripted-AAA-20180102T143100Z-1",
        "scripted-BBB-20180102T143100Z-1",
    ]
    assert (result.done, result.halted) == (True, False)
    assert (result.progress.proposed, result.progress.submitted, result.progress.index) == (2, 2, 1)
    assert result.progress.close_to_submit == 0.0


def test_ids_are_a_function_of_strategy_symbol_bar_and_count() -> None:
    assert order_identity("s", "BRK B", 0, 2) == "s-BRK-B-19700101T000000Z-2"
    first, second = Desk(lambda bar: [buy(), buy()]), Desk(lambda bar: [buy(), buy()])
    for desk in (first, second):
        desk.run(*pair())
    assert list(first.engine.orders) == list(second.engine.orders)
    assert len(first.engine.orders) == 4


def test_a_bad_bar_is_left_out_and_the_others_go_on() -> None:
    desk = Desk()
    first, second = pair()
    desk.run(replace(first, high=1.0), second)
    assert desk.strategy.seen == ["AAA"]
    assert desk.portfolio.mark("BBB") is None


@pytest.mark.parametrize("wrong", [1 / 1, "text", [None], [buy(), 5]])
def test_a_strategy_that_answers_nonsense_loses_its_bar_and_nothing_else(wrong: Any) -> None:
    desk = Desk(lambda bar: wrong if bar.symbol == "AAA" else buy("BBB"))
    result = desk.run(*pair())
    assert result.done
    assert [o.symbol for o in desk.engine.orders.values()] == ["BBB"]
    assert result.progress.failed == 1


def test_a_raising_strategy_never_stops_the_step() -> None:
    def answer(bar: Bar) -> OrderRequest:
        if bar.symbol == "AAA":
            raise ZeroDivisionError
        return buy(bar.symbol)

    desk = Desk(answer)
    assert desk.run(*pair()).progress.failed == 1
    assert len(desk.engine.orders) == 1


@pytest.mark.parametrize(
    "problem", [NotConnectedError("gone"), OrderInDoubtError("?"), JournalError("disk full")]
)
def test_an_unfinished_step_goes_on_without_asking_the_strategy_twice(problem: Exception) -> None:
    desk = Desk()
    desk.engine.failure = problem
    bars = pair()
    assert not desk.run(*bars).done
    assert desk.run(*bars).done
    assert desk.strategy.seen == ["AAA", "BBB"]
    assert len(desk.engine.orders) == 2
    assert [p.index for p in desk.progress] == [1, 1]


def test_a_finished_step_that_runs_again_sends_nothing() -> None:
    desk = Desk()
    bars = pair()
    desk.run(*bars)
    assert desk.run(*bars).progress.submitted == 0
    assert desk.strategy.seen == ["AAA", "BBB"]


def test_a_late_symbol_joins_its_step_even_while_that_is_unfinished() -> None:
    desk = Desk()
    late, early = pair()
    desk.engine.failure = NotConnectedError("gone")
    assert not desk.run(early).done
    assert desk.run(early, late).done
    assert desk.strategy.seen == ["AAA", "BBB"]
    assert len(desk.engine.orders) == 2


def test_a_symbol_traded_by_two_bars_of_one_step_gets_two_ids() -> None:
    desk = Desk(lambda bar: buy("AAA"))
    late, early = pair()
    desk.run(early)
    desk.run(late)
    assert len(desk.engine.orders) == 2


def test_the_proposals_of_a_step_that_was_overtaken_are_dropped() -> None:
    desk = Desk()
    desk.engine.failure = NotConnectedError("gone")
    first, second = bars_from_closes([100, 101])
    desk.run(first)
    desk.run(second)
    assert list(desk.engine.orders) == ["scripted-AAA-20180102T143200Z-1"]


def test_replay_rebuilds_state_and_drops_proposals() -> None:
    desk = Desk()
    result = desk.run(*pair(), replay=True)
    assert desk.strategy.seen == ["AAA", "BBB"]
    assert desk.engine.orders == {}
    assert result.progress.replayed
    assert desk.portfolio.mark("AAA") == Decimal("100.0")


def test_denials_refusals_and_failures_are_final_and_counted() -> None:
    desk = Desk()
    desk.denied = {"AAA"}
    desk.engine.refuse_next()
    assert desk.run(*pair()).progress.refused == 2
    other = Desk()
    other.engine.failure = OrderRejectedError("no")
    result = other.run(*pair())
    assert (result.done, result.progress.failed, result.progress.submitted) == (True, 1, 1)


def test_fills_and_late_commissions_move_the_book_and_reach_the_strategy() -> None:
    desk = Desk()
    fill = Fill("f", "1", "BAD", Decimal(2), Decimal(10), Side.BUY, timestamp(1), Decimal(1))
    desk.step.on_fill(fill)
    desk.step.on_commission(replace(fill, commission=Decimal(3)))
    desk.step.on_commission(replace(fill, commission=None))
    assert desk.portfolio.cash == Decimal(1000 - 20 - 4)
    assert desk.strategy.fills == [fill]
    assert desk.run(*pair()).progress.fills == 1
    order = desk.engine.submit(buy(client_order_id="x"))
    desk.step.on_order_status(order)
    desk.step.on_order_rejected(order, "why")


def test_the_kill_switch_is_told_of_each_snapshot_and_halts() -> None:
    snapshots: list[Any] = []
    events: list[KillSwitchEvent] = []

    class Switch:
        tripped = False

        def on_snapshot(self, snapshot: Any) -> KillSwitchEvent | None:
            self.tripped = True
            return KillSwitchEvent(snapshot.timestamp, Decimal(5), Decimal(4))

    desk = Desk(kill_switch=Switch(), on_snapshot=snapshots.append, on_kill_switch=events.append)
    assert desk.run(*pair()).halted
    assert (len(snapshots), len(events)) == (1, 1)
    assert not Desk().step.halted


def test_a_receiver_of_progress_that_raises_stops_nothing() -> None:
    def broken(_: StepProgress) -> None:
        raise RuntimeError("a bug of a receiver")

    told: list[StepProgress] = []
    desk = Desk(progress=[SimpleNamespace(on_step=broken), SimpleNamespace(on_step=told.append)])
    assert desk.run(*pair()).done
    assert len(told) == 1


def test_symbols_that_look_alike_in_ids_are_counted_together() -> None:
    wishes = [buy("BRK B"), buy("BRK-B"), buy("ABCDEFGHIJKLM"), buy("ABCDEFGHIJKLN")]
    desk = Desk(lambda bar: wishes if bar.symbol == "AAA" else None)
    assert desk.run(*pair()).progress.failed == 0
    assert [name.rsplit("-", 1)[1] for name in desk.engine.orders] == ["1", "2", "1", "2"]


def test_steps_before_the_book_began_only_mark_and_show() -> None:
    snapshots: list[Any] = []
    switch = SimpleNamespace(tripped=False, on_snapshot=snapshots.append)
    desk = Desk(on_snapshot=snapshots.append, kill_switch=switch)
    first, second = bars_from_closes([100, 101])
    desk.step.book_since_ns = first.end_ns
    assert desk.run(first, replay=True).progress.snapshot is not None
    assert (desk.strategy.seen, snapshots) == (["AAA"], [])
    desk.run(second)
    assert len(snapshots) == 2


def test_a_bar_of_an_earlier_step_is_marked_and_shown_and_never_traded() -> None:
    snapshots: list[Any] = []
    desk = Desk(on_snapshot=snapshots.append)
    (late,) = bars_from_closes([50], "BBB")
    desk.run(bars_from_closes([100, 101])[1])
    result = desk.run(late)
    assert (result.done, result.progress.submitted) == (True, 0)
    assert desk.strategy.seen == ["AAA", "BBB"]
    assert desk.portfolio.mark("BBB") == Decimal("50.0")
    assert (len(snapshots), len(desk.engine.orders)) == (1, 1)


def executed(quantity: int, price: str, name: str = "f-1", symbol: str = "AAA") -> Fill:
    return Fill(name, "", symbol, Decimal(quantity), Decimal(price), Side.BUY, timestamp(1))


def test_corrections_external_fills_and_adjustments_move_the_book() -> None:
    desk = Desk()
    old, new = executed(10, "5"), executed(8, "5")
    desk.step.on_fill(old)
    desk.step.on_external_fill(executed(3, "5", "x-1"))
    desk.step.on_fill_corrected(old, new)
    desk.step.on_adjusted(Adjustment(AdjustmentKind.SPLIT, "AAA", 2, Decimal(11)))
    assert (desk.portfolio.position("AAA"), desk.portfolio.cash) == (Decimal(22), Decimal(945))
    assert desk.strategy.fills == [old]  # the strategy did not ask for what others traded


def test_a_strategy_that_wants_to_know_of_corrections_is_told_and_may_raise() -> None:
    desk, told = Desk(), []

    def hook(old: Fill, new: Fill) -> None:
        told.append((old, new))
        raise RuntimeError("a bug")

    desk.strategy.on_fill_corrected = hook  # type: ignore[attr-defined]
    desk.step.on_fill(old := executed(10, "5"))
    desk.step.on_fill_corrected(old, new := executed(0, "5"))
    assert told == [(old, new)]
    assert desk.portfolio.position("AAA") == 0


CLOCK = ExchangeClock("XNYS", dt.date(2018, 11, 1), dt.date(2018, 12, 31))
MINUTE = 60 * 10**9


def session_bar(number: int, symbol: str = "AAA", close: float = 100.0) -> Bar:
    return Bar(symbol, CLOCK.opens_ns[number], CLOCK.closes_ns[number], close, close, close, close, 1e6)


def test_a_strategy_is_told_of_missing_sessions_before_the_bar_after_them() -> None:
    desk = Desk(lambda bar: None, sessions=CLOCK)
    for number in (0, 1, 5, 6):
        desk.run(session_bar(number), session_bar(number, "BBB"))
    assert desk.strategy.seen == [
        *["AAA", "BBB"] * 2,
        "gap before AAA",
        "AAA",
        "gap before BBB",
        "BBB",
        "AAA",
        "BBB",
    ]
    assert desk.strategy.gaps[0] == Gap("AAA", CLOCK.closes_ns[1], CLOCK.opens_ns[5], 3)


def test_weekends_holidays_and_half_days_are_no_gaps_and_neither_is_the_first_bar() -> None:
    desk = Desk(lambda bar: None, sessions=CLOCK)
    for number in range(3, len(CLOCK)):
        desk.run(session_bar(number))
    assert desk.strategy.gaps == []


def test_a_symbol_that_was_left_out_for_its_defect_has_a_gap() -> None:
    desk = Desk(lambda bar: None, sessions=CLOCK)
    for number in range(3):
        desk.run(session_bar(number, close=-1.0 if number == 1 else 100.0))
    assert [gap.sessions for gap in desk.strategy.gaps] == [1]


def test_minutes_without_a_trade_are_no_gap_and_a_whole_session_is_one() -> None:
    desk = Desk(lambda bar: None, sessions=CLOCK)

    def minute(session: int, number: int) -> Bar:
        start = int(CLOCK.opens_ns[session]) + number * MINUTE
        return Bar("AAA", start, start + MINUTE, 1.0, 1.0, 1.0, 1.0, 1.0)

    for session, number in ((0, 0), (0, 30), (0, 200), (1, 100), (3, 389)):
        desk.run(minute(session, number))
    assert [gap.sessions for gap in desk.strategy.gaps] == [1]


def test_a_bar_that_comes_late_is_no_gap_and_does_not_hide_one() -> None:
    desk = Desk(lambda bar: None, sessions=CLOCK)
    for number in (0, 2, 1, 5):
        desk.run(session_bar(number))
    assert [(gap.after_ns, gap.sessions) for gap in desk.strategy.gaps] == [
        (CLOCK.closes_ns[0], 1),
        (CLOCK.closes_ns[2], 2),
    ]


def test_a_strategy_that_raises_on_a_gap_still_sees_the_bar() -> None:
    desk = Desk(lambda bar: buy(bar.symbol), sessions=CLOCK)
    desk.run(session_bar(0, "BAD"))
    assert desk.run(session_bar(4, "BAD")).done
    assert len(desk.engine.orders) == 2


def test_sessions_that_are_only_in_part_between_two_bars_are_not_missing() -> None:
    noon = int(CLOCK.opens_ns[3]) + 150 * MINUTE
    assert missing_sessions(CLOCK, noon, int(CLOCK.opens_ns[4])) == 0
    assert missing_sessions(CLOCK, noon, int(CLOCK.closes_ns[4])) == 1
    assert missing_sessions(CLOCK, int(CLOCK.closes_ns[-1]), 2**62) == 0


def test_signals_are_told_before_any_order_and_their_orders_carry_their_id() -> None:
    told: list[tuple[StatedSignal, int]] = []
    desk: Desk = Desk(
        lambda bar: [Signal(bar.symbol, Direction.LONG).leading_to(buy(bar.symbol), None), buy(bar.symbol)],
        on_signal=lambda stated: told.append((stated, len(desk.engine.orders))),
    )
    desk.run(*pair())
    assert [(one.signal_id, sent) for one, sent in told] == [
        ("scripted-AAA-20180102T143100Z-s1", 0),
        ("scripted-BBB-20180102T143100Z-s1", 0),
    ]
    requests = [desk.engine.requests[name] for name in desk.engine.orders]
    assert [r.signal_id for r in requests] == [told[0][0].signal_id, None, told[1][0].signal_id, None]


def test_a_step_that_runs_again_or_a_bar_that_comes_late_states_no_signal_twice() -> None:
    told: list[StatedSignal] = []
    desk = Desk(lambda bar: Signal(bar.symbol, Direction.FLAT), on_signal=told.append)
    first, second = pair()
    desk.run(first)
    desk.run(first)
    desk.run(second)  # joins the step
    assert [one.signal.symbol for one in told] == ["BBB", "AAA"]
    later = bars_from_closes([1.0, 2.0], "AAA")[1]
    desk.run(later)
    desk.run(bars_from_closes([1.0], "CCC")[0])  # too late for its step: only shown
    assert [one.signal.symbol for one in told] == ["BBB", "AAA", "AAA"]


def test_a_replayed_signal_says_so_and_one_before_the_book_began_is_not_told() -> None:
    told: list[StatedSignal] = []
    desk = Desk(lambda bar: Signal(bar.symbol, Direction.LONG).leading_to(buy()), on_signal=told.append)
    early, late = bars_from_closes([1.0, 2.0], "AAA")
    desk.step.book_since_ns = early.end_ns
    desk.run(early, replay=True)
    desk.run(late, replay=True)
    assert [(one.time_ns, one.replayed) for one in told] == [(late.end_ns, True)]
    assert not desk.engine.orders


def test_a_strategy_that_states_a_malformed_signal_loses_its_bar() -> None:
    told: list[StatedSignal] = []
    desk = Desk(lambda bar: Signal(bar.symbol, Direction.LONG, strength=float("nan")), on_signal=told.append)
    assert desk.run(*pair()).progress.failed == 2
    assert told == []


def test_ids_fit_the_reference_that_tws_keeps_and_stay_apart() -> None:
    end = 1_514_903_400_000_000_000
    assert order_identity("ma-crossover", "SPY", end, 1) == "ma-crossover-SPY-20180102T143000Z-1"
    names = ("mean-reversion-of-pairs-a", "mean-reversion-of-pairs-b")
    made = {
        order_identity(name, "ESH8 C 02800 WEEK", end, count) for name in names for count in (1, 99, 1000)
    }
    assert len(made) == 6
    assert max(map(len, made)) <= 40
    assert all(one.split("-ESH8-C-")[1].startswith("02800-20180102T143000Z-") for one in made)


def test_an_order_that_a_version_before_sent_under_a_longer_id_is_not_sent_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = "mean-reversion-of-pairs"
    desk = Desk(strategy_name=name)
    old = f"{name[:20]}-AAA-20180102T143100Z-1"
    assert len(old) > 40
    bar = bars_from_closes([100.0], "AAA")[0]
    desk.engine.submit(buy(client_order_id=old, strategy=name))
    monkeypatch.setattr(desk.engine, "known", desk.engine.orders.get)
    desk.run(bar)
    assert list(desk.engine.orders) == [old]
    desk.run(*bars_from_closes([100.0, 101.0], "AAA")[1:])
    new = list(desk.engine.orders)[1]
    assert new == order_identity(name, "AAA", 1_514_903_520_000_000_000, 1)
    assert len(new) <= 40


def test_an_id_that_tws_may_not_keep_whole_fails_its_order_and_no_other() -> None:
    desk = Desk(lambda bar: [buy(client_order_id="x" * 41), buy(client_order_id="x" * 40)])
    result = desk.run(*bars_from_closes([100.0], "AAA"))
    assert (result.done, result.progress.failed, result.progress.submitted) == (True, 1, 1)
    assert list(desk.engine.orders) == ["x" * 40]


def test_what_a_strategy_sets_for_its_decimals_stays_its_own() -> None:
    """Book, kill switch and whatever else runs in its thread reckon as they did."""
    seen: list[int] = []

    def careless(bar: Bar) -> OrderRequest:
        seen.append(getcontext().prec)
        getcontext().prec = 3
        return buy(bar.symbol, 12_345)

    def outcome(answer: Callable[[Bar], Any]) -> Any:
        losses = SimpleNamespace(tripped=False, on_snapshot=lambda snapshot: equities.append(snapshot.equity))
        equities: list[Decimal] = []
        desk = Desk(answer, kill_switch=losses)
        first, second, third = bars_from_closes([100.01, 101.37, 98.76], "AAA")
        for number, bar in enumerate((first, second, third)):
            desk.run(bar)
            if not number:
                fill = Fill(
                    "f",
                    "1",
                    "AAA",
                    Decimal(12_345),
                    Decimal("100.013"),
                    Side.BUY,
                    timestamp(0),
                    Decimal("61.7"),
                )
                desk.step.on_fill(fill)
                desk.step.on_commission(fill)
        assert desk.progress[-1].failed == 0
        return [one.snapshot for one in desk.progress], equities, desk.portfolio.ledger.cash

    before = getcontext().prec
    assert outcome(careless) == outcome(lambda bar: buy(bar.symbol, 12_345))
    assert seen == [before, 3, 3]
    assert getcontext().prec == before


def test_what_a_strategy_sets_while_it_is_told_of_a_fill_stays_its_own() -> None:
    desk = Desk()

    def told(fill: Fill) -> None:
        getcontext().prec = 2

    desk.strategy.on_fill = told  # type: ignore[method-assign]
    for number in (1, 2):
        desk.step.on_fill(
            Fill(f"f{number}", "1", "AAA", Decimal(12_345), Decimal("100.013"), Side.BUY, timestamp(0))
        )
    assert desk.portfolio.ledger.holdings["AAA"].cost == 2 * 12_345 * Decimal("100.013")


class KnownSplits:
    """Who knows of one split of AAA, and of a dividend beside it."""

    def __init__(self, time_ns: int) -> None:
        kinds = AdjustmentKind
        self.known = [
            CorporateAction(kinds.DIVIDEND, "AAA", time_ns, amount=Decimal(1)),
            CorporateAction(kinds.SPLIT, "AAA", time_ns, ratio=Fraction(4)),
        ]
        self.asked = 0

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> list[CorporateAction]:
        self.asked += 1
        return [one for one in self.known if one.symbol == symbol and since_ns < one.time <= until_ns]


def test_a_strategy_is_told_of_a_split_between_two_bars_before_the_second() -> None:
    desk = Desk(corporate_actions=KnownSplits(CLOCK.opens_ns[2] - 1))
    for number in range(4):
        desk.run(session_bar(number), session_bar(number, "BBB"))
    split = Split("AAA", Fraction(4), CLOCK.closes_ns[1], CLOCK.opens_ns[2])
    assert desk.strategy.splits == [split]
    assert desk.strategy.seen[4:6] == ["split of AAA", "AAA"]
    assert split.price_factor == 0.25


def test_a_split_that_the_history_is_adjusted_for_is_not_told_again() -> None:
    split_ns = CLOCK.opens_ns[2] - 1
    for asked_ns, times in ((split_ns, 0), (split_ns - 1, 1)):
        desk = Desk(corporate_actions=KnownSplits(split_ns))
        desk.step.splits_since_ns = asked_ns
        for number in range(4):
            desk.run(session_bar(number), replay=number < 2)
        assert len(desk.strategy.splits) == times


def test_nobody_is_asked_for_splits_between_bars_that_adjoin() -> None:
    source = KnownSplits(0)
    desk = Desk(corporate_actions=source)
    first = session_bar(0)
    for n in range(5):
        start = first.start_ns + n * 60 * NANOS
        desk.run(replace(first, start_ns=start, end_ns=start + 60 * NANOS))
    assert source.asked == 0


def test_a_source_that_may_be_slow_is_asked_only_where_the_price_jumped() -> None:
    source = KnownSplits(CLOCK.opens_ns[2] - 1)
    desk = Desk(corporate_actions=source, splits_from=0.1)
    for number, close in enumerate((400.0, 410.0, 101.0, 102.0)):
        desk.run(session_bar(number, close=close))
    assert source.asked == 1
    assert [split.ratio for split in desk.strategy.splits] == [4]


def test_a_strategy_that_raises_on_a_split_still_sees_the_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(corporate_actions=KnownSplits(CLOCK.opens_ns[1] - 1))

    def raises(split: Split) -> None:
        raise ArithmeticError(split)

    monkeypatch.setattr(desk.strategy, "on_split", raises)
    for number in range(2):
        desk.run(session_bar(number))
    assert desk.strategy.seen == ["AAA", "AAA"]


def test_a_strategy_that_knows_nothing_of_splits_takes_one_for_a_gap() -> None:
    class Plain(Strategy):
        def __init__(self) -> None:
            self.gaps: list[Gap] = []

        def on_bar(self, bar: Bar) -> None:
            return None

        def on_gap(self, gap: Gap) -> None:
            self.gaps.append(gap)

    plain = Plain()
    plain.on_split(Split("AAA", Fraction(4), 10, 20))
    assert plain.gaps == [Gap("AAA", 10, 20, 0)]
