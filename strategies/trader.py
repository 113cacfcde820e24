"""A live trader put together from ready parts: paper, live, or the simulated gateway.

Start and restart are one sequence:

1. Fold the journal: orders, refusals, reservations, and the executions of each past step.
2. Connect, subscribe, and learn the broker's time; hold what else arrives.
3. Adopt the opening book; replay every completed step before the newest with the executions it had then.
4. Reconcile; apply the executions that happened since; go on with the newest step. Its orders carry the same
   identities as before, so what was already sent is not sent again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import structlog

from data.calendars import MarketClock
from data.ibkr import LiveBars
from execution.audit import AuditLogger
from execution.clocks import NANOS, MonotonicClock, SteppedClock, SystemClock, TradingClock, utc_ns
from execution.connection import IBKRConnectionManager
from execution.events import KillSwitchEvent, OrderEventHandler, ProgressHandler
from execution.executor import IBKROrderExecutor
from execution.journal import Journal
from execution.ledger import Holding, Ledger
from execution.models import Bar, Instrument, PortfolioSnapshot
from execution.numbers import format_decimal
from execution.portfolio import LedgerPortfolio
from execution.recovery import Recovered
from risk.engine import RiskEngine
from risk.kill_switch import KillSwitch, session_day_of
from risk.manager import ShapingRiskManager
from strategies.base import StrategyContext
from strategies.live import LiveOrchestrator, LoopEnd
from strategies.registry import create
from strategies.sizing import OrderFactory
from strategies.spec import RunSpec
from strategies.step import TradingStep

_LATE_BARS_NS = 600 * NANOS
"""How long after a close its last bars may still come."""

_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class TraderOptions:
    """How a trader runs, as opposed to what it trades.

    `warmup` is the history asked for at start, as TWS spells durations. `total` and `until_ns` are the number
    of steps and the end of the last one, if known. `started` goes into the journal's first event.
    """

    account: str | None = None
    lockstep: bool = False
    dry_run: bool = False
    release_absent: bool = False
    regular_hours: bool = True
    warmup: str = "1 Y"
    poll_interval_seconds: float = 1.0
    acknowledgement_timeout: float = 10.0
    total: int | None = None
    until_ns: int | None = None
    started: Mapping[str, Any] = field(default_factory=dict)


class _TradingLink:
    """The loop's link: session, bar subscriptions, broker time, reconciliation."""

    def __init__(
        self,
        executor: IBKROrderExecutor,
        bars: LiveBars,
        spec: RunSpec,
        sessions: MarketClock,
        clock: TradingClock,
        options: TraderOptions,
    ) -> None:
        self._executor = executor
        self._bars = bars
        self._spec = spec
        self._sessions = sessions
        self._clock = clock
        self._options = options
        self._subscribed_epoch = 0
        self._woken = asyncio.Event()
        executor.manager.on_bar = self._on_bar

    async def ensure(self) -> None:
        """Connect, subscribe and reconcile if that is needed."""
        await self.subscribe()
        if not self._executor.is_ready:
            await self._executor.ensure_ready()

    async def subscribe(self) -> None:
        """Connect if needed; on a new session subscribe every symbol and learn the broker's time."""
        manager = self._executor.manager
        await manager.ensure_connected()
        session = manager.session
        if self._subscribed_epoch == manager.epoch and not session.market_data_lost:
            return
        rejoining = self._subscribed_epoch == manager.epoch
        session.market_data_lost = False
        for instrument in sorted(self._spec.instruments, key=lambda i: i.symbol):
            _, history = await session.subscribe_bars(
                instrument,
                self._spec.timeframe,
                self._sessions,
                duration=self._options.warmup,
                regular_hours=self._options.regular_hours,
            )
            self._bars.extend(history)
        if isinstance(self._clock, SteppedClock) and not rejoining:
            # The first request of a session joins the lockstep without moving time.
            self._clock.advance_to(await session.current_time())
        self._subscribed_epoch = manager.epoch

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

    def _on_bar(self, bar: Bar) -> None:
        self._bars.on_bar(bar)
        self.wake()

    def _pause(self) -> float:
        poll = self._options.poll_interval_seconds
        now = self._clock.now_ns()
        session = self._sessions.session_closing_after(now - _LATE_BARS_NS)
        if session is None or session.open_ns <= now:
            return poll
        return max(poll, min(_LONGEST_PAUSE, (session.open_ns - now) / NANOS))


class Trader:
    """One strategy on one account, over the TWS wire.

    Parameters
    ----------
    spec
        What is traded, and how.
    manager
        The connection; it is not opened yet.
    journal
        The record; held by this trader alone.
    sessions
        Trading sessions.
    options
        How it runs.
    handlers, progress
        Receivers of order events and of each step's progress.
    wall_clock
        For latencies.
    """

    def __init__(
        self,
        spec: RunSpec,
        manager: IBKRConnectionManager,
        journal: Journal,
        sessions: MarketClock,
        options: TraderOptions,
        *,
        handlers: Sequence[OrderEventHandler] = (),
        progress: Sequence[ProgressHandler] = (),
        wall_clock: MonotonicClock | None = None,
    ) -> None:
        self.spec = spec
        self.options = options
        self.journal = journal
        self.clock: TradingClock = SteppedClock() if options.lockstep else SystemClock()
        self.audit = AuditLogger(journal, self.clock)
        manager.audit = self.audit
        instruments: dict[str, Instrument] = {i.symbol: i for i in spec.instruments}
        self.portfolio = LedgerPortfolio(Ledger(instruments=instruments))
        self.kill_switch = KillSwitch(spec.limits.max_daily_loss, session_day_of(sessions))
        self.risk = RiskEngine(
            spec.limits,
            self.portfolio,
            sessions,
            self.clock,
            self.kill_switch,
            {i.symbol: i.multiplier for i in spec.instruments},
        )
        self.executor = IBKROrderExecutor(
            manager,
            instruments=spec.instruments,
            validator=self.risk,
            audit=self.audit,
            clock=self.clock,
            account=options.account,
            acknowledgement_timeout=options.acknowledgement_timeout,
            release_absent=options.release_absent,
            dry_run=options.dry_run,
            grouped=True,
        )
        risk_manager = ShapingRiskManager(self.risk, instruments, on_refused=self.executor.record_refusal)
        strategy = create(
            spec.strategy,
            spec.params,
            StrategyContext(self.portfolio, OrderFactory(spec.sizing, instruments)),
        )
        self.step = TradingStep(
            strategy=strategy,
            strategy_name=spec.strategy,
            portfolio=self.portfolio,
            risk_manager=risk_manager,
            execution=self.executor,
            clock=wall_clock or SystemClock(),
            kill_switch=self.kill_switch,
            on_snapshot=self._record_snapshot,
            on_kill_switch=self._record_kill_switch,
            progress=progress,
            total=options.total,
        )
        self.bars = LiveBars(self.clock, spec.timeframe, instruments)
        self._link = _TradingLink(self.executor, self.bars, spec, sessions, self.clock, options)
        self.orchestrator = LiveOrchestrator(
            spec.symbols,
            spec.timeframe.value,
            self.bars,
            strategy,
            risk_manager,
            self.executor,
            sessions,
            poll_interval_seconds=options.poll_interval_seconds,
            step=self.step,
            link=self._link,
            trading_clock=self.clock,
            until_ns=options.until_ns,
            bar_grace_seconds=0.0 if options.lockstep else 1.0,
        )
        self._handlers = list(handlers)
        self._last_snapshot_ns = 0
        self._kill_switch_recorded = False
        self._recovered: Recovered | None = None
        self._log = structlog.get_logger("trader")

    def restore(self) -> Recovered:
        """Fold the journal; call once, before `run`."""
        self._recovered = self.executor.restore()
        self._last_snapshot_ns = self._recovered.last_snapshot_ns
        self._kill_switch_recorded = self._recovered.kill_switch is not None
        return self._recovered

    async def run(self) -> LoopEnd:
        """Start or resume, and trade until the loop ends; see `LiveOrchestrator.run` for what is raised."""
        recovered = self._recovered or self.restore()
        if recovered.started is None:
            self.audit.log("run_started", **self.options.started)
        await self._link.subscribe()
        await self._rebuild(recovered)
        return await self.orchestrator.run()

    async def close_session(self) -> None:
        """Record the broker's closing book, durably: the last thing that needs the wire."""
        await self.executor.ensure_ready()
        session = self.executor.manager.session
        account = self.options.account
        positions = {
            p.symbol: format_decimal(p.quantity)
            for p in await session.positions()
            if account in (None, p.account)
        }
        summary = await session.account_summary(account)
        open_orders = [order.client_order_id for order in await self.executor.get_open_orders()]
        self.audit.log(
            "session_closed",
            positions=positions,
            cash=format_decimal(summary["TotalCashValue"]),
            open_orders=open_orders,
            trading_time=self.clock.now_ns(),
        )

    def stop(self) -> None:
        """Ask the loop to end after its current turn."""
        self.orchestrator.stop()
        self._link.wake()

    async def _rebuild(self, recovered: Recovered) -> None:
        if recovered.opening is not None:
            self._open_book(recovered.opening)
        steps = self.orchestrator.completed_steps()
        groups = list(recovered.groups)
        for end_ns, bars in steps[:-1]:
            while groups and groups[0][0] <= end_ns:
                self._book(groups.pop(0)[1])
            self.orchestrator.replay(end_ns, bars)
        for _, booked in groups:
            self._book(booked)
        self._book(recovered.loose)
        # From here on executions reach the book as they are told; the executor held them until now.
        self.executor.inbox.add_handler(self.step)
        for handler in self._handlers:
            self.executor.inbox.add_handler(handler)
        await self._link.ensure()
        if recovered.opening is None and self.executor.opening is not None:
            self._open_book(self.executor.opening)
        self.executor.grouped = self.options.lockstep
        if steps:
            self._log.info("resumed", steps_replayed=len(steps) - 1, events=recovered.events)

    def _open_book(self, opening: Mapping[str, Any]) -> None:
        ledger = self.portfolio.ledger
        ledger.cash += Decimal(opening["cash"])
        for symbol, held in opening["positions"].items():
            quantity, cost = Decimal(held["quantity"]), Decimal(held["average_cost"])
            instrument = ledger.instruments.get(symbol)
            multiplier = instrument.multiplier if instrument else Decimal(1)
            ledger.holdings[symbol] = Holding(quantity, quantity * cost, multiplier=multiplier)

    def _book(self, booked: Sequence[Any]) -> None:
        for item in booked:
            if item.late_commission:
                self.step.on_commission(item.fill)
            else:
                self.step.on_fill(item.fill)

    def _record_snapshot(self, snapshot: PortfolioSnapshot) -> None:
        moment = utc_ns(snapshot.timestamp)
        if moment > self._last_snapshot_ns:
            self._last_snapshot_ns = moment
            self.audit.log_snapshot(snapshot)

    def _record_kill_switch(self, event: KillSwitchEvent) -> None:
        if not self._kill_switch_recorded:
            self.audit.log_kill_switch(event)
