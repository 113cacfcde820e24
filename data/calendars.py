"""Trading sessions: when the market is open, to the nanosecond, holidays and half days included.

`ExchangeClock` takes an exchange's calendar for a stated range of days and keeps opens and closes as sorted
integers, so that a lookup costs about a microsecond and needs no pandas. Lunch breaks are counted as part of
the session. Outside its range the clock does not guess: lookups give None, questions that need an answer
raise `CalendarRangeError`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import warnings
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.errors import CalendarError, CalendarRangeError, CalendarRecordsError
from execution.clocks import timestamp, utc_ns

Int64Array = npt.NDArray[np.int64]

_PADDING = dt.timedelta(days=14)
"""Days built on either side of the range: a range of one holiday is legal here, not for the library."""
_NONE = dt.timedelta(0)


@dataclass(frozen=True, slots=True)
class Session:
    """One trading session; times are UTC nanoseconds, the date is that of the exchange."""

    open_ns: int
    close_ns: int
    date: dt.date


class MarketClock(ABC):
    """Knows when the market is open."""

    @abstractmethod
    def is_session_open(self, now: dt.datetime) -> bool:
        """Say whether `now` (with timezone) lies in a session, its open included and its close not."""

    @abstractmethod
    def next_session_open(self, now: dt.datetime) -> pd.Timestamp:
        """Return the first session open after `now`, in UTC."""

    @abstractmethod
    def session_at(self, ns: int) -> Session | None:
        """Return the session with ``open_ns <= ns < close_ns``, or None."""

    @abstractmethod
    def session_closing_after(self, ns: int) -> Session | None:
        """Return the first session with ``close_ns > ns``: the running one or the next; else None."""

    @abstractmethod
    def session_on(self, date: dt.date) -> Session | None:
        """Return the session of an exchange date, or None if there is none."""

    @abstractmethod
    def is_bar_in_session(self, start_ns: int, end_ns: int) -> bool:
        """Say whether a bar lies wholly inside one session."""


class ExchangeClock(MarketClock):
    """The sessions of one exchange over a range of days.

    Parameters
    ----------
    name
        Name of the exchange, such as ``XNYS``.
    start, end
        First and last exchange date to know about, both included.

    Raises
    ------
    CalendarError
        If the name is unknown or `end` precedes `start`.
    CalendarRecordsError
        If the holidays of the exchange are not recorded for the whole range.
    """

    def __init__(self, name: str, start: dt.date, end: dt.date) -> None:
        if end < start:
            raise CalendarError(f"calendar {name}: its end {end} precedes its start {start}")
        self.name = name
        self.start = start
        self.end = end
        days, opens, closes, breaks, self.tz = _sessions(name, start, end)
        self.opens_ns: Int64Array = opens
        """Session opens, UTC nanoseconds, ascending."""
        self.closes_ns: Int64Array = closes
        """Session closes, UTC nanoseconds, ascending."""
        self.breaks_ns: tuple[Int64Array, Int64Array] = breaks
        """Begins and ends of the sessions' lunch breaks; both are the close where a session has none."""
        self.dates: tuple[dt.date, ...] = days
        """Exchange dates of the sessions, ascending."""
        # Plain lists: bisect on them is several times faster than searchsorted with a scalar.
        self._opens: list[int] = opens.tolist()
        self._closes: list[int] = closes.tolist()
        self._index = {day: i for i, day in enumerate(days)}
        first_ns = pd.Timestamp(start, tz="UTC").value
        last_ns = pd.Timestamp(end + dt.timedelta(days=1), tz="UTC").value
        self._first_ns = min([first_ns, *self._opens[:1]])
        self._last_ns = max([last_ns, *self._closes[-1:]])

    def __repr__(self) -> str:
        return f"ExchangeClock({self.name!r}, {self.start}, {self.end})"

    def __len__(self) -> int:
        return len(self.dates)

    def _session(self, i: int) -> Session:
        return Session(self._opens[i], self._closes[i], self.dates[i])

    def _require_known(self, now: dt.datetime) -> int:
        ns = utc_ns(pd.Timestamp(now))
        if not self._first_ns <= ns < self._last_ns:
            raise CalendarRangeError(
                f"calendar {self.name} knows {self.start} to {self.end}; {now} lies outside: widen its range"
            )
        return ns

    def is_session_open(self, now: dt.datetime) -> bool:
        """Say whether `now` lies in a session; raise `CalendarRangeError` outside the range."""
        return self.session_at(self._require_known(now)) is not None

    def next_session_open(self, now: dt.datetime) -> pd.Timestamp:
        """Return the first open after `now`; raise `CalendarRangeError` if the range holds none."""
        i = bisect_right(self._opens, self._require_known(now))
        if i == len(self._opens):
            raise CalendarRangeError(
                f"calendar {self.name} ends on {self.end} and knows no session opening after {now}: "
                "widen its range"
            )
        return timestamp(self._opens[i])

    def session_at(self, ns: int) -> Session | None:
        """Return the session that is open at `ns`, or None."""
        i = bisect_right(self._opens, ns) - 1
        return self._session(i) if i >= 0 and ns < self._closes[i] else None

    def session_closing_after(self, ns: int) -> Session | None:
        """Return the first session that closes after `ns`; None before and past the range."""
        if ns < self._first_ns:
            return None
        i = bisect_right(self._closes, ns)
        return self._session(i) if i < len(self._closes) else None

    def session_on(self, date: dt.date) -> Session | None:
        """Return the session of an exchange date, or None."""
        i = self._index.get(date)
        return None if i is None else self._session(i)

    def sessions(self, first: dt.date, last: dt.date) -> list[Session]:
        """Return the sessions with ``first <= date <= last``."""
        low, high = bisect_left(self.dates, first), bisect_right(self.dates, last)
        return [self._session(i) for i in range(low, high)]

    def midnight_ns(self, date: dt.date) -> int:
        """Return the moment at which a date begins at the exchange, in UTC nanoseconds."""
        return utc_ns(pd.Timestamp(date).tz_localize(self.tz))

    def is_bar_in_session(self, start_ns: int, end_ns: int) -> bool:
        """Say whether a bar lies wholly inside one session."""
        i = bisect_right(self._opens, start_ns) - 1
        return i >= 0 and start_ns < end_ns <= self._closes[i]


def _sessions(
    name: str, start: dt.date, end: dt.date
) -> tuple[tuple[dt.date, ...], Int64Array, Int64Array, tuple[Int64Array, Int64Array], dt.tzinfo]:
    import exchange_calendars  # noqa: PLC0415  heavy, and only needed where a calendar is built
    from exchange_calendars.errors import InvalidCalendarName, NoSessionsError  # noqa: PLC0415

    known = exchange_calendars.get_calendar_names()
    if name not in known:
        near = difflib.get_close_matches(name.upper(), known, n=1, cutoff=0.4)
        hint = f"; did you mean {near[0]}?" if near else ""
        raise CalendarError(f"calendar {name!r} is not known{hint}")
    refusals: list[Exception] = []
    calendar = None
    # Where the records of an exchange begin or end within the padding, it is built without.
    for before, after in ((_PADDING, _PADDING), (_PADDING, _NONE), (_NONE, _PADDING), (_NONE, _NONE)):
        try:
            with warnings.catch_warnings():
                # The library uses a pandas call that pandas 3 deprecates; the caller can do nothing about it.
                warnings.simplefilter("ignore", DeprecationWarning)
                calendar = exchange_calendars.get_calendar(name, start=start - before, end=end + after)
            break
        except (InvalidCalendarName, NoSessionsError, ValueError, NotImplementedError) as error:
            refusals.append(error)
    if calendar is None:
        reason = " ".join(str(refusals[-1]).split()).rstrip(".")
        raise CalendarRecordsError(
            f"calendar {name} cannot be built for {start} to {end}: {reason}; leave out what lies beyond, "
            "or name another exchange"
        ) from refusals[-1]
    days = calendar.sessions
    keep = (days >= pd.Timestamp(start)) & (days <= pd.Timestamp(end))
    opens = np.ascontiguousarray(calendar.opens_nanos[keep], dtype=np.int64)
    closes = np.ascontiguousarray(calendar.closes_nanos[keep], dtype=np.int64)
    begins, ends = (
        np.where(of[keep] == pd.NaT.value, closes, of[keep])
        for of in (calendar.break_starts_nanos, calendar.break_ends_nanos)
    )
    return tuple(day.date() for day in days[keep]), opens, closes, (begins, ends), calendar.tz
