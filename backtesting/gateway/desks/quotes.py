"""The quote desk: market data lines, streaming and snapshots, live and delayed.

A line is told what has changed of its quote, after each step in which its symbol traded or its quotes file
has a new row. Delayed ticks carry the same prices as live ones under the numbers of delayed data; a client
gets them if it asked for delayed data (3, 4), and is refused if the login has nothing else and it did not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from backtesting.gateway.config import DELAYED, NO_DATA
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.bars import Step
from backtesting.gateway.market.quotes import Quote
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers
from backtesting.gateway.wire import data_replies
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.contract_replies import home_exchange, trading_class, wire_symbol
from execution.clocks import NANOS
from execution.models import Instrument

MAX_LINES: Final = 100
SNAPSHOT_NS: Final = 11 * NANOS
"""How long TWS waits for the prices of a snapshot."""

LIVE, FROZEN, DELAYED_KIND, DELAYED_FROZEN = 1, 2, 3, 4
BID_SIZE, BID, ASK, ASK_SIZE, LAST, LAST_SIZE, HIGH, LOW, VOLUME, CLOSE, OPEN = *range(10), 14
LAST_TIME, RT_VOLUME, HALTED = 45, 48, 49
RT_VOLUME_REQUEST: Final = "233"

DELAYED_NUMBERS: Final = {
    **{BID: 66, ASK: 67, LAST: 68, BID_SIZE: 69, ASK_SIZE: 70, LAST_SIZE: 71},
    **{HIGH: 72, LOW: 73, VOLUME: 74, CLOSE: 75, OPEN: 76, LAST_TIME: 88},
}

_LEGAL_TEXT: Final = (
    "100(Option Volume),101(Option Open Interest),105(Average Opt Volume),106(impvolat),165(Misc. Stats),"
    "221/220(Creditman Mark Price),225(Auction),232/221(Pl Price),233(RTVolume),236(inventory),"
    "258/47(Fundamentals),293(TradeCount),294(TradeRate),295(VolumeRate),318(LastRTHTrade),375(RTTrdVolume),"
    "411(rthistvol),456/59(IBDividends),460(Bond Factor Multiplier),576(EtfNavBidAsk(navbidask)),"
    "577(EtfNavLast(navlast)),578(EtfNavClose(navclose)),586(IPOHLMPRC),587(Pl Price Delayed),"
    "588(Futures Open Interest),595(Short-Term Volume X Mins),614(EtfNavMisc(high/low)),"
    "619(Creditman Slow Mark Price),623(EtfFrozenNavLast(fznavlast))"
)
_LEGAL: Final = frozenset(
    (
        *(100, 101, 104, 105, 106, 165, 220, 221, 225, 232, 233, 236, 258, 292, 293, 294, 295, 318, 375),
        *(411, 456, 460, 576, 577, 578, 586, 587, 588, 595, 614, 619, 623),
    )
)
_SUBSCRIBE: Final = (
    "Requested market data requires additional subscription for API. "
    "See link in 'Market Data Connections' dialog for more details."
)


@dataclass(slots=True)
class QuoteLine:
    """One market data line of a client."""

    request_id: int
    instrument: Instrument
    delayed: bool
    rt_volume: bool
    snapshot: bool
    until_ns: int
    """When a snapshot ends, even if nothing is known by then."""
    told: dict[int, tuple[float, float]] = field(default_factory=dict)
    """Value and size last sent, by tick number."""
    traded: tuple[int, float] = (0, 0.0)
    """Time and day's volume at the last trade told."""


@dataclass(slots=True)
class Screen:
    """What one client watches."""

    kind: int = LIVE
    lines: dict[int, QuoteLine] = field(default_factory=dict)


class QuoteDesk:
    """Quotes of symbols, once and as they change."""

    def __init__(self, state: GatewayState) -> None:
        self._state = state
        self._screens: dict[ClientSession, Screen] = {}
        self.handlers: Handlers = {
            ask.MarketDataType: self._market_data_type,
            ask.MarketData: self._market_data,
            ask.CancelMarketData: self._cancel,
        }

    def forget(self, session: ClientSession) -> None:
        """End everything a client watches."""
        self._screens.pop(session, None)

    def tell(self, step: Step) -> None:
        """Send what a step has changed."""
        if not self._screens:
            return
        moved = {bar.symbol for bar in step.bars}
        quotes: dict[str, Quote] = {}
        for session, screen in self._screens.items():
            for line in tuple(screen.lines.values()):
                symbol = line.instrument.symbol
                waited = line.snapshot and step.end_ns >= line.until_ns
                if symbol not in moved and not waited and not self._state.market.has_quotes(symbol):
                    continue
                quote = quotes.get(symbol)
                if quote is None:
                    quote = quotes[symbol] = self._state.market.quote(symbol)
                self._send(session, screen, line, quote)

    def _send(self, session: ClientSession, screen: Screen, line: QuoteLine, quote: Quote) -> None:
        for data in _ticks(line, quote):
            session.send(data)
        known = quote.last is not None or quote.bid is not None
        if line.snapshot and (known or not self._state.running or self._state.now_ns >= line.until_ns):
            session.send(data_replies.snapshot_end(line.request_id))
            del screen.lines[line.request_id]

    # requests

    def _market_data_type(self, session: ClientSession, wish: ask.MarketDataType) -> None:
        if not LIVE <= wish.kind <= DELAYED_FROZEN:
            raise RequestRefusedError(
                321, "Error validating request.-'bW' : cause - Invalid market data type: 1 to 4 are served"
            )
        self._screen(session).kind = wish.kind

    def _market_data(self, session: ClientSession, wish: ask.MarketData) -> None:
        state, screen = self._state, self._screen(session)
        snapshot = wish.snapshot or wish.regulatory_snapshot
        instrument = state.book.find(wish.contract)
        _check_ticks(wish.generic_ticks, snapshot)
        if wish.request_id in screen.lines:
            raise RequestRefusedError(322, "Error processing request.-'bO' : cause - Duplicate ticker id")
        if len(screen.lines) >= MAX_LINES:
            raise RequestRefusedError(101, "Max number of tickers has been reached.")
        delayed = screen.kind in (DELAYED_KIND, DELAYED_FROZEN)
        entitled = state.config.market_data
        if entitled == NO_DATA or not state.market.is_quoted(instrument.symbol):
            raise RequestRefusedError(354, "Requested market data is not subscribed.")
        parameters = data_replies.tick_request_parameters(wish.request_id, instrument.tick)
        if entitled == DELAYED and not delayed:
            session.send(parameters)
            listed = f"{home_exchange(instrument)}.{trading_class(instrument)}"
            raise RequestRefusedError(
                10089,
                f"{_SUBSCRIBE}Delayed market data is available.{wire_symbol(instrument)} {listed}/TOP/ALL",
            )
        if entitled == DELAYED:
            session.send_error(
                wish.request_id,
                10167,
                "Requested market data is not subscribed. Displaying delayed market data.",
            )
        if delayed:
            session.send(data_replies.market_data_type(wish.request_id, self._shown_kind(screen.kind)))
            session.send(parameters)
        else:
            session.send(parameters)
            session.send(data_replies.market_data_type(wish.request_id, self._shown_kind(screen.kind)))
        rt_volume = RT_VOLUME_REQUEST in wish.generic_ticks.split(",")
        line = QuoteLine(
            wish.request_id, instrument, delayed, rt_volume, snapshot, state.now_ns + SNAPSHOT_NS
        )
        screen.lines[wish.request_id] = line
        if not delayed and not snapshot:
            session.send(data_replies.tick_generic(wish.request_id, HALTED, 0.0))
        self._send(session, screen, line, state.market.quote(instrument.symbol))

    def _shown_kind(self, kind: int) -> int:
        """Return the kind of data that is told: frozen kinds only while the market is closed."""
        if kind in (FROZEN, DELAYED_FROZEN) and self._state.calendar.session_at(self._state.now_ns):
            return kind - 1
        return kind

    def _cancel(self, session: ClientSession, wish: ask.CancelMarketData) -> None:
        if self._screen(session).lines.pop(wish.request_id, None) is None:
            raise RequestRefusedError(300, f"Can't find EId with tickerId:{wish.request_id}")

    def _screen(self, session: ClientSession) -> Screen:
        return self._screens.setdefault(session, Screen())


def _check_ticks(wanted: str, snapshot: bool) -> None:
    """Refuse generic ticks that do not exist, and any of them for a snapshot."""
    numbers = [part.strip() for part in wanted.split(",") if part.strip()]
    if any(not number.isdecimal() or int(number) not in _LEGAL for number in _known_parts(numbers)):
        raise RequestRefusedError(
            321,
            f"Error validating request.-'bW' : cause - Incorrect generic tick list of {wanted[:200]}.  "
            f"Legal ones for (STK) are: {_LEGAL_TEXT}",
        )
    if snapshot and numbers:
        raise RequestRefusedError(
            321,
            "Error validating request.-'bW' : cause - "
            "Snapshot market data subscription is not applicable to generic ticks",
        )


def _known_parts(numbers: list[str]) -> Iterator[str]:
    """Yield the numbers of generic ticks, without news providers (``292:BRFG``) and ``mdoff``."""
    for number in numbers:
        if number != "mdoff":
            yield number.partition(":")[0][:10]


def _ticks(line: QuoteLine, quote: Quote) -> Iterator[bytes]:
    """Yield what has changed of a line's quote, in the order of TWS, and note it as told."""
    for kind, size_kind, value, size, mask in (
        (BID, BID_SIZE, quote.bid, quote.bid_size, 1),
        (ASK, ASK_SIZE, quote.ask, quote.ask_size, 1),
        (LAST, LAST_SIZE, quote.last, quote.last_size, 0),
    ):
        if value is None or size is None:
            continue
        told = line.told.get(kind)
        if told == (value, size):
            continue
        line.told[kind] = (value, size)
        if told is not None and told[0] == value:
            yield data_replies.tick_size(line.request_id, _number(line, size_kind), size)
        else:
            yield data_replies.tick_price(line.request_id, _number(line, kind), value, size, mask)
    if quote.last is not None:
        yield from _trade(line, quote)
    for kind, value in ((HIGH, quote.high), (LOW, quote.low)):
        if value is not None and _is_news(line, kind, value):
            yield data_replies.tick_price(line.request_id, _number(line, kind), value, 0.0)
    if quote.last is not None and _is_news(line, VOLUME, quote.volume):
        yield data_replies.tick_size(line.request_id, _number(line, VOLUME), quote.volume)
    for kind, value in ((CLOSE, quote.close), (OPEN, quote.open)):
        if value is not None and _is_news(line, kind, value):
            yield data_replies.tick_price(line.request_id, _number(line, kind), value, 0.0)


def _trade(line: QuoteLine, quote: Quote) -> Iterator[bytes]:
    """Yield the time of the last trade and, if asked for, the trade."""
    if line.traded == (quote.time_ns, quote.volume):
        return
    line.traded = (quote.time_ns, quote.volume)
    seconds = quote.time_ns // NANOS
    if _is_news(line, LAST_TIME, seconds):
        yield data_replies.tick_string(line.request_id, _number(line, LAST_TIME), str(seconds))
    if line.rt_volume and not line.delayed:
        yield data_replies.tick_string(line.request_id, RT_VOLUME, _rt_volume(quote))


def _is_news(line: QuoteLine, kind: int, value: float) -> bool:
    if line.told.get(kind) == (value, 0.0):
        return False
    line.told[kind] = (value, 0.0)
    return True


def _number(line: QuoteLine, kind: int) -> int:
    return DELAYED_NUMBERS[kind] if line.delayed else kind


def _rt_volume(quote: Quote) -> str:
    """Write a trade as ``price;size;milliseconds;day's volume;average price;single trade``."""
    average = 0.0 if quote.vwap is None else round(quote.vwap, 8)
    return f"{quote.last};{quote.last_size};{quote.time_ns // 1_000_000};{quote.volume};{average};true"
