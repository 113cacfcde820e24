"""The step: what happens when bars complete. Backtest, simulated gateway, paper and live share it.

One step is all bars with the same end. By the time it runs, every fill before that moment is booked. Then:

1. Bars are sorted by symbol; a defective bar is reported and left out.
2. The book is marked at the closes and a snapshot is taken; the kill switch looks at it.
   Steps before the book began only mark and show: there is no snapshot of theirs to record.
3. The strategy sees each bar; what it proposes is collected, and a signal it states is recorded before any
   order is. A strategy that raises loses its proposals for that bar, is reported, and the step goes on. Where
   the calendar has sessions between a bar and the one before it of its symbol, it is told of the gap first,
   and where the symbol was split between them, of that.
4. Each proposal gets its identity (strategy, symbol, bar end, count), is shaped or denied by the risk
   manager, and is submitted. A refusal is final. While there is no session, an order is in doubt, or the
   journal cannot be written, the remaining proposals are kept: the step is not done, and running it again
   submits only those. A symbol whose bar comes late joins the step then.

Because the identity is a function of the bar, a step that runs twice sends nothing twice. Replaying a step
from history does 1 to 3 and drops the proposals. A bar that comes when a later step has begun is only marked
and shown to the strategy: time never runs backwards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog

from execution.book.adjustments import Adjustment, AdjustmentKind, CorporateActionSource
from execution.book.portfolio import LedgerPortfolio
from execution.broker import ExecutionEngine
from execution.clocks import MonotonicClock, timestamp
from execution.errors import (
    ExecutionError,
    JournalError,
    NotConnectedError,
    OrderInDoubtError,
    RiskCheckError,
)
from execution.events import KillSwitchEvent, ProgressHandler, StepProgress
from execution.models import Bar, Fill, Order, OrderRequest, PortfolioSnapshot
from execution.numbers import reckoned
from execution.vocabulary import require_reference
from risk.manager import RiskManager
from strategies.base import Gap, Proposal, Split, Strategy
from strategies.identities import order_identity, signal_identity, symbol_in_ids, unshortened_identity
from strategies.own_decimals import OwnDecimals
from strategies.signals import Signal, StatedSignal


class Session(Protocol):
    """One trading session, UTC nanoseconds."""

    @property
    def open_ns(self) -> int:
        """When it opens."""

    @property
    def close_ns(self) -> int:
        """When it closes."""


class Sessions(Protocol):
    """What the step needs of a market calendar; a ``data.calendars.MarketClock`` is one."""

    def session_closing_after(self, ns: int) -> Session | None:
        """Return the first session that closes after `ns`: the running one or the next; else None."""


class LossLimit(Protocol):
    """What the step needs of the kill switch."""

    @property
    def tripped(self) -> bool:
        """Whether new risk is refused."""

    def on_snapshot(self, snapshot: PortfolioSnapshot) -> KillSwitchEvent | None:
        """Look at the book; return an event the moment the limit is reached."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """Outcome of a step: `done` if every proposal found its end, `halted` if the kill switch tripped."""

    done: bool
    halted: bool
    progress: StepProgress


@dataclass(slots=True)
class _Tally:
    proposed: int = 0
    approved: int = 0
    submitted: int = 0
    refused: int = 0
    failed: int = 0


@dataclass(slots=True)
class _Counts:
    """How many orders and signals of a step there are by symbol as it is spelled in their ids."""

    orders: Counter[str] = field(default_factory=Counter)
    signals: Counter[str] = field(default_factory=Counter)


def missing_sessions(sessions: Sessions, after_ns: int, until_ns: int) -> int:
    """Count the sessions that lie wholly between two moments: the end of a bar and the start of the next."""
    count = 0
    session = sessions.session_closing_after(after_ns)
    while session is not None and session.close_ns <= until_ns:
        count += session.open_ns >= after_ns
        session = sessions.session_closing_after(session.close_ns)
    return count


class TradingStep:
    """Runs a strategy over completed bars; books fills; hands proposals to risk and execution.

    Parameters
    ----------
    strategy, strategy_name
        The strategy and the name its orders carry.
    portfolio
        The book; fills told to `on_fill` move its ledger.
    risk_manager
        Shapes or denies proposals.
    execution
        Takes what was approved.
    clock
        Wall clock, for the time from close to submission.
    kill_switch
        Daily-loss limit, or None.
    on_snapshot
        Called with each step's snapshot, for the record.
    on_signal
        Called with each signal the strategy states, before the orders of its step, for the record.
    on_kill_switch
        Called once when the limit is reached, for the record.
    progress
        Receivers of each step's progress.
    total
        Number of steps to expect, if known.
    sessions
        The market calendar, which knows where bars are missing; None finds no gaps.
    corporate_actions
        Who knows of splits; None knows of none.
    splits_from
        Relative move of the price between two bars from which on that is asked: who knows may be slow, and a
        trader must not wait for an answer where nothing jumped.

    Attributes
    ----------
    book_since_ns
        When the book began, UTC nanoseconds: steps that end at or before this leave no snapshot and no
        signal, and are not shown to the kill switch.
    splits_since_ns
        Bars are told adjusted for the splits up to this moment, UTC nanoseconds, as a broker's history is.
    """

    def __init__(
        self,
        *,
        strategy: Strategy,
        strategy_name: str,
        portfolio: LedgerPortfolio,
        risk_manager: RiskManager,
        execution: ExecutionEngine,
        clock: MonotonicClock,
        kill_switch: LossLimit | None = None,
        on_snapshot: Callable[[PortfolioSnapshot], None] | None = None,
        on_signal: Callable[[StatedSignal], None] | None = None,
        on_kill_switch: Callable[[KillSwitchEvent], None] | None = None,
        progress: Sequence[ProgressHandler] = (),
        logger: Any = None,
        total: int | None = None,
        sessions: Sessions | None = None,
        corporate_actions: CorporateActionSource | None = None,
        splits_from: float = 0.0,
    ) -> None:
        self.strategy = strategy
        self.portfolio = portfolio
        self.book_since_ns = -1
        self.splits_since_ns = -1
        self._name = strategy_name
        self._risk = risk_manager
        self._execution = execution
        self._clock = clock
        self._kill_switch = kill_switch
        self._on_snapshot = on_snapshot
        self._on_signal = on_signal
        self._on_kill_switch = on_kill_switch
        self._progress = tuple(progress)
        self._log = logger or structlog.get_logger("step")
        self._total = total
        self._sessions = sessions
        self._corporate_actions = corporate_actions
        self._splits_from = splits_from
        self._last_close: dict[str, float] = {}
        self._theirs = OwnDecimals()
        self._last_end: dict[str, int] = {}
        self._index = 0
        self._fills = 0
        self._pending: list[OrderRequest] = []
        self._end = 0
        self._seen: set[str] = set()
        self._counts = _Counts()

    @reckoned
    def run(self, end_ns: int, bars: Sequence[Bar], *, replay: bool = False) -> StepResult:
        """Run the step of the bars that end at `end_ns`, or go on with it if it was not done.

        Parameters
        ----------
        end_ns
            End of the bars, UTC nanoseconds.
        bars
            At most one bar a symbol.
        replay
            Rebuild state from history: proposals are dropped.
        """
        started = self._clock.monotonic()
        tally = _Tally()
        if end_ns < self._end:
            self._ask(end_ns, self._mark(bars), _Counts(), tally)
            done = True
        else:
            self._begin(end_ns, bars, tally, replay=replay)
            if replay:
                self._pending = []
            done = self._submit_pending(tally)
        progress = StepProgress(
            end=timestamp(end_ns),
            index=self._index,
            total=self._total,
            bars=len(bars),
            proposed=tally.proposed,
            approved=tally.approved,
            submitted=tally.submitted,
            refused=tally.refused,
            failed=tally.failed,
            fills=self._fills,
            snapshot=self._snapshot,
            replayed=replay,
            close_to_submit=self._clock.monotonic() - started if tally.submitted else None,
        )
        self._fills = 0
        for handler in self._progress:
            try:
                handler.on_step(progress)
            except Exception:  # noqa: BLE001 - one receiver's bug must not stop trading
                self._log.exception("handler raised", handler=type(handler).__name__, hook="on_step")
        return StepResult(done, self.halted, progress)

    @property
    def halted(self) -> bool:
        """Whether the kill switch has tripped."""
        return self._kill_switch is not None and self._kill_switch.tripped

    # -- events of the execution library -------------------------------------------------------

    def on_order_status(self, order: Order) -> None:
        """Take note of an order's status; the book moves by fills only."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Report an order that the broker refused."""
        self._log.warning(
            "order rejected by the broker",
            symbol=order.symbol,
            correlation_id=order.client_order_id,
            reason=reason,
        )

    @reckoned
    def on_fill(self, fill: Fill) -> None:
        """Book an execution and tell the strategy."""
        self.portfolio.ledger.apply(fill)
        self._fills += 1
        try:
            self._theirs.call(self.strategy.on_fill, fill)
        except Exception:  # noqa: BLE001 - a strategy's bug must not stop the loop
            self._log.exception("strategy raised on a fill", symbol=fill.symbol, fill=fill.fill_id)

    @reckoned
    def on_commission(self, fill: Fill) -> None:
        """Book a commission that came later than its fill."""
        if fill.commission is not None:
            self.portfolio.ledger.charge(fill.commission)

    @reckoned
    def on_external_fill(self, fill: Fill) -> None:
        """Book an execution of somebody else's order in the account; the strategy did not ask for it."""
        self.portfolio.ledger.apply(fill)

    @reckoned
    def on_fill_corrected(self, old: Fill, new: Fill) -> None:
        """Book an execution with the broker's new figures, and tell a strategy that wants to know."""
        self.portfolio.ledger.revise(old, new)
        hook = getattr(self.strategy, "on_fill_corrected", None)
        if hook is None:
            return
        try:
            self._theirs.call(hook, old, new)
        except Exception:  # noqa: BLE001 - a strategy's bug must not stop the loop
            self._log.exception("strategy raised on a correction", symbol=new.symbol, fill=new.fill_id)

    @reckoned
    def on_adjusted(self, adjustment: Adjustment) -> None:
        """Book what moved the book and was no trade; the mark of a split follows it."""
        self.portfolio.adjust(adjustment)

    # -- the parts of a step ---------------------------------------------------------------------

    def _begin(self, end_ns: int, bars: Sequence[Bar], tally: _Tally, *, replay: bool) -> None:
        if self._end != end_ns:
            self._end, self._seen, self._counts, self._pending = end_ns, set(), _Counts(), []
            self._index += 1
        fresh = [bar for bar in bars if bar.symbol not in self._seen]
        if fresh or not self._seen:
            self._seen.update(bar.symbol for bar in fresh)
            sound = self._mark(fresh)
            self._look_at_the_book(end_ns)
            stated: list[StatedSignal] = []
            self._pending += self._ask(end_ns, sound, self._counts, tally, stated)
            self._tell_signals(stated, replayed=replay)

    def _mark(self, bars: Sequence[Bar]) -> list[Bar]:
        sound = []
        for bar in sorted(bars, key=lambda b: b.symbol):
            defect = bar.defect()
            if defect:
                self._log.warning("bar left out", symbol=bar.symbol, bar_end=str(bar.end), defect=defect)
                continue
            self.portfolio.set_mark(bar.symbol, bar.close)
            sound.append(bar)
        return sound

    def _look_at_the_book(self, end_ns: int) -> None:
        self._snapshot = self.portfolio.snapshot(end_ns)
        if end_ns <= self.book_since_ns:
            return
        if self._on_snapshot:
            self._on_snapshot(self._snapshot)
        event = self._kill_switch.on_snapshot(self._snapshot) if self._kill_switch else None
        if event:
            self._log.error(
                "kill switch: daily loss limit reached", loss=str(event.loss), limit=str(event.limit)
            )
            if self._on_kill_switch:
                self._on_kill_switch(event)

    def _ask(
        self,
        end_ns: int,
        bars: Sequence[Bar],
        counts: _Counts,
        tally: _Tally,
        stated: list[StatedSignal] | None = None,
    ) -> list[OrderRequest]:
        proposals: list[OrderRequest] = []
        for bar in bars:
            self._tell_of_pause(bar)
            try:
                answer = self._theirs.call(_answered, self.strategy, bar)
                signals, wishes = self._sorted_out(answer, end_ns, counts.signals)
                proposals += [self._named(wish, end_ns, counts.orders) for wish in wishes]
                if stated is not None:
                    stated += signals
            except Exception:  # noqa: BLE001 - one raising strategy never stops the loop
                self._log.exception("strategy raised on a bar", symbol=bar.symbol, bar_end=str(bar.end))
                tally.failed += 1
        tally.proposed += len(proposals)
        return proposals

    def _sorted_out(
        self, answer: Iterable[OrderRequest | Signal], end_ns: int, counts: Counter[str]
    ) -> tuple[list[StatedSignal], list[OrderRequest]]:
        """Give the signals in a strategy's answer their ids, and these to the orders they lead to."""
        signals: list[StatedSignal] = []
        wishes: list[OrderRequest] = []
        for item in answer:
            if not isinstance(item, Signal):
                wishes.append(item)
                continue
            alike = symbol_in_ids(item.symbol)
            counts[alike] += 1
            identity = signal_identity(self._name, item.symbol, end_ns, counts[alike])
            signals.append(StatedSignal(identity, self._name, end_ns, item))
            wishes += [replace(order, signal_id=identity) for order in item.orders]
        return signals, wishes

    def _tell_signals(self, stated: Iterable[StatedSignal], *, replayed: bool) -> None:
        if self._on_signal is None or self._end <= self.book_since_ns:
            return
        for signal in stated:
            self._on_signal(replace(signal, replayed=True) if replayed else signal)

    def _tell_of_pause(self, bar: Bar) -> None:
        """Tell the strategy what happened between a bar and the one before it of its symbol."""
        after_ns = self._last_end.get(bar.symbol, bar.start_ns)
        self._last_end[bar.symbol] = max(after_ns, bar.end_ns)
        if self._corporate_actions is not None:
            close = self._last_close.get(bar.symbol, bar.open)
            self._last_close[bar.symbol] = bar.close
            if bar.start_ns > after_ns and abs(bar.open - close) >= self._splits_from * close:
                self._tell_of_splits(bar, after_ns, self._corporate_actions)
        if bar.start_ns > after_ns:
            self._tell_of_gap(bar, after_ns)

    def _tell_of_splits(self, bar: Bar, after_ns: int, source: CorporateActionSource) -> None:
        since_ns = max(after_ns, self.splits_since_ns)
        if bar.start_ns <= since_ns:
            return
        for action in source.actions(bar.symbol, since_ns, bar.start_ns):
            if action.kind is not AdjustmentKind.SPLIT or action.ratio is None:
                continue
            self._log.info(
                "split", symbol=bar.symbol, ratio=str(action.ratio), since=str(timestamp(action.time))
            )
            try:
                split = Split(bar.symbol, action.ratio, after_ns, bar.start_ns)
                self._theirs.call(self.strategy.on_split, split)
            except Exception:  # noqa: BLE001 - one raising strategy never stops the loop
                self._log.exception("strategy raised on a split", symbol=bar.symbol, bar_end=str(bar.end))

    def _tell_of_gap(self, bar: Bar, after_ns: int) -> None:
        if self._sessions is None:
            return
        missing = missing_sessions(self._sessions, after_ns, bar.start_ns)
        if not missing:
            return
        self._log.warning(
            "sessions without a bar",
            symbol=bar.symbol,
            sessions=missing,
            after=str(timestamp(after_ns)),
            until=str(timestamp(bar.start_ns)),
        )
        try:
            self._theirs.call(self.strategy.on_gap, Gap(bar.symbol, after_ns, bar.start_ns, missing))
        except Exception:  # noqa: BLE001 - one raising strategy never stops the loop
            self._log.exception("strategy raised on a gap", symbol=bar.symbol, bar_end=str(bar.end))

    def _named(self, wish: OrderRequest, end_ns: int, counts: Counter[str]) -> OrderRequest:
        alike = symbol_in_ids(wish.symbol)
        counts[alike] += 1
        identity = order_identity(self._name, wish.symbol, end_ns, counts[alike])
        before = unshortened_identity(self._name, wish.symbol, end_ns, counts[alike])
        if identity != before and self._execution.known(before) is not None:
            identity = before  # sent by a version that did not shorten it: the step runs again
        return replace(
            wish,
            client_order_id=wish.client_order_id or identity,
            strategy=wish.strategy or self._name,
        )

    def _submit_pending(self, tally: _Tally) -> bool:
        while self._pending:
            request = self._pending[0]
            log = self._log.bind(
                symbol=request.symbol,
                bar_end=str(timestamp(self._end)),
                correlation_id=request.client_order_id,
            )
            try:
                self._submit(request, tally)
            except RiskCheckError as refusal:
                tally.refused += 1
                log.info("order refused by risk", rule=refusal.rule, why=str(refusal))
            except (NotConnectedError, OrderInDoubtError, JournalError) as problem:
                log.warning("step not done", why=str(problem))
                return False
            except ExecutionError as problem:
                tally.failed += 1
                log.error(  # noqa: TRY400 - a refusal by the executor needs no traceback
                    "order failed", code=problem.code, why=str(problem)
                )
            self._pending.pop(0)
        return True

    def _submit(self, request: OrderRequest, tally: _Tally) -> None:
        # The step may run again, after a restart or a doubt: the rules judge an order once.
        if self._execution.known(request.client_order_id or "") is None:
            require_reference(request.client_order_id)
            approved = self._risk.validate(request)
            if approved is None:
                tally.refused += 1
                return
            tally.approved += 1
            self._execution.submit(approved)
        else:
            tally.approved += 1
        tally.submitted += 1


def _answered(strategy: Strategy, bar: Bar) -> list[OrderRequest | Signal]:
    """Ask a strategy; what it yields one after the other is taken here too, where its own settings hold."""
    return _as_list(strategy.on_bar(bar))


def _as_list(answer: Proposal) -> list[OrderRequest | Signal]:
    if answer is None:
        return []
    return [answer] if isinstance(answer, OrderRequest | Signal) else list(answer)
