"""The gateway's week: when it is expected to be away, so that only other down-time is an incident.

A gateway restarts every night, the broker's servers are reset and maintained at fixed hours, and on Sundays
somebody has to log in anew. Each such window is a line of text, ``NAME DAYS HH:MM-HH:MM``, in one time zone::

    nightly-restart daily 23:40-00:10
    maintenance fri 23:00-03:00
    server-reset mon-fri 00:15-01:45

`DAYS` is ``daily``, a day (``fri``) or a range (``mon-fri``, ``sat-sun``), and says when the window begins.
One whose end is not after its start ends on the next day. Hours are of the wall clock there, also when the
clocks change.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from execution.clocks import NANOS
from execution.link.connection_errors import GatewayWeekError

TIME_ZONE = "America/New_York"
USUAL_WINDOWS = (
    "nightly-restart daily 23:40-00:10",
    "server-reset daily 00:15-01:45",
    "saturday-maintenance fri 23:00-03:00",
    "sunday-login sun 01:00-17:00",
)
"""Those of an IB Gateway with automatic restart, for accounts served from North America."""

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LINE = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9_-]{0,39}) +(?P<days>[a-z]{3,5}(?:-[a-z]{3})?) +"
    r"(?P<from>\d\d:\d\d)-(?P<to>\d\d:\d\d)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Downtime:
    """One planned absence: the window's name, and its start and end in UTC nanoseconds."""

    name: str
    start_ns: int
    end_ns: int


@dataclass(frozen=True, slots=True)
class Window:
    """A planned window of every week; `days` are those it begins on, Monday being 0."""

    name: str
    days: frozenset[int]
    start: dt.time
    end: dt.time

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read ``NAME DAYS HH:MM-HH:MM``.

        Raises
        ------
        GatewayWeekError
            If it is anything else; the message shows the form.
        """
        found = _LINE.fullmatch(text.strip().lower())
        if found is None:
            raise GatewayWeekError(
                f"{text!r} is no window; write NAME DAYS HH:MM-HH:MM, such as 'restart mon-fri 23:45-00:10'"
            )
        try:
            start, end = dt.time.fromisoformat(found["from"]), dt.time.fromisoformat(found["to"])
        except ValueError as error:
            raise GatewayWeekError(f"{text!r}: {error}; hours go from 00:00 to 23:59") from error
        return cls(found["name"], _days(found["days"], text), start, end)

    def on(self, day: dt.date, zone: ZoneInfo) -> Downtime | None:
        """Return the absence that begins on a day, if there is one."""
        if day.weekday() not in self.days:
            return None
        last = day if self.end > self.start else day + dt.timedelta(days=1)
        return Downtime(self.name, _utc_ns(day, self.start, zone), _utc_ns(last, self.end, zone))


class GatewayWeek:
    """The planned windows of a gateway.

    Parameters
    ----------
    windows
        Lines of text; see the module.
    time_zone
        IANA name of the zone of their hours.

    Raises
    ------
    GatewayWeekError
        If a line or the zone cannot be read.
    """

    def __init__(self, windows: Iterable[str] = USUAL_WINDOWS, time_zone: str = TIME_ZONE) -> None:
        try:
            self._zone = ZoneInfo(time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise GatewayWeekError(
                f"time zone {time_zone!r} is not known; use a name such as {TIME_ZONE}"
            ) from error
        self.windows = tuple(Window.parse(text) for text in windows)

    def at(self, now_ns: int) -> Downtime | None:
        """Return the planned absence that a moment lies in, the one that ends last; None outside."""
        found = [one for one in self._around(now_ns) if one.start_ns <= now_ns < one.end_ns]
        return max(found, key=lambda one: one.end_ns, default=None)

    def next_after(self, now_ns: int) -> Downtime | None:
        """Return the planned absence that begins next; None if there are no windows."""
        later = [one for one in self._around(now_ns) if one.start_ns > now_ns]
        return min(later, key=lambda one: one.start_ns, default=None)

    def _around(self, now_ns: int) -> list[Downtime]:
        today = dt.datetime.fromtimestamp(now_ns // NANOS, self._zone).date()
        days = [today + dt.timedelta(days=offset) for offset in range(-1, 9)]
        found = (window.on(day, self._zone) for window in self.windows for day in days)
        return [one for one in found if one is not None]


def _days(text: str, line: str) -> frozenset[int]:
    if text == "daily":
        return frozenset(range(7))
    first, _, last = text.partition("-")
    try:
        begin, end = _DAYS.index(first), _DAYS.index(last or first)
    except ValueError:
        raise GatewayWeekError(
            f"{line!r}: days are daily, or {', '.join(_DAYS)}, or a range of them"
        ) from None
    return frozenset((begin + step) % 7 for step in range((end - begin) % 7 + 1))


def _utc_ns(day: dt.date, time: dt.time, zone: ZoneInfo) -> int:
    return int(dt.datetime.combine(day, time, zone).timestamp()) * NANOS
