"""The public face for orders: submit, change, cancel, query, over a reconciled session.

The way of an order: form and identity are checked; the validator evaluates and reserves; the intent, with its
risk decision and the session's order id, is made durable; only then are bytes written. What the broker says
comes back through the inbox. Where it cannot be known whether an order arrived, its state says so.

The work is done in rooms of their own: what is done with orders in `execution.desk`, over the parts in
`execution.desk.desk`; what has to agree with the broker in `execution.reconciliation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any

from execution.audit import AuditLogger
from execution.book.adjustments import Adjustment, CorporateAction, CorporateActionSource
from execution.broker import BrokerAdapter, ExecutionEngine
from execution.clocks import IdFactory, SystemClock, TradingClock, random_id, timestamp
from execution.connection import IBKRConnectionManager
from execution.desk.cancellation import Cancellation
from execution.desk.desk import Desk
from execution.desk.flattening import Flattened, Flattening
from execution.desk.gate import Gate, GateState
from execution.desk.margin import MarginImpact, Margins
from execution.desk.modification import Modifying
from execution.desk.submission import Submission, bracket_of
from execution.desk.unfilled import UnfilledLimits
from execution.desk.unfilled_policy import UnfilledPolicy
from execution.errors import (
    AcknowledgementTimeoutError,
    InvalidOrderError,
    OrderRejectedError,
    UnknownOrderError,
)
from execution.events import OrderEventHandler, RiskDecision
from execution.journal import MemoryJournal
from execution.models import ZERO, Instrument, Order, OrderRequest, OrderStatus, OrderType, Position
from execution.orders.blotter import KEEP_ENDED, Blotter
from execution.orders.entry import Entry
from execution.orders.inbox import Inbox
from execution.orders.recovery import Recovered, recover
from execution.reconciliation.claims import Claim, ClaimPolicy
from execution.reconciliation.doubts import Doubt, Resolution
from execution.reconciliation.leftovers import Leftovers
from execution.reconciliation.positions import Positions
from execution.reconciliation.readiness import Readiness
from execution.reconciliation.reconcile import Reconciler, Reconciliation
from execution.reconciliation.settlement import Settlement
from execution.validators import CallbackValidator, PreTradeValidator


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
        Account for orders that name none; needed where the login has several.
    acknowledgement_timeout
        Seconds to wait for the broker's first answer to an order or a change.
    release_absent
        See `Reconciler`.
    dry_run
        Do everything but the socket write, audited as such.
    grouped
        Hold inbound facts until `close_inbox`, instead of applying them packet by packet.
    quarantine
        See `Reconciler`.
    round_orders
        Round prices and sizes to the contract's increments (`execution.desk.rounding`), instead of
        refusing them.
    unfilled
        What becomes of limit orders that do not fill; None leaves them.
    claim, claim_symbols
        What becomes of orders and positions of somebody else in the account, and which symbols are ours where
        it is shared, by default those of `instruments`; see `execution.reconciliation.claims`.
    corporate_actions
        Who knows of splits, dividends and new symbols; see `execution.book.adjustments`.
    keep_ended
        How many orders that have ended stay in memory; see `execution.orders.entries`.
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
        round_orders: bool = False,
        unfilled: UnfilledPolicy | None = None,
        new_id: IdFactory = random_id,
        claim: ClaimPolicy = ClaimPolicy.ADOPT,
        claim_symbols: Iterable[str] | None = None,
        corporate_actions: CorporateActionSource | None = None,
        keep_ended: int = KEEP_ENDED,
    ) -> None:
        if risk_check_callback is not None:
            validator = CallbackValidator(risk_check_callback)
        clock = clock or SystemClock()
        self.manager = connection_manager
        self.audit = audit or AuditLogger(MemoryJournal(SystemClock().now_ns), clock)
        self.blotter = Blotter(
            connection_manager.codes.classify,
            client_id=connection_manager.client_id,
            keep_ended=keep_ended,
        )
        self.inbox = Inbox(self.blotter, self.audit, validator, handlers)
        self.dry_run = dry_run
        self.grouped = grouped
        self._gate = Gate(connection_manager, self.blotter, acknowledgement_timeout)
        self._desk = desk = Desk(
            manager=connection_manager,
            audit=self.audit,
            blotter=self.blotter,
            inbox=self.inbox,
            gate=self._gate,
            clock=clock,
            validator=validator,
            instruments={instrument.symbol: instrument for instrument in instruments},
            new_id=new_id,
            account=account,
            timeout=acknowledgement_timeout,
            dry_run=dry_run,
            round_orders=round_orders,
        )
        self._submission = Submission(desk)
        self._cancellation = Cancellation(desk)
        self._modifying = Modifying(desk)
        self._flattening = Flattening(desk, self._cancellation, self._submission)
        self._margins = Margins(desk)
        self._unfilled = (
            None if unfilled is None else UnfilledLimits(desk, unfilled, self._cancellation, self._modifying)
        )
        owned = Claim(
            claim,
            account,
            frozenset(claim_symbols or desk.instruments),
            {name: i.security_type for name, i in desk.instruments.items() if i.security_type != "STK"},
        )
        self._positions = Positions(self.inbox, self.audit, owned, corporate_actions)
        reconciler = Reconciler(
            self.inbox,
            self.audit,
            self._positions,
            owned,
            release_absent=release_absent or dry_run,
            quarantine=quarantine,
        )
        self._readiness = Readiness(
            desk, reconciler, self._modifying.settle, lambda: self.grouped, Leftovers(desk, owned)
        )
        self._settlement = Settlement(desk, self._positions, self.reconcile, lambda: reconciler.outcome)
        self.inbox.add_handler(desk.answers)
        connection_manager.contracts.offer(desk.instruments.values())
        connection_manager.first_id = lambda: self.blotter.last_order_id + 1

    # -- start and recovery -------------------------------------------------------------------------------

    def restore(self) -> Recovered:
        """Rebuild orders, refusals and reservations from the journal; call once, before connecting."""
        recovered = recover(self.audit.journal.events(), self.blotter)
        self.blotter.client_id = self.manager.client_id
        self._desk.refusals = recovered.refusals
        self._positions.opening = recovered.opening
        self.inbox.net = recovered.net()
        self.inbox.fills_since_barrier = bool(recovered.loose)
        for entry in self.blotter.open_entries():
            self.inbox.reservations.reserve(entry)
        for order in self.blotter.externals.open():
            self.inbox.reservations.reserve_external(order)
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
        await self._readiness.ensure()

    async def reconcile(self) -> Reconciliation:
        """Compare orders and positions with the broker's; open the way for submissions if they agree."""
        return await self._readiness.reconcile()

    async def check(self) -> Reconciliation:
        """Compare while orders go on; close the way for submissions only if there is a difference."""
        return await self._readiness.check()

    @property
    def is_ready(self) -> bool:
        """Whether orders may be sent: connected, reconciled, and nothing questionable since."""
        return self._gate.is_open

    @property
    def gate_state(self) -> GateState:
        """Whether orders may be sent, and what stands in their way."""
        return self._gate.state

    @property
    def is_frozen(self) -> bool:
        """Whether TWS said that it lost the broker; what it tells of orders may be out of date."""
        return self._gate.is_frozen

    @property
    def opening(self) -> dict[str, Any] | None:
        """The book adopted when the journal began: positions with cost, and cash."""
        return self._positions.opening

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
        return self._submission.submit(order)

    def known(self, client_order_id: str) -> Order | None:
        """Return the order that was recorded under this id and may have been sent; None if there is none."""
        entry = self.blotter.entries.get(client_order_id)
        if entry is None or (entry.status is OrderStatus.NOT_SENT and not self.dry_run):
            return None
        return entry.order()

    def record_refusal(self, request: OrderRequest, decision: RiskDecision) -> None:
        """Record an order that was denied before it came here; once, however often the step is run."""
        self._submission.record_refusal(request, decision)

    def bracket(
        self, entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest
    ) -> tuple[Order, Order, Order]:
        """Evaluate, reserve, record and send a bracket; return its orders as PENDING without waiting.

        See `submit_bracket`, which waits for the broker's answers, and `submit`.
        """
        legs = bracket_of(entry, take_profit, stop_loss, self._desk.new_id())
        first, profit, loss = self._submission.submit_bracket(legs)
        return first, profit, loss

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
        return await self._acknowledged(self.submit(request))

    async def submit_bracket(
        self, entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest
    ) -> tuple[Order, Order, Order]:
        """Submit an entry with its two exits, all or none, and wait for the broker's first answers.

        The three intents are durable in one commit. The exits go to work when the entry fills, and the first
        to fill ends the other. Ids that are not given come from the entry's: ``-tp`` and ``-sl``.

        Raises
        ------
        RiskCheckError, InvalidOrderError, DuplicateOrderError, ConnectionError
            As for `submit_order`; none of the three was sent.
        OrderRejectedError
            If the broker refuses one; the others end with it or are as their states say.
        TimeoutError
            If the broker does not answer in time; what has no answer is UNKNOWN.
        """
        await self.ensure_ready()
        first, profit, loss = self.bracket(entry, take_profit, stop_loss)
        return (
            await self._acknowledged(first),
            await self._acknowledged(profit),
            await self._acknowledged(loss),
        )

    async def modify_order(
        self,
        order_id: str,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        trail_amount: Decimal | None = None,
        order_type: OrderType | None = None,
    ) -> Order:
        """Change an order at work and wait until the broker shows the new terms; what is None stays.

        A change to MARKET drops the prices. One that changes nothing sends nothing.

        Raises
        ------
        UnknownOrderError, NotModifiableError, InvalidOrderError, RiskCheckError, ConnectionError
            Nothing was sent; the order is as it was. So it is while TWS has lost the broker.
        ModificationRejectedError
            If the broker refuses the change; the original is at work, or ended before.
        TimeoutError
            If it does not answer in time; the order is UNKNOWN until it is reconciled.
        """
        self._desk.require_writable("changed")
        entry = self._desk.find(order_id)
        await self.ensure_ready()
        changes = {
            "quantity": quantity,
            "limit_price": limit_price,
            "stop_price": stop_price,
            "trail_amount": trail_amount,
            "order_type": order_type,
        }
        change = self._modifying.write(entry, changes)
        return entry.order() if change is None else await self._modifying.answered(entry, change)

    def close_inbox(self) -> None:
        """Apply everything received so far as one durable group that belongs to the step about to run."""
        self.inbox.close(barrier=True)
        self.enforce_unfilled()

    def enforce_unfilled(self) -> list[str]:
        """Act on limit orders whose time is up; return their client order ids."""
        return [] if self._unfilled is None else self._unfilled.sweep()

    # -- ending ---------------------------------------------------------------------------------------------

    async def cancel_order(self, order_id: str) -> None:
        """Ask for the cancellation of an open order, by any of its ids.

        Raises
        ------
        UnknownOrderError
            If no such order is known or it is final.
        RiskCheckError
            If the connection is read-only.
        """
        self._desk.require_writable("cancelled")
        entry = self._desk.find(order_id)
        if entry.status.is_final:
            raise UnknownOrderError(f"order {order_id} is {entry.status}; there is nothing to cancel")
        await self.ensure_ready()
        self._cancellation.cancel(entry)

    async def cancel_all(self) -> dict[str, str]:
        """Cancel every open order of this journal and wait for the confirmed ends.

        Returns
        -------
        dict of str to str
            Client order ids whose end is not confirmed, with the reason; empty if every order is over.
        """
        self._desk.require_writable("cancelled")
        await self.ensure_ready()
        return await self._cancellation.cancel_all(
            self.blotter.open_entries(), "all asked for", self._desk.timeout
        )

    async def flatten(self, account: str | None = None) -> Flattened:
        """Cancel every open order, wait for the confirmed ends, and close every position by market orders.

        Parameters
        ----------
        account
            The account to flatten; by default the executor's, or every one of the login.

        Returns
        -------
        Flattened
            What was cancelled, the closing orders at work, and what could not be flattened and why.
        """
        self._desk.require_writable("flattened")
        await self.ensure_ready()
        return await self._flattening.run(account or self._desk.account, self._desk.timeout)

    # -- settling -------------------------------------------------------------------------------------------

    def doubts(self) -> list[Doubt]:
        """Return what stands in doubt, with the journal's evidence and a safe next step for each."""
        return self._settlement.doubts()

    async def read_doubts(self) -> list[Doubt]:
        """Return what `doubts` does, and go on with orders while the journal is read."""
        return await self._settlement.read_doubts()

    async def resolve(
        self,
        order_id: str,
        resolution: Resolution,
        *,
        by: str,
        reason: str,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
    ) -> Order:
        """Settle an order whose fate the broker cannot tell; the broker is asked once more before.

        Parameters
        ----------
        order_id
            Any of its ids.
        resolution
            What became of it.
        by, reason
            Who says so, and why; both are kept in the journal.
        quantity, price
            What was executed beyond the executions on record. FILLED takes all that is left.

        Raises
        ------
        SettlementError
            If the broker knows the order, it is not in doubt, or name or reason are missing.
        InvalidOrderError
            If quantity or price do not fit the order.
        """
        return await self._settlement.resolve(order_id, resolution, by, reason, quantity, price)

    async def adjust_position(
        self,
        symbol: str,
        *,
        by: str,
        reason: str,
        price: Decimal | None = None,
        cash: Decimal = ZERO,
    ) -> Adjustment:
        """Take the broker's position in a symbol over into the book, on record.

        Parameters
        ----------
        symbol
            Whose position differs.
        by, reason
            Who accepts it, and why.
        price
            Cost of a unit; by default the broker's average cost for what is new, our own for what went.
        cash
            What moved in cash with it; nothing by default.

        Raises
        ------
        SettlementError
            If the positions agree, or an order in the symbol is in doubt.
        """
        return await self._settlement.accept_position(symbol, by, reason, price, cash)

    async def apply_action(self, action: CorporateAction, *, by: str, reason: str) -> Adjustment:
        """Book a split, dividend or new symbol of a held position that no source told of.

        Raises
        ------
        SettlementError
            If it does not lead to the position that the broker holds, or is booked already.
        """
        return await self._settlement.apply_action(action, by, reason)

    # -- asking ---------------------------------------------------------------------------------------------

    async def what_if(self, request: OrderRequest) -> MarginImpact:
        """Ask what an order would do to its account's margins; nothing is placed. One question at a time.

        Raises
        ------
        BrokerUnavailableError
            If TWS refuses the question or does not answer in time.
        """
        await self.manager.ensure_connected()
        return await self._margins.what_if(self._submission.named(request))

    async def get_order_status(self, order_id: str) -> Order:
        """Return an order, by any of its ids; raise `UnknownOrderError` if it is not known."""
        return self._desk.find(order_id).order()

    async def get_open_orders(self) -> list[Order]:
        """Return the orders that can still trade, UNKNOWN ones included."""
        return [entry.order() for entry in self.blotter.open_entries()]

    async def get_positions(self) -> list[Position]:
        """Ask the broker for its positions.

        Market value and unrealised profit are at cost here; a portfolio values them at marks.
        """
        now = timestamp(self._desk.clock.now_ns())
        return [
            Position(
                p.symbol,
                p.quantity,
                p.average_price,
                p.quantity * p.average_cost,
                ZERO,
                now,
                account=p.account,
            )
            for p in await self._positions.asked(self.manager.session)
        ]

    def booked_positions(self) -> dict[str, Decimal]:
        """Return the signed positions by symbol that the journal amounts to; flat ones are left out."""
        return {symbol: held for symbol, held in self._positions.ours().items() if held}

    async def open_orders(self) -> list[Order]:
        """Return the orders that can still trade."""
        return await self.get_open_orders()

    async def positions(self) -> list[Position]:
        """Return the broker's positions."""
        return await self.get_positions()

    async def cancel(self, order_id: str) -> None:
        """Ask for the cancellation of an open order."""
        await self.cancel_order(order_id)

    async def get_account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Return the broker's net liquidation value and cash, by TWS tag, of one account.

        Raises
        ------
        InvalidOrderError
            If the login has several accounts and none is named, or it does not have the one named.
        """
        session = self.manager.session
        account = account or self._desk.account
        known = ", ".join(session.accounts)
        if account is None and len(session.accounts) > 1:
            raise InvalidOrderError(f"account: this login has several ({known}); name one")
        if account is not None and session.accounts and account not in session.accounts:
            raise InvalidOrderError(f"account {account}: this login has {known}; name one of them")
        return await session.account_summary(account)

    def orders(self) -> list[Order]:
        """Return every order of this journal, in order of submission."""
        return [entry.order() for entry in self.blotter.entries.values()]

    # -- parts --------------------------------------------------------------------------------------------

    async def _acknowledged(self, order: Order) -> Order:
        entry: Entry = self.blotter.entries[order.client_order_id or ""]
        if entry.status is OrderStatus.PENDING:
            await self._answer_to(entry)
        order = entry.order()
        if order.status is OrderStatus.REJECTED:
            raise OrderRejectedError(
                f"order {order.client_order_id} was rejected: {order.reason}", order=order
            )
        return order

    async def _answer_to(self, entry: Entry) -> None:
        timeout = self._desk.timeout
        try:
            await self._desk.until(lambda: entry.status is not OrderStatus.PENDING, timeout)
        except TimeoutError:
            why = f"no answer from the broker within {timeout:g} s"
            self._desk.doubt(entry, why)
            raise AcknowledgementTimeoutError(
                f"order {entry.client_order_id}: {why}; its state is UNKNOWN, do not send it again",
                entry.order(),
            ) from None
