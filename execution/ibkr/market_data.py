"""A connection for market data alone: history, head timestamps, quotes, Greeks and real-time bars.

It is a client of its own beside the one that trades, so that a long pull takes nothing of the pace of orders
and neither its errors nor its end concern them. Bars that a strategy trades on come over the trading session
(`session.IBSession.subscribe_bars`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, TypeVar

import ib_insync
import structlog

from execution.clocks import NANOS
from execution.errors import BrokerUnavailableError, NotConnectedError, NumberFormatError
from execution.ibkr import translate
from execution.ibkr.bars import SessionCalendar, read_history
from execution.ibkr.description import Description, described
from execution.ibkr.keepalive import watch_socket
from execution.ibkr.tick import Entitlement, QuoteTick, read_tick
from execution.models import Bar, Instrument
from execution.numbers import parse_integer, parse_wire_decimal
from execution.orders.codes import CodeClass, classify
from execution.timeframes import Timeframe

_T = TypeVar("_T")
_HISTORY, _HEAD, _ERROR, _DATA_TYPE, _REAL_TIME = "17", "88", "4", "58", "50"
_DETAILS, _DETAILS_END = "10", "52"
_TICKS = frozenset(("1", "2", "21", "45"))
_NO_DATA = "no data"
_REAL_TIME_SECONDS = 5
_INFORMING = frozenset((10167, 10197))
"""Delayed data comes instead, or another login has the live data: not that nothing comes."""


class MarketDataSession:
    """A life from handshake to close; a new one is made for each connection.

    Parameters
    ----------
    time_zone
        Zone of times that TWS sends without one.
    timeout
        Seconds within which an answer must be there.
    """

    def __init__(self, *, time_zone: str = "America/New_York", timeout: float = 60.0) -> None:
        wrapper = ib_insync.Wrapper(ib_insync.IB())
        wrapper.contractDetails = self._on_details  # type: ignore[method-assign,assignment]
        self._client = ib_insync.Client(wrapper)
        self._client.decoder.interpret = self._take  # type: ignore[method-assign]
        self._gone = self._lost  # eventkit keeps handlers weakly
        self._client.conn.disconnected += self._gone
        self._time_zone = time_zone
        self._timeout = timeout
        self._answers: dict[int, asyncio.Future[list[str]]] = {}
        self._details: dict[int, list[Any]] = {}
        self._listeners: dict[int, Callable[[list[str]], None]] = {}
        self._greeting: list[str] = []
        self._closed = asyncio.Event()
        self._log = structlog.get_logger("market-data")

    # -- life ----------------------------------------------------------------------------------------------

    async def open(self, host: str, port: int, client_id: int) -> None:
        """Connect and shake hands; raise `NotConnectedError` if no session comes about."""
        connecting = asyncio.ensure_future(self._client.connectAsync(host, port, client_id, self._timeout))
        closed = asyncio.ensure_future(self._closed.wait())
        try:
            await asyncio.wait({connecting, closed}, return_when=asyncio.FIRST_COMPLETED)
            if not connecting.done():
                raise ConnectionError("; ".join(self._greeting) or "it closed the connection")
            await connecting
        except (OSError, TimeoutError) as error:
            raise NotConnectedError(
                f"no market data session with TWS or the gateway at {host}:{port} as client {client_id}: "
                f"{error or 'no answer in time'}; check that it runs, that its API port is this one, and "
                "that no other program uses this client id"
            ) from error
        finally:
            for task in (connecting, closed):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError, TimeoutError):
                    await task
        watch_socket(self._client.conn.transport)

    @property
    def is_open(self) -> bool:
        """Whether the handshake is done and the socket stands."""
        return bool(self._client.isReady()) and not self._closed.is_set()

    def close(self) -> None:
        """Close the connection; what still waits fails."""
        self._client.disconnect()
        self._lost("the connection was closed")

    async def closed(self) -> None:
        """Wait until the connection is gone."""
        await self._closed.wait()

    # -- questions -----------------------------------------------------------------------------------------

    async def history(
        self,
        instrument: Instrument,
        timeframe: Timeframe,
        calendar: SessionCalendar,
        *,
        end_ns: int,
        duration: str,
        regular_hours: bool = True,
    ) -> list[Bar]:
        """Ask for the trades' bars that end by a moment, going back by a duration such as ``1 W``.

        Returns
        -------
        list of Bar
            Oldest first, those outside sessions left out; empty if TWS says that there are none.

        Raises
        ------
        BrokerUnavailableError
            If TWS refuses, its code being in ``context["broker_code"]``, or no answer comes.
        """
        client, contract = self._client, _of_the_past(instrument)
        end = _wire_time(end_ns)
        size, regular = timeframe.ib_bar_size, int(regular_hours)

        def send(number: int) -> None:
            client.reqHistoricalData(number, contract, end, duration, size, "TRADES", regular, 2, False, [])

        try:
            fields = await self._ask("bars", instrument.symbol, send)
        except BrokerUnavailableError as error:
            if error.context.get("broker_code") == 162 and _NO_DATA in str(error):  # noqa: PLR2004 - TWS's code
                return []
            raise
        return read_history(fields, instrument.symbol, timeframe, calendar)[1]

    async def head(self, instrument: Instrument, *, regular_hours: bool = True) -> int:
        """Ask where the trades of an instrument begin; UTC nanoseconds. Raises as `history` does."""
        client, contract = self._client, _of_the_past(instrument)
        fields = await self._ask(
            "head timestamp",
            instrument.symbol,
            lambda number: client.reqHeadTimeStamp(number, contract, "TRADES", int(regular_hours), 2),
        )
        text = fields[2]
        return (
            parse_integer(text, name="head") * NANOS if text.isdigit() else translate.parse_time(text, "UTC")
        )

    async def describe(self, instrument: Instrument) -> Description | None:
        """Ask what TWS knows of a contract; None where several fit. Raises as `history` does."""
        client, contract = self._client, _of_the_past(instrument)
        found: list[Any] = []
        asked: list[int] = []

        def send(number: int) -> None:
            asked.append(number)
            self._details[number] = found
            client.reqContractDetails(number, contract)

        try:
            await self._ask("contract details", instrument.symbol, send)
        finally:
            for number in asked:
                del self._details[number]
        return described(instrument, found[0]) if len(found) == 1 else None

    async def entitlement(self, instrument: Instrument, *, patience: float = 10.0) -> Entitlement:
        """Ask what this login gets of an instrument's quotes, for so many seconds, and TWS's words."""
        client, contract = self._client, translate.to_contract(instrument)
        number = client.getReqId()
        told: asyncio.Future[Entitlement] = asyncio.get_running_loop().create_future()
        warning: list[str] = []

        def hear(fields: list[str]) -> None:
            if told.done():
                return
            if fields[0] == _ERROR:
                warning.append(f"{fields[3]}: {fields[4]}")
                if int(fields[3]) not in _INFORMING:
                    told.set_result(Entitlement(instrument.symbol, 0, warning[-1]))
            elif fields[0] == _DATA_TYPE:
                kind = parse_integer(fields[3], name="market data type")
                told.set_result(Entitlement(instrument.symbol, kind, "; ".join(warning)))

        self._listeners[number] = hear
        try:
            self._require_open("market data")
            client.reqMktData(number, contract, "", False, False, [])
            await asyncio.wait({told}, timeout=patience)
            found = told.result() if told.done() else Entitlement(instrument.symbol, None)
            if found.kind != 0 and self.is_open:
                client.cancelMktData(number)
            return found
        finally:
            self._listeners.pop(number, None)

    # -- streams -------------------------------------------------------------------------------------------

    def allow_delayed(self) -> None:
        """Let TWS send delayed quotes where the login is not entitled to live ones."""
        self._client.reqMarketDataType(3)

    def watch_quotes(
        self,
        instrument: Instrument,
        on_tick: Callable[[QuoteTick], None],
        on_refused: Callable[[str], None],
        *,
        open_interest: bool = False,
    ) -> int:
        """Stream quotes, and of an option its Greeks; return the number by which `end` stops it."""
        symbol = instrument.symbol

        def hear(fields: list[str]) -> None:
            if fields[0] == _ERROR:
                if int(fields[3]) not in _INFORMING:
                    on_refused(f"{symbol}: {fields[3]}: {fields[4]}")
                return
            tick = read_tick(fields, symbol)
            if tick is not None:
                on_tick(tick)

        number = self._listen(hear)
        generic = "101" if open_interest else ""
        self._client.reqMktData(number, translate.to_contract(instrument), generic, False, False, [])
        return number

    def watch_real_time(
        self,
        instrument: Instrument,
        on_bar: Callable[[Bar], None],
        on_refused: Callable[[str], None],
        *,
        regular_hours: bool = True,
    ) -> int:
        """Stream bars of five seconds; return the number by which `end_real_time` stops it."""
        symbol = instrument.symbol

        def hear(fields: list[str]) -> None:
            if fields[0] == _ERROR:
                on_refused(f"{symbol}: {fields[3]}: {fields[4]}")
                return
            start = parse_integer(fields[3], name="bar time") * NANOS
            open_, high, low, close, volume = (_number(text) for text in fields[4:9])
            end = start + _REAL_TIME_SECONDS * NANOS
            on_bar(Bar(symbol, start, end, open_, high, low, close, max(0.0, volume)))

        number = self._listen(hear)
        contract = translate.to_contract(instrument)
        self._client.reqRealTimeBars(number, contract, _REAL_TIME_SECONDS, "TRADES", regular_hours, [])
        return number

    def end(self, number: int) -> None:
        """Stop a stream of quotes."""
        self._listeners.pop(number, None)
        self._client.cancelMktData(number)

    def end_real_time(self, number: int) -> None:
        """Stop a stream of real-time bars."""
        self._listeners.pop(number, None)
        self._client.cancelRealTimeBars(number)

    # -- what arrives --------------------------------------------------------------------------------------

    def _take(self, fields: list[str]) -> None:
        try:
            self._sort(fields)
        except (NumberFormatError, IndexError, ValueError) as error:
            # Whoever waits for it finds that no answer comes; a stream goes on with its next message.
            self._log.error("market data cannot be read", error=str(error), message=str(fields)[:300])

    def _sort(self, fields: list[str]) -> None:
        kind = fields[0]
        if kind in (_HISTORY, _HEAD):
            self._answer(int(fields[1]), fields)
        elif kind == _DETAILS:
            self._client.decoder.contractDetails(fields)
        elif kind == _DETAILS_END:
            self._answer(int(fields[2]), fields)
        elif kind == _ERROR:
            self._take_error(fields)
        elif kind in (_DATA_TYPE, _REAL_TIME):
            self._hear(int(fields[2]), fields)
        elif kind in _TICKS:
            self._hear(int(fields[1 if kind == "21" else 2]), fields)

    def _on_details(self, number: int, details: Any) -> None:
        if number in self._details:
            self._details[number].append(details)

    def _answer(self, number: int, fields: list[str]) -> None:
        waiting = self._answers.get(number)
        if waiting is not None and not waiting.done():
            waiting.set_result(fields)

    def _hear(self, number: int, fields: list[str]) -> None:
        listener = self._listeners.get(number)
        if listener is not None:
            listener(fields)

    def _take_error(self, fields: list[str]) -> None:
        number, code, text = int(fields[2]), int(fields[3]), fields[4]
        if not self._client.isReady():
            self._greeting.append(f"{code}: {text}")
        waiting = self._answers.get(number)
        if waiting is not None and not waiting.done() and classify(code) is not CodeClass.INFORMATIONAL:
            waiting.set_exception(
                BrokerUnavailableError(f"the broker answered {code}: {text}", broker_code=code)
            )
        self._hear(number, fields)

    def _lost(self, reason: str = "") -> None:
        self._closed.set()
        why = reason or "the connection was lost"
        for waiting in self._answers.values():
            if not waiting.done():
                waiting.set_exception(NotConnectedError(f"{why} before the answer"))

    # -- asking --------------------------------------------------------------------------------------------

    def _listen(self, hear: Callable[[list[str]], None]) -> int:
        self._require_open("market data")
        number = int(self._client.getReqId())
        self._listeners[number] = hear
        return number

    def _require_open(self, name: str) -> None:
        if not self.is_open:
            raise NotConnectedError(f"{name}: there is no market data session with the broker")

    async def _ask(self, name: str, symbol: str, send: Callable[[int], None]) -> list[str]:
        self._require_open(name)
        number = self._client.getReqId()
        waiting: asyncio.Future[list[str]] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiting
        try:
            send(number)
            return await self._within(waiting, f"{name} of {symbol}")
        except BrokerUnavailableError as error:
            raise BrokerUnavailableError(f"{name} of {symbol}: {error}", **error.context) from error
        finally:
            del self._answers[number]

    async def _within(self, answer: asyncio.Future[_T], name: str) -> _T:
        try:
            return await asyncio.wait_for(answer, self._timeout)
        except TimeoutError as error:
            raise BrokerUnavailableError(f"{name}: no answer within {self._timeout:g} s") from error


def _of_the_past(instrument: Instrument) -> ib_insync.Contract:
    """Return the contract of a question about the past: TWS knows a future that expired only if told so."""
    contract = translate.to_contract(instrument)
    contract.includeExpired = instrument.security_type == "FUT"
    return contract


def _wire_time(ns: int) -> str:
    """Write a moment as TWS reads it in UTC, to the second."""
    return datetime.fromtimestamp(ns // NANOS, UTC).strftime("%Y%m%d-%H:%M:%S")


def _number(text: str) -> float:
    value = parse_wire_decimal(text, name="real-time bar")
    return 0.0 if value is None else float(value)
