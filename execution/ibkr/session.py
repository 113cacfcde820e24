"""One session with TWS or the gateway over ib_insync: requests with end marks, and a tap on what arrives.

Every request that TWS answers without a number (open orders, positions, completed orders, the time) is made
one at a time, waits for its end mark within a deadline, and fails as `BrokerUnavailableError`: a failed
request can never read as "no orders" or "flat".
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import ib_insync
import structlog

from execution.clocks import NANOS
from execution.codes import CLIENT_ID_IN_USE, LINK_RESTORED, READ_ONLY, CodeClass, classify
from execution.connection_errors import ClientIdInUseError, ReadOnlyApiError
from execution.errors import BrokerUnavailableError, ExecutionError, NotConnectedError, PacingError
from execution.evidence import CompletedOrderSeen, ErrorSeen, Evidence
from execution.ibkr import translate
from execution.ibkr.bars import SessionCalendar, read_history, read_update
from execution.ibkr.keepalive import discard_unsent, watch_socket
from execution.models import Bar, Instrument, OrderRequest
from execution.numbers import parse_integer, parse_wire_decimal
from execution.timeframes import Timeframe

_MARKET_DATA_LOST = 1101
_KEPT_FOR_CANCELS = 5
_SUMMARY_TAGS = "NetLiquidation,TotalCashValue"


@dataclass(slots=True)
class _Pending:
    """A request under way: what has arrived for it, and the future that its end mark resolves."""

    future: asyncio.Future[None]
    rows: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Subscription:
    symbol: str
    timeframe: Timeframe
    calendar: SessionCalendar


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """A position as the broker reports it."""

    account: str
    symbol: str
    quantity: Decimal
    average_cost: Decimal
    security_type: str = "STK"


class IBSession:
    """A connection's life from handshake to close; a new one is made for each connection.

    Parameters
    ----------
    on_evidence
        Takes each fact about orders, in order of arrival, before ib_insync handles the message.
    on_data
        Called after each network packet was handled.
    on_bar
        Takes each update of a subscribed bar.
    on_disconnected
        Called once, with the reason, when the connection is gone without having been closed.
    on_read_only
        Called once if TWS turns out to run with Read-Only API.
    classify_code
        Meaning of a TWS code.
    throttled
        Keep ib_insync's limit of 45 messages a second; lockstep with the simulated gateway lifts it.
    time_zone
        Zone of times that TWS sends without one.
    """

    def __init__(
        self,
        *,
        on_evidence: Callable[[Evidence], None],
        on_data: Callable[[], None],
        on_bar: Callable[[Bar], None],
        on_disconnected: Callable[[str], None],
        on_read_only: Callable[[str], None] = lambda _: None,
        classify_code: Callable[[int], CodeClass] = classify,
        throttled: bool = True,
        time_zone: str = "America/New_York",
    ) -> None:
        self._ib = ib_insync.IB()
        if not throttled:
            self._ib.client.MaxRequests = 0
        self._interpret = self._ib.client.decoder.interpret
        self._ib.client.decoder.interpret = self._on_message  # type: ignore[method-assign]  # the tap
        self._ib.client._tcpDataProcessed = on_data
        self._on_evidence = on_evidence
        self._on_bar = on_bar
        self._on_disconnected = on_disconnected
        self._on_read_only = on_read_only
        self._classify = classify_code
        # eventkit keeps handlers weakly: hold them here
        self._disconnect_handler = self._disconnected
        self._ib.client.apiEnd += self._disconnect_handler
        self._closed_handler = self._closed
        self._ib.client.conn.disconnected += self._closed_handler
        self._refused: asyncio.Future[None] | None = None
        self._greeting: list[ErrorSeen] = []
        self._time_zone = time_zone
        self._pending: dict[str, _Pending] = {}
        self._what_ifs: set[int] = set()
        self._margins: dict[int, ib_insync.OrderState] = {}
        self._open_order = self._ib.wrapper.openOrder
        self._ib.wrapper.openOrder = self._on_open_order  # type: ignore[method-assign,assignment]  # what-ifs
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._subscriptions: dict[int, _Subscription] = {}
        self._log = structlog.get_logger("ibkr")
        self.timeout = 30.0
        self.undecodable = 0
        self.market_data_lost = False
        self.bars_missed = False
        self.messages_received = 0
        self.answers = 0
        self.api_read_only = False

    # -- life ----------------------------------------------------------------------------------------

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
        client = self._ib.client
        where = f"no session with TWS or the gateway at {host}:{port} as client {client_id}"
        self._refused = asyncio.get_running_loop().create_future()
        connecting = asyncio.ensure_future(client.connectAsync(host, port, client_id, self.timeout))
        try:
            # ib_insync sits out the timeout when TWS refuses the login and closes: do not.
            await asyncio.wait({connecting, self._refused}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise self._refusal(where)
            await connecting
        except (OSError, TimeoutError) as error:
            if isinstance(error, NotConnectedError):
                raise
            detail = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise NotConnectedError(
                f"{where}: {detail}; check "
                "that it runs, that its API port is this one, and that no other program uses this client id"
            ) from error
        finally:
            self._refused = None
            if not connecting.done():
                connecting.cancel()
                with suppress(asyncio.CancelledError):
                    await connecting
        if not self.is_open:
            raise self._refusal(where)
        watch_socket(client.conn.transport)
        client.updateReqId(first_id)

    def _refusal(self, where: str) -> NotConnectedError:
        said = "; ".join(f"{seen.code}: {seen.text}" for seen in self._greeting)
        if any(seen.code == CLIENT_ID_IN_USE for seen in self._greeting):
            return ClientIdInUseError(f"{where}: {said}; it is waited for, another id would lose our orders")
        return NotConnectedError(
            f"{where}: it closed the connection ({said or 'without a word'}); check that it is logged in, "
            "that this address is trusted there, and that no other program uses this client id"
        )

    def _closed(self, _reason: str) -> None:
        if self._refused is not None and not self._refused.done():
            self._refused.set_result(None)

    def close(self) -> None:
        """Close the connection."""
        self._ib.client.apiEnd -= self._disconnect_handler
        self._ib.disconnect()
        self._fail_pending("the connection was closed")

    def abort(self, why: str) -> None:
        """End a connection that is dead: nothing that it has not delivered is to arrive later."""
        transport = self._ib.client.conn.transport
        discard_unsent(transport)
        self._ib.client.apiEnd -= self._disconnect_handler
        self._ib.disconnect()
        if transport is not None:
            transport.abort()
        self._fail_pending(f"the connection was given up ({why})")

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
            client = self._ib.client
            client.conn.sendMsg(client._prefix(b"8\x001\x001\x00"))
            client._timeQ.append(asyncio.get_running_loop().time())

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and the socket stands."""
        transport = self._ib.client.conn.transport
        return bool(self._ib.client.isReady() and transport is not None and not transport.is_closing())

    @property
    def accounts(self) -> list[str]:
        """Accounts this login may trade."""
        return list(self._ib.client.getAccounts())

    @property
    def next_order_id(self) -> int:
        """The smallest order id that TWS will accept."""
        return int(self._ib.client._reqIdSeq)

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

        Raises
        ------
        NotConnectedError
            If there is no session, or no room in this second; nothing was written.
        """
        order = translate.to_wire_order(request, instrument, order_id, parent_id=parent_id, transmit=transmit)
        self.require_open_lane(messages=1 + following)
        self._ib.client.updateReqId(order_id + 1)
        # Not through the library's own book of orders: it asserts on what it believes to have ended, after
        # the message was written.
        self._ib.client.placeOrder(order_id, translate.to_contract(instrument), order)

    def require_open_lane(self, *, reserve: int = _KEPT_FOR_CANCELS, messages: int = 1) -> None:
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
        if not self.is_open:
            raise NotConnectedError("there is no session with the broker; nothing was sent")
        client = self._ib.client
        if not client.MaxRequests:
            return
        since = asyncio.get_running_loop().time() - client.RequestsInterval
        recent = sum(1 for sent in client._timeQ if sent >= since)
        if client._msgQ or recent > client.MaxRequests - reserve - messages:
            raise PacingError(
                f"{recent} messages went out within a second, TWS takes 50; nothing was sent, try again"
            )

    def cancel(self, order_id: int) -> None:
        """Ask for the cancellation of one of this client's orders."""
        self.require_open_lane(reserve=0)
        self._ib.client.cancelOrder(order_id, "")

    # -- requests -------------------------------------------------------------------------------------

    async def open_orders(self) -> None:
        """Ask for every open order of the account; they arrive as evidence before this returns."""
        await self._ask("open orders", self._ib.client.reqAllOpenOrders)

    async def executions(self) -> None:
        """Ask for the executions since midnight; they arrive as evidence before this returns."""
        request_id = self._ib.client.getReqId()
        await self._ask(
            f"executions {request_id}",
            lambda: self._ib.client.reqExecutions(request_id, ib_insync.ExecutionFilter()),
        )

    async def completed_orders(self) -> list[CompletedOrderSeen]:
        """Ask for the orders that are no longer worked."""
        async with self._alone("completed orders"):
            trades = await self._within(self._ib.reqCompletedOrdersAsync(False), "completed orders")
        return [translate.to_completed(trade) for trade in trades]

    async def positions(self) -> list[BrokerPosition]:
        """Ask for all positions; rows of zero are left out."""
        rows = await self._ask("positions", self._ib.client.reqPositions)
        self._ib.client.cancelPositions()
        found = []
        for row in rows:
            quantity = parse_wire_decimal(row[14], name="position")
            if quantity:
                cost = parse_wire_decimal(row[15], name="average cost") or Decimal(0)
                found.append(BrokerPosition(row[2], row[4], quantity, cost, row[5]))
        return found

    async def account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Ask for net liquidation value and cash, by tag, of one account or of the only one."""
        request_id = self._ib.client.getReqId()
        rows = await self._ask(
            f"account summary {request_id}",
            lambda: self._ib.client.reqAccountSummary(request_id, "All", _SUMMARY_TAGS),
        )
        self._ib.client.cancelAccountSummary(request_id)
        values = {
            row[4]: parse_wire_decimal(row[5], name=row[4]) for row in rows if account in (None, row[3])
        }
        return {tag: value for tag, value in values.items() if value is not None}

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
            Figures by name as in `execution.margin.MarginImpact`, None where TWS gives none; and its warning.

        Raises
        ------
        BrokerUnavailableError
            If TWS refuses or does not answer within the timeout.
        """
        async with self._locks["what if"]:
            self.require_open_lane()
            client = self._ib.client
            client.updateReqId(least_id)
            order_id = client.getReqId()
            order = translate.to_wire_order(request, instrument, order_id)
            order.whatIf, order.orderRef = True, ""
            contract = translate.to_contract(instrument)
            self._what_ifs.add(order_id)
            await self._ask(f"what if {order_id}", lambda: client.placeOrder(order_id, contract, order))
            return translate.to_margins(self._margins.pop(order_id))

    async def current_time(self) -> int:
        """Ask for the broker's time in UTC nanoseconds. In lockstep this ends the client's step."""
        rows = await self._ask("current time", self._ib.client.reqCurrentTime)
        return parse_integer(rows[0][2], name="broker time") * NANOS

    async def contract_details(self, instrument: Instrument) -> list[Any]:
        """Ask for the details of a contract; an unknown contract gives an empty list."""
        details = await self._within(
            self._ib.reqContractDetailsAsync(translate.to_contract(instrument)),
            f"contract details of {instrument.symbol}",
        )
        return list(details)

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
        client = self._ib.client
        self._unsubscribe(instrument.symbol, timeframe)
        request_id = client.getReqId()
        self._subscriptions[request_id] = _Subscription(instrument.symbol, timeframe, calendar)
        try:
            rows = await self._ask(
                f"bars {request_id}",
                lambda: client.reqHistoricalData(
                    request_id,
                    translate.to_contract(instrument),
                    "",
                    duration,
                    timeframe.ib_bar_size,
                    "TRADES",
                    int(regular_hours),
                    2,
                    True,
                    [],
                ),
            )
        except BrokerUnavailableError:
            self._subscriptions.pop(request_id, None)
            raise
        end_text, bars = read_history(rows[0], instrument.symbol, timeframe, calendar)
        return translate.parse_time(end_text, self._time_zone), bars

    def _unsubscribe(self, symbol: str, timeframe: Timeframe) -> None:
        """End what stands for the same bars: two subscriptions would tell each bar twice."""
        same = [
            n for n, old in self._subscriptions.items() if (old.symbol, old.timeframe) == (symbol, timeframe)
        ]
        for number in same:
            del self._subscriptions[number]
            self._ib.client.cancelHistoricalData(number)

    # -- the tap ----------------------------------------------------------------------------------------

    def _on_message(self, fields: list[str]) -> None:
        self.messages_received += 1
        try:
            what_if = bool(self._what_ifs) and self._is_what_if(fields)
            evidence = None if what_if else translate.to_evidence(fields, self._time_zone)
            if evidence is not None:
                self._on_evidence(evidence)
            self._collect(fields, evidence)
        except (ExecutionError, IndexError, ValueError) as error:
            # The gateway is not trusted: what cannot be read may have been a fill, so it is never skipped
            # silently. The count makes the next reconciliation mandatory.
            self.undecodable += 1
            self._log.error(
                "message from the broker cannot be read", error=str(error), message=str(fields)[:300]
            )
        self._interpret(fields)

    def _on_open_order(self, order_id: int, contract: Any, order: Any, state: Any) -> None:
        """Take an open order as ib_insync decoded it; the first answer to a what-if may have no figures."""
        if order_id not in self._what_ifs:
            self._open_order(order_id, contract, order, state)
        elif translate.has_margins(state):
            self._margins[order_id] = state
            self._finish(f"what if {order_id}")

    def _is_what_if(self, fields: list[str]) -> bool:
        return fields[0] == "5" and int(fields[1]) in self._what_ifs

    def _collect(self, fields: list[str], evidence: Evidence | None) -> None:
        kind = fields[0]
        if kind in _ENDS or kind == _NEXT_ID:
            self.answers += 1
        if kind == "90":
            self._bar_update(fields)
        elif kind in _ROWS:
            key = _ROWS[kind].format(*fields)
            pending = self._pending.get(key)
            if pending:
                pending.rows.append(fields)
        if kind in _ENDS:
            self._finish(_ENDS[kind].format(*fields))
        if isinstance(evidence, ErrorSeen):
            self._take_error(evidence)

    def _take_error(self, seen: ErrorSeen) -> None:
        if self._refused is not None and self._classify(seen.code) is not CodeClass.INFORMATIONAL:
            self._greeting.append(seen)
        if seen.code in LINK_RESTORED:
            # Even where subscriptions go on (1102), what came meanwhile did not come here.
            self.bars_missed = True
        if seen.code == _MARKET_DATA_LOST:
            self.market_data_lost = True
            self._subscriptions.clear()
        if seen.code == READ_ONLY and "read-only" in seen.text.lower():
            self._take_read_only(seen)
        if seen.request_id > 0 and self._classify(seen.code) is not CodeClass.INFORMATIONAL:
            self.answers += 1
            problem = f"{seen.code}: {seen.text}"
            for name in ("executions", "account summary", "bars", "what if"):
                self._finish(f"{name} {seen.request_id}", problem)

    def _take_read_only(self, seen: ErrorSeen) -> None:
        pending = self._pending.get("open orders")
        if pending and not pending.future.done():
            pending.future.set_exception(
                ReadOnlyApiError(
                    f"open orders: TWS runs with Read-Only API ({seen.code}: {seen.text}); untick it in the "
                    "API settings of TWS"
                )
            )
        if not self.api_read_only:
            self.api_read_only = True
            self._on_read_only(seen.text)

    def _bar_update(self, fields: list[str]) -> None:
        subscription = self._subscriptions.get(parse_integer(fields[1], name="request id"))
        if subscription:
            bar = read_update(fields, subscription.symbol, subscription.timeframe, subscription.calendar)
            if bar is not None:
                self._on_bar(bar)

    def _finish(self, key: str, problem: str | None = None) -> None:
        pending = self._pending.get(key)
        if pending and not pending.future.done():
            if problem is None:
                pending.future.set_result(None)
            else:
                pending.future.set_exception(BrokerUnavailableError(f"{key}: the broker answered {problem}"))

    def _disconnected(self) -> None:
        self._fail_pending("the connection was lost")
        self._on_disconnected("connection lost")

    def _fail_pending(self, why: str) -> None:
        for key, pending in self._pending.items():
            if not pending.future.done():
                pending.future.set_exception(
                    BrokerUnavailableError(f"{key}: {why} before the answer was complete")
                )
        for (
            future
        ) in self._ib.wrapper._futures.values():  # ib_insync leaves them hanging when it is told to close
            if not future.done():
                future.set_exception(ConnectionError(why))

    # -- asking -----------------------------------------------------------------------------------------

    async def _ask(self, key: str, send: Callable[[], None]) -> list[list[str]]:
        async with self._alone(key):
            if not self.is_open:
                raise NotConnectedError(f"{key}: there is no session with the broker")
            pending = _Pending(asyncio.get_running_loop().create_future())
            self._pending[key] = pending
            try:
                send()
                await self._within(pending.future, key)
            finally:
                del self._pending[key]
            return pending.rows

    @asynccontextmanager
    async def _alone(self, key: str) -> AsyncIterator[None]:
        if key[-1].isdigit():  # a request with a number of its own
            yield
            return
        async with self._locks[key]:
            yield

    async def _within(self, answer: Awaitable[Any], name: str) -> Any:
        try:
            return await asyncio.wait_for(answer, self.timeout)
        except TimeoutError as error:
            # A late end mark would complete the next request of this name: the session cannot be used on.
            if self.is_open:
                self.abort(f"{name} was not answered")
                self._on_disconnected(f"{name}: no complete answer within {self.timeout:g} s")
            raise BrokerUnavailableError(
                f"{name}: no complete answer within {self.timeout:g} s; what stands at the broker is unknown"
            ) from error
        except ConnectionError as error:
            if isinstance(error, BrokerUnavailableError):
                raise
            raise BrokerUnavailableError(f"{name}: the connection was lost before the answer") from error


_NEXT_ID = "9"
_ROWS = {
    "61": "positions",
    "49": "current time",
    "63": "account summary {2}",
    "17": "bars {1}",
}
_ENDS = {
    "53": "open orders",
    "62": "positions",
    "49": "current time",
    "55": "executions {2}",
    "64": "account summary {2}",
    "17": "bars {1}",
}
