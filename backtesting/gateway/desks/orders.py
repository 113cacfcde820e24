"""The order desk: takes orders and cancels, and tells their owners what becomes of them.

An execution is told as 11, then 5 and 3 with the new status, 5 and 3 again with the commission, and 59; an
order that ended as 3 and a 202.
"""

from __future__ import annotations

from collections.abc import Sequence

from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire import replies
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.codec import message, parse_time
from execution.models import Bar


class OrderDesk:
    """Orders, executions and order ids."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._book = state.book
        self._touched: set[str] = set()
        self.handlers: Handlers = {
            ask.PlaceOrder: self._place,
            ask.CancelOrder: self._cancel,
            ask.GlobalCancel: self._global_cancel,
            ask.OpenOrders: self._open_orders,
            ask.CompletedOrders: self._completed_orders,
            ask.Executions: self._executions,
            ask.NextId: self._next_id,
        }

    def welcome(self, session: ClientSession) -> None:
        """Tell a client that has just joined its next order id."""
        self._next_id(session, None)

    def advance(self, end_ns: int, bars: Sequence[Bar]) -> set[str]:
        """Match orders against one step's bars, tell their owners, and return the symbols traded."""
        self._touched = set()
        self._book.advance(end_ns, bars, self)
        return self._touched

    def on_execution(self, execution: Execution) -> None:
        """Tell the order's owner of an execution."""
        ticket = execution.ticket
        self._touched.add(ticket.instrument.symbol)
        owner = self._state.sessions.get(ticket.client_id)
        if owner is None:
            return
        owner.send(replies.execution_details(self._book.account, execution))
        charged, ticket.commission = ticket.commission, execution.charged_before
        self._send_order(owner, ticket, ticket.status)
        ticket.commission = charged
        self._send_order(owner, ticket, ticket.status)
        owner.send(replies.commission_report(execution))

    def on_cancelled(self, ticket: Ticket) -> None:
        """Send 3 PendingCancel (only in a session and only if a client asked), 3 Cancelled and 202."""
        owner = self._state.sessions.get(ticket.client_id)
        if owner is None:
            return
        if not ticket.reason and self._state.calendar.session_at(self._state.now_ns):
            owner.send(replies.order_status(ticket, "PendingCancel"))
        owner.send(replies.order_status(ticket, ticket.status))
        owner.send_error(ticket.order_id, 202, f"Order Canceled - reason:{ticket.reason}")

    def _place(self, session: ClientSession, wish: ask.PlaceOrder) -> None:
        ticket = self._book.place(session.named_id, wish, self._state.now_ns)
        self._send_order(session, ticket, ticket.status)

    def _send_order(self, session: ClientSession, ticket: Ticket, status: str) -> None:
        session.send(replies.open_order(session.version, self._book.account, ticket, status))
        session.send(replies.order_status(ticket, status))

    def _cancel(self, session: ClientSession, wish: ask.CancelOrder) -> None:
        self.on_cancelled(self._book.cancel(session.named_id, wish.order_id, self._state.now_ns))

    def _global_cancel(self, session: ClientSession, _wish: ask.GlobalCancel) -> None:
        now_ns = self._state.now_ns
        ended = [t for t in self._book.completed_today(now_ns) if t.client_id == session.client_id]
        for ticket in self._book.open_tickets():
            self._book.cancel(ticket.client_id, ticket.order_id, now_ns)
            self.on_cancelled(ticket)
        for ticket in ended:
            text = "Cancel attempted when order is not in a cancellable state.  Order permId ="
            session.send_error(ticket.order_id, 161, f"{text}{ticket.perm_id}")
        for other in self._state.sessions.values():
            other.flush()

    def _open_orders(self, session: ClientSession, wish: ask.OpenOrders) -> None:
        if not wish.bind:
            owner = None if wish.everyone else session.client_id
            for ticket in self._book.open_tickets(owner):
                self._send_order(session, ticket, self._book.shown_status(ticket, self._state.now_ns))
        session.send(message(53, 1))

    def _completed_orders(self, session: ClientSession, _wish: ask.CompletedOrders) -> None:
        for ticket in self._book.completed_today(self._state.now_ns):
            session.send(replies.completed_order(session.version, self._book.account, ticket))
        session.send(message(102))

    def _executions(self, session: ClientSession, wish: ask.Executions) -> None:
        since_ns = parse_time(wish.since) if wish.since else 0
        found = self._book.filtered_executions(wish, since_ns, self._state.now_ns)
        for execution in found:
            session.send(replies.execution_details(self._book.account, execution, wish.request_id))
        for execution in found:
            session.send(replies.commission_report(execution))
        session.send(message(55, 1, wish.request_id))

    def _next_id(self, session: ClientSession, _wish: ask.NextId | None) -> None:
        session.send(message(9, 1, self._book.next_id(session.named_id)))
