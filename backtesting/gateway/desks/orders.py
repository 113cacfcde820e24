"""The order desk: takes orders and cancels, and tells those concerned what becomes of them.

1. An order that is taken is told as 5 and 3. Outside a session comes a 399 with the moment of the next open:
   before them for a market order, after them for any other.
2. An execution is told as 11, then 5 and 3 with the new status, 5 and 3 again with the commission, and 59;
   an order that ended as 3 and a 202, with a 3 PendingCancel before where it was asked for during a session.
   A rejected order (201) is told as the error, then 5 and 3 Inactive; what is wrong in itself as an error.
3. Told are the order's owner and the master client; of an order of TWS itself client 0, once it is bound
   (100). Errors go to the owner alone.
4. When all orders are asked for, those of other clients come under their own client and order ids; an order
   entered by hand in TWS that nobody has bound comes under order id 0 and client id 0.
5. A client that comes back under its id is not sent its live orders unasked: builds before mid 2026 do not.
6. With the read-only setting orders, cancels and requests for open and completed orders get a 321.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Final

from backtesting.gateway.desks.order_terms import invalid
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handler, Handlers
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire import replies
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import ZONE_NAME, moment, number, parse_time
from backtesting.gateway.wire.contract_replies import home_exchange, trading_class, wire_symbol
from backtesting.margin import MarginImpact
from execution.models import Bar

NOT_CANCELLABLE: Final = "Cancel attempted when order is not in a cancellable state.  Order permId ="
ONLY_CLIENT_ZERO: Final = (
    "Only API connections with clientId set to 0 can set the auto bind TWS orders property."
)


class OrderDesk:
    """Orders, executions and order ids."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._book = state.book
        self._book.events = self
        self._book.clock = state.clock.now_ns
        self._touched: set[str] = set()
        self._binding: ClientSession | None = None
        self._asking: ClientSession | None = None
        self._in_step = False
        guarded: dict[type, Handler] = {
            ask.PlaceOrder: self._place,
            ask.CancelOrder: self._cancel,
            ask.GlobalCancel: self._global_cancel,
            ask.OpenOrders: self._open_orders,
            ask.AutoOpenOrders: self._auto_open_orders,
            ask.CompletedOrders: self._completed_orders,
        }
        if self._book.read_only:
            guarded = dict.fromkeys(guarded, _refuse)
        self.handlers: Handlers = {**guarded, ask.Executions: self._executions, ask.NextId: self._next_id}

    def welcome(self, session: ClientSession) -> None:
        """Tell a client that has just joined its next order id."""
        self._next_id(session, None)

    def advance(self, end_ns: int, bars: Sequence[Bar]) -> set[str]:
        """Match orders against one step's bars, tell of it, and return the symbols traded or corrected."""
        self._in_step = True
        try:
            self._book.advance(end_ns, bars)
        finally:
            self._in_step = False
        return self.touched()

    def touched(self) -> set[str]:
        """Return the symbols traded, corrected or adjusted since the last call."""
        touched, self._touched = self._touched, set()
        return touched

    # what the book reports

    def on_accepted(self, ticket: Ticket) -> None:
        """Send 5 and 3, with a 399 where the order waits for the exchange to open."""
        if not ticket.client_id and not ticket.order_id and self._is_binding():
            self._bind()
        warning = self._warning(ticket)
        if warning and ticket.order_type == "MKT":
            self._error(ticket, 399, warning)
        self._tell_order(ticket)
        if warning and ticket.order_type != "MKT":
            self._error(ticket, 399, warning)

    def on_changed(self, ticket: Ticket) -> None:
        """Send 5 and 3."""
        self._tell_order(ticket)

    def on_cancelling(self, ticket: Ticket) -> None:
        """Send 3 PendingCancel, in a session only."""
        if self._state.calendar.session_at(self._state.now_ns) is not None:
            self._tell(ticket, replies.order_status(ticket, "PendingCancel"))

    def on_cancelled(self, ticket: Ticket) -> None:
        """Send 3 Cancelled and a 202."""
        self._tell(ticket, replies.order_status(ticket, ticket.status))
        self._error(ticket, 202, f"Order Canceled - reason:{ticket.reason}")

    def on_rejected(self, ticket: Ticket, code: int, text: str) -> None:
        """Send the error, then 5 and 3 Inactive."""
        self._error(ticket, code, text)
        self._tell_order(ticket)

    def on_execution(self, execution: Execution) -> None:
        """Send 11, 5 and 3 as before the commission, 5 and 3 with it, and 59."""
        ticket = execution.ticket
        self._touched.add(ticket.instrument.symbol)
        audience = self._audience(ticket)
        if not audience:
            return
        status = replies.order_status(ticket, ticket.status)
        report = replies.commission_report(execution)
        for session in audience:
            version, account = session.version, ticket.account
            session.send(replies.execution_details(account, execution, version=version))
            charged, ticket.commission = ticket.commission, execution.charged_before
            session.send(replies.open_order(version, account, ticket, ticket.status))
            ticket.commission = charged
            session.send(status)
            session.send(replies.open_order(version, account, ticket, ticket.status))
            session.send(status)
            session.send(report)

    def on_corrected(self, execution: Execution) -> None:
        """Send the new 11 and its 59; positions and account follow with the next step."""
        ticket = execution.ticket
        self._touched.add(ticket.instrument.symbol)
        report = replies.commission_report(execution)
        for session in self._audience(ticket):
            session.send(replies.execution_details(ticket.account, execution, version=session.version))
            session.send(report)
            self._deliver(session)

    def on_adjusted(self, symbol: str) -> None:
        """Let positions and account values be told with the next step."""
        self._touched.add(symbol)

    def on_what_if(self, ticket: Ticket, impact: MarginImpact) -> None:
        """Send the one 5 that answers a what-if."""
        session = self._asking or self._state.sessions.get(ticket.client_id)
        if session is not None:
            session.send(_what_if(session.version, ticket, impact))

    # to whom

    def _audience(self, ticket: Ticket) -> list[ClientSession]:
        """Return who is told of an order: its owner if it knows it, and the master."""
        sessions = self._state.sessions
        owner = sessions.get(ticket.client_id) if ticket.order_id else None
        audience = [] if owner is None else [owner]
        master = self._book.master_client_id
        if master is not None and master != ticket.client_id and master in sessions:
            audience.append(sessions[master])
        return audience

    def _tell(self, ticket: Ticket, data: bytes) -> None:
        for session in self._audience(ticket):
            session.send(data)
            self._deliver(session)

    def _tell_order(self, ticket: Ticket) -> None:
        for session in self._audience(ticket):
            self._send_order(session, ticket, ticket.status)
            self._deliver(session)

    def _error(self, ticket: Ticket, code: int, text: str) -> None:
        owner = self._state.sessions.get(ticket.client_id)
        if owner is not None and ticket.order_id:
            owner.send_error(ticket.order_id, code, text)
            self._deliver(owner)

    def _deliver(self, session: ClientSession) -> None:
        """Write to a client that is neither being answered nor told of a step: nobody else will."""
        if not self._in_step and session is not self._asking:
            session.flush()

    def _send_order(self, session: ClientSession, ticket: Ticket, status: str) -> None:
        session.send(replies.open_order(session.version, ticket.account, ticket, status))
        session.send(replies.order_status(ticket, status))

    # what clients ask

    def _place(self, session: ClientSession, wish: ask.PlaceOrder) -> None:
        self._asking = session
        try:
            self._book.place(session.named_id, wish, self._state.now_ns)
        finally:
            self._asking = None

    def _cancel(self, session: ClientSession, wish: ask.CancelOrder) -> None:
        self._asking = session
        try:
            self._book.cancel(session.named_id, wish.order_id, self._state.now_ns)
        finally:
            self._asking = None

    def _global_cancel(self, session: ClientSession, _wish: ask.GlobalCancel) -> None:
        now_ns = self._state.now_ns
        ended = [t for t in self._book.completed_today(now_ns) if t.client_id == session.client_id]
        self._asking = session
        try:
            self._book.cancel_all(now_ns)
        finally:
            self._asking = None
        for ticket in ended:
            session.send_error(ticket.order_id, 161, f"{NOT_CANCELLABLE}{ticket.perm_id}")

    def _open_orders(self, session: ClientSession, wish: ask.OpenOrders) -> None:
        if wish.everyone:
            for ticket in self._book.open_tickets():
                self._show(session, ticket)
        else:
            if session.client_id == 0:
                self._bind()
            self._show_own(session)
        session.send(replies.open_order_end())

    def _auto_open_orders(self, session: ClientSession, wish: ask.AutoOpenOrders) -> None:
        if session.client_id != 0:
            raise RequestRefusedError(327, ONLY_CLIENT_ZERO)
        self._binding = session if wish.bind else None
        self._show_own(session)
        session.send(replies.open_order_end())

    def _show_own(self, session: ClientSession) -> None:
        for ticket in self._book.open_tickets(session.client_id):
            self._show(session, ticket)

    def _show(self, session: ClientSession, ticket: Ticket) -> None:
        self._send_order(session, ticket, self._book.shown_status(ticket, self._state.now_ns))

    def _is_binding(self) -> bool:
        return self._binding is not None and self._state.sessions.get(0) is self._binding

    def _bind(self) -> None:
        """Let client 0 have the orders of TWS itself under ids of its own (100)."""
        for ticket in self._book.bind():
            self._tell(ticket, replies.order_bound(ticket.perm_id, ticket.client_id, ticket.order_id))

    def _completed_orders(self, session: ClientSession, wish: ask.CompletedOrders) -> None:
        for ticket in self._book.completed_today(self._state.now_ns):
            if wish.api_only and not ticket.client_id and ticket.order_id <= 0:
                continue
            shown = dataclasses.replace(ticket, status="Cancelled") if ticket.status == "Inactive" else ticket
            session.send(replies.completed_order(session.version, ticket.account, shown))
        session.send(replies.completed_orders_end())

    def _executions(self, session: ClientSession, wish: ask.Executions) -> None:
        since_ns = parse_time(wish.since) if wish.since else 0
        found = self._book.filtered_executions(wish, since_ns, self._state.now_ns)
        for execution in found:
            account = execution.ticket.account
            session.send(replies.execution_details(account, execution, wish.request_id, session.version))
        for execution in found:
            session.send(replies.commission_report(execution))
        session.send(replies.execution_details_end(wish.request_id))

    def _next_id(self, session: ClientSession, _wish: ask.NextId | None) -> None:
        session.send(replies.next_valid_id(self._book.next_id(session.named_id)))

    # warnings

    def _warning(self, ticket: Ticket) -> str:
        """Return TWS's warning of an order that waits for the exchange to open; empty for any other."""
        if ticket.order.perm_id not in self._book.waiting:
            return ""
        session = self._state.calendar.session_closing_after(self._state.now_ns)
        if session is None:
            return ""
        instrument = ticket.instrument
        return (
            f"Order Message:\n{ticket.order.request.side.value} {number(ticket.quantity)} "
            f"{wire_symbol(instrument)} {home_exchange(instrument)}.{trading_class(instrument)}\n"
            f"Warning: Your order will not be placed at the exchange until "
            f"{moment(session.open_ns):%Y-%m-%d %H:%M:%S} {ZONE_NAME}."
        )


def _refuse(_session: ClientSession, _wish: object) -> None:
    raise invalid("The API interface is currently in Read-Only mode.")


def _what_if(version: int, ticket: Ticket, impact: MarginImpact) -> bytes:
    margins = replies.Margins(
        initial=(impact.initial_before, impact.initial_change, impact.initial_after),
        maintenance=(impact.maintenance_before, impact.maintenance_change, impact.maintenance_after),
        equity=(impact.equity_before, impact.equity_change, impact.equity_after),
        commission=impact.commission,
        currency=ticket.instrument.currency,
    )
    return replies.what_if_order(
        version,
        ticket.account,
        ticket.order.request,
        ticket.instrument,
        ticket.wish,
        margins,
        client_id=ticket.client_id,
        perm_id=ticket.perm_id,
    )
