"""One session with TWS or the gateway over ib_insync: what is asked, and what is sent.

The work is done in rooms of their own: `tap` (what arrives), `handshake`, `requests` (end marks and
deadlines), `lane` (orders and pace), `subscriptions` (bars), `contract_book` (whose contract it is). A failed
request raises `BrokerUnavailableError`: it can never read as "no orders" or "flat".
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import ib_insync

from execution.clocks import NANOS
from execution.errors import BrokerUnavailableError, NotConnectedError, NumberFormatError
from execution.ibkr import translate
from execution.ibkr.bars import SessionCalendar
from execution.ibkr.contract_terms import ContractTerms, read_rule, rule_of, to_terms
from execution.ibkr.holdings import (
    SUMMARY_TAGS,
    BrokerPosition,
    BrokerValue,
    read_positions,
    read_summary,
    read_values,
)
from execution.ibkr.lane import KEPT_FOR_CANCELS, Lane
from execution.ibkr.tap import Tap
from execution.models import Bar, Instrument, OrderRequest
from execution.numbers import parse_integer
from execution.orders.evidence import CompletedOrderSeen
from execution.timeframes import Timeframe

__all__ = ["BrokerPosition", "BrokerValue", "IBSession"]

_PATIENCE_FOR_VALUES = 5.0


class IBSession(Tap):
    """A connection's life from handshake to close; a new one is made for each connection.

    Parameters
    ----------
    on_evidence
        Takes each fact about orders, in order of arrival.
    on_data
        Called after each network packet was handled.
    on_bar
        Takes each update of a subscribed bar.
    on_disconnected
        Called once, with the reason, when the connection is gone without having been closed.
    on_read_only
        Called once if TWS turns out to run with Read-Only API.
    on_note
        Takes what was asked and sent, and what came of it, for the record: a kind of event and its facts.
    classify_code
        Meaning of a TWS code.
    contracts
        Our instruments; what comes in about a contract is told under our symbol.
    throttled
        Keep below 50 messages a second; lockstep with the simulated gateway lifts it.
    time_zone
        Zone of times that TWS sends without one.
    """

    def __init__(self, **callbacks: Any) -> None:
        super().__init__(**callbacks)
        self._wire_contracts: dict[str, tuple[Instrument, int, ib_insync.Contract]] = {}
        self._lane = Lane(self._ib.client, lambda: self.is_open, self._note)
        self._telling_values = asyncio.Lock()
        self.timeout = 30.0
        self.unknown_contracts: dict[str, str] = {}
        """Symbols whose contract the broker knows for certain not, or not which is meant, with its words."""

    # -- life ----------------------------------------------------------------------------------------

    @property
    def patience(self) -> float:
        """Seconds without a further row after which the answer to a request does not come."""
        return self._requests.patience

    @patience.setter
    def patience(self, seconds: float) -> None:
        self._requests.patience = seconds

    async def open(self, host: str, port: int, client_id: int, *, first_id: int = 0) -> None:
        """Connect and shake hands.

        Requests and orders share one sequence of numbers, and errors come by number: it starts at `first_id`
        at the least, so that a request's error is never taken for that of an earlier session's order.

        Raises
        ------
        ClientIdInUseError
            If TWS says that the client id is in use.
        NotConnectedError
            If nothing listens there, or no session came about within the timeout.
        """
        self._ib.wrapper.clientId = client_id
        await self._handshake.shake(host, port, client_id, self.timeout)
        self._ib.client.updateReqId(first_id)

    @property
    def accounts(self) -> list[str]:
        """Accounts this login may trade."""
        return list(self._ib.client.getAccounts())

    @property
    def next_order_id(self) -> int:
        """The smallest order id that TWS will accept."""
        return int(self._ib.client._reqIdSeq)

    @property
    def offered_order_id(self) -> int:
        """The next order id that TWS offered at the login: from it on, ids are for new orders."""
        return self._handshake.offered_id

    def login(self) -> dict[str, Any]:
        """Return what the handshake agreed on, for the record."""
        return self._handshake.facts()

    def tally(self) -> dict[str, int]:
        """Return what has passed in this session, for the record."""
        return {
            "messages_received": self.messages_received,
            "unreadable": self.messages_unreadable,
            "answers": self.answers,
            "heartbeats": self._lane.beats,
        }

    # -- the pulse -------------------------------------------------------------------------------------

    @property
    def bytes_received(self) -> int:
        """Bytes received in this session."""
        return int(self._ib.client._numBytesRecv)

    def ask(self) -> None:
        """Ask for the next valid order id: the heartbeat.

        It is cheap, changes nothing, and belongs to nobody else: ib_insync keeps no future for its answer,
        and the time belongs to the lockstep barrier. It goes out ahead of a queue and counts in the throttle.
        """
        if self.is_open:
            self._lane.beat()

    # -- orders ---------------------------------------------------------------------------------------

    def place(
        self,
        order_id: int,
        instrument: Instrument,
        request: OrderRequest,
        *,
        parent_id: int = 0,
        transmit: bool = True,
        following: int = 0,
        wire: ib_insync.Order | None = None,
    ) -> None:
        """Write an order, or a change of one, to the socket at once.

        Parameters
        ----------
        order_id, instrument, request
            The order; an id that is at work changes that order.
        parent_id, transmit
            See `translate.to_wire_order`.
        following
            Messages that must find room in this second after this one.
        wire
            What `translate.to_wire_order` made of the request under this id; None makes it here.

        Raises
        ------
        NotConnectedError
            If there is no session, or no room in this second; nothing was written.
        """
        if wire is None:
            wire = translate.to_wire_order(request, instrument, order_id)
        wire.parentId, wire.transmit = parent_id, transmit
        self._lane.require(messages=1 + following)
        self._lane.place(order_id, self._contract(instrument), wire)

    def require_open_lane(self, *, reserve: int = KEPT_FOR_CANCELS, messages: int = 1) -> None:
        """Raise unless a message would leave at once, not wait in a queue that a lost connection empties.

        Parameters
        ----------
        reserve
            Messages of this second that are left for others.
        messages
            How many are to be written now.

        Raises
        ------
        NotConnectedError
            If there is no session; nothing was sent.
        PacingError
            If the messages of this second are used up; nothing was sent.
        """
        self._lane.require(reserve=reserve, messages=messages)

    def cancel(self, order_id: int) -> None:
        """Ask for the cancellation of one of this client's orders."""
        self._lane.cancel(order_id)

    def _contract(self, instrument: Instrument) -> ib_insync.Contract:
        con_id = self._contracts.sure_con_id(instrument)
        known = self._wire_contracts.get(instrument.symbol)
        if known is None or known[0] is not instrument or known[1] != con_id:
            known = (instrument, con_id, translate.to_contract(instrument, con_id))
            self._wire_contracts[instrument.symbol] = known
        return known[2]

    # -- requests -------------------------------------------------------------------------------------

    def _require_open(self) -> None:
        if not self.is_open:
            raise NotConnectedError("there is no session with the broker; nothing was asked")

    def _next_number(self) -> int:
        self._require_open()
        return int(self._ib.client.getReqId())

    async def open_orders(self) -> None:
        """Ask for every open order of the account; they arrive as evidence before this returns."""
        await self._requests.ask("open orders", self._ib.client.reqAllOpenOrders)

    async def executions(self) -> None:
        """Ask for the executions since midnight; they arrive as evidence before this returns."""
        client, number = self._ib.client, self._next_number()
        everything = ib_insync.ExecutionFilter()
        await self._requests.ask(
            "executions", lambda: client.reqExecutions(number, everything), number=number
        )

    async def completed_orders(self) -> list[CompletedOrderSeen]:
        """Ask for the orders that are no longer worked."""

        def send() -> None:
            self._completed = []
            self._ib.client.reqCompletedOrders(False)

        await self._requests.ask("completed orders", send)
        found, self._completed = self._completed, []
        return found

    async def positions(self) -> list[BrokerPosition]:
        """Ask for all positions, under our symbols; rows of zero are left out."""
        rows = await self._requests.ask("positions", self._ib.client.reqPositions)
        if self.is_open:
            self._ib.client.cancelPositions()
        with _readable("positions"):
            return read_positions(rows, self._contracts)

    async def account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Ask for net liquidation value and cash, by tag, of one account or of the only one."""
        client, number = self._ib.client, self._next_number()
        rows = await self._requests.ask(
            "account summary", lambda: client.reqAccountSummary(number, "All", SUMMARY_TAGS), number=number
        )
        if self.is_open:
            client.cancelAccountSummary(number)
        with _readable("account summary"):
            return read_summary(rows, account)

    async def values(self, account: str) -> list[BrokerValue]:
        """Ask what the positions of an account are worth to the broker, under our symbols.

        TWS tells one account at a time; an answer that does not come within a few seconds is not waited for.
        """
        client, name = self._ib.client, f"portfolio {account}"
        async with self._telling_values:
            try:
                rows = await self._requests.ask(
                    name,
                    lambda: client.reqAccountUpdates(True, account),
                    patience=min(_PATIENCE_FOR_VALUES, self.patience),
                    vital=False,
                )
            finally:
                if self.is_open:
                    client.reqAccountUpdates(False, account)
        with _readable(name):
            return read_values(rows, self._contracts)

    async def what_if(
        self, instrument: Instrument, request: OrderRequest, *, least_id: int = 0
    ) -> tuple[dict[str, Decimal | None], str]:
        """Ask what an order would do to its account's margins; nothing is placed.

        Parameters
        ----------
        instrument, request
            The order.
        least_id
            Smallest id the question may take; it shares the sequence of order ids.

        Returns
        -------
        tuple of dict and str
            Figures by name as in `execution.desk.margin.MarginImpact`, None where TWS gives none; and its
            warning.

        Raises
        ------
        BrokerUnavailableError
            If TWS refuses or does not answer within the timeout.
        """
        self._lane.require()
        client = self._ib.client
        client.updateReqId(least_id)
        order_id = client.getReqId()
        order = translate.to_wire_order(request, instrument, order_id)
        order.whatIf, order.orderRef = True, ""
        contract = self._contract(instrument)
        self._what_ifs.add(order_id)
        await self._requests.ask(
            "what if", lambda: client.placeOrder(order_id, contract, order), number=order_id, vital=False
        )
        return translate.to_margins(self._margins.pop(order_id))

    async def current_time(self) -> int:
        """Ask for the broker's time in UTC nanoseconds. In lockstep this ends the client's step."""
        rows = await self._requests.ask("current time", self._ib.client.reqCurrentTime, patience=self.timeout)
        return parse_integer(rows[0][2], name="broker time") * NANOS

    async def contract_details(self, instrument: Instrument) -> list[Any]:
        """Ask for the details of a contract; an unknown contract gives an empty list."""
        client, number = self._ib.client, self._next_number()
        contract = translate.to_contract(instrument)
        self._details[number] = []
        try:
            await self._requests.ask(
                "contract details",
                lambda: client.reqContractDetails(number, contract),
                number=number,
                vital=False,
            )
        finally:
            found = self._details.pop(number)
            unknown = self._unknown.pop(number, None)
        self.unknown_contracts.pop(instrument.symbol, None)
        if unknown is not None:
            self.unknown_contracts[instrument.symbol] = unknown
        return found

    async def contract_terms(self, instrument: Instrument) -> list[ContractTerms]:
        """Ask what contracts fit an instrument, and what they take by their market rules."""
        terms = []
        for details in await self.contract_details(instrument):
            rule = rule_of(details, instrument)
            terms.append(to_terms(details, await self._market_rule(rule) if rule else ()))
        return terms

    async def _market_rule(self, rule: int) -> Any:
        rows = await self._requests.ask(
            f"market rule {rule}", lambda: self._ib.client.reqMarketRule(rule), vital=False
        )
        return read_rule(rows[0])

    async def subscribe_bars(
        self,
        instrument: Instrument,
        timeframe: Timeframe,
        calendar: SessionCalendar,
        *,
        duration: str,
        regular_hours: bool = True,
    ) -> tuple[int, list[Bar]]:
        """Ask for history and keep it up to date, in place of what was subscribed for these bars before.

        Returns
        -------
        tuple of int and list of Bar
            The broker's time in UTC nanoseconds, and the bars so far; the last one may still be forming.
        """
        self._require_open()
        return await self._subscriptions.subscribe(
            instrument.symbol,
            self._contract(instrument),
            timeframe,
            calendar,
            duration=duration,
            regular_hours=regular_hours,
            patience=self.timeout,
        )


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn an answer that cannot be read into one that did not come: nothing is concluded from either."""
    try:
        yield
    except (NumberFormatError, IndexError) as error:
        raise BrokerUnavailableError(
            f"{name}: the answer cannot be read ({error}); what stands at the broker is unknown"
        ) from error
