"""The public face for orders: submit, change, cancel, query, over a reconciled session.

The way of an order: form and identity are checked; the validator evaluates and reserves; the intent, with its
risk decision and the session's order id, is made durable; only then are bytes written. What the broker says
comes back through the inbox. Where it cannot be known whether an order arrived, its state says so.

The work is done in the rooms of `execution.rooms`; what stands, and what a person settles of it, is in
`execution.account`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal

import pandas as _pandas  # noqa: F401  # imported on first use elsewhere: here, so that no order waits for that

from execution.account import BrokerAccount
from execution.audit import AuditLogger
from execution.book.adjustments import CorporateActionSource
from execution.broker import ExecutionEngine
from execution.clocks import IdFactory, SystemClock, TradingClock, random_id
from execution.connection import IBKRConnectionManager
from execution.desk.desk import Desk
from execution.desk.flattening import Flattened
from execution.desk.gate import Gate
from execution.desk.submission import bracket_of
from execution.desk.unfilled_policy import UnfilledPolicy
from execution.errors import UnknownOrderError
from execution.events import OrderEventHandler, RiskDecision
from execution.journal import MemoryJournal
from execution.models import Instrument, Order, OrderRequest, OrderType
from execution.orders.blotter import KEEP_ENDED, Blotter
from execution.orders.inbox import Inbox
from execution.orders.recovery import Recovered
from execution.reconciliation.claims import ClaimPolicy
from execution.reconciliation.lifetimes import TradingDays
from execution.reconciliation.policies import ExpiredDay, Unanswered
from execution.rooms import Agreement, Rooms
from execution.validators import CallbackValidator, PreTradeValidator


class IBKROrderExecutor(BrokerAccount, ExecutionEngine):
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
    days, expired_day
        Sessions of the exchange, and what becomes of an order for a day that is over whose end nobody saw:
        see `execution.reconciliation.lapses`. Without sessions no day is known to be over.
    unanswered
        What becomes of an order of an earlier session that nobody answered and no list names.
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
        days: TradingDays | None = None,
        expired_day: ExpiredDay = ExpiredDay.SETTLE,
        unanswered: Unanswered = Unanswered.DOUBT,
    ) -> None:
        if risk_check_callback is not None and validator is not None:
            raise ValueError(
                "risk_check_callback and validator: give one of them; a validator may ask the callback too"
            )
        if risk_check_callback is not None:
            validator = CallbackValidator(risk_check_callback)
        clock = clock or SystemClock()
        audit = audit or AuditLogger(MemoryJournal(SystemClock().now_ns), clock)
        blotter = Blotter(
            connection_manager.codes.classify,
            client_id=connection_manager.client_id,
            keep_ended=keep_ended,
        )
        self.dry_run = dry_run
        self.grouped = grouped
        desk = Desk(
            manager=connection_manager,
            audit=audit,
            blotter=blotter,
            inbox=Inbox(blotter, audit, validator, handlers),
            gate=Gate(connection_manager, blotter, acknowledgement_timeout),
            clock=clock,
            validator=validator,
            instruments={instrument.symbol: instrument for instrument in instruments},
            new_id=new_id,
            account=account,
            timeout=acknowledgement_timeout,
            dry_run=dry_run,
            round_orders=round_orders,
        )
        agreement = Agreement(
            claim,
            claim_symbols,
            corporate_actions,
            release_absent,
            quarantine,
            days,
            expired_day,
            unanswered,
        )
        super().__init__(Rooms(desk, agreement, unfilled, lambda: self.grouped))

    # -- start and recovery -------------------------------------------------------------------------------

    def restore(self) -> Recovered:
        """Rebuild orders, refusals and reservations from the journal; call once, before connecting."""
        return self._rooms.restore()

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
        return self._rooms.submission.submit(order)

    def record_refusal(self, request: OrderRequest, decision: RiskDecision) -> None:
        """Record an order that was denied before it came here; once, however often the step is run."""
        self._rooms.submission.record_refusal(request, decision)

    def bracket(
        self, entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest
    ) -> tuple[Order, Order, Order]:
        """Evaluate, reserve, record and send a bracket; return its orders as PENDING without waiting.

        See `submit_bracket`, which waits for the broker's answers, and `submit`.
        """
        legs = bracket_of(entry, take_profit, stop_loss, self._rooms.desk.new_id())
        first, profit, loss = self._rooms.submission.submit_bracket(legs)
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
        return await self._rooms.acknowledgement.of(self.submit(request))

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
            await self._rooms.acknowledgement.of(first),
            await self._rooms.acknowledgement.of(profit),
            await self._rooms.acknowledgement.of(loss),
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
        self._rooms.desk.require_writable("changed")
        entry = self._rooms.desk.find(order_id)
        await self.ensure_ready()
        changes = {
            "quantity": quantity,
            "limit_price": limit_price,
            "stop_price": stop_price,
            "trail_amount": trail_amount,
            "order_type": order_type,
        }
        change = self._rooms.modifying.write(entry, changes)
        return entry.order() if change is None else await self._rooms.modifying.answered(entry, change)

    def close_inbox(self) -> None:
        """Apply everything received so far as one durable group that belongs to the step about to run."""
        self.inbox.close(barrier=True)
        self.enforce_unfilled()

    def enforce_unfilled(self) -> list[str]:
        """Act on limit orders whose time is up; return their client order ids."""
        unfilled = self._rooms.unfilled
        return [] if unfilled is None else unfilled.sweep()

    # -- ending ---------------------------------------------------------------------------------------------

    async def cancel_order(self, order_id: str) -> None:
        """Ask for the cancellation of an open order, by any of its ids.

        It goes out also while other orders are in doubt, positions differ or the journal cannot be written.

        Raises
        ------
        UnknownOrderError
            If no such order is known or it is final.
        RiskCheckError
            If the connection is read-only.
        """
        self._rooms.desk.require_writable("cancelled")
        entry = self._rooms.desk.find(order_id)
        if entry.status.is_final:
            raise UnknownOrderError(f"order {order_id} is {entry.status}; there is nothing to cancel")
        await self._rooms.readiness.ensure_for_cancels()
        self._rooms.cancellation.cancel(entry)

    async def cancel_all(self) -> dict[str, str]:
        """Cancel every open order of this journal and wait for the confirmed ends.

        Returns
        -------
        dict of str to str
            Client order ids whose end is not confirmed, with the reason; empty if every order is over.
        """
        self._rooms.desk.require_writable("cancelled")
        await self._rooms.readiness.ensure_for_cancels()
        return await self._rooms.cancellation.cancel_all(
            self.blotter.open_entries(), "all asked for", self._rooms.desk.timeout
        )

    async def flatten(self, account: str | None = None) -> Flattened:
        """Cancel every open order, wait for the confirmed ends, and close every position by market orders.

        Orders of others in the account are left alone: they may trade against it, and the result names them.

        Parameters
        ----------
        account
            The account to flatten; by default the executor's, or every one of the login.

        Returns
        -------
        Flattened
            What was cancelled, the closing orders at work, what could not be flattened and why, and the open
            orders of others in the account.
        """
        self._rooms.desk.require_writable("flattened")
        await self._rooms.readiness.ensure_for_cancels()
        return await self._rooms.flattening.run(account or self._rooms.desk.account, self._rooms.desk.timeout)

    async def cancel(self, order_id: str) -> None:
        """Ask for the cancellation of an open order."""
        await self.cancel_order(order_id)
