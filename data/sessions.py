"""Sessions of exchanges as tables, so that a server can cut daily bars by them.

`ensure_sessions` writes what `data.calendars` says of a range of days and takes back what it said before: a
holiday that was announced late changes the daily bars of that day.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from data.calendars import ExchangeClock
from data.errors import CalendarError
from data.schema import ExchangeSessionRow, SessionSlotRow
from data.schema.aggregates import MINUTE_NS, SLOT_MINUTES
from execution.clocks import timestamp

_SLOT_NS = SLOT_MINUTES * MINUTE_NS
Row = dict[str, Any]


def ensure_sessions(
    connection: Connection, calendar: str, start: dt.date, end: dt.date
) -> tuple[int, int] | None:
    """Write the sessions of a calendar from `start` to `end`, both included.

    Returns
    -------
    tuple or None
        UTC nanoseconds from the first open to the last close of the sessions that are new, changed or gone;
        None if there are none.

    Raises
    ------
    CalendarError
        If there is no such calendar, or a session does not begin and end at a multiple of five minutes.
    """
    clock = ExchangeClock(calendar, start, end)
    sessions = [
        {"calendar": calendar, "session_date": day, "opens_at": opens, "closes_at": closes}
        for day, opens, closes in zip(
            clock.dates, clock.opens_ns.tolist(), clock.closes_ns.tolist(), strict=True
        )
        if start <= day <= end
    ]
    for session in sessions:
        if session["opens_at"] % _SLOT_NS or session["closes_at"] % _SLOT_NS:
            raise CalendarError(
                f"calendar {calendar}: the session of {session['session_date']} does not begin and end at a "
                f"multiple of {SLOT_MINUTES} minutes: no daily bars can be made of it; give its instruments "
                "another calendar: trade db import-instruments"
            )
    table = ExchangeSessionRow
    within = (table.calendar == calendar) & (table.session_date >= start) & (table.session_date <= end)
    stored = connection.execute(select(table.session_date, table.opens_at, table.closes_at).where(within))
    before = {(day, opens.value, closes.value) for day, opens, closes in stored}
    after = {(row["session_date"], row["opens_at"], row["closes_at"]) for row in sessions}
    if before == after:
        return None
    slots = SessionSlotRow
    connection.execute(delete(table).where(within))
    connection.execute(
        delete(slots).where(
            slots.calendar == calendar, slots.session_date >= start, slots.session_date <= end
        )
    )
    if sessions:
        connection.execute(insert(table), sessions)
        connection.execute(insert(slots), [slot for session in sessions for slot in _slots(session)])
    moved = before ^ after
    return min(opens for _, opens, _ in moved), max(closes for _, _, closes in moved)


def session_range(first_ns: int, last_ns: int) -> tuple[dt.date, dt.date]:
    """Return the exchange dates that moments may belong to, wherever on earth the exchange is."""
    one = dt.timedelta(days=1)
    return timestamp(first_ns).date() - one, timestamp(last_ns).date() + one


def _slots(session: Row) -> list[Row]:
    return [
        {"calendar": session["calendar"], "ts": ns, "session_date": session["session_date"]}
        for ns in range(session["opens_at"], session["closes_at"], _SLOT_NS)
    ]
