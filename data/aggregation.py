"""Bring the aggregates of bars up to date, sessions of the exchanges included.

1. Take up the changes noted until now; what is noted later is left to the next refresh.
2. Look up which calendars the changed symbols trade by, and write the sessions of the changed days.
3. Where sessions are not what they were, every symbol of that calendar with minutes there counts as changed.
4. Compute the changed spans anew: here, or by the server where it keeps continuous aggregates.
5. Remove rows past their age where the server has no policy for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy import Connection, column, exists, func, select, table, text

from data.database import Database
from data.schema import InstrumentRow, MinuteBarRow, aggregates
from data.schema.aggregates import MINUTE_NS, Span
from data.schema.continuous import refresh_continuous
from data.schema.edition import ask
from data.schema.retention import remove_expired
from data.schema.types import UtcTime
from data.sessions import ensure_sessions, session_range


@dataclass(frozen=True, slots=True)
class Refreshed:
    """What a refresh did.

    Attributes
    ----------
    changes
        Noted changes that the aggregates now hold.
    without_calendar
        Changed symbols that have no row in ``instruments``: they have no daily bars.
    removed
        Rows (on TimescaleDB chunks) removed past their age, by table.
    """

    changes: int
    without_calendar: tuple[str, ...] = ()
    removed: dict[str, int] = field(default_factory=dict)


def refresh(
    database: Database,
    now: pd.Timestamp | None = None,
    progress: Callable[[Span], None] = lambda _span: None,
) -> Refreshed:
    """Bring the aggregates up to every change noted until now.

    Parameters
    ----------
    database
        A migrated database.
    now
        With it, rows past their retention are removed as well.
    progress
        Told each span when its aggregates are made; a server that keeps continuous aggregates tells of none.

    Raises
    ------
    CalendarError
        If an instrument names a calendar that does not exist or cannot be cut into slots.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    with database.connection() as connection:
        edition = ask(connection)
        noted = aggregates.changes(connection)
        count = len(noted)
        moved, orphans = _prepare(connection, list(noted.values()))
        if edition.is_community:
            noted |= aggregates.mark_changed(connection, moved)
        else:
            aggregates.remake(connection, [*noted.values(), *moved], progress)
            aggregates.forget(connection, noted)
        removed = {} if now is None else remove_expired(connection, now)
    if edition.is_community:
        with database.explained():
            count = count if refresh_continuous(database.engine, noted) else 0
    return Refreshed(count, orphans, removed)


def mark_everything(database: Database) -> None:
    """Note every minute that is stored or aggregated as changed: the next refresh computes all of it anew.

    Aggregates of minutes that are gone go too.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    with database.connection() as connection:
        aggregates.note_everything(connection)
        aggregates.mark_changed(connection, _aggregated(connection))


def _aggregated(connection: Connection) -> list[Span]:
    held = table(aggregates.LEVELS[0].name, column("symbol"), column("ts", UtcTime))
    query = select(held.c.symbol, func.min(held.c.ts), func.max(held.c.ts)).group_by(held.c.symbol)
    last = aggregates.LEVELS[0].width_ns - MINUTE_NS
    return [Span(name, low.value, high.value + last) for name, low, high in connection.execute(query)]


def _prepare(connection: Connection, noted: Sequence[Span]) -> tuple[list[Span], tuple[str, ...]]:
    """Write the sessions of changed spans; return what they change beyond those, and who has no calendar."""
    if not noted:
        return [], ()
    found = connection.execute(text("SELECT symbol, calendar FROM instruments"))
    calendars = {row[0]: row[1] for row in found}
    orphans = tuple(sorted({span.symbol for span in noted} - calendars.keys()))
    moved: list[Span] = []
    for calendar in sorted({calendars[s.symbol] for s in noted if s.symbol in calendars}):
        own = [span for span in noted if calendars.get(span.symbol) == calendar]
        first, last = min(span.first_ns for span in own), max(span.last_ns for span in own)
        between = ensure_sessions(connection, calendar, *session_range(first, last))
        if between is not None:
            moved += _with_minutes(connection, calendar, *between)
    return moved, orphans


def _with_minutes(connection: Connection, calendar: str, first_ns: int, end_ns: int) -> list[Span]:
    bars, instruments = MinuteBarRow, InstrumentRow
    last_ns = end_ns - MINUTE_NS
    minutes = exists().where(bars.symbol == instruments.symbol, bars.ts >= first_ns, bars.ts <= last_ns)
    query = select(instruments.symbol).where(instruments.calendar == calendar, minutes)
    return [
        Span(symbol, first_ns, last_ns) for symbol in connection.scalars(query.order_by(instruments.symbol))
    ]
