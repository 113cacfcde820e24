"""What the order book keeps: tickets by the broker's number and by client, ids, and each order's status."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, Self

from backtesting.broker import SimulatedBroker
from backtesting.gateway.config import AccountConfig, GatewayConfig
from backtesting.gateway.desks.archive import Archive
from backtesting.gateway.desks.book_events import BookEvents, NoEvents
from backtesting.gateway.desks.execution_log import ExecutionLog
from backtesting.gateway.market.contracts import ContractBook
from backtesting.gateway.market.corporate_action_file import CorporateAction
from backtesting.gateway.tickets import Ticket
from backtesting.gateway.wire.codec import midnight_ns, moment
from backtesting.gateway.wire.requests import ContractQuery, PlaceOrder
from backtesting.margin import AccountTerms
from data.calendars import MarketClock
from execution.models import Instrument, OrderRequest
from strategies.spec import CostSpec

_MOST_FOUND: Final = 4096
_SAYS_NOTHING: Final = ("", "0")
_UNSET: Final = "1.7976931"
_EXTENDED_HOURS: Final = range(4, 20)


class BookState:
    """The orders of a gateway since midnight, and its broker.

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
    accounts
        All accounts, where there are several or what one may owe is limited; replaces `cash` and `account`.
    state_dir
        Where what leaves memory is written; None only counts it.
    """

    def __init__(
        self,
        instruments: Sequence[Instrument],
        costs: CostSpec,
        sessions: MarketClock,
        cash: Decimal,
        account: str,
        *,
        accounts: Sequence[AccountConfig] = (),
        state_dir: Path | None = None,
    ) -> None:
        terms = accounts or (AccountConfig(account, cash),)
        self.accounts = tuple(each.name for each in terms)
        self.account = self.accounts[0]
        self.sessions = sessions
        self.contracts = ContractBook(instruments)
        self.instruments: Mapping[str, Instrument] = self.contracts.instruments
        self.broker = SimulatedBroker(
            tuple(self.instruments.values()),
            costs,
            sessions,
            terms[0].cash,
            accounts={each.name: AccountTerms(each.cash, each.kind) for each in terms},
        )
        self.tickets: dict[int, Ticket] = {}
        """Live orders and those that ended since midnight, by the broker's number, in order of acceptance."""
        self.executions = ExecutionLog()
        self.archive = Archive(state_dir)
        self.events: BookEvents = NoEvents()
        """Who is told."""
        self.clock: Callable[[], int] | None = None
        """Simulated time, for what the broker's desk does; without it that of the last request or step."""
        self.read_only = False
        self.master_client_id: int | None = None
        self.ex_dates: deque[CorporateAction] = deque()
        """Splits and dividends to come, by date."""
        self.applied: list[CorporateAction] = []
        """Those that were applied."""
        self.found: dict[ContractQuery, Instrument] = {}
        self.inactive: list[Ticket] = []
        self.by_client: dict[tuple[int, int], Ticket] = {}
        self.last_id: dict[int, int] = {}
        self.waiting: dict[int, Ticket] = {}
        self.unplaced = 0
        self.bound = 0
        self.now_ns = 0
        self.next_midnight_ns = 0

    @classmethod
    def of(cls, config: GatewayConfig, instruments: Sequence[Instrument], sessions: MarketClock) -> Self:
        """Make the book of a gateway run with these settings."""
        book = cls(
            instruments,
            config.costs,
            sessions,
            config.initial_cash,
            config.account,
            accounts=config.all_accounts(),
            state_dir=config.state_dir,
        )
        book.read_only = config.read_only
        book.master_client_id = config.master_client_id
        return book

    def find(self, query: ContractQuery) -> Instrument:
        """Find the contract a client means, expired or not; raise `RequestRefusedError` (200) if none."""
        return self.contracts.find_one(query)

    def contract(self, query: ContractQuery, now_ns: int) -> Instrument:
        """Find the contract of an order, which must not have expired; what was found is kept for the day."""
        found = self.found.get(query)
        if found is None:
            found = self.contracts.find_one(query, now_ns)
            if len(self.found) >= _MOST_FOUND:
                self.found.clear()
            self.found[query] = found
        return found

    def next_id(self, client_id: int) -> int:
        """Return the next order id of a client: one more than the last it used."""
        return self.last_id.get(client_id, 0) + 1

    def status_of(self, ticket: Ticket, now_ns: int) -> str:
        """Return what an order is that has not been filled in full; note those that wait for a session."""
        number = ticket.order.perm_id
        if not self.is_at_work(ticket.order.request, now_ns):
            self.waiting[number] = ticket
            return "PreSubmitted"
        self.waiting.pop(number, None)
        if ticket.filled:
            return "Submitted"
        return "PreSubmitted" if ticket.why_held or ticket.order.opens_ns is not None else "Submitted"

    def is_at_work(self, request: OrderRequest, now_ns: int) -> bool:
        """Say whether the exchange takes an order now: in a session, or from 4 to 20 h if it may outside."""
        if self.sessions.session_at(now_ns) is not None:
            return True
        if not request.outside_rth:
            return False
        here = moment(now_ns)
        return here.hour in _EXTENDED_HOURS and self.sessions.session_on(here.date()) is not None

    def end(self, ticket: Ticket, status: str, ns: int, booked_ns: int, reason: str = "") -> None:
        """Note the end of an order."""
        ticket.status = status
        ticket.completed_ns = ns
        ticket.booked_ns = booked_ns
        ticket.reason = reason
        ticket.why_held = ""
        ticket.wish = said(ticket.wish)
        self.waiting.pop(ticket.order.perm_id, None)

    def shown_status(self, ticket: Ticket, now_ns: int) -> str:
        """Return the status a request shows: a waiting order is at work once a session is open."""
        if ticket.status == "PreSubmitted" and ticket.order.perm_id in self.waiting:
            return self.status_of(ticket, now_ns)
        return ticket.status

    def open_tickets(self, client_id: int | None = None) -> list[Ticket]:
        """Return live orders that were transmitted, of one client or of all, in order of acceptance."""
        return [
            ticket
            for ticket in self.tickets.values()
            if ticket.completed_ns is None and ticket.told and client_id in (None, ticket.client_id)
        ]

    def completed_today(self, now_ns: int) -> list[Ticket]:
        """Return the orders that ended since midnight in New York, in order of acceptance."""
        since = midnight_ns(now_ns)
        ended = [t for t in self.tickets.values() if t.completed_ns is not None and t.booked_ns >= since]
        return ended + [t for t in self.inactive if t.booked_ns >= since]

    def drop_id(self, ticket: Ticket) -> None:
        """Forget under which number a client knew an order."""
        key = ticket.client_id, ticket.order_id
        if self.by_client.get(key) is ticket:
            del self.by_client[key]


def said(wish: PlaceOrder) -> PlaceOrder:
    """Return an order with those of its fields only that say something: most are empty, and many are kept."""
    fields = {
        name: text
        for name, text in wish.fields.items()
        if text not in _SAYS_NOTHING and not text.startswith(_UNSET)
    }
    return dataclasses.replace(wish, fields=fields)
