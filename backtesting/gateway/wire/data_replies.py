"""Messages about quotes, bars and time."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Final

from backtesting.gateway.wire.codec import ZONE_NAME, message, numeral, price

Number = Decimal | float
"""A price or size: exact, or a float of market data."""

BBO_EXCHANGE: Final = "9c0001"
"""How TWS names the national best bid and offer of US stocks."""

_PERMISSIONS: Final = 4


def tick_price(request_id: int, kind: int, value: Number, size: Number, mask: int = 0) -> bytes:
    """1: a price with its size; `mask` says whether it can be traded against automatically (1)."""
    return message(1, 6, request_id, kind, price(value), numeral(size), mask)


def tick_size(request_id: int, kind: int, size: Number) -> bytes:
    """2: a size or volume."""
    return message(2, 6, request_id, kind, numeral(size))


def tick_generic(request_id: int, kind: int, value: Number) -> bytes:
    """45: a number of some kind, such as whether trading is halted."""
    text = numeral(value)
    return message(45, 6, request_id, kind, text if "." in text else text + ".0")


def tick_string(request_id: int, kind: int, text: str) -> bytes:
    """46: a text of some kind, such as the time of the last trade in seconds."""
    return message(46, 6, request_id, kind, text)


def tick_request_parameters(
    request_id: int, tick: Decimal, exchange: str = BBO_EXCHANGE, permissions: int = _PERMISSIONS
) -> bytes:
    """81: the increment of a subscription's prices and where its best bid and offer come from."""
    return message(81, request_id, numeral(tick), exchange, permissions)


def snapshot_end(request_id: int) -> bytes:
    """57: everything of a snapshot is told."""
    return message(57, 1, request_id)


def market_data_type(request_id: int, kind: int) -> bytes:
    """58: whether a subscription's data is live (1), frozen (2), delayed (3) or delayed frozen (4)."""
    return message(58, 1, request_id, kind)


def current_time(seconds: int) -> bytes:
    """49: the time in seconds since the epoch."""
    return message(49, 1, seconds)


def real_time_bar(
    request_id: int,
    seconds: int,
    prices: tuple[Number, Number, Number, Number],
    volume: Number,
    average: Number,
    count: int,
) -> bytes:
    """50: a bar that starts at `seconds`: open, high, low and close, volume, average price, trades."""
    texts = map(price, prices)
    return message(50, 3, request_id, seconds, *texts, numeral(volume), price(average), count)


def head_timestamp(request_id: int, text: str) -> bytes:
    """88: the start of the earliest bar, ``19801212-14:30:00`` in UTC or seconds, as it was asked for."""
    return message(88, request_id, text)


def historical_schedule(
    request_id: int, start: str, end: str, sessions: Sequence[tuple[str, str, str]]
) -> bytes:
    """106: sessions as their start, end and date, in New York."""
    fields = (text for session in sessions for text in session)
    return message(106, request_id, start, end, ZONE_NAME, len(sessions), *fields)
