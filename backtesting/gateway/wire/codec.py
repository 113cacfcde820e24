"""Fields on the wire: reading them strictly, writing them as TWS spells them."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
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

_MOMENT = re.compile(r"(\d{8})(?: {1,2}|-)(\d{2}:\d{2}:\d{2})(?: ([A-Za-z_/+-]{1,40}))?", re.ASCII)


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

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields
        self._next = 0

    def text(self, name: str) -> str:
        """Return the next field as text."""
        if self._next >= len(self._fields):
            raise RequestFormatError(f"The message ends before field '{name}'")
        self._next += 1
        return self._fields[self._next - 1]

    def texts(self, names: Iterable[str]) -> dict[str, str]:
        """Return the next fields by name."""
        return {name: self.text(name) for name in names}

    def integer(self, name: str, default: int | None = None) -> int:
        """Return the next field as a whole number; an empty one gives the default if there is one."""
        text = self.text(name)
        if default is not None and text in ("", UNSET_INTEGER):
            return default
        try:
            return parse_integer(text, name=name)
        except NumberFormatError as error:
            raise RequestFormatError(
                f"Unable to parse field: '{name}' for input string: '{text[:40]}'"
            ) from error

    def flag(self, name: str) -> bool:
        """Return the next field as a yes or no; an empty one is no."""
        text = self.text(name)
        if text not in ("", "0", "1"):
            raise RequestFormatError(f"Unable to parse field: '{name}' for input string: '{text[:40]}'")
        return text == "1"

    def end(self) -> None:
        """Require that every field has been read."""
        if self._next != len(self._fields):
            surplus = len(self._fields) - self._next
            raise RequestFormatError(f"The message has {surplus} fields too many")


def decimal_field(name: str, text: str) -> Decimal | None:
    """Parse a number as clients write it; unset is None."""
    try:
        return parse_wire_decimal(text, name=name)
    except NumberFormatError as error:
        raise RequestFormatError(
            f"Unable to parse field: '{name}' for input string: '{text[:40]}'"
        ) from error


def number(value: Decimal) -> str:
    """Write a quantity or price in plain digits."""
    return format_decimal(value)


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
        raise RequestFormatError(f"Unable to parse time: '{text[:40]}' is not yyyymmdd hh:mm:ss [zone]")
    dashed = text[8] == "-"
    zone = found[3]
    try:
        if zone is None:
            timezone: dt.tzinfo = dt.UTC if dashed else EASTERN
        else:
            timezone = EASTERN if zone == ZONE_NAME else ZoneInfo(zone)
        parsed = dt.datetime.strptime(found[1] + found[2], "%Y%m%d%H:%M:%S").replace(tzinfo=timezone)
    except (ValueError, OSError, KeyError) as error:
        raise RequestFormatError(f"Unable to parse time: '{text[:40]}'") from error
    return int(parsed.timestamp()) * NANOS
