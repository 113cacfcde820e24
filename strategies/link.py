"""The trading loop's link to the broker: a session, bar subscriptions, the broker's time, reconciliation."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass

import structlog

from data.calendars import MarketClock
from data.ibkr import LiveBars
from execution.clocks import NANOS, SteppedClock, SystemClock, TradingClock
from execution.executor import IBKROrderExecutor
from execution.link.outage import ConnectionChange, ConnectionEvent
from execution.models import Bar
from strategies.spec import RunSpec

_LATE_BARS_NS = 600 * NANOS
"""How long after a close its last bars may still come."""

_LONGEST_PAUSE = 60.0
_RESOLUTION_NS = 2 * NANOS
"""The broker tells its time in whole seconds."""


class BrokerClock:
    """The machine's clock set to the broker's time, for paper and live.

    Parameters
    ----------
    machine
        The clock that is set; the machine's own by default.
    """

    def __init__(self, machine: TradingClock | None = None) -> None:
        self._machine = machine or SystemClock()
        self._ahead_ns = 0

    def now_ns(self) -> int:
        """Return the broker's time in UTC nanoseconds."""
        return self._machine.now_ns() + self._ahead_ns

    def agree_with(self, broker_ns: int) -> None:
        """Take the broker's time, unless the difference is within the resolution of what it tells."""
        if abs(broker_ns - self.now_ns()) > _RESOLUTION_NS:
            self._ahead_ns = broker_ns - self._machine.now_ns()
            structlog.get_logger("link").warning(
                "the machine's clock is not the broker's", broker_ahead_seconds=self._ahead_ns / NANOS
            )


@dataclass(frozen=True, slots=True)
class Subscription:
    """What history is asked for, and how often the loop looks.

    `warmup` is a duration as TWS spells it, `poll_interval_seconds` the pause between two turns.
    """

    warmup: str
    regular_hours: bool
    poll_interval_seconds: float


class TradingLink:
    """The loop's link over the TWS wire.

    Parameters
    ----------
    executor
        Takes the orders; its connection is the link's.
    bars
        Where bars go.
    spec, subscription
        What is subscribed, and how.
    sessions
        Trading sessions.
    clock
        Trading time, which is set to the broker's.
    """

    def __init__(
        self,
        executor: IBKROrderExecutor,
        bars: LiveBars,
        spec: RunSpec,
        subscription: Subscription,
        sessions: MarketClock,
        clock: TradingClock,
    ) -> None:
        self._executor = executor
        self._bars = bars
        self._spec = spec
        self._subscription = subscription
        self._sessions = sessions
        self._clock = clock
        self._epoch = 0
        self._subscribed: set[str] = set()
        self._timed = False
        self._woken = asyncio.Event()
        executor.manager.on_bar = self._on_bar
        executor.manager.add_handler(self)

    async def ensure(self) -> None:
        """Connect, subscribe and reconcile if that is needed."""
        await self.subscribe()
        if not self._executor.is_ready:
            await self._executor.ensure_ready()

    async def subscribe(self) -> None:
        """Connect if needed; on a new session subscribe every symbol and learn the broker's time.

        What a session has subscribed is not asked for again, unless TWS says that it lost the subscriptions.
        """
        manager = self._executor.manager
        await manager.ensure_connected()
        session = manager.session
        if self._epoch != manager.epoch:
            self._epoch, self._subscribed, self._timed = manager.epoch, set(), False
        if session.bars_missed:
            session.bars_missed = False
            self._subscribed = set()
        for instrument in sorted(self._spec.instruments, key=lambda i: i.symbol):
            if instrument.symbol in self._subscribed:
                continue
            _, history = await session.subscribe_bars(
                instrument,
                self._spec.timeframe,
                self._sessions,
                duration=self._subscription.warmup,
                regular_hours=self._subscription.regular_hours,
            )
            self._bars.extend(history)
            self._subscribed.add(instrument.symbol)
        if not self._timed:
            # In lockstep a session's first request joins without moving time; a second one would move it.
            self._set_clock(await session.current_time())
            self._timed = True

    def close_inbox(self) -> None:
        """Make everything received so far durable and apply it."""
        self._executor.close_inbox()

    def wake(self) -> None:
        """End a wait early."""
        self._woken.set()

    async def wait(self) -> bool:
        """End the step: in lockstep ask for the next moment, else sleep for the poll interval.

        While the market is closed there is nothing to poll for, so the sleep is longer, up to the next open.
        """
        if isinstance(self._clock, SteppedClock):
            if not self._executor.manager.is_connected():
                return True  # lost since the turn began: the next one makes a new session
            before = self._clock.now_ns()
            self._clock.advance_to(await self._executor.manager.session.current_time())
            return self._clock.now_ns() > before
        with suppress(TimeoutError):  # nobody woke it: the pause is over
            await asyncio.wait_for(self._woken.wait(), self._pause())
        self._woken.clear()
        return True

    def on_connected(self) -> None:
        """Look at the new session soon, however long the pause was to be."""
        self.wake()

    def on_disconnected(self) -> None:
        """Look for a new session at once, even while the market is closed."""
        self.wake()

    def on_connection_event(self, event: ConnectionEvent) -> None:
        """Look at once when TWS has the broker again: orders and market data are due."""
        if event.change is ConnectionChange.RESTORED:
            self.wake()

    def _on_bar(self, bar: Bar) -> None:
        self._bars.on_bar(bar)
        self.wake()

    def _set_clock(self, broker_ns: int) -> None:
        if isinstance(self._clock, SteppedClock):
            self._clock.advance_to(broker_ns)
        elif isinstance(self._clock, BrokerClock):
            self._clock.agree_with(broker_ns)

    def _pause(self) -> float:
        poll = self._subscription.poll_interval_seconds
        now = self._clock.now_ns()
        session = self._sessions.session_closing_after(now - _LATE_BARS_NS)
        if session is None or session.open_ns <= now:
            return poll
        return max(poll, min(_LONGEST_PAUSE, (session.open_ns - now) / NANOS))
