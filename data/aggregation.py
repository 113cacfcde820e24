"""Bring the aggregates of bars up to date, sessions of the exchanges included.

1. Look up which calendars the changed symbols trade by, and write the sessions of the changed days.
2. Where a session has changed since, every symbol of that calendar counts as changed on those days.
3. Compute the changed spans anew: here, or by the server where it keeps continuous aggregates.
4. Remove rows past their age where the server has no policy for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import pandas as pd
from sqlalchemy import Connection, column, func, select, table, text

from data.database import Database
from data.schema import MinuteBarRow, aggregates
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
        orphans = _prepare(connection)
        count = 0 if edition.is_community else aggregates.refresh(connection, progress)
        removed = {} if now is None else remove_expired(connection, now)
    if edition.is_community:
        with database.explained():
            count = refresh_continuous(database.engine)
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
        note_everything(connection)
        aggregates.mark_changed(connection, _aggregated(connection))


def note_everything(connection: Connection) -> None:
    """Note every minute as changed, in this transaction and in place of what was noted before."""
    bars = MinuteBarRow
    query = select(bars.symbol, func.min(bars.ts), func.max(bars.ts)).group_by(bars.symbol)
    spans = [Span(symbol, low.value, high.value) for symbol, low, high in connection.execute(query)]
    aggregates.take_changes(connection)
    aggregates.mark_changed(connection, spans)


def _aggregated(connection: Connection) -> list[Span]:
    held = table(aggregates.LEVELS[0].name, column("symbol"), column("ts", UtcTime))
    query = select(held.c.symbol, func.min(held.c.ts), func.max(held.c.ts)).group_by(held.c.symbol)
    last = aggregates.LEVELS[0].width_ns - MINUTE_NS
    return [Span(name, low.value, high.value + last) for name, low, high in connection.execute(query)]


def _prepare(connection: Connection) -> tuple[str, ...]:
    spans = aggregates.merge(aggregates.changes(connection))
    if not spans:
        return ()
    found = connection.execute(text("SELECT symbol, calendar FROM instruments"))
    calendars = {row[0]: row[1] for row in found}
    orphans = tuple(sorted({span.symbol for span in spans} - calendars.keys()))
    for calendar in sorted({calendars[s.symbol] for s in spans if s.symbol in calendars}):
        own = [span for span in spans if calendars.get(span.symbol) == calendar]
        first, last = min(span.first_ns for span in own), max(span.last_ns for span in own)
        if ensure_sessions(connection, calendar, *session_range(first, last)):
            members = [symbol for symbol, name in calendars.items() if name == calendar]
            aggregates.mark_changed(
                connection, [Span(symbol, first, last + MINUTE_NS) for symbol in sorted(members)]
            )
    return orphans
