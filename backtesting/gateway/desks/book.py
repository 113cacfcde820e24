"""Orders as a gateway knows them: client, order and permanent ids, execution ids, over the simulated broker.

The broker decides what fills; here each order gets the identities of the wire and each event its place in the
order of messages. Running totals are kept per ticket, so that a message about the first of several events
does not already tell of the last.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Final, Protocol

from backtesting.broker import BrokerCancel, BrokerFill, SimulatedBroker
from backtesting.errors import BrokerRejection
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire.codec import midnight_ns
from backtesting.gateway.wire.requests import ContractQuery, Executions, PlaceOrder
from data.calendars import MarketClock
from execution.errors import InvalidOrderError
from execution.models import ZERO, Bar, Instrument, OrderRequest, OrderType, Side, TimeInForce
from strategies.spec import CostSpec

PERM_ID_OFFSET: Final = 1_500_000_000
CON_ID_OFFSET: Final = 700_000_000

ORDER_TYPES: Final = {
    "MKT": OrderType.MARKET,
    "LMT": OrderType.LIMIT,
    "STP": OrderType.STOP,
    "STP LMT": OrderType.STOP_LIMIT,
}
"""Order types by their name on the wire."""

_LARGEST_ORDER_ID: Final = 2_147_483_646
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class BrokerEvents(Protocol):
    """Who is told what happens to orders, one call an event, in order."""

    def on_execution(self, execution: Execution) -> None:
        """Take an execution; its ticket's totals include it."""

    def on_cancelled(self, ticket: Ticket) -> None:
        """Take the end of an order that was not filled."""


class OrderBook:
    """Accepts and ends orders of API clients and remembers everything that happened.

    Parameters
    ----------
    instruments
        Contracts offered; those without a contract id get one from their place in symbol order.
    costs
        Slippage and commissions.
    sessions
        When the exchange is open.
    cash
        Starting cash in account currency.
    account
        The account's name on the wire.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        costs: CostSpec,
        sessions: MarketClock,
        cash: Decimal,
        account: str,
    ) -> None:
        ordered = sorted(instruments, key=lambda instrument: instrument.symbol)
        offered = [
            instrument if instrument.con_id else dataclasses.replace(instrument, con_id=CON_ID_OFFSET + place)
            for place, instrument in enumerate(ordered, start=1)
        ]
        self.account = account
        self.sessions = sessions
        self.instruments = {instrument.symbol: instrument for instrument in offered}
        self.broker = SimulatedBroker(offered, costs, sessions, cash)
        self.tickets: dict[int, Ticket] = {}
        """Every order by the broker's number, in order of acceptance."""
        self.executions: list[Execution] = []
        self._by_client: dict[tuple[int, int], Ticket] = {}
        self._last_id: dict[int, int] = {}

    def find(self, query: ContractQuery) -> Instrument:
        """Find the contract a client means.

        Raises
        ------
        RequestRefusedError
            200, if none is offered under what the client says.
        """
        for instrument in self.instruments.values():
            if query.con_id and query.con_id != instrument.con_id:
                continue
            name = query.symbol or query.local_symbol
            if name not in (instrument.symbol, "") or (not name and not query.con_id):
                continue
            venues = ("", "SMART", instrument.exchange, instrument.primary_exchange)
            if (
                query.security_type in ("", instrument.security_type)
                and query.currency in ("", instrument.currency)
                and query.exchange in venues
            ):
                return instrument
        raise RequestRefusedError(200, "No security definition has been found for the request")

    def next_id(self, client_id: int) -> int:
        """Return the next order id of a client: one more than the last it used."""
        return self._last_id.get(client_id, 0) + 1

    def place(self, client_id: int, wish: PlaceOrder, now_ns: int) -> Ticket:
        """Accept a new order.

        Raises
        ------
        RequestRefusedError
            With the TWS code and text: 103, 104, 110, 200, 201 or 321.
        """
        self._check_id(client_id, wish)
        if wish.order_type not in ORDER_TYPES:
            raise _invalid("Invalid order type was entered")
        if wish.what_if:
            raise _invalid("What-if orders are not served by this gateway")
        if wish.unserved:
            raise _invalid(f"Not served by this gateway: {', '.join(wish.unserved[:5])}")
        instrument = self.find(wish.contract)
        request = self._request(wish, instrument)
        self._last_id[client_id] = wish.order_id
        try:
            order = self.broker.place(request, now_ns)
        except BrokerRejection as rejection:
            raise RequestRefusedError(rejection.code, rejection.text) from rejection
        ticket = Ticket(
            client_id=client_id,
            order_id=wish.order_id,
            perm_id=PERM_ID_OFFSET + order.perm_id,
            order=order,
            order_ref=wish.order_ref,
            order_type=wish.order_type,
            status="Submitted" if self.sessions.session_at(now_ns) else "PreSubmitted",
        )
        self.tickets[order.perm_id] = ticket
        self._by_client[client_id, wish.order_id] = ticket
        return ticket

    def _check_id(self, client_id: int, wish: PlaceOrder) -> None:
        if not 0 < wish.order_id <= _LARGEST_ORDER_ID:
            raise _invalid("Invalid order id")
        known = self._by_client.get((client_id, wish.order_id))
        if known is not None and known.completed_ns is None:
            raise _invalid("Changing a live order is not served by this gateway; the order is unchanged")
        if known is not None and known.status == "Filled":
            raise RequestRefusedError(104, "Can't modify a filled order.")
        if wish.order_id <= self._last_id.get(client_id, 0):
            raise RequestRefusedError(103, "Duplicate order id")

    def _request(self, wish: PlaceOrder, instrument: Instrument) -> OrderRequest:
        if wish.account not in ("", self.account):
            raise _invalid("Invalid account code")
        if wish.side not in ("BUY", "SELL"):
            raise _invalid("Invalid side")
        if wish.time_in_force not in ("", "DAY", "GTC"):
            raise _invalid("Invalid time in force: DAY and GTC are served")
        order_type = ORDER_TYPES[wish.order_type]
        try:
            return OrderRequest(
                symbol=instrument.symbol,
                quantity=ZERO if wish.quantity is None else wish.quantity,
                order_type=order_type,
                side=Side(wish.side),
                limit_price=wish.limit_price if order_type.needs_limit else None,
                stop_price=wish.stop_price if order_type.needs_stop else None,
                time_in_force=TimeInForce(wish.time_in_force or "DAY"),
                account=self.account,
                client_order_id=wish.order_ref if _CLIENT_ORDER_ID.fullmatch(wish.order_ref) else None,
                outside_rth=wish.outside_rth,
            )
        except InvalidOrderError as error:
            raise _invalid(str(error)) from error

    def cancel(self, client_id: int, order_id: int, now_ns: int) -> Ticket:
        """End one of a client's orders.

        Raises
        ------
        RequestRefusedError
            10147 if the client has no such order, 10148 if it is no longer live.
        """
        ticket = self._by_client.get((client_id, order_id))
        if ticket is None:
            raise RequestRefusedError(10147, f"OrderId {order_id} that needs to be cancelled is not found.")
        if ticket.completed_ns is not None:
            raise RequestRefusedError(
                10148,
                f"OrderId {order_id} that needs to be cancelled cannot be cancelled, state: {ticket.status}.",
            )
        try:
            self.broker.cancel(ticket.order.perm_id, now_ns)
        except BrokerRejection as rejection:
            raise RequestRefusedError(rejection.code, rejection.text) from rejection
        self._end(ticket, "Cancelled", now_ns, now_ns)
        return ticket

    def advance(self, end_ns: int, bars: Sequence[Bar], events: BrokerEvents) -> None:
        """Play one step and report what happened, in order."""
        for event in self.broker.advance(end_ns, bars):
            ticket = self.tickets[event.order.perm_id]
            if isinstance(event, BrokerCancel):
                self._end(ticket, "Cancelled", event.time_ns, end_ns, event.reason)
                events.on_cancelled(ticket)
            else:
                events.on_execution(self._book(ticket, event, end_ns))

    def _book(self, ticket: Ticket, fill: BrokerFill, end_ns: int) -> Execution:
        ticket.filled += fill.quantity
        ticket.filled_value += fill.quantity * fill.price
        charged_before = ticket.commission
        ticket.commission = (ticket.commission or ZERO) + fill.commission
        ticket.last_price = fill.price
        ticket.status = "Submitted"
        if not ticket.remaining:
            self._end(ticket, "Filled", fill.time_ns, end_ns)
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
        )
        self.executions.append(execution)
        return execution

    def _end(self, ticket: Ticket, status: str, ns: int, booked_ns: int, reason: str = "") -> None:
        ticket.status = status
        ticket.completed_ns = ns
        ticket.booked_ns = booked_ns
        ticket.reason = reason

    def shown_status(self, ticket: Ticket, now_ns: int) -> str:
        """Return the status a request shows: a waiting order becomes Submitted once a session is open."""
        if ticket.status == "PreSubmitted" and self.sessions.session_at(now_ns):
            return "Submitted"
        return ticket.status

    def open_tickets(self, client_id: int | None = None) -> list[Ticket]:
        """Return live orders, of one client or of all, in order of acceptance."""
        live = (self.tickets[order.perm_id] for order in self.broker.open_orders())
        return [ticket for ticket in live if client_id in (None, ticket.client_id)]

    def completed_today(self, now_ns: int) -> list[Ticket]:
        """Return the orders that ended since midnight in New York, in order of acceptance."""
        since = midnight_ns(now_ns)
        return [t for t in self.tickets.values() if t.completed_ns is not None and t.booked_ns >= since]

    def executions_today(self, now_ns: int) -> list[Execution]:
        """Return the executions since midnight in New York, oldest first."""
        since = midnight_ns(now_ns)
        first = len(self.executions)
        while first and self.executions[first - 1].booked_ns >= since:
            first -= 1
        return [execution for execution in self.executions[first:] if execution.time_ns >= since]

    def filtered_executions(self, wish: Executions, since_ns: int, now_ns: int) -> list[Execution]:
        """Return today's executions that pass a client's filter."""
        side = {"BUY": Side.BUY, "BOT": Side.BUY, "SELL": Side.SELL, "SLD": Side.SELL}.get(wish.side)
        if wish.side and side is None:
            raise _invalid("Invalid side")
        return [
            execution
            for execution in self.executions_today(now_ns)
            if execution.time_ns >= since_ns
            and wish.client_id in (0, execution.ticket.client_id)
            and wish.account in ("", self.account)
            and wish.symbol in ("", execution.ticket.instrument.symbol)
            and wish.security_type in ("", execution.ticket.instrument.security_type)
            and side in (None, execution.ticket.order.request.side)
        ]


def _invalid(cause: str) -> RequestRefusedError:
    return RequestRefusedError(321, f"Error validating request.-'bC' : cause - {cause}")
