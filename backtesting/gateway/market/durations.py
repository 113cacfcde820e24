"""How far back a request for history reaches: its end, and its duration."""

from __future__ import annotations

import re
from typing import Final

import pandas as pd

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.market.views import invalid
from backtesting.gateway.wire.codec import EASTERN, parse_time
from execution.clocks import NANOS

_DURATION: Final = re.compile(r"([1-9][0-9]{0,5}) ([SDWMY])", re.ASCII)
_BAD_END: Final = (
    "End Date/Time: The date, time, or time-zone entered is invalid. The correct format is "
    "yyyymmdd hh:mm:ss xx/xxxx where yyyymmdd and xx/xxxx are optional. E.g.: 20031126 15:59:00 US/Eastern  "
    "Note that there is a space between the date and time, and between the time and time-zone.  "
    "If no date is specified, current date is assumed. "
    "If no time-zone is specified, local time-zone is assumed(deprecated).  "
    "You can also provide yyyymmddd-hh:mm:ss time is in UTC. "
    "Note that there is a dash between the date and time in UTC notation."
)


def end_of(text: str, now_ns: int) -> int:
    """Return where a history ends: where the text says, at the latest now.

    Raises
    ------
    RequestRefusedError
        10314 if the text is no time.
    """
    try:
        return min(now_ns, parse_time(text)) if text else now_ns
    except RequestFormatError as error:
        raise RequestRefusedError(10314, _BAD_END) from error


def reach(duration: str, end_ns: int) -> tuple[int, int]:
    """Return how many trading days a duration has, or else zero, and where it starts on the calendar.

    Raises
    ------
    RequestRefusedError
        321 if it is no duration.
    """
    found = _DURATION.fullmatch(duration)
    if not found:
        raise invalid("Historical data query duration format is wrong: use an integer and S, D, W, M or Y")
    count, unit = int(found[1]), found[2]
    if unit == "S":
        return 0, end_ns - count * NANOS
    if unit == "D":
        return count, end_ns
    offset = pd.DateOffset(
        weeks=count * (unit == "W"), months=count * (unit == "M"), years=count * (unit == "Y")
    )
    start = pd.Timestamp(end_ns, unit="ns", tz="UTC").tz_convert(EASTERN)
    try:
        return 0, int((start - offset).tz_convert("UTC").as_unit("ns").value)
    except (OverflowError, ValueError):  # before the first year that a Timestamp can hold
        return 0, 0
