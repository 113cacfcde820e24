"""The live loop, driven turn by turn."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Sequence
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from data.adapter import DataAdapter
from data.calendars import MarketClock, Session
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import NANOS
from execution.errors import (
    BrokerUnavailableError,
    JournalError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
    PacingError,
)
from execution.models import Bar, OrderRequest, OrderType, Side
from execution.testing import FixedClock, RecordingExecutionEngine, bars_from_closes
from risk.manager import RiskManager
from strategies.base import Strategy
from strategies.live import LiveOrchestrator, LoopEnd, PollingLink
from strategies.step import TradingStep


class Feed(DataAdapter):
    """Completed bars by symbol; a symbol can be made to fail."""

    def __init__(self, clock: FixedClock) -> None:
        self.clock = clock
        self.bars: dict[str, list[Bar]] = {}
        self.broken: set[str] = set()

    def completed_bars(self, symbol: str, timeframe: str, after_ns: int) -> Sequence[Bar]:
        return [b for b in self.bars.get(symbol, []) if after_ns < b.end_ns <= self.clock.ns]

    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        if symbol in self.broken:
            raise RuntimeError("the source is broken")
        return next(iter(self.completed_bars(symbol, timeframe, 0)[::-1]), None)


class Script:
    """A link that plays one action at each wait, and ends when they run out."""

    def __init__(self, *actions: Callable[[], None]) -> None:
        self.actions = list(actions)
        self.problems: list[Exception] = []
        self.closed = 0

    async def ensure(self) -> None:
        if self.problems:
            raise self.problems.pop(0)

    def close_inbox(self) -> None:
        self.closed += 1

    async def wait(self) -> bool:
        if not self.actions:
            return False
        self.actions.pop(0)()
        return True


class Approval(RiskManager):
    """Lets every proposal pass as it is."""

    def validate(self, proposed_order: OrderRequest) -> OrderRequest:
        return proposed_order


class Stage:
    def __init__(self, *symbols: str, grace: float = 0.0, **more: Any) -> None:
        self.clock = FixedClock()
        self.feed = Feed(self.clock)
        self.link = Script()
        self.engine = RecordingExecutionEngine(self.clock)
        self.seen: list[tuple[str, float]] = []
        self.outside: set[int] = set()
        strategy = cast("Strategy", SimpleNamespace(on_bar=self._on_bar, on_fill=lambda fill: None, name="s"))
        risk = Approval()
        step = TradingStep(
            strategy=strategy,
            strategy_name="s",
            portfolio=LedgerPortfolio(Ledger()),
            risk_manager=risk,
            execution=self.engine,
            clock=self.clock,
            kill_switch=more.pop("kill_switch", None),
        )
        opening = bars_from_closes([1])[0].start_ns
        self.session = Session(opening, opening + 3600 * NANOS, dt.date(2018, 1, 2))
        calendar = cast(
            "MarketClock",
            SimpleNamespace(
                is_bar_in_session=lambda start, end: end not in self.outside,
                session_closing_after=lambda ns: self.session if ns < self.session.close_ns else None,
            ),
        )
        self.loop = LiveOrchestrator(
            symbols or ("AAA",),
            "1m",
            self.feed,
            strategy,
            risk,
            self.engine,
            calendar,
            poll_interval_seconds=0.001,
            step=step,
            link=self.link,
            trading_clock=self.clock,
            bar_grace_seconds=grace,
            **more,
        )

    def _on_bar(self, bar: Bar) -> OrderRequest:
        self.seen.append((bar.symbol, bar.close))
        return OrderRequest(bar.symbol, Decimal(1), OrderType.MARKET, Side.BUY)

    def give(self, symbol: str, *closes: float) -> list[Bar]:
        self.feed.bars[symbol] = bars_from_closes(closes, symbol)
        return self.feed.bars[symbol]

    def at(self, ns: int) -> Callable[[], None]:
        def move() -> None:
            self.clock.ns = ns

        return move


async def test_each_bar_is_seen_once_when_it_is_complete() -> None:
    stage = Stage()
    bars = stage.give("AAA", 1, 2, 3)
    stage.link.actions = [stage.at(b.end_ns) for b in bars]
    assert await stage.loop.run() is LoopEnd.COMPLETED
    assert stage.seen == [("AAA", 1), ("AAA", 2), ("AAA", 3)]
    assert len(stage.engine.orders) == 3
    assert stage.link.closed == 4


async def test_missed_bars_only_rebuild_state() -> None:
    stage = Stage()
    bars = stage.give("AAA", 1, 2, 3)
    stage.link.actions = [stage.at(bars[2].end_ns)]
    await stage.loop.run()
    assert stage.seen == [("AAA", 1), ("AAA", 2), ("AAA", 3)]
    assert list(stage.engine.orders) == ["s-AAA-20180102T143300Z-1"]


async def test_a_source_that_raises_loses_its_turn_and_the_others_go_on() -> None:
    stage = Stage("AAA", "BBB")
    bars = stage.give("AAA", 1)
    stage.give("BBB", 9)
    stage.feed.broken = {"BBB"}
    stage.link.actions = [stage.at(bars[0].end_ns), stage.feed.broken.clear]
    await stage.loop.run()
    assert stage.seen == [("AAA", 1), ("BBB", 9)]


async def test_a_late_symbol_is_waited_for_within_its_grace() -> None:
    stage = Stage("AAA", "BBB", grace=1.0)
    (bar,) = stage.give("AAA", 1)
    stage.clock.ns = bar.end_ns
    assert not stage.loop._turn()
    assert stage.seen == []
    stage.give("BBB", 9)
    assert stage.loop._turn()
    assert stage.seen == [("AAA", 1), ("BBB", 9)]


async def test_after_the_grace_the_step_runs_without_the_late_symbol() -> None:
    stage = Stage("AAA", "BBB", grace=1.0)
    (bar,) = stage.give("AAA", 1)
    stage.clock.ns = bar.end_ns
    stage.clock.advance(1)
    assert stage.loop._turn()
    stage.give("BBB", 9)
    assert stage.loop._turn()
    assert stage.seen == [("AAA", 1), ("BBB", 9)]


async def test_bars_outside_sessions_are_left_out() -> None:
    stage = Stage()
    bars = stage.give("AAA", 1, 2)
    stage.outside = {bars[0].end_ns}
    stage.link.actions = [stage.at(bars[1].end_ns)]
    await stage.loop.run()
    assert stage.seen == [("AAA", 2)]


@pytest.mark.parametrize(
    "problem",
    [BrokerUnavailableError("cut"), NotReadyError("1100"), PacingError("50"), JournalError("disk full")],
)
async def test_an_interrupted_link_is_tried_again(problem: Exception) -> None:
    stage = Stage()
    bars = stage.give("AAA", 1)
    stage.link.problems = [problem]
    stage.link.actions = [stage.at(bars[0].end_ns)]
    assert await stage.loop.run() is LoopEnd.COMPLETED
    assert stage.seen == [("AAA", 1)]


@pytest.mark.parametrize("problem", [NotConnectedError("all tries failed"), OrderInDoubtError("o-1")])
async def test_what_a_person_has_to_mend_ends_the_loop_with_its_error(problem: Exception) -> None:
    stage = Stage()
    stage.link.problems = [problem]
    with pytest.raises(type(problem)):
        await stage.loop.run()


async def test_an_unfinished_step_keeps_its_bar_and_is_tried_again() -> None:
    stage = Stage()
    bars = stage.give("AAA", 1)
    stage.clock.ns = bars[0].end_ns
    stage.engine.failure = NotConnectedError("gone")
    await stage.loop.run()
    assert stage.seen == [("AAA", 1)]
    assert len(stage.engine.orders) == 1
    assert stage.link.closed == 2


async def test_it_stops_when_asked() -> None:
    stage = Stage()
    stage.link.actions = [stage.loop.stop]
    assert await stage.loop.run() is LoopEnd.STOPPED


async def test_a_session_that_goes_while_it_stops_is_no_error() -> None:
    stage = Stage()

    def stop_and_lose() -> None:
        stage.loop.stop()
        raise NotConnectedError("gone")

    stage.link.actions = [stop_and_lose]
    assert await stage.loop.run() is LoopEnd.STOPPED


async def test_it_ends_at_the_given_moment() -> None:
    stage = Stage(until_ns=1)
    bars = stage.give("AAA", 1, 2)
    stage.link.actions = [stage.at(b.end_ns) for b in bars]
    assert await stage.loop.run() is LoopEnd.COMPLETED
    assert stage.seen == [("AAA", 1)]


async def test_the_kill_switch_halts_it() -> None:
    switch = SimpleNamespace(tripped=True, on_snapshot=lambda snapshot: None)
    assert await Stage(kill_switch=switch).loop.run() is LoopEnd.HALTED


def test_the_plain_constructor_builds_its_own_step_and_runs_in_a_loop_of_its_own() -> None:
    stage = Stage()
    (bar,) = stage.give("AAA", 1)
    stage.clock.ns = bar.end_ns
    loop = LiveOrchestrator(
        ["AAA"],
        "1m",
        stage.feed,
        stage.loop.step.strategy,
        Approval(),
        stage.engine,
        stage.loop.market_clock,
        poll_interval_seconds=0.001,
        until_ns=1,
        trading_clock=stage.clock,
    )
    assert loop.run_forever() is LoopEnd.COMPLETED
    assert len(stage.engine.orders) == 1


async def test_the_polling_link_only_sleeps() -> None:
    link = PollingLink(0.0)
    await link.ensure()
    link.close_inbox()
    assert await link.wait()


class Pauses:
    """Takes the place of resting: notes the seconds, and stops the loop after a number of them."""

    def __init__(
        self, loop: LiveOrchestrator, monkeypatch: pytest.MonkeyPatch, *, stop_after: int = 0
    ) -> None:
        self.seconds: list[float] = []
        self._loop = loop
        self._stop_after = stop_after
        monkeypatch.setattr(loop, "_rest", self._note)

    async def _note(self, seconds: float) -> None:
        self.seconds.append(seconds)
        if len(self.seconds) == self._stop_after:
            self._loop.stop()


async def test_without_a_session_it_tries_for_ever_with_growing_pauses_where_it_is_not_to_give_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage(give_up=False)
    stage.link.problems = [NotConnectedError("nobody listens") for _ in range(20)]
    pauses = Pauses(stage.loop, monkeypatch, stop_after=16)
    assert await stage.loop.run() is LoopEnd.STOPPED
    assert pauses.seconds[:4] == [0.01, 0.02, 0.04, 0.08]
    assert pauses.seconds[-2:] == [30.0, 30.0]


async def test_an_interrupted_link_is_no_hot_loop_and_a_good_turn_shortens_the_pause_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    bars = stage.give("AAA", 1, 2)
    stage.link.problems = [BrokerUnavailableError("162"), BrokerUnavailableError("162")]

    def break_again() -> None:
        stage.clock.ns = bars[0].end_ns
        stage.link.problems = [JournalError("disk full")]

    stage.link.actions = [break_again]
    pauses = Pauses(stage.loop, monkeypatch)
    assert await stage.loop.run() is LoopEnd.COMPLETED
    assert pauses.seconds == [0.01, 0.02, 0.01]
    assert stage.seen == [("AAA", 1)]


async def test_a_journal_that_fails_at_the_inbox_lets_nothing_be_submitted_until_it_is_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = Stage()
    (bar,) = stage.give("AAA", 1)
    stage.clock.ns = bar.end_ns
    failures = [JournalError("disk full")]

    def close_inbox() -> None:
        if failures:
            assert not stage.engine.orders
            raise failures.pop()

    monkeypatch.setattr(stage.link, "close_inbox", close_inbox)
    assert await stage.loop.run() is LoopEnd.COMPLETED
    assert len(stage.engine.orders) == 1


async def test_what_precedes_the_first_turn_is_tried_again_until_it_succeeds() -> None:
    stage = Stage()
    problems: list[Exception] = [BrokerUnavailableError("bars: 162"), JournalError("disk full")]

    async def prepare() -> None:
        assert stage.link.closed == 0
        if problems:
            raise problems.pop()

    assert await stage.loop.run(prepare) is LoopEnd.COMPLETED
    assert problems == []
    assert stage.link.closed == 1


async def test_a_stop_ends_a_pause_at_once() -> None:
    stage = Stage(give_up=False)
    stage.loop._pause = 3600.0
    stage.link.problems = [BrokerUnavailableError("cut")]
    running = asyncio.create_task(stage.loop.run())
    await asyncio.sleep(0.01)
    stage.loop.stop()
    assert await asyncio.wait_for(running, 10) is LoopEnd.STOPPED


def test_a_bar_older_than_the_newest_seen_is_never_traded() -> None:
    stage = Stage("AAA", "BBB")
    a = stage.give("AAA", 1, 2, 3)
    stage.clock.ns = a[2].end_ns
    stage.loop._turn()
    before = set(stage.engine.orders)
    stage.give("BBB", 7, 8)
    stage.loop._turn()
    assert set(stage.engine.orders) == before
    assert stage.seen[-2:] == [("BBB", 7), ("BBB", 8)]
    stage.give("BBB", 7, 8, 9)
    stage.loop._turn()
    assert set(stage.engine.orders) - before == {"s-BBB-20180102T143300Z-1"}


def test_an_older_bar_of_another_symbol_leaves_an_unfinished_step_as_it_is() -> None:
    stage = Stage("AAA", "BBB")
    a = stage.give("AAA", 1, 2)
    stage.clock.ns = a[1].end_ns
    stage.engine.failure = NotConnectedError("gone")
    assert not stage.loop._turn()
    stage.give("BBB", 7)
    assert stage.loop._turn()
    assert stage.seen == [("AAA", 1), ("AAA", 2), ("BBB", 7)]
    assert list(stage.engine.orders) == ["s-AAA-20180102T143200Z-1"]


@pytest.mark.parametrize(("late_ns", "traded"), [(61 * NANOS - 1, 1), (61 * NANOS, 0)])
def test_a_bar_is_traded_only_until_the_next_one_is_due(late_ns: int, traded: int) -> None:
    stage = Stage(grace=1.0)
    (bar,) = stage.give("AAA", 1)
    stage.clock.ns = bar.end_ns + late_ns
    stage.loop._turn()
    assert stage.seen == [("AAA", 1)]
    assert len(stage.engine.orders) == traded


@pytest.mark.parametrize(("hours", "traded"), [(40, 1), (70, 1), (71, 0)])
def test_a_daily_bar_is_traded_only_until_the_next_session_has_closed(hours: int, traded: int) -> None:
    stage = Stage()
    stage.loop.timeframe = "1D"
    (bar,) = stage.give("AAA", 1)
    hour = 3600 * NANOS
    stage.session = Session(bar.end_ns + 64 * hour, bar.end_ns + 71 * hour, dt.date(2018, 1, 5))
    stage.clock.ns = bar.end_ns + hours * hour
    stage.loop._turn()
    assert len(stage.engine.orders) == traded


@pytest.mark.parametrize(("early_ns", "traded"), [(1, 1), (0, 0)])
def test_the_last_bar_of_a_session_is_traded_only_until_the_first_of_the_next_is_due(
    early_ns: int, traded: int
) -> None:
    stage = Stage()
    (bar,) = stage.give("AAA", 1)
    opening = bar.end_ns + 17 * 3600 * NANOS
    stage.session = Session(opening, opening + 3600 * NANOS, dt.date(2018, 1, 3))
    stage.clock.ns = opening + 60 * NANOS - early_ns
    stage.loop._turn()
    assert len(stage.engine.orders) == traded
