"""Bars on the wire: history (message 17) and updates of the forming bar (message 90)."""

from __future__ import annotations

from datetime import date
from typing import Protocol

from execution.clocks import NANOS
from execution.errors import NumberFormatError
from execution.models import Bar
from execution.numbers import parse_integer, parse_wire_decimal
from execution.timeframes import Timeframe


class SessionLike(Protocol):
    """A trading session."""

    @property
    def open_ns(self) -> int:
        """Open, UTC nanoseconds."""

    @property
    def close_ns(self) -> int:
        """Close, UTC nanoseconds."""


class SessionCalendar(Protocol):
    """Where a bar's session comes from."""

    def session_on(self, day: date) -> SessionLike | None:
        """Return the session of a date."""

    def session_at(self, ns: int) -> SessionLike | None:
        """Return the session in progress at a moment."""


def bar_span(
    text: str, timeframe: Timeframe, calendar: SessionCalendar, *, outside: bool = False
) -> tuple[int, int] | None:
    """Return (start, end) in UTC nanoseconds of the bar that TWS dates `text`, or None outside sessions.

    A daily bar is dated ``yyyymmdd`` and spans its session. An intraday bar is dated by the epoch second of
    its start and ends at the next full timeframe, or at the session's close if that is earlier; with
    `outside` one beyond the sessions has a span, too.
    """
    if timeframe is Timeframe.DAY:
        session = calendar.session_on(_day(text))
        return (session.open_ns, session.close_ns) if session else None
    start = parse_integer(text, name="bar time") * NANOS
    session = calendar.session_at(start)
    end = (start // timeframe.nanos + 1) * timeframe.nanos
    if session is None:
        return (start, end) if outside else None
    return start, min(end, session.close_ns)


def read_history(
    fields: list[str], symbol: str, timeframe: Timeframe, calendar: SessionCalendar, *, outside: bool = False
) -> tuple[str, list[Bar]]:
    """Read message 17; return the end of the requested period as TWS wrote it, and the bars.

    Bars outside sessions are left out, unless `outside` keeps those within a day.
    """
    _, _, _, end_text, count, *rows = fields
    bars = []
    for i in range(0, parse_integer(count, name="number of bars") * 8, 8):
        day, open_, high, low, close, volume = rows[i : i + 6]
        span = bar_span(day, timeframe, calendar, outside=outside)
        if span is not None:
            bars.append(_bar(symbol, span, (open_, high, low, close), volume))
    return end_text, bars


def read_update(
    fields: list[str], symbol: str, timeframe: Timeframe, calendar: SessionCalendar
) -> Bar | None:
    """Read message 90: the forming bar, or None if it lies outside sessions."""
    _, _, _, day, open_, close, high, low, _, volume = fields[:10]
    span = bar_span(day, timeframe, calendar)
    return None if span is None else _bar(symbol, span, (open_, high, low, close), volume)


def _bar(symbol: str, span: tuple[int, int], ohlc: tuple[str, str, str, str], volume: str) -> Bar:
    start, end = span
    open_, high, low, close = (_float(price, "bar price") for price in ohlc)
    return Bar(symbol, start, end, open_, high, low, close, max(0.0, _float(volume, "volume")))


def _float(text: str, name: str) -> float:
    value = parse_wire_decimal(text, name=name)
    if value is None:
        raise NumberFormatError(f"{name}: the broker sent no number")
    return float(value)


def _day(text: str) -> date:
    digits = text[:8]
    if not (len(digits) == 8 and digits.isascii() and digits.isdigit()):  # noqa: PLR2004 - yyyymmdd
        raise NumberFormatError(f"bar date {text[:20]!r} is not yyyymmdd")
    return date(int(digits[:4]), int(digits[4:6]), int(digits[6:8]))
