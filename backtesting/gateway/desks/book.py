"""Orders as a gateway knows them: client, order and permanent ids, execution ids, over the simulated broker.

The broker decides what fills; here each order gets the identities of the wire and each event its place in the
order of messages. Running totals are kept per ticket, so that a message about the first of several events
does not already tell of the last.

1. When a step crosses midnight in New York, finished orders and past executions leave memory (`archive`);
   splits and dividends of the new day come next, before anything trades.
2. What waited for the exchange to open is told of as Submitted at the first step that ends within a session.
3. An order of TWS itself belongs to client 0 under order id 0; once bound it has a negative one, under
   which client 0 can change and cancel it.
4. A corrected execution is told as a new one whose id differs behind the last dot, and replaces the old one
   in what is served later. There is no record of how TWS tells a bust: here it is a correction to nothing,
   with size and commission 0.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from backtesting.gateway.desks.book_events import BookEvents
from backtesting.gateway.desks.placing import Placing, take_change
from backtesting.gateway.errors import GatewayError
from backtesting.gateway.market.corporate_action_file import CorporateAction
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire.codec import midnight_ns
from backtesting.gateway.wire.requests import Executions, PlaceOrder
from backtesting.orders import BrokerCancel, BrokerEvent, BrokerFill
from backtesting.working import MATE_FILLED, PARENT_ENDED
from execution.models import ZERO, Bar

_UNSAID: Final = (MATE_FILLED, PARENT_ENDED)
"""Ends of which TWS gives no reason."""

_DAY_NS: Final = 86_400_000_000_000


class OrderBook(Placing):
    """The orders of a gateway: what clients, the market and the broker's desk do to them."""

    # the market

    def advance(self, end_ns: int, bars: Sequence[Bar], events: BookEvents | None = None) -> None:
        """Play one step and report what happened, in order."""
        told = self.events if events is None else events
        if end_ns >= self.next_midnight_ns:
            self.roll(end_ns)
        if self.waiting and self.sessions.session_at(end_ns) is not None:
            self._open(end_ns, told)
        while self.ex_dates and end_ns >= self.ex_dates[0].ex_ns:
            action = self.ex_dates.popleft()
            self.apply(action, max(self.now_ns, action.ex_ns), told)
        self.now_ns = end_ns
        self._report(self.broker.advance(end_ns, bars), end_ns, told)

    def _report(self, happened: Sequence[BrokerEvent], end_ns: int, told: BookEvents) -> None:
        for event in happened:
            ticket = self.tickets[event.order.perm_id]
            if isinstance(event, BrokerFill):
                told.on_execution(self._book(ticket, event, end_ns))
            elif isinstance(event, BrokerCancel):
                reason = "" if event.reason in _UNSAID else event.reason
                self.end(ticket, "Cancelled", event.time_ns, end_ns, reason)
                told.on_cancelled(ticket)
            elif take_change(ticket, event):
                told.on_changed(ticket)

    def _open(self, now_ns: int, told: BookEvents) -> None:
        """Tell of what waited for the session that is open now."""
        waiting, self.waiting = self.waiting, {}
        for ticket in waiting.values():
            if ticket.completed_ns is None:
                status = self.status_of(ticket, now_ns)
                if status != ticket.status:
                    ticket.status = status
                    told.on_changed(ticket)

    def _book(self, ticket: Ticket, fill: BrokerFill, end_ns: int) -> Execution:
        ticket.filled += fill.quantity
        ticket.filled_value += fill.quantity * fill.price
        charged_before = ticket.commission
        ticket.commission = (ticket.commission or ZERO) + fill.commission
        ticket.last_price = fill.price
        ticket.why_held = ""
        ticket.status = "Submitted"
        if not ticket.remaining:
            self.end(ticket, "Filled", fill.time_ns, end_ns)
        execution = Execution(
            ticket=ticket,
            exec_id=f"0000e0d5.{ticket.perm_id:08x}.{fill.number:02d}.01",
            quantity=fill.quantity,
            price=fill.price,
            time_ns=fill.time_ns,
            booked_ns=end_ns,
            commission=fill.commission,
            realized_pnl=fill.realized_pnl,
            cumulative=ticket.filled,
            average_price=ticket.average_price,
            charged_before=charged_before,
            number=fill.number,
        )
        self.executions.append(execution)
        return execution

    # the day

    def roll(self, now_ns: int) -> None:
        """Let go of orders and executions that ended before the New York midnight of `now_ns`."""
        since = midnight_ns(now_ns)
        self.next_midnight_ns = midnight_ns(since + _DAY_NS + _DAY_NS // 8)
        ended = [t for t in self.tickets.values() if t.completed_ns is not None and t.booked_ns < since]
        for ticket in ended:
            del self.tickets[ticket.order.perm_id]
            self.drop_id(ticket)
        self.archive.take(ended, self.executions.release(since))
        rejected, self.inactive = self.inactive, [t for t in self.inactive if t.booked_ns >= since]
        for ticket in rejected:
            if ticket.booked_ns < since:
                self.drop_id(ticket)
        self.found.clear()
        self.broker.release(since)

    def forget_executions(self) -> None:
        """Serve none of the executions so far any more, as TWS does when its day ends at midnight."""
        self.archive.take((), self.executions.release())

    def executions_today(self, now_ns: int) -> list[Execution]:
        """Return the executions since midnight in New York, oldest first."""
        return self.executions.since(midnight_ns(now_ns))

    def filtered_executions(self, wish: Executions, since_ns: int, now_ns: int) -> list[Execution]:
        """Return today's executions that pass a client's filter."""
        return self.executions.matching(wish, midnight_ns(now_ns), since_ns)

    # the broker's desk

    def manual_place(self, wish: PlaceOrder, now_ns: int | None = None) -> Ticket:
        """Take an order entered by hand in TWS; refused as a client's order would be."""
        plain = dataclasses.replace(wish, order_id=0, parent_id=0, transmit=True, what_if=False)
        return self.new_order(0, plain, self._moment(now_ns))

    def manual_modify(
        self,
        perm_id: int,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        now_ns: int | None = None,
    ) -> Ticket:
        """Change a live order by hand in TWS, whoever's it is; its owner is told."""
        ticket = self.ticket(perm_id)
        changes = {"quantity": quantity, "limit_price": limit_price, "stop_price": stop_price}
        given = {name: value for name, value in changes.items() if value is not None}
        wish = dataclasses.replace(ticket.wish, transmit=True, **given)  # type: ignore[arg-type]
        return self.modify(ticket, wish, self._moment(now_ns))

    def manual_cancel(self, perm_id: int, now_ns: int | None = None) -> Ticket:
        """Cancel a live order by hand in TWS, whoever's it is; its owner is told."""
        return self.cancel_ticket(self.ticket(perm_id), self._moment(now_ns))

    def bind(self) -> list[Ticket]:
        """Give live orders of TWS itself a number that client 0 can use; return those that had none."""
        found = [each for each in self.open_tickets(0) if each.order_id == 0]
        for ticket in found:
            self.bound += 1
            ticket.order_id = -self.bound
            self.by_client[0, ticket.order_id] = ticket
        return found

    def ticket(self, perm_id: int) -> Ticket:
        """Return the live order with a permanent id; raise `GatewayError` if there is none."""
        for ticket in self.tickets.values():
            if ticket.perm_id == perm_id and ticket.completed_ns is None:
                return ticket
        live = [ticket.perm_id for ticket in self.open_tickets()]
        raise GatewayError(f"no live order has the permanent id {perm_id}; live are {live[:20]}")

    def correct(
        self,
        exec_id: str,
        *,
        quantity: Decimal | None = None,
        price: Decimal | None = None,
        now_ns: int | None = None,
    ) -> Execution:
        """Correct size or price of one of today's executions, in the books and to its owner."""
        old = self.executions.find(exec_id)
        number, moment = old.ticket.order.perm_id, self._moment(now_ns)
        new = self.broker.correct(number, old.number, quantity=quantity, price=price, time_ns=moment)
        return self._revise(old, new.quantity, new.price, new.commission, new.realized_pnl)

    def bust(self, exec_id: str, now_ns: int | None = None) -> Execution:
        """Undo one of today's executions, in the books and to its owner."""
        old = self.executions.find(exec_id)
        self.broker.bust(old.ticket.order.perm_id, old.number, self._moment(now_ns))
        return self._revise(old, ZERO, old.price, ZERO, None)

    def _revise(
        self,
        old: Execution,
        quantity: Decimal,
        price: Decimal,
        commission: Decimal,
        realized_pnl: Decimal | None,
    ) -> Execution:
        ticket = old.ticket
        ticket.filled += quantity - old.quantity
        ticket.filled_value += quantity * price - old.quantity * old.price
        if ticket.completed_ns is None:
            ticket.quantity = ticket.order.quantity
        if ticket.commission is not None:
            ticket.commission += commission - old.commission
        stem, _, revision = old.exec_id.rpartition(".")
        new = dataclasses.replace(
            old,
            exec_id=f"{stem}.{int(revision) + 1:02d}",
            quantity=quantity,
            price=price,
            commission=commission,
            realized_pnl=realized_pnl,
            cumulative=old.cumulative + quantity - old.quantity,
            average_price=ticket.average_price,
        )
        self.executions.replace(old, new)
        self.events.on_corrected(new)
        return new

    def apply(
        self, action: CorporateAction, now_ns: int | None = None, events: BookEvents | None = None
    ) -> None:
        """Apply a split or dividend to positions and open orders, as a broker does; owners are told."""
        told, moment = self.events if events is None else events, self._moment(now_ns)
        if action.is_split:
            happened = self.broker.apply_split(action.symbol, action.value, moment)
        else:
            happened = self.broker.apply_dividend(action.symbol, action.per_share, moment)
        self._report(happened, moment, told)
        self.applied.append(action)
        told.on_adjusted(action.symbol)

    def roll_back_ids(self, client_id: int, by: int) -> int:
        """Make a client's next order id so many lower, as after a restart; return it."""
        self.last_id[client_id] = max(0, self.last_id.get(client_id, 0) - by)
        return self.next_id(client_id)

    def lose_orders_since(self, ns: int, now_ns: int | None = None) -> list[Ticket]:
        """Let orders placed at or after a moment vanish as if they had never come, unless they were executed.

        Nobody is told of it, and the statement does not know them.
        """
        lost = [each for each in self.tickets.values() if each.order.placed_ns >= ns and not each.filled]
        for ticket in lost:
            self.broker.withdraw(ticket.order.perm_id, self._moment(now_ns))
            del self.tickets[ticket.order.perm_id]
            self.waiting.pop(ticket.order.perm_id, None)
            self.drop_id(ticket)
        return lost

    def _moment(self, now_ns: int | None) -> int:
        if now_ns is not None:
            return now_ns
        return self.now_ns if self.clock is None else self.clock()
