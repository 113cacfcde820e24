"""The public face for orders: submit, cancel, query, over a reconciled session.

The way of an order: form and identity are checked; the validator evaluates and reserves; the intent, with its
risk decision and the session's order id, is made durable; only then are bytes written. What the broker says
comes back through the inbox. Where it cannot be known whether an order arrived, its state says so.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.blotter import Blotter, Entry
from execution.broker import BrokerAdapter, ExecutionEngine
from execution.clocks import IdFactory, SystemClock, TradingClock, random_id, timestamp
from execution.codes import CodeClass
from execution.connection import IBKRConnectionManager
from execution.errors import (
    AcknowledgementTimeoutError,
    DuplicateOrderError,
    JournalError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
    OrderRejectedError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.events import OrderEventHandler, RiskDecision
from execution.evidence import ErrorSeen, Evidence
from execution.ibkr import translate
from execution.inbox import Inbox
from execution.journal import MemoryJournal
from execution.models import ZERO, Fill, Instrument, Order, OrderRequest, OrderStatus, Position
from execution.reconcile import Reconciler, Reconciliation
from execution.recovery import Recovered, recover
from execution.validators import CallbackValidator, PreTradeValidator

_FREEZING_CODES = (1100, 1300, 2110)
_THAWING_CODES = (1101, 1102)
_READ_ONLY = "READ_ONLY"


class IBKROrderExecutor(ExecutionEngine, BrokerAdapter):
    """High-level interface for order execution.

    Parameters
    ----------
    connection_manager
        The session with TWS or the gateway.
    risk_check_callback
        A plain ``request -> bool`` rule; use `validator` for one that reserves exposure.
    instruments
        Contracts that may be traded; an order for any other symbol is taken as a US stock.
    validator
        Pre-trade rules with reservation.
    audit
        Audit trail on a journal. Without it events are kept in memory only and do not survive the process.
    clock
        Trading time.
    handlers
        Receivers of order events.
    account
        Account for orders that name none.
    acknowledgement_timeout
        Seconds that `submit_order` waits for the broker's first answer.
    release_absent
        See `Reconciler`.
    dry_run
        Do everything but the socket write, audited as such.
    grouped
        Hold inbound facts until `close_inbox`, instead of applying them packet by packet.
    quarantine
        See `Reconciler`.
    """

    def __init__(
        self,
        connection_manager: IBKRConnectionManager,
        risk_check_callback: Callable[[OrderRequest], bool] | None = None,
        *,
        instruments: Iterable[Instrument] = (),
        validator: PreTradeValidator | None = None,
        audit: AuditLogger | None = None,
        clock: TradingClock | None = None,
        handlers: Sequence[OrderEventHandler] = (),
        account: str | None = None,
        acknowledgement_timeout: float = 10.0,
        release_absent: bool = False,
        dry_run: bool = False,
        grouped: bool = False,
        quarantine: float = 6.0,
        new_id: IdFactory = random_id,
    ) -> None:
        if risk_check_callback is not None:
            validator = CallbackValidator(risk_check_callback)
        self.manager = connection_manager
        self._clock = clock or SystemClock()
        self.audit = audit or AuditLogger(MemoryJournal(SystemClock().now_ns), self._clock)
        self.blotter = Blotter(client_id=connection_manager.client_id)
        self.inbox = Inbox(self.blotter, self.audit, validator, handlers)
        self.dry_run = dry_run
        self._validator = validator
        self._instruments = {instrument.symbol: instrument for instrument in instruments}
        self._account = account
        self._acknowledgement_timeout = acknowledgement_timeout
        self.grouped = grouped
        self._new_id = new_id
        self._reconciler = Reconciler(
            self.inbox,
            self.audit,
            release_absent=release_absent or dry_run,
            account=account,
            security_types={symbol: i.security_type for symbol, i in self._instruments.items()},
            quarantine=quarantine,
        )
        self._ready_epoch = 0
        self._frozen_epoch = 0
        self._interruptions = 0
        self._refusals: dict[str, tuple[OrderRequest, RiskDecision]] = {}
        self._answers = _Answers()
        self.inbox.add_handler(self._answers)
        self._unanswered: dict[str, float] = {}
        self._log = structlog.get_logger("executor")
        connection_manager.on_evidence = self._take
        connection_manager.on_data = self._on_data
        connection_manager.on_session = self._on_session
        connection_manager.first_id = lambda: self.blotter.last_order_id + 1

    # -- start and recovery -------------------------------------------------------------------------------

    def restore(self) -> Recovered:
        """Rebuild orders, refusals and reservations from the journal; call once, before connecting."""
        recovered = recover(self.audit.journal.events(), self.blotter)
        self.blotter.client_id = self.manager.client_id
        self._refusals = recovered.refusals
        self._reconciler.opening = recovered.opening
        self.inbox.net = recovered.net()
        self.inbox.fills_since_barrier = bool(recovered.loose)
        for entry in self.blotter.open_entries():
            if self._validator is not None:
                self._validator.reserve(entry.request, entry.reserved_price)
                for execution in entry.fills():
                    self._validator.on_fill(execution)
        return recovered

    async def ensure_ready(self) -> None:
        """Connect if needed and reconcile if the session is new or its reliability was in question.

        Raises
        ------
        NotConnectedError
            If no session can be had, or TWS has said that it lost the broker and not that it is back.
        OrderInDoubtError
            If an order's fate is unknown or positions differ; nothing is submitted until that is resolved.
        """
        await self.manager.ensure_connected()
        if self.is_frozen:
            raise NotReadyError("TWS has lost its connection to the broker; it says when that is back")
        if not self.is_ready:
            result = await self.reconcile()
            if not result.agrees:
                raise OrderInDoubtError(
                    f"broker and journal do not agree: {result.describe()}. Nothing is sent until this is "
                    "resolved; `trade orders list` shows the evidence"
                )

    async def reconcile(self) -> Reconciliation:
        """Compare orders and positions with the broker's; open the way for submissions if they agree."""
        session = self.manager.session
        epoch, interruptions, session.undecodable = self.manager.epoch, self._interruptions, 0
        self._unanswered.clear()
        result = await self._reconciler.run(session)
        if result.agrees:
            if interruptions == self._interruptions:  # else what was asked before it may be out of date
                self._ready_epoch = epoch
        else:
            self._ready_epoch = 0
            self._log.error("broker and journal do not agree", what=result.describe())
        return result

    @property
    def is_ready(self) -> bool:
        """Whether orders may be sent: connected, reconciled, and nothing questionable since."""
        return (
            not self.is_frozen
            and self.manager.is_connected()
            and self._ready_epoch == self.manager.epoch
            and self.manager.session.undecodable == 0
            and not self.blotter.corrected
            and not self._overdue()
        )

    @property
    def is_frozen(self) -> bool:
        """Whether TWS said that it lost the broker; what it tells of orders may be out of date."""
        return self._frozen_epoch > 0 and self._frozen_epoch == self.manager.epoch

    @property
    def opening(self) -> dict[str, Any] | None:
        """The book adopted when the journal began: positions with cost, and cash."""
        return self._reconciler.opening

    # -- submission ---------------------------------------------------------------------------------------

    def submit(self, order: OrderRequest) -> Order:
        """Evaluate, reserve, record and send one order; return it as PENDING without waiting.

        The same client order id with the same body returns the stored order and sends nothing; an order that
        was proven never sent starts a new attempt.

        Raises
        ------
        RiskCheckError, InvalidOrderError, DuplicateOrderError, NotConnectedError, JournalError
            In each case nothing was sent.
        """
        request = replace(
            order,
            client_order_id=order.client_order_id or self._new_id(),
            account=order.account or self._account,
        )
        known = self._stored(request)
        if request.client_order_id in self.inbox.foreign_references:
            raise OrderInDoubtError(
                f"the broker has an order {request.client_order_id} that this journal knows nothing of; "
                "nothing was sent. Use the journal that sent it, or another id"
            )
        if known is not None and (known.status is not OrderStatus.NOT_SENT or self.dry_run):
            return known.order()
        self._require_ready()
        self._require_permission(request)
        instrument = self._instruments.get(request.symbol) or Instrument(request.symbol)
        session = self.manager.session
        order_id = max(self.blotter.last_order_id + 1, session.next_order_id)
        translate.to_wire_order(request, instrument, order_id)
        session.require_open_lane()
        decision, reserved_price = self._evaluate(request)
        entry = Entry(
            request=request,
            order_id=order_id,
            submitted_ns=known.submitted_ns if known else self._clock.now_ns(),
            attempt=known.attempt + 1 if known else 1,
            dry_run=self.dry_run,
            reserved_price=reserved_price,
        )
        self._record(entry, decision)
        if self.dry_run:
            self._give_up(entry, "dry run: everything but the socket write was done")
            return entry.order()
        try:
            session.place(order_id, instrument, request)
        except NotConnectedError:
            self._give_up(entry, "the session was gone before the write")
            raise
        self._unanswered[entry.client_order_id] = asyncio.get_running_loop().time()
        return entry.order()

    def known(self, client_order_id: str) -> Order | None:
        """Return the order that was recorded under this id and may have been sent; None if there is none."""
        entry = self.blotter.entries.get(client_order_id)
        if entry is None or (entry.status is OrderStatus.NOT_SENT and not self.dry_run):
            return None
        return entry.order()

    def record_refusal(self, request: OrderRequest, decision: RiskDecision) -> None:
        """Record an order that was denied before it came here; once, however often the step is run."""
        name = request.client_order_id or ""
        if name not in self._refusals:
            request = replace(request, account=request.account or self._account)
            self._refusals[name] = (request, decision)
            self.audit.log_refusal(request, decision)

    async def submit_order(self, request: OrderRequest) -> Order:
        """Submit an order and wait for the broker's first answer.

        Raises
        ------
        RiskCheckError
            If a pre-trade rule refuses it, before anything is sent.
        ConnectionError
            If there is no usable session; nothing was sent.
        OrderRejectedError
            If the broker refuses it.
        ValueError
            If the request is malformed.
        TimeoutError
            If the broker does not answer in time; the error carries the order, whose state is UNKNOWN.
        """
        await self.ensure_ready()
        order = self.submit(request)
        if order.status is OrderStatus.PENDING:
            order = await self._acknowledged(self.blotter.entries[order.client_order_id or ""])
        if order.status is OrderStatus.REJECTED:
            raise OrderRejectedError(
                f"order {order.client_order_id} was rejected: {order.reason}", order=order
            )
        return order

    def close_inbox(self) -> None:
        """Apply everything received so far as one durable group that belongs to the step about to run."""
        self.inbox.close(barrier=True)

    # -- the rest of the face -----------------------------------------------------------------------------

    async def cancel_order(self, order_id: str) -> None:
        """Ask for the cancellation of an open order, by any of its ids.

        Raises
        ------
        UnknownOrderError
            If no such order is known or it is final.
        RiskCheckError
            If the connection is read-only.
        """
        if self.manager.readonly:
            raise RiskCheckError("the connection is read-only; nothing was cancelled", rule=_READ_ONLY)
        entry = self._find(order_id)
        if entry.status.is_final:
            raise UnknownOrderError(f"order {order_id} is {entry.status}; there is nothing to cancel")
        await self.ensure_ready()
        self.audit.log_order_cancelled(entry.client_order_id, "asked for")
        self.audit.commit()
        self.manager.session.cancel(entry.order_id)

    async def get_order_status(self, order_id: str) -> Order:
        """Return an order, by any of its ids; raise `UnknownOrderError` if it is not known."""
        return self._find(order_id).order()

    async def get_open_orders(self) -> list[Order]:
        """Return the orders that can still trade, UNKNOWN ones included."""
        return [entry.order() for entry in self.blotter.open_entries()]

    async def get_positions(self) -> list[Position]:
        """Ask the broker for its positions.

        Market value and unrealised profit are at cost here; a portfolio values them at marks.
        """
        now = timestamp(self._clock.now_ns())
        return [
            Position(
                p.symbol,
                p.quantity,
                p.average_cost,
                p.quantity * p.average_cost,
                ZERO,
                now,
                account=p.account,
            )
            for p in await self._reconciler.positions(self.manager.session)
        ]

    async def open_orders(self) -> list[Order]:
        """Return the orders that can still trade."""
        return await self.get_open_orders()

    async def positions(self) -> list[Position]:
        """Return the broker's positions."""
        return await self.get_positions()

    async def cancel(self, order_id: str) -> None:
        """Ask for the cancellation of an open order."""
        await self.cancel_order(order_id)

    async def get_account_summary(self) -> dict[str, Decimal]:
        """Return the broker's net liquidation value and cash, by TWS tag."""
        return await self.manager.session.account_summary(self._account)

    def orders(self) -> list[Order]:
        """Return every order of this journal, in order of submission."""
        return [entry.order() for entry in self.blotter.entries.values()]

    # -- parts --------------------------------------------------------------------------------------------

    def _stored(self, request: OrderRequest) -> Entry | None:
        name = request.client_order_id or ""
        refused = self._refusals.get(name)
        entry = self.blotter.entries.get(name)
        stored = refused[0] if refused else entry.request if entry else None
        if stored is not None and stored != request:
            raise DuplicateOrderError(
                f"client order id {name} was used for another order: {stored.side} {stored.quantity} "
                f"{stored.symbol}; use a new id"
            )
        if refused:
            raise RiskCheckError(refused[1].reason, rule=refused[1].rule)
        return entry

    def _require_ready(self) -> None:
        if not self.manager.is_connected():
            raise NotConnectedError("there is no session with the broker; nothing was sent")
        if not self.is_ready:
            raise NotReadyError("orders and positions are not reconciled yet; nothing was sent")

    def _require_permission(self, request: OrderRequest) -> None:
        if self.manager.readonly and not self.dry_run:
            reason = "the connection is read-only; nothing was sent"
            self.record_refusal(request, RiskDecision(False, _READ_ONLY, reason))
            raise RiskCheckError(reason, rule=_READ_ONLY)

    def _evaluate(self, request: OrderRequest) -> tuple[RiskDecision, Decimal | None]:
        if self._validator is None:
            return RiskDecision(approved=True), None
        decision = self._validator.evaluate(request)
        if not decision.approved:
            self.record_refusal(request, decision)
            raise RiskCheckError(decision.reason, rule=decision.rule)
        return decision, self._validator.reserve(request)

    def _record(self, entry: Entry, decision: RiskDecision) -> None:
        try:
            self.audit.log_intent(entry, decision)
        except JournalError:
            # The intent stays held by the journal; its release follows it there, so the record stays true.
            why = "the journal could not be written; nothing was sent"
            self.audit.log_release(entry.client_order_id, why)
            self.blotter.submitted(entry)
            self.blotter.released(entry.client_order_id, why)
            if self._validator is not None:
                self._validator.release(entry.client_order_id)
            raise
        self.blotter.submitted(entry)

    def _give_up(self, entry: Entry, why: str) -> None:
        self.audit.log_release(entry.client_order_id, why)
        self.inbox.deliver(self.blotter.released(entry.client_order_id, why))

    def _find(self, order_id: str) -> Entry:
        entry = self.blotter.find(order_id)
        if entry is None:
            raise UnknownOrderError(
                f"no order {order_id!r} is known; `trade orders list` shows those that are"
            )
        return entry

    async def _acknowledged(self, entry: Entry) -> Order:
        try:
            await asyncio.wait_for(self._answers.to(entry.client_order_id), self._acknowledgement_timeout)
        except TimeoutError:
            why = f"no answer from the broker within {self._acknowledgement_timeout:g} s"
            self._ready_epoch = 0
            self.audit.log_doubt(entry.client_order_id, why)
            self.inbox.deliver(self.blotter.doubted(entry.client_order_id, why))
            raise AcknowledgementTimeoutError(
                f"order {entry.client_order_id}: {why}; its state is UNKNOWN, do not send it again",
                entry.order(),
            ) from None
        return entry.order()

    def _take(self, evidence: Evidence) -> None:
        self.inbox.take(evidence)
        if isinstance(evidence, ErrorSeen):
            self._weigh(evidence)

    def _weigh(self, evidence: ErrorSeen) -> None:
        """Make a reconciliation due where an error leaves open what stands at the broker."""
        if evidence.code in (*_FREEZING_CODES, *_THAWING_CODES):
            # After 1101 or 1102 the link stands again, but what happened meanwhile must be asked for first.
            self._ready_epoch = 0
            self._interruptions += 1
            self._frozen_epoch = self.manager.epoch if evidence.code in _FREEZING_CODES else 0

        entry = self.blotter.find(str(evidence.request_id)) if evidence.request_id > 0 else None
        if entry is None or entry.status.is_final:
            return
        meaning = self.blotter.classify(evidence.code)
        if meaning in (CodeClass.UNKNOWN, CodeClass.CANCEL_REJECTED) or (
            meaning is CodeClass.REJECTS_NEW and entry.acknowledged
        ):
            self._ready_epoch = 0

    def _overdue(self) -> bool:
        """Whether an order was written and got no answer within the deadline."""
        for name in [name for name in self._unanswered if self._answered(name)]:
            del self._unanswered[name]
        if not self._unanswered:
            return False
        waited = asyncio.get_running_loop().time() - min(self._unanswered.values())
        return waited > self._acknowledgement_timeout

    def _answered(self, client_order_id: str) -> bool:
        return self.blotter.entries[client_order_id].status is not OrderStatus.PENDING

    def _on_session(self) -> None:
        self.audit.log_reconciling()
        self.blotter.new_session()

    def _on_data(self) -> None:
        if self.grouped:
            return
        try:
            self.inbox.close()
        except JournalError as error:
            # Nothing is lost: the facts are kept, and nothing is submitted until a commit succeeds.
            self._ready_epoch = 0
            self._log.error("what the broker said could not be made durable", why=str(error))


class _Answers:
    """Wakes whoever waits for the broker's first answer to an order."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[None]] = {}

    def to(self, client_order_id: str) -> asyncio.Future[None]:
        """Return a future that the first change of the order's status resolves."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[client_order_id] = future
        return future

    def on_order_status(self, order: Order) -> None:
        """Take a change of status."""
        future = self._waiting.pop(order.client_order_id or "", None)
        if future is not None and not future.done():
            future.set_result(None)

    def on_fill(self, fill: Fill) -> None:
        """Leave it to the change of status that goes with it."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Leave it to the change of status that goes with it."""
