"""What clients do to orders: place, change, ask what if, cancel.

1. A client's order that is not transmitted is told of to nobody. When an order of its family (parent and
   children) is transmitted, the whole family is, and is told of in order of placement.
2. A change of a live order that is not transmitted waits in TWS: nothing happens and nothing is told.
3. What is wrong in itself is refused with an error alone. An order that was looked at and rejected (201) is
   told of as Inactive after the error; its id may be used again.
"""

from __future__ import annotations

from typing import Final

from backtesting.errors import EXCHANGE_CLOSED, NO_ACCOUNT, REJECTED, BrokerRejection
from backtesting.gateway.desks.book_state import BookState
from backtesting.gateway.desks.order_terms import chosen_account, invalid, order_request
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.tickets import Ticket
from backtesting.gateway.wire.requests import PlaceOrder
from backtesting.orders import BrokerCancel, BrokerChange, WorkingOrder
from execution.models import OrderRequest

PERM_ID_OFFSET: Final = 1_500_000_000
UNPLACED_PERM_ID_OFFSET: Final = 1_400_000_000
"""Permanent ids of what never was at the broker: what-if orders and rejected ones."""

_REFUSED_AT_ONCE: Final = (NO_ACCOUNT, EXCHANGE_CLOSED)
"""Rejections (201) that TWS answers with the error alone."""

_LARGEST_ORDER_ID: Final = 2_147_483_646


class Placing(BookState):
    """Takes what clients send."""

    def place(self, client_id: int, wish: PlaceOrder, now_ns: int) -> Ticket:
        """Take an order of a client: a new one, a change of a live one, or a what-if.

        Raises
        ------
        RequestRefusedError
            With the TWS code and text; nothing was done.
        """
        self.now_ns = max(now_ns, self.now_ns)
        if wish.what_if:
            return self._what_if(client_id, wish, now_ns)
        live = self._known(client_id, wish)
        if live is not None:
            return self.modify(live, wish, now_ns)
        return self.new_order(client_id, wish, now_ns)

    def _known(self, client_id: int, wish: PlaceOrder) -> Ticket | None:
        """Return the live order of this id; refuse an id that cannot be used."""
        known = self.by_client.get((client_id, wish.order_id))
        if known is not None and known.completed_ns is None:
            return known
        if not 0 < wish.order_id <= _LARGEST_ORDER_ID:
            raise invalid("Invalid order id")
        if known is not None and known.status == "Filled":
            raise RequestRefusedError(104, "Can't modify a filled order.")
        if wish.order_id <= self.last_id.get(client_id, 0) and (known is None or known.status != "Inactive"):
            raise RequestRefusedError(103, "Duplicate order id")
        return None

    def new_order(self, client_id: int, wish: PlaceOrder, now_ns: int) -> Ticket:
        """Take a new order under an id that has been checked; raise `RequestRefusedError`."""
        instrument = self.contract(wish.contract, now_ns)
        account = chosen_account(wish.account, self.accounts)
        parent = self._parent(client_id, wish)
        group = None if parent is None else str(parent.perm_id)
        request = order_request(wish, instrument, account, oca_group=group)
        if wish.order_id > self.last_id.get(client_id, 0):
            self.last_id[client_id] = wish.order_id
        try:
            order = self.broker.place(
                request,
                now_ns,
                parent=None if parent is None else parent.order.perm_id,
                transmit=wish.transmit,
            )
        except BrokerRejection as rejection:
            if rejection.code != REJECTED or rejection.text in _REFUSED_AT_ONCE:
                raise RequestRefusedError(rejection.code, rejection.text) from rejection
            return self._reject(client_id, wish, request, rejection)
        ticket = self._ticket(client_id, wish, order, PERM_ID_OFFSET + order.perm_id)
        if parent is not None:
            ticket.parent_order_id, ticket.parent_perm_id = parent.order_id, parent.perm_id
        self.tickets[order.perm_id] = ticket
        if wish.order_id:
            self.by_client[client_id, wish.order_id] = ticket
        if wish.transmit:
            self._transmit(ticket, now_ns)
        return ticket

    def _ticket(self, client_id: int, wish: PlaceOrder, order: WorkingOrder, perm_id: int) -> Ticket:
        request = order.request
        return Ticket(
            client_id=client_id,
            order_id=wish.order_id,
            perm_id=perm_id,
            order=order,
            order_ref=wish.order_ref,
            order_type=wish.order_type,
            status="PreSubmitted",
            wish=wish,
            account=request.account or self.account,
            quantity=request.quantity,
            why_held=order.why_held,
            oca_group=request.oca_group or "",
            oca_type=request.oca_type,
            told=False,
        )

    def _parent(self, client_id: int, wish: PlaceOrder) -> Ticket | None:
        if not wish.parent_id:
            return None
        parent = self.by_client.get((client_id, wish.parent_id))
        if parent is None or parent.status in ("Cancelled", "Inactive"):
            raise RequestRefusedError(10006, "Missing parent order.")
        return parent

    def _transmit(self, ticket: Ticket, now_ns: int) -> None:
        """Tell of an order and of all of its family that waited for it."""
        family = [ticket]
        if ticket.parent_perm_id or ticket.order.children:
            root = self._root(ticket)
            family = [each for each in self.tickets.values() if not each.told and self._root(each) == root]
        for each in family:
            if each.completed_ns is None and not each.told:
                each.told = True
                each.why_held = each.order.why_held
                each.status = self.status_of(each, now_ns)
                self.events.on_accepted(each)

    def _root(self, ticket: Ticket) -> int:
        while ticket.order.parent is not None and ticket.order.parent in self.tickets:
            ticket = self.tickets[ticket.order.parent]
        return ticket.perm_id

    def _reject(
        self, client_id: int, wish: PlaceOrder, request: OrderRequest, rejection: BrokerRejection
    ) -> Ticket:
        """Keep an order that was looked at and refused until the day's roll: Inactive and not at work."""
        ticket = self._detached(client_id, wish, request)
        self.end(ticket, "Inactive", self.now_ns, self.now_ns, rejection.text)
        self.inactive.append(ticket)
        if wish.order_id:
            self.by_client[client_id, wish.order_id] = ticket
        self.events.on_rejected(ticket, rejection.code, rejection.text)
        return ticket

    def _detached(self, client_id: int, wish: PlaceOrder, request: OrderRequest) -> Ticket:
        self.unplaced += 1
        instrument = self.instruments[request.symbol]
        order = WorkingOrder(-self.unplaced, request, instrument, self.now_ns, None, request.quantity)
        return self._ticket(client_id, wish, order, UNPLACED_PERM_ID_OFFSET + self.unplaced)

    def _what_if(self, client_id: int, wish: PlaceOrder, now_ns: int) -> Ticket:
        instrument = self.contract(wish.contract, now_ns)
        request = order_request(wish, instrument, chosen_account(wish.account, self.accounts))
        try:
            impact = self.broker.what_if(request, now_ns)
        except BrokerRejection as rejection:
            raise RequestRefusedError(rejection.code, rejection.text) from rejection
        ticket = self._detached(client_id, wish, request)
        self.events.on_what_if(ticket, impact)
        return ticket

    # changing

    def modify(self, ticket: Ticket, wish: PlaceOrder, now_ns: int) -> Ticket:
        """Change a live order: contract, side, account and parent must stay.

        Raises
        ------
        RequestRefusedError
            105 or the broker's code; the order is as it was and goes on.
        """
        request = self._changed(ticket, wish, now_ns)
        if ticket.told and not wish.transmit:
            return ticket
        try:
            ticket.order = self.broker.modify(ticket.order.perm_id, request, now_ns, transmit=wish.transmit)
        except BrokerRejection as rejection:
            raise RequestRefusedError(rejection.code, rejection.text) from rejection
        ticket.wish = wish
        ticket.order_type = wish.order_type
        ticket.order_ref = wish.order_ref or ticket.order_ref
        ticket.quantity = ticket.order.quantity
        ticket.oca_group, ticket.oca_type = request.oca_group or "", request.oca_type
        ticket.why_held = ticket.order.why_held
        ticket.modifications += 1
        if ticket.told:
            ticket.status = self.status_of(ticket, now_ns)
            self.events.on_changed(ticket)
        if wish.transmit:
            self._transmit(ticket, now_ns)
        return ticket

    def _changed(self, ticket: Ticket, wish: PlaceOrder, now_ns: int) -> OrderRequest:
        instrument = self.contract(wish.contract, now_ns)
        same = (
            instrument is ticket.instrument
            and wish.side == ticket.order.request.side
            and wish.account in ("", ticket.account)
            and wish.parent_id in (0, ticket.parent_order_id)
        )
        if not same:
            raise RequestRefusedError(105, "Order being modified does not match original order")
        group = str(ticket.parent_perm_id) if ticket.parent_perm_id else None
        return order_request(wish, instrument, ticket.account, oca_group=group)

    # cancelling

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> Ticket:
        """End one of a client's orders, and with it its children.

        Raises
        ------
        RequestRefusedError
            10147 if the client has no such order, 10148 if it is no longer live.
        """
        ticket = self.by_client.get((client_id, order_id))
        if ticket is None:
            raise RequestRefusedError(10147, f"OrderId {order_id} that needs to be cancelled is not found.")
        if ticket.completed_ns is not None:
            raise RequestRefusedError(
                10148,
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {ticket.status}.",
            )
        return self.cancel_ticket(ticket, now_ns)

    def cancel_all(self, now_ns: int) -> None:
        """End every live order, whoever's it is."""
        for ticket in self.open_tickets():
            if ticket.completed_ns is None:  # it may have ended with its parent
                self.cancel_ticket(ticket, now_ns)

    def cancel_ticket(self, ticket: Ticket, now_ns: int) -> Ticket:
        """End a live order, and what ends with it: its children and the mates of its OCA group."""
        self.now_ns = max(now_ns, self.now_ns)
        try:
            happened = self.broker.cancel(ticket.order.perm_id, now_ns)
        except BrokerRejection as rejection:
            raise RequestRefusedError(rejection.code, rejection.text) from rejection
        if ticket.told:
            self.events.on_cancelling(ticket)
        for event in happened:
            other = self.tickets[event.order.perm_id]
            if isinstance(event, BrokerCancel):
                self.end(other, "Cancelled", event.time_ns, now_ns)
                self.events.on_cancelled(other)
            elif isinstance(event, BrokerChange) and take_change(other, event):
                self.events.on_changed(other)
        return ticket


def take_change(ticket: Ticket, change: BrokerChange) -> bool:
    """Take a change of a live order; return whether its owner is told."""
    if change.what == "trailed":
        return False
    if change.what == "triggered":
        ticket.why_held, ticket.status = "", "Submitted"
    elif change.what == "activated":
        ticket.why_held = ticket.why_held.removeprefix("child").removeprefix(",")
        ticket.status = "PreSubmitted" if ticket.why_held else "Submitted"
    else:
        ticket.quantity = change.order.quantity
    return ticket.told
