"""One session with TWS or the gateway over ib_insync: requests with end marks, and a tap on what arrives.

Every request that TWS answers without a number (open orders, positions, completed orders, the time) is made
one at a time, waits for its end mark within a deadline, and fails as `BrokerUnavailableError`: a failed
request can never read as "no orders" or "flat".
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import ib_insync
import structlog

from execution.clocks import NANOS
from execution.codes import CodeClass, classify
from execution.errors import BrokerUnavailableError, ExecutionError, NotConnectedError, PacingError
from execution.evidence import CompletedOrderSeen, ErrorSeen, Evidence
from execution.ibkr import translate
from execution.ibkr.bars import SessionCalendar, read_history, read_update
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
        Called once when the connection is gone.
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
        on_disconnected: Callable[[], None],
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
        self._disconnect_handler = self._disconnected  # eventkit keeps handlers weakly: hold it here
        self._ib.client.apiEnd += self._disconnect_handler
        self._time_zone = time_zone
        self._pending: dict[str, _Pending] = {}
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._subscriptions: dict[int, _Subscription] = {}
        self._log = structlog.get_logger("ibkr")
        self.timeout = 30.0
        self.undecodable = 0
        self.market_data_lost = False
        self.messages_received = 0

    # -- life ----------------------------------------------------------------------------------------

    async def open(self, host: str, port: int, client_id: int, *, first_id: int = 0) -> None:
        """Connect and shake hands.

        Requests and orders share one sequence of numbers, and errors come by number: it starts at `first_id`
        at the least, so that a request's error is never taken for that of an earlier session's order.

        Raises
        ------
        NotConnectedError
            If nothing listens there, or no session came about within the timeout.
        """
        self._ib.wrapper.clientId = client_id
        try:
            await self._ib.client.connectAsync(host, port, client_id, self.timeout)
        except (OSError, TimeoutError) as error:
            detail = "no answer in time" if isinstance(error, TimeoutError) else str(error)
            raise NotConnectedError(
                f"no session with TWS or the gateway at {host}:{port} as client {client_id}: {detail}; check "
                "that it runs, that its API port is this one, and that no other program uses this client id"
            ) from error
        self._ib.client.updateReqId(first_id)

    def close(self) -> None:
        """Close the connection."""
        self._ib.client.apiEnd -= self._disconnect_handler
        self._ib.disconnect()
        self._fail_pending("the connection was closed")

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

    def place(self, order_id: int, instrument: Instrument, request: OrderRequest) -> None:
        """Write an order to the socket at once, or raise `NotConnectedError` having written nothing."""
        order = translate.to_wire_order(request, instrument, order_id)
        self.require_open_lane()
        self._ib.client.updateReqId(order_id + 1)
        self._ib.placeOrder(translate.to_contract(instrument), order)

    def require_open_lane(self, *, reserve: int = _KEPT_FOR_CANCELS) -> None:
        """Raise unless a message would leave at once, not wait in a queue that a lost connection empties.

        Parameters
        ----------
        reserve
            Messages of this second that are left for others.

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
        if client._msgQ or recent >= client.MaxRequests - reserve:
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
        """Ask for history and keep it up to date.

        Returns
        -------
        tuple of int and list of Bar
            The broker's time in UTC nanoseconds, and the bars so far; the last one may still be forming.
        """
        request_id = self._ib.client.getReqId()
        self._subscriptions[request_id] = _Subscription(instrument.symbol, timeframe, calendar)
        client = self._ib.client
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
        end_text, bars = read_history(rows[0], instrument.symbol, timeframe, calendar)
        return translate.parse_time(end_text, self._time_zone), bars

    # -- the tap ----------------------------------------------------------------------------------------

    def _on_message(self, fields: list[str]) -> None:
        self.messages_received += 1
        try:
            evidence = translate.to_evidence(fields, self._time_zone)
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

    def _collect(self, fields: list[str], evidence: Evidence | None) -> None:
        kind = fields[0]
        if kind == "90":
            self._bar_update(fields)
        elif kind in _ROWS:
            key = _ROWS[kind].format(*fields)
            pending = self._pending.get(key)
            if pending:
                pending.rows.append(fields)
        if kind in _ENDS:
            self._finish(_ENDS[kind].format(*fields))
        if isinstance(evidence, ErrorSeen) and evidence.code == _MARKET_DATA_LOST:
            self.market_data_lost = True
        if (
            isinstance(evidence, ErrorSeen)
            and evidence.request_id > 0
            and classify(evidence.code) is not CodeClass.INFORMATIONAL
        ):
            problem = f"{evidence.code}: {evidence.text}"
            for name in ("executions", "account summary", "bars"):
                self._finish(f"{name} {evidence.request_id}", problem)

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
        self._on_disconnected()

    def _fail_pending(self, why: str) -> None:
        for key, pending in self._pending.items():
            if not pending.future.done():
                pending.future.set_exception(
                    BrokerUnavailableError(f"{key}: {why} before the answer was complete")
                )

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
                self.close()
                self._on_disconnected()
            raise BrokerUnavailableError(
                f"{name}: no complete answer within {self.timeout:g} s; what stands at the broker is unknown"
            ) from error
        except ConnectionError as error:
            if isinstance(error, BrokerUnavailableError):
                raise
            raise BrokerUnavailableError(f"{name}: the connection was lost before the answer") from error


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
