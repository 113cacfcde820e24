"""A live trader put together from ready parts: paper, live, or the simulated gateway.

Start and restart are one sequence:

1. Fold the journal: orders, refusals, reservations, a tripped kill switch, the executions of each past step.
2. Connect, subscribe, and learn the broker's time; hold what else arrives.
3. Open the book with what the journal began with; replay every completed step before the newest with the
   executions it had then. Steps before the book began only warm up the strategy.
4. Reconcile; apply the executions that happened since; go on with the newest step. Its orders carry the same
   identities as before, so what was already sent is not sent again.

The very first start adopts the broker's positions and cash in 4, so that all of its history is warm-up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import structlog

from data.calendars import ExchangeClock, MarketClock
from data.ibkr import LiveBars
from execution.audit import AuditLogger
from execution.book.adjustments import CorporateActionSource
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import NANOS, MonotonicClock, SteppedClock, SystemClock, TradingClock, timestamp
from execution.connection import IBKRConnectionManager
from execution.desk.unfilled_policy import UnfilledPolicy
from execution.errors import OrderInDoubtError, SettlementError
from execution.events import KillSwitchEvent, OrderEventHandler, ProgressHandler
from execution.executor import IBKROrderExecutor
from execution.journal import Journal
from execution.models import Instrument
from execution.orders.recovery import Booked, BookedAdjustment, BookedCorrection, Recovered
from execution.reconciliation.claims import ClaimPolicy
from execution.reconciliation.patrol import Patrol
from execution.reconciliation.policies import ExpiredDay, Unanswered
from execution.reconciliation.settlement import signed
from risk.engine import RiskEngine
from risk.errors import KillSwitchResetError
from risk.greeks import OptionGreeks
from risk.kill_switch import KillSwitch, session_day_of
from risk.manager import ShapingRiskManager
from risk.metrics import MINIMUM_RETURNS, DailyReturns, MetricsEvery, RiskMeter
from strategies.base import StrategyContext
from strategies.closing import OpenOrders, cancel_open_orders, record_closing_book
from strategies.link import BrokerClock, Subscription, TradingLink
from strategies.live import LiveOrchestrator, LoopEnd
from strategies.record import StepRecord
from strategies.registry import create
from strategies.sizing import OrderFactory
from strategies.spec import RunSpec
from strategies.step import TradingStep

_GRACE_SECONDS = 1.0
"""How long after its end a bar may still change, and the bars of other symbols come."""

_SPLITS_FROM = 0.1
"""Move of a price over a pause from which on it is asked whether it was a split."""

_NOT_BEGUN = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TraderOptions:
    """How a trader runs, as opposed to what it trades.

    `warmup` is the history asked for at start, as TWS spells durations. `total` and `until_ns` are the number
    of steps and the end of the last one, if known. `started` is recorded at each start of another run.
    `give_up` ends the trader when no session can be had, by default in lockstep only; else it keeps trying.
    `at_shutdown` says what becomes of open orders, `unfilled` of limit orders that do not fill, `claim` of
    orders of somebody else in the account, `expired_day` of orders for a day that is over whose end nobody
    saw, `unanswered` of those of earlier sessions that nobody answered. `reconcile_interval_seconds` is the
    pause between looks at the
    broker's books while all is well; None takes none, and lockstep never does. `risk_metrics` says when the
    risk of the book is put on record, `daily_returns` by symbol what its value at risk rests on, with
    `minimum_returns` of them at least, and `greeks` by option what its Greeks rest on; both may grow.
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
    give_up: bool | None = None
    at_shutdown: OpenOrders = OpenOrders.LEAVE
    unfilled: UnfilledPolicy | None = None
    claim: ClaimPolicy = ClaimPolicy.ADOPT
    claim_symbols: Sequence[str] | None = None
    corporate_actions: CorporateActionSource | None = None
    expired_day: ExpiredDay = ExpiredDay.SETTLE
    unanswered: Unanswered = Unanswered.DOUBT
    reconcile_interval_seconds: float | None = None
    risk_metrics: MetricsEvery = MetricsEvery.SESSION
    daily_returns: Mapping[str, DailyReturns] = field(default_factory=dict)
    greeks: Mapping[str, OptionGreeks] = field(default_factory=dict)
    minimum_returns: int = MINIMUM_RETURNS


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
        self.clock: TradingClock = SteppedClock() if options.lockstep else BrokerClock()
        self.audit = AuditLogger(journal, self.clock)
        manager.audit = self.audit
        instruments: dict[str, Instrument] = {i.symbol: i for i in spec.instruments}
        self.portfolio = LedgerPortfolio(Ledger(instruments=instruments, history={}))
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
            quarantine=0.0 if options.lockstep else 6.0,
            unfilled=options.unfilled,
            claim=options.claim,
            claim_symbols=options.claim_symbols,
            corporate_actions=options.corporate_actions,
            days=sessions if isinstance(sessions, ExchangeClock) else None,
            expired_day=options.expired_day,
            unanswered=options.unanswered,
        )
        risk_manager = ShapingRiskManager(self.risk, instruments, on_refused=self.executor.record_refusal)
        strategy = create(
            spec.strategy,
            spec.params,
            StrategyContext(self.portfolio, OrderFactory(spec.sizing, instruments)),
        )
        meter = RiskMeter(options.daily_returns, options.minimum_returns, options.greeks)
        self._record = StepRecord(self.audit, sessions, options.risk_metrics, meter)
        self.step = TradingStep(
            strategy=strategy,
            strategy_name=spec.strategy,
            portfolio=self.portfolio,
            risk_manager=risk_manager,
            execution=self.executor,
            clock=wall_clock or SystemClock(),
            kill_switch=self.kill_switch,
            on_snapshot=self._record.snapshot,
            on_signal=self._record.signal,
            on_kill_switch=self._record.kill_switch,
            progress=progress,
            total=options.total,
            sessions=sessions,
            corporate_actions=options.corporate_actions,
            splits_from=_SPLITS_FROM,
        )
        grace = 0.0 if options.lockstep else _GRACE_SECONDS
        self.bars = LiveBars(self.clock, spec.timeframe, instruments, grace_ns=int(grace * NANOS))
        subscription = Subscription(options.warmup, options.regular_hours, options.poll_interval_seconds)
        self._link = TradingLink(self.executor, self.bars, spec, subscription, sessions, self.clock)
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
            bar_grace_seconds=grace,
            give_up=options.lockstep if options.give_up is None else options.give_up,
        )
        self._handlers = list(handlers)
        self._recovered: Recovered | None = None
        self._announced = False
        self._replayed = False
        self._book_open = False
        self._log = structlog.get_logger("trader")

    def restore(self) -> Recovered:
        """Fold the journal; call once, before `run`."""
        self._recovered = recovered = self.executor.restore()
        self._record.restore(recovered)
        tripped = recovered.kill_switch
        if tripped is not None:
            moment, loss, limit = (tripped[name] for name in ("trading_time", "loss", "limit"))
            self.kill_switch.restore(KillSwitchEvent(timestamp(moment), Decimal(loss), Decimal(limit)))
        if recovered.kill_switch_reset is not None:
            self.kill_switch.pardon(recovered.kill_switch_reset["trading_time"])
        return recovered

    async def run(self) -> LoopEnd:
        """Start or resume, and trade until the loop ends; see `LiveOrchestrator.run` for what is raised."""
        if self._recovered is None:
            self.restore()
        interval = self.options.reconcile_interval_seconds
        if interval is None or self.options.lockstep:
            return await self.orchestrator.run(self._prepare)
        patrol = asyncio.create_task(Patrol(self.executor, interval).run(), name="patrol")
        try:
            return await self.orchestrator.run(self._prepare)
        finally:
            patrol.cancel()
            with suppress(asyncio.CancelledError):
                await patrol

    async def close_session(self) -> None:
        """Record the broker's closing book, durably: the last thing that needs the wire.

        Open orders are treated as `TraderOptions.at_shutdown` says; after a halt all are cancelled. What the
        broker did not confirm is recorded as open.
        """
        doubt = None
        try:
            await self.executor.ensure_ready()
        except OrderInDoubtError as error:
            doubt = error  # it keeps nothing at work that is to end
        which = OpenOrders.CANCEL_ALL if self.orchestrator.halted else self.options.at_shutdown
        if which is not OpenOrders.LEAVE:
            await cancel_open_orders(self.executor, self.options.acknowledgement_timeout, which)
        if doubt is not None:
            raise doubt
        await record_closing_book(self.executor, self.clock.now_ns())

    def stop(self) -> None:
        """Ask the loop to end after its current turn."""
        self.orchestrator.stop()
        self._link.wake()

    def go_on(self) -> None:
        """Look again at once: what the loop waits for may be settled."""
        self.orchestrator.retry()
        self._link.wake()

    def reset_kill_switch(self, by: str, reason: str) -> None:
        """Allow new risk again after the daily-loss limit, on record.

        Raises
        ------
        SettlementError
            If a name or a reason is missing, or it is not tripped.
        """
        signed(by, reason, "")
        try:
            self.kill_switch.reset(reason)
        except KillSwitchResetError as error:
            raise SettlementError(str(error)) from error
        self.audit.log("kill_switch_reset", trading_time=self.clock.now_ns(), by=by, reason=reason)

    async def _prepare(self) -> None:
        """Start or resume; done again after a failure, it goes on where it failed."""
        recovered = self._recovered or self.restore()
        self._announce(recovered)
        await self._link.subscribe()
        if not self._replayed:
            self._replayed = True
            self._replay(recovered)
        await self._link.ensure()
        if self.executor.opening is not None:
            self._open_book(self.executor.opening)
        self.executor.grouped = self.options.lockstep

    def _announce(self, recovered: Recovered) -> None:
        if self._announced:
            return
        self._announced = True  # what cannot be committed now is held by the journal and follows
        last = recovered.started
        if last is None or last.get("run_id") != self.options.started.get("run_id"):
            self.audit.log("run_started", **self.options.started)

    def _replay(self, recovered: Recovered) -> None:
        self.step.book_since_ns = _NOT_BEGUN
        self.step.splits_since_ns = self.clock.now_ns()  # the history is adjusted for those before
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
        if steps:
            self._log.info("resumed", steps_replayed=len(steps) - 1, events=recovered.events)

    def _open_book(self, opening: Mapping[str, Any]) -> None:
        if self._book_open:
            return
        self._book_open = True
        self.step.book_since_ns = opening["trading_time"]
        ledger = self.portfolio.ledger
        ledger.cash += Decimal(opening["cash"])
        for symbol, held in opening["positions"].items():
            ledger.open(symbol, Decimal(held["quantity"]), Decimal(held["average_cost"]))

    def _book(self, booked: Sequence[Booked]) -> None:
        for item in booked:
            if isinstance(item, BookedCorrection):
                self.step.on_fill_corrected(item.old, item.new)
            elif isinstance(item, BookedAdjustment):
                self.step.on_adjusted(item.adjustment)
            elif item.external and not item.late_commission:
                self.step.on_external_fill(item.fill)
            elif item.late_commission:
                self.step.on_commission(item.fill)
            else:
                self.step.on_fill(item.fill)
