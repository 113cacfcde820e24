"""Splits and dividends in a backtest: the book, the orders and the strategy go on in the new shares."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting.assemble import assemble
from backtesting.engine import BacktestEngine, BacktestResult
from backtesting.errors import BacktestError
from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.corporate_actions.for_trading import in_the_book
from execution.models import Bar, Instrument, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from execution.timeframes import Timeframe
from risk.limits import RiskLimits
from strategies.base import Split
from strategies.spec import CostSpec, RunSpec

CLOCK = ExchangeClock("XNYS", dt.date(2023, 1, 3), dt.date(2023, 12, 29))
FREE = CostSpec(slippage_bps=Decimal(0), commission_per_share=Decimal(0), commission_minimum=Decimal(0))
SPEC = RunSpec(
    instruments=(Instrument("AAA"), Instrument("BBB")),
    timeframe=Timeframe.DAY,
    strategy="ma_crossover",
    params={"fast": 3, "slow": 8},
    limits=RiskLimits(long_only=False),
    costs=FREE,
)
SPLIT_DAY, NEXT_DAY = CLOCK.dates[10], CLOCK.dates[11]


def action(kind: str, value: str, day: dt.date = SPLIT_DAY, symbol: str = "AAA") -> CorporateAction:
    amount = Fraction(value) if kind == "split" else Decimal(value)
    return CorporateAction(symbol, day, ActionKind(kind), amount)


def series(closes: Sequence[float] | np.ndarray, symbol: str = "AAA") -> BarSeries:
    """Daily bars that open where they close."""
    prices, n = np.array(closes, dtype=np.float64), len(closes)
    volume = np.full(n, 1e6)
    return BarSeries(
        symbol, Timeframe.DAY, CLOCK.opens_ns[:n], CLOCK.closes_ns[:n], prices, prices, prices, prices, volume
    )


def flat(before: float, after: float, days: int = 16, at: int = 10) -> BarSeries:
    return series([before] * at + [after] * (days - at))


class Scripted:
    """Gives orders on given days, and keeps what it sees."""

    def __init__(self, orders: dict[int, OrderRequest]) -> None:
        self.orders, self.bars = orders, 0
        self.seen: list[str] = []
        self.splits: list[Split] = []

    def on_bar(self, bar: Bar) -> Any:
        self.seen.append(f"{bar.close:g}")
        self.bars += 1
        return self.orders.get(self.bars - 1)

    def on_split(self, split: Split) -> None:
        self.splits.append(split)
        self.seen.append(f"split {split.ratio}")

    def on_gap(self, gap: Any) -> None:
        self.seen.append("gap")

    def on_fill(self, fill: Any) -> None: ...


def order(quantity: int, side: str = "BUY", **more: Any) -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), more.pop("kind", OrderType.MARKET), Side(side), **more)


def play(
    bars: BarSeries, actions: Sequence[CorporateAction], orders: dict[int, OrderRequest], spec: RunSpec = SPEC
) -> tuple[BacktestResult, Scripted, BacktestEngine]:
    spec = replace(spec, instruments=(Instrument("AAA"),))
    engine = assemble(
        spec, {"AAA": bars}, CLOCK, corporate_actions=[in_the_book(one, CLOCK) for one in actions]
    )
    scripted = Scripted(orders)
    engine.step.strategy = scripted  # type: ignore[assignment]
    return engine.run(), scripted, engine


@pytest.mark.parametrize("side", ["BUY", "SELL"])
@pytest.mark.parametrize("intraday", [False, True])
def test_a_split_changes_the_shares_and_not_the_equity(side: str, intraday: bool) -> None:
    bars, spec = flat(400, 100), SPEC
    if intraday:  # the first bar after the split begins at the open, hours after midnight
        bars, spec = replace(bars, timeframe=Timeframe.HOUR), replace(SPEC, timeframe=Timeframe.HOUR)
    result, _, engine = play(bars, [action("split", "4")], {2: order(10, side)}, spec)
    sign = 1 if side == "BUY" else -1
    held = [snapshot.positions[0].quantity for snapshot in result.snapshots[3:]]
    assert held == [10 * sign] * 7 + [40 * sign] * 6
    assert {snapshot.equity for snapshot in result.snapshots} == {SPEC.initial_cash}
    assert engine.broker.ledger.position("AAA") == 40 * sign
    assert [one.quantity for one in result.adjustments] == [30 * sign]


def test_the_strategy_is_told_before_the_first_bar_in_new_shares_and_never_earlier() -> None:
    _, scripted, _ = play(flat(300, 200, 12), [action("split", "3/2")], {})
    assert scripted.seen == ["300"] * 10 + ["split 3/2"] + ["200"] * 2
    split = scripted.splits[0]
    assert (split.after_ns, split.until_ns) == (CLOCK.closes_ns[9], CLOCK.opens_ns[10])
    assert split.price_factor == pytest.approx(2 / 3)


def test_a_fraction_of_a_reverse_split_is_paid_out_at_the_new_price() -> None:
    result, _, engine = play(flat(10, 70), [action("split", "1/7")], {2: order(100)})
    assert engine.step.portfolio.ledger.position("AAA") == 14
    before, after = result.snapshots[9], result.snapshots[10]
    assert after.equity == before.equity
    assert after.cash == before.cash + Decimal(20)  # two of a hundred shares at 10


def test_a_holding_smaller_than_one_new_share_is_gone_and_paid() -> None:
    result, _, engine = play(flat(10, 150), [action("split", "1/15")], {2: order(3)})
    assert engine.step.portfolio.ledger.position("AAA") == 0
    assert result.snapshots[-1].cash == SPEC.initial_cash


def test_a_dividend_is_paid_on_what_was_held_when_the_ex_date_began() -> None:
    bars = flat(100, 98)
    actions = [action("dividend", "2")]
    long, _, _ = play(bars, actions, {2: order(10)})
    assert long.snapshots[10].cash - long.snapshots[9].cash == 20
    assert {one.equity for one in long.snapshots} == {SPEC.initial_cash}
    short, _, _ = play(bars, actions, {2: order(10, "SELL")})
    assert short.snapshots[10].cash - short.snapshots[9].cash == -20
    too_late, _, _ = play(bars, actions, {9: order(10)})  # fills at the open of the ex date
    assert too_late.adjustments == ()
    sold_on_it, _, _ = play(bars, actions, {2: order(10), 9: order(10, "SELL")})
    assert sold_on_it.snapshots[-1].cash == SPEC.initial_cash  # at 98, and with the dividend


def test_on_one_day_the_dividend_is_of_shares_of_before_the_split() -> None:
    both = [action("split", "2"), action("dividend", "10")]
    result, _, _ = play(flat(110, 50), both, {2: order(10)})
    assert {one.equity for one in result.snapshots} == {SPEC.initial_cash}
    assert [one.kind.value for one in result.adjustments] == ["dividend", "split"]


def test_open_orders_end_at_a_split_and_stay_at_a_dividend() -> None:
    resting = order(10, kind=OrderType.LIMIT, limit_price=Decimal(90), time_in_force=TimeInForce.GTC)
    ended, _, engine = play(flat(400, 80), [action("split", "4")], {2: resting})
    assert [(one.status, one.reason) for one in ended.orders] == [
        (OrderStatus.CANCELLED, "the contract was split")
    ]
    assert engine.broker.open_orders() == []
    stays, _, _ = play(flat(100, 85), [action("dividend", "15")], {2: resting})
    assert [one.status for one in stays.orders] == [OrderStatus.FILLED]


def test_actions_before_the_first_bar_and_after_the_last_move_nothing() -> None:
    outside = [action("split", "2", CLOCK.dates[0]), action("split", "2", CLOCK.dates[100])]
    result, scripted, _ = play(flat(100, 100), outside, {2: order(10)})
    assert result.adjustments == ()
    assert scripted.splits == []


def test_a_split_in_a_gap_and_one_on_a_day_without_a_session_hold_from_the_next_bar_on() -> None:
    whole = flat(400, 100)
    keep = np.r_[0:8, 12:16]
    columns = (
        getattr(whole, name)[keep]
        for name in ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    )
    holed = BarSeries("AAA", Timeframe.DAY, *columns)
    result, scripted, _ = play(holed, [action("split", "4")], {2: order(10)})
    assert {one.equity for one in result.snapshots} == {SPEC.initial_cash}
    assert scripted.seen[8:11] == ["split 4", "gap", "100"]
    monday = next(i for i in range(10, 16) if CLOCK.dates[i].weekday() == 0)
    saturday = CLOCK.dates[monday] - dt.timedelta(days=2)
    result, scripted, _ = play(flat(400, 100, 20, monday), [action("split", "4", saturday)], {2: order(10)})
    assert {one.equity for one in result.snapshots} == {SPEC.initial_cash}
    assert scripted.seen[monday] == "split 4"


def test_another_symbol_goes_on_as_if_nothing_had_happened() -> None:
    spec = replace(SPEC, instruments=(Instrument("AAA"), Instrument("BBB")))
    wave = 100 + 5 * np.sin(np.arange(120) / 7)
    quiet = series(np.rint(wave * 100) / 100, "BBB")
    runs = [
        assemble(spec, {"AAA": flat(400, 100, 120), "BBB": quiet}, CLOCK, corporate_actions=actions).run()
        for actions in ((), (in_the_book(action("split", "4"), CLOCK),))
    ]
    fills = [[fill for fill in run.fills if fill.symbol == "BBB"] for run in runs]
    assert len(fills[0]) >= 4
    assert fills[0] == fills[1]


def crossings(closes: np.ndarray, actions: Sequence[CorporateAction], strategy: str) -> BacktestResult:
    params: dict[str, Any] = {"fast": 3, "slow": 8} if strategy == "ma_crossover" else {"lookback": 7}
    spec = replace(SPEC, instruments=(Instrument("AAA"),), strategy=strategy, params=params)
    booked = [in_the_book(one, CLOCK) for one in actions]
    return assemble(spec, {"AAA": series(closes)}, CLOCK, corporate_actions=booked).run()


@pytest.mark.parametrize("strategy", ["ma_crossover", "momentum"])
def test_the_examples_decide_as_if_there_had_been_no_split(strategy: str) -> None:
    """The same moves with a split and without: what is bought and sold when is the same."""
    whole = np.rint(40_000 + 4_000 * np.sin(np.arange(200) / 6)) / 100
    whole = np.round(whole / 4, 2) * 4  # quarters of these are whole cents
    for at in (40, 78, 116):  # something is held then
        traded = np.where(np.arange(200) < at, whole, whole / 4)
        plain = crossings(whole, (), strategy)
        split = crossings(traded, [action("split", "4", CLOCK.dates[at])], strategy)
        decided = [[(fill.side, fill.timestamp) for fill in run.fills] for run in (plain, split)]
        lost = {fill.timestamp for fill in plain.fills if fill.timestamp.date() == CLOCK.dates[at]}
        assert len(decided[0]) > 6
        assert not lost, "choose another day: an order that is open ends with the split"
        assert decided[0] == decided[1]
        untold = crossings(traded, (), strategy)
        assert [(fill.side, fill.timestamp) for fill in untold.fills] != decided[0]


@given(
    ratio=st.fractions(min_value=Fraction(1, 20), max_value=20, max_denominator=20).filter(lambda r: r != 1),
    held=st.integers(1, 5_000),
    cash=st.decimals(Decimal("0.01"), 5, places=4),
)
@settings(max_examples=60, deadline=None)
def test_book_and_broker_agree_whatever_the_ratio(ratio: Fraction, held: int, cash: Decimal) -> None:
    before = 100.0
    after = float(round(before / ratio, 2))
    actions = [action("split", str(ratio)), action("dividend", str(cash), NEXT_DAY)]
    result, _, engine = play(flat(before, after), actions, {2: order(held), 13: order(1)})
    assert result.status == "completed"  # `run` holds book and broker against each other, to the last digit
    assert engine.broker.ledger.position("AAA") == int(held * ratio) + 1


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: action("split", "2", symbol="CCC"), "split of CCC: 2 for 1"),
        (lambda: CorporateAction("AAA", SPLIT_DAY, ActionKind.RENAME, new_symbol="BBB"), "AAA is BBB"),
    ],
)
def test_what_a_run_cannot_book_is_refused(make: Callable[[], CorporateAction], words: str) -> None:
    with pytest.raises(BacktestError, match=words):
        play(flat(100, 100), [make()], {})
