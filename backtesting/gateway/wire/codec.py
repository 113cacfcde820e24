"""Fields on the wire: reading them strictly, writing them as TWS spells them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from backtesting.gateway.errors import RequestFormatError
from backtesting.gateway.wire.frames import frame
from execution.clocks import NANOS
from execution.errors import NumberFormatError
from execution.numbers import format_decimal, parse_integer, parse_wire_decimal

UNSET_DOUBLE = "1.7976931348623157E308"
UNSET_INTEGER = "2147483647"
UNSET_LONG = "9223372036854775807"
ZONE_NAME = "US/Eastern"
EASTERN = ZoneInfo("America/New_York")

INFINITE = frozenset(("Infinite", "Infinity"))
"""How clients spell the one number that may be infinite, the offset of a pegged order."""

_UNSET = re.compile(r"1\.79769313(?:5|4862316|48623157)[eE]\+?308", re.ASCII)
"""The largest double, which means unset, with ten, sixteen and seventeen digits."""

_LARGEST_INTEGER = 2**31 - 1
_SHORT = 10  # digits that always fit
_LEAST_INTEGER = -(2**31)
_OLD_ZONES = {
    "US/Eastern": "America/New_York",
    "US/Central": "America/Chicago",
    "US/Mountain": "America/Denver",
    "US/Pacific": "America/Los_Angeles",
    "EST5EDT": "America/New_York",
    "CST6CDT": "America/Chicago",
    "Japan": "Asia/Tokyo",
    "Hongkong": "Asia/Hong_Kong",
    "GB": "Europe/London",
}
"""Names that TWS uses and that not every machine's zone files hold."""

_MOST_SHORT = 4096
_short_numbers: dict[str, Decimal] = {}
"""Prices and sizes as they were read before; clients send the same few again and again."""

_MOMENT = re.compile(r"(\d{8})(?: {1,2}|-)(\d{2}:\d{2}:\d{2})(?: ([A-Za-z0-9_/+-]{1,40}))?", re.ASCII)


def message(*fields: object) -> bytes:
    """Encode a message: every field as text, closed by NUL, behind the frame's length."""
    return frame(("\0".join(map(str, fields)) + "\0").encode())


def split(payload: bytes) -> list[str]:
    """Cut a frame's payload into its fields.

    Raises
    ------
    RequestFormatError
        If it is not UTF-8 text or its last field is not closed.
    """
    try:
        text = payload.decode()
    except UnicodeDecodeError as error:
        raise RequestFormatError("The message is not UTF-8 text") from error
    if not text.endswith("\0"):
        raise RequestFormatError("The last field is not closed")
    return text[:-1].split("\0")


class FieldReader:
    """Reads a message's fields one after the other, naming each in its complaints."""

    def __init__(self, fields: Sequence[str]) -> None:
        self._fields = fields
        self._next = 0

    def text(self, name: str) -> str:
        """Return the next field as text."""
        if self._next >= len(self._fields):
            raise RequestFormatError(f"The message ends before field '{name}'")
        self._next += 1
        return self._fields[self._next - 1]

    def values(self, names: Sequence[str]) -> Sequence[str]:
        """Return the next fields, one for each name."""
        start = self._next
        end = start + len(names)
        if end > len(self._fields):
            missing = names[len(self._fields) - start]
            raise RequestFormatError(f"The message ends before field '{missing}'")
        self._next = end
        return self._fields[start:end]

    def texts(self, names: Sequence[str]) -> dict[str, str]:
        """Return the next fields by name."""
        return dict(zip(names, self.values(names), strict=True))

    def integer(self, name: str, default: int | None = None) -> int:
        """Return the next field as a whole number; an empty one gives the default if there is one."""
        return integer_field(name, self.text(name), default)

    def count(self, name: str) -> int:
        """Return how many of something follow; an empty field is none."""
        count = self.integer(name, 0)
        if not 0 <= count <= len(self._fields):
            raise RequestFormatError(f"Unable to parse field: '{name}' for input string: '{count}'")
        return count

    def flag(self, name: str) -> bool:
        """Return the next field as a yes or no; an empty one is no."""
        return flag_field(name, self.text(name))

    @property
    def left(self) -> int:
        """How many fields have not been read."""
        return len(self._fields) - self._next

    def back(self, count: int) -> None:
        """Go back, to read fields another way."""
        self._next -= count

    def end(self) -> None:
        """Require that every field has been read."""
        if self._next != len(self._fields):
            surplus = len(self._fields) - self._next
            raise RequestFormatError(f"The message has {surplus} fields too many")


def integer_field(name: str, text: str, default: int | None = None) -> int:
    """Parse a whole number of 32 bits; empty or unset gives the default if there is one."""
    if default is not None and text in ("", UNSET_INTEGER):
        return default
    if len(text) < _SHORT and text.isdecimal() and text.isascii() and (text[0] != "0" or text == "0"):
        return int(text)  # nearly all of them, at a fifth of the time
    try:
        value = parse_integer(text, name=name)
    except NumberFormatError as error:
        raise _unreadable(name, text) from error
    if not _LEAST_INTEGER <= value <= _LARGEST_INTEGER:
        raise _unreadable(name, text)
    return value


def flag_field(name: str, text: str) -> bool:
    """Parse a yes or no; empty is no."""
    if text not in ("", "0", "1"):
        raise _unreadable(name, text)
    return text == "1"


def is_unset(text: str) -> bool:
    """Say whether a number is left out: empty, or the largest double as clients spell it."""
    return not text or _UNSET.fullmatch(text) is not None


def decimal_field(name: str, text: str) -> Decimal | None:
    """Parse a number as clients write it; unset is None.

    Raises
    ------
    RequestFormatError
        If it is no number, not finite, or out of range.
    """
    if len(text) <= _SHORT:
        known = _short_numbers.get(text)
        if known is not None:
            return known
    if is_unset(text):
        return None
    try:
        value = parse_wire_decimal(text, name=name)
    except NumberFormatError as error:
        raise _unreadable(name, text) from error
    if value is None:  # nearly the largest double, but not what clients send for it
        raise _unreadable(name, text)
    if len(text) <= _SHORT:
        if len(_short_numbers) >= _MOST_SHORT:
            _short_numbers.clear()
        _short_numbers[text] = value
    return value


def _unreadable(name: str, text: str) -> RequestFormatError:
    return RequestFormatError(f"Unable to parse field: '{name}' for input string: '{shown(text)}'")


def shown(text: str) -> str:
    """Return the start of a text from outside as printable ASCII, fit for an error and a log."""
    return text[:40].encode("unicode_escape").decode("ascii")[:80]


def number(value: Decimal) -> str:
    """Write a quantity or price in plain digits."""
    return format_decimal(value)


def numeral(value: Decimal | float | int) -> str:
    """Write any finite number without exponent and without trailing zeros."""
    return format_decimal(value if isinstance(value, Decimal) else Decimal(repr(value)))


def price(value: Decimal | float) -> str:
    """Write an execution or quoted price as TWS does: at least two decimals, ``0`` where there is none."""
    if not value:
        return "0"
    text = numeral(value)
    whole, _, fraction = text.partition(".")
    return text if len(fraction) > 1 else f"{whole}.{fraction:0<2}"


def double(value: Decimal | None) -> str:
    """Write an order's price as TWS does: at least one decimal, ``0.0`` where there is none."""
    if value is None:
        return "0.0"
    text = format_decimal(value)
    return text if "." in text else text + ".0"


def money(value: Decimal) -> str:
    """Write an account value with two decimals."""
    return f"{value:.2f}"


def moment(ns: int) -> dt.datetime:
    """Return UTC nanoseconds as New York time, whole seconds."""
    return dt.datetime.fromtimestamp(ns // NANOS, tz=EASTERN)


@lru_cache(maxsize=1024)
def time_text(ns: int) -> str:
    """Write a time as ``20180102 09:30:00 US/Eastern``."""
    return moment(ns).strftime("%Y%m%d %H:%M:%S ") + ZONE_NAME


def midnight_ns(ns: int) -> int:
    """Return the New York midnight that starts the day of `ns`."""
    start = moment(ns).replace(hour=0, minute=0, second=0)
    return int(start.timestamp()) * NANOS


def parse_time(text: str) -> int:
    """Parse ``yyyymmdd hh:mm:ss [zone]`` (New York if no zone is named) or UTC ``yyyymmdd-hh:mm:ss``.

    Raises
    ------
    RequestFormatError
        If it is neither, or the zone is unknown.
    """
    found = _MOMENT.fullmatch(text)
    if not found:
        raise RequestFormatError(f"Unable to parse time: '{shown(text)}' is not yyyymmdd hh:mm:ss [zone]")
    dashed = text[8] == "-"
    zone = found[3]
    try:
        if zone is None:
            timezone: dt.tzinfo = dt.UTC if dashed else EASTERN
        else:
            timezone = ZoneInfo(_OLD_ZONES.get(zone, zone))
        parsed = dt.datetime.strptime(found[1] + found[2], "%Y%m%d%H:%M:%S").replace(tzinfo=timezone)
    except (ValueError, OSError, KeyError) as error:
        raise RequestFormatError(f"Unable to parse time: '{shown(text)}'") from error
    return int(parsed.timestamp()) * NANOS
