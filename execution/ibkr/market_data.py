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
_DETAILS, _DETAILS_END, _TIME = "10", "52", "49"
_TICKS = frozenset(("1", "2", "21", "45"))
_FAILED, _NO_DATA, _NO_HEAD = 162, "no data", "no head time"
_REAL_TIME_SECONDS = 5
_DELAYED_INSTEAD, _COMPETING = 10167, 10197
_INFORMING = frozenset((_DELAYED_INSTEAD, _COMPETING))
"""Delayed data comes instead, or another login has the live data: the stream itself stands."""
_RESUMABLE = frozenset((10182, 10225))
"""A stream has ended, and TWS asks to begin it again: it lost the farm, or a trade was taken back.

So it may be where too many began in a short time: 420 that speaks of pacing.
"""
_INVALID_STREAM, _PACING = 420, "pacing"
_CUT = {1100: 1102, 2110: 1102, 2103: 2104, 2105: 2106}
"""TWS has lost the broker or a farm, and by what it says that it has it again."""
_ENDED = frozenset((1101, 1300))
"""TWS has ended what was subscribed, or moves to another port."""


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
        self._timing: list[int] = []
        self._cuts: set[int] = set()
        self._on_cut: Callable[[str], None] = lambda _: None
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

    @property
    def is_cut(self) -> bool:
        """Whether TWS has said that it lost the broker or a farm, and not yet that it has them again.

        What it answers meanwhile says nothing: it knows no contract then, and has no data.
        """
        return bool(self._cuts)

    def watch_link(self, on_cut: Callable[[str], None]) -> None:
        """Be told when TWS loses the broker or a farm: what streams has a hole there."""
        self._on_cut = on_cut

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
        outside: bool = False,
    ) -> list[Bar]:
        """Ask for the trades' bars that end by a moment, going back by a duration such as ``1 W``.

        Returns
        -------
        list of Bar
            Oldest first, those outside sessions left out unless `outside`; empty if TWS says that there are
            none.

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
            if not self.is_cut and _says(error, _NO_DATA):
                return []
            raise
        return read_history(fields, instrument.symbol, timeframe, calendar, outside=outside)[1]

    async def head(self, instrument: Instrument, *, regular_hours: bool = True) -> int | None:
        """Ask where the trades of an instrument begin: UTC nanoseconds, None if TWS does not know.

        Raises as `history` does.
        """
        client, contract = self._client, _of_the_past(instrument)
        try:
            fields = await self._ask(
                "head timestamp",
                instrument.symbol,
                lambda number: client.reqHeadTimeStamp(number, contract, "TRADES", int(regular_hours), 2),
            )
        except BrokerUnavailableError as error:
            if not self.is_cut and (_says(error, _NO_HEAD) or _says(error, _NO_DATA)):
                return None
            raise
        text = fields[2]
        if not text.isdigit():
            return translate.parse_time(text, "UTC") if text else None
        return parse_integer(text, name="head") * NANOS or None

    async def now_ns(self) -> int:
        """Ask what time it is there; UTC nanoseconds, to the second. Raises as `history` does."""

        def send(number: int) -> None:
            self._timing.append(number)
            self._client.reqCurrentTime()

        fields = await self._ask("the time", "TWS", send)
        return parse_integer(fields[2], name="time") * NANOS

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
        silent: int | None = None

        def hear(fields: list[str]) -> None:
            nonlocal silent
            if told.done():
                return
            if fields[0] == _ERROR:
                code = int(fields[3])
                warning.append(f"{code}: {fields[4]}")
                silent = {_DELAYED_INSTEAD: 3, _COMPETING: 0}.get(code, silent)
                if code not in _INFORMING and classify(code) is not CodeClass.INFORMATIONAL:
                    told.set_result(Entitlement(instrument.symbol, 0, warning[-1]))
            elif fields[0] == _DATA_TYPE:
                kind = parse_integer(fields[3], name="market data type")
                told.set_result(Entitlement(instrument.symbol, kind, "; ".join(warning)))

        self._listeners[number] = hear
        try:
            self._require_open("market data")
            client.reqMktData(number, contract, "", False, False, [])
            await asyncio.wait({told}, timeout=patience)
            if told.done():
                found = told.result()
            else:
                found = Entitlement(instrument.symbol, silent, "; ".join(warning))
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
        on_ended: Callable[[str], None] | None = None,
        open_interest: bool = False,
    ) -> int:
        """Stream quotes, and of an option its Greeks; return the number by which `end` stops it.

        `on_ended` is told, instead of `on_refused`, what TWS says when it ends a stream and asks to begin
        it again.
        """
        symbol = instrument.symbol

        def hear(fields: list[str]) -> None:
            if fields[0] == _ERROR:
                if int(fields[3]) not in _INFORMING:
                    self._end_of(fields, symbol, on_refused, on_ended)
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
        on_ended: Callable[[str], None] | None = None,
        regular_hours: bool = True,
    ) -> int:
        """Stream bars of five seconds; return the number by which `end_real_time` stops it.

        `on_ended` as for `watch_quotes`.
        """
        symbol = instrument.symbol

        def hear(fields: list[str]) -> None:
            if fields[0] == _ERROR:
                self._end_of(fields, symbol, on_refused, on_ended)
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

    def _end_of(
        self,
        fields: list[str],
        symbol: str,
        on_refused: Callable[[str], None],
        on_ended: Callable[[str], None] | None,
    ) -> None:
        """Tell of an error about a stream; one that TWS has ended is heard no more."""
        code, text = int(fields[3]), fields[4]
        if classify(code) is CodeClass.INFORMATIONAL:
            return
        self._listeners.pop(int(fields[2]), None)
        again = code in _RESUMABLE or (code == _INVALID_STREAM and _PACING in text.lower())
        tell = on_ended if on_ended is not None and again else on_refused
        tell(f"{symbol}: {code}: {text}")

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
        elif kind == _TIME:
            asked, self._timing = self._timing, []
            for number in asked:
                self._answer(number, fields)
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
        self._take_link(code, text)

    def _take_link(self, code: int, text: str) -> None:
        """Take note of what TWS says of its own connections."""
        if code in _CUT:
            self._cuts.add(_CUT[code])
            self._log.warning("TWS has lost a connection of its own", code=code, said=text)
            self._on_cut(f"{code}: {text}")
        self._cuts.discard(code)
        if code in _ENDED:
            self._log.warning("TWS has ended what was subscribed", code=code, said=text)
            self._client.disconnect()
            self._lost(f"TWS ended what was subscribed ({code})")

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


def _says(error: BrokerUnavailableError, words: str) -> bool:
    """Return whether the service for history failed a question with these words."""
    return error.context.get("broker_code") == _FAILED and words in str(error).lower()


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
