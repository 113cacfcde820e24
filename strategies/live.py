"""The live loop: wait for bars to complete, run the step, send what it decides, and survive what goes wrong.

Each turn of the loop:

1. Make sure of the link: connected, subscribed, reconciled.
2. Close the inbox, so that everything received before now is durable and applied.
3. Ask for each symbol's newest completed bar. A defective source loses its turn; the others go on. Bars that
   are not the newest, or after which a later one should have come by now, only rebuild state: a decision on
   an old bar is never traded.
4. Run the step. A step with an order in doubt is not done: its bar is kept and tried again.
5. Wait: for the poll interval in paper and live, for the gateway's next moment in lockstep.

While there is no session, TWS has lost the broker, or the journal cannot be written, nothing is submitted and
the turn is tried again after a pause that grows up to half a minute.

An order in doubt, or a position that differs, waits for a person the same way: the trader stays up to be
asked and told (`trade orders doubt`), and goes on when it is settled. Where it gives up, the loop ends.

The loop holds no business state. It ends when it is stopped, when time runs out (`until_ns`, or a gateway
without further bars), or when the kill switch trips.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from typing import Any, Protocol

import structlog

from data.adapter import DataAdapter
from data.calendars import MarketClock
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.broker import ExecutionEngine
from execution.clocks import NANOS, SystemClock, TradingClock, timestamp
from execution.errors import (
    BrokerUnavailableError,
    ExecutionError,
    JournalError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
    PacingError,
)
from execution.models import Bar
from execution.numbers import own_arithmetic
from execution.timeframes import Timeframe
from risk.manager import RiskManager
from strategies.base import Strategy
from strategies.step import TradingStep

_LONGEST_PAUSE = 30.0
_SHORTEST_PAUSE = 0.01


class LoopEnd(StrEnum):
    """Why the loop ended."""

    COMPLETED = "completed"
    HALTED = "halted"
    STOPPED = "stopped"


class Link(Protocol):
    """What the loop needs of the connection to the broker."""

    async def ensure(self) -> None:
        """Connect, subscribe and reconcile if that is needed."""

    def close_inbox(self) -> None:
        """Make everything received so far durable and apply it."""

    async def wait(self) -> bool:
        """Wait for the next moment worth looking at; return False if there will be none."""


class PollingLink:
    """The simplest link: nothing to connect, wake up at an interval."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    async def ensure(self) -> None:
        """Do nothing."""

    def close_inbox(self) -> None:
        """Do nothing."""

    async def wait(self) -> bool:
        """Sleep for the interval."""
        await asyncio.sleep(self._seconds)
        return True


class LiveOrchestrator:
    """Drives a strategy from completed bars.

    Parameters
    ----------
    symbols, timeframe
        What to trade, on which bars.
    data_adapter
        Source of completed bars.
    strategy, risk_manager, execution_engine
        The strategy, the rules, and where approved orders go; put into a `TradingStep` unless `step` is one.
    market_clock
        Trading sessions; bars outside them are left out.
    logger
        Where to report; structlog's by default.
    poll_interval_seconds
        Pause between turns where no `link` says better.
    step, link, trading_clock
        Ready parts; see the defaults.
    until_ns
        Stop after the step that ends at or after this moment.
    bar_grace_seconds
        How long to wait for the bars of the other symbols when the first one of a moment is complete.
    give_up
        Raise when no session can be had or something is in doubt; otherwise keep trying.
    """

    def __init__(
        self,
        symbols: Sequence[str],
        timeframe: str,
        data_adapter: DataAdapter,
        strategy: Strategy,
        risk_manager: RiskManager,
        execution_engine: ExecutionEngine,
        market_clock: MarketClock,
        logger: Any = None,
        poll_interval_seconds: float = 1.0,
        *,
        step: TradingStep | None = None,
        link: Link | None = None,
        trading_clock: TradingClock | None = None,
        until_ns: int | None = None,
        bar_grace_seconds: float = 1.0,
        give_up: bool = True,
    ) -> None:
        self.symbols = sorted(symbols)
        self.timeframe = str(timeframe)
        self.data_adapter = data_adapter
        self.market_clock = market_clock
        self.logger = logger or structlog.get_logger("orchestrator")
        self.poll_interval_seconds = poll_interval_seconds
        self.step = step or TradingStep(
            strategy=strategy,
            strategy_name=strategy.name,
            portfolio=LedgerPortfolio(Ledger()),
            risk_manager=risk_manager,
            execution=execution_engine,
            clock=SystemClock(),
            sessions=market_clock,
        )
        self._link = link or PollingLink(poll_interval_seconds)
        self._clock = trading_clock or SystemClock()
        self._until_ns = until_ns
        self._grace_ns = int(bar_grace_seconds * NANOS)
        self._give_up = give_up
        self._last_bar_end: dict[str, int] = {}
        self._stopping = False
        self._stop = asyncio.Event()
        self.waits_for: str | None = None
        """Why nothing goes on; None while all is well."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pause = poll_interval_seconds

    def stop(self) -> None:
        """Ask the loop to end after its current turn; a pause ends at once. Any thread may ask."""
        self._stopping = True
        self.retry()

    def retry(self) -> None:
        """End a pause early: what it waits for may be settled. Any thread may ask."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._stop.set)

    def run_forever(self) -> LoopEnd:
        """Run the loop in an event loop of its own, until it ends."""
        return asyncio.run(self.run())

    async def run(self, prepare: Callable[[], Awaitable[None]] | None = None) -> LoopEnd:
        """Run the loop until it ends.

        Parameters
        ----------
        prepare
            Done before the first turn, and again while it fails for a reason that passes.

        Raises
        ------
        OrderInDoubtError
            If broker and journal do not agree, and `give_up` is set; otherwise it waits for a person.
        NotConnectedError
            If no session could be had within the allowed tries, and `give_up` is set.
        """
        self._loop = asyncio.get_running_loop()
        try:
            with own_arithmetic():
                return await self._run(prepare)
        finally:
            self._loop = None

    async def _run(self, prepare: Callable[[], Awaitable[None]] | None) -> LoopEnd:
        self.logger.info("loop started", symbols=self.symbols, interval=self.timeframe)
        while not self._stopping:
            try:
                if prepare is not None:
                    await prepare()
                    prepare = None
                end = await self._round()
                if end is not None:
                    return end
                self._pause, self.waits_for = self.poll_interval_seconds, None
            except (BrokerUnavailableError, NotConnectedError, JournalError, OrderInDoubtError) as error:
                if not self._stopping:
                    await self._hold(error)
        return LoopEnd.STOPPED

    async def _round(self) -> LoopEnd | None:
        await self._link.ensure()
        self._link.close_inbox()
        if not self._turn():
            await self._rest(self.poll_interval_seconds)
            return None
        if self.halted:
            return LoopEnd.HALTED
        if self._until_ns is not None and self.last_end_ns >= self._until_ns:
            return LoopEnd.COMPLETED
        return None if await self._link.wait() else LoopEnd.COMPLETED

    async def _hold(self, error: ExecutionError) -> None:
        """Say why nothing goes on, and pause, longer each time; raise the error if it is to end the loop."""
        passing = isinstance(error, (NotReadyError, PacingError))
        if self._give_up and isinstance(error, NotConnectedError | OrderInDoubtError) and not passing:
            raise error
        self.waits_for = str(error)
        pause = max(_SHORTEST_PAUSE, self._pause)
        self._pause = min(_LONGEST_PAUSE, 2 * pause)
        report = self.logger.warning if passing else self.logger.error
        report("nothing is submitted", code=error.code, why=str(error), next_try_seconds=pause)
        await self._rest(pause)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):  # nobody stopped it: the pause is over
            await asyncio.wait_for(self._stop.wait(), seconds)
        if not self._stopping:
            self._stop.clear()

    @property
    def last_end_ns(self) -> int:
        """End of the newest bar that was processed, UTC nanoseconds; 0 before the first."""
        return max(self._last_bar_end.values(), default=0)

    @property
    def halted(self) -> bool:
        """Whether the kill switch has tripped."""
        return self.step.halted

    def completed_steps(self) -> list[tuple[int, list[Bar]]]:
        """Return the unprocessed completed bars, grouped by end in time order."""
        groups: dict[int, list[Bar]] = {}
        for symbol in self.symbols:
            for bar in self._unprocessed(symbol):
                groups.setdefault(bar.end_ns, []).append(bar)
        return sorted(groups.items())

    def replay(self, end_ns: int, bars: Sequence[Bar]) -> None:
        """Rebuild state from a step that lies in the past."""
        self.step.run(end_ns, bars, replay=True)
        self._processed(bars)

    def _turn(self) -> bool:
        steps = self.completed_steps()
        for position, (end_ns, bars) in enumerate(steps):
            newest = position == len(steps) - 1
            if newest and len(bars) < len(self.symbols) and self._clock.now_ns() < end_ns + self._grace_ns:
                return False
            if not newest or end_ns < self.last_end_ns or self._is_stale(end_ns):
                self.logger.warning("old bars only rebuild state", bar_end=str(timestamp(end_ns)))
                self.replay(end_ns, bars)
            elif not self.step.run(end_ns, bars).done:
                return False
            else:
                self._processed(bars)
        return True

    def _is_stale(self, end_ns: int) -> bool:
        """Whether the bar after the one that ends at `end_ns` should be complete by now."""
        session = self.market_clock.session_closing_after(end_ns)
        if session is None:
            return False
        next_end = session.close_ns
        timeframe = Timeframe(self.timeframe)
        if timeframe is not Timeframe.DAY:
            start = max(end_ns, session.open_ns)
            next_end = min((start // timeframe.nanos + 1) * timeframe.nanos, next_end)
        return self._clock.now_ns() >= next_end + self._grace_ns

    def _unprocessed(self, symbol: str) -> list[Bar]:
        last = self._last_bar_end.get(symbol, 0)
        try:
            newest = self.data_adapter.latest_completed_bar(symbol, self.timeframe)
            if newest is None or newest.end_ns <= last:
                return []
            bars = self.data_adapter.completed_bars(symbol, self.timeframe, last)
        except Exception:  # one source's failure must not stop the others
            self.logger.exception("data source failed", symbol=symbol)
            return []
        inside = [bar for bar in bars if self.market_clock.is_bar_in_session(bar.start_ns, bar.end_ns)]
        if len(inside) < len(bars):
            self.logger.warning(
                "bars outside sessions left out", symbol=symbol, count=len(bars) - len(inside)
            )
        return inside

    def _processed(self, bars: Sequence[Bar]) -> None:
        for bar in bars:
            self._last_bar_end[bar.symbol] = bar.end_ns
