"""Bars of five and fifteen minutes, an hour and a session, made from the minutes: the same on every server.

1. ``bars_5m`` is made from ``bars_1m``, ``bars_15m`` from that, ``bars_1h`` from that. A bucket begins at a
   multiple of its width in UTC; its open is that of its first bar and its close that of its last.
2. ``bars_1d`` is made from ``bars_5m`` within the sessions of the calendar that ``instruments`` names: so it
   knows half days and daylight saving and leaves out what traded outside of the session. Its ``ts`` is the
   session's open. It is not made from hours, since no session of New York begins on one.
3. On TimescaleDB's community edition these are continuous aggregates (`data.schema.continuous`).
4. Elsewhere they are tables. Whoever writes bars notes the span in ``bar_changes`` in the same transaction
   (`mark_changed`); a refresh computes the spans anew and takes the notes away, in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, false, func, insert, select, text

from data.schema.edition import Edition
from data.schema.market import BarChangeRow, MinuteBarRow
from data.schema.types import MICROSECOND
from execution.clocks import NANOS

MINUTE_NS = 60 * NANOS
SLOT_MINUTES = 5


@dataclass(frozen=True, slots=True)
class Level:
    """One size of bars and what it is made from."""

    name: str
    source: str
    minutes: int

    @property
    def width_ns(self) -> int:
        """Length of a bucket."""
        return self.minutes * MINUTE_NS


LEVELS = (Level("bars_5m", "bars_1m", 5), Level("bars_15m", "bars_5m", 15), Level("bars_1h", "bars_15m", 60))
DAILY = "bars_1d"
DAILY_PARTS = "bars_1d_parts"
"""On the community edition: sessions cut at midnight UTC, which the view `DAILY` puts together."""

DERIVED = (*(level.name for level in LEVELS), DAILY, DAILY_PARTS)
"""Names that the migrations do not know: they are made and unmade here."""

DAY_NS = 24 * 60 * MINUTE_NS


@dataclass(frozen=True, slots=True)
class Span:
    """Minutes of one symbol that were written: starts of the first and last, UTC nanoseconds."""

    symbol: str
    first_ns: int
    last_ns: int


def mark_changed(connection: Connection, spans: Iterable[Span]) -> dict[int, Span]:
    """Note spans of bars that this transaction writes, for the aggregates to follow; return their numbers."""
    noted = list(spans)
    if not noted:
        return {}
    rows = [{"symbol": s.symbol, "first_ts": s.first_ns, "last_ts": s.last_ns} for s in noted]
    query = insert(BarChangeRow).returning(BarChangeRow.change_id, sort_by_parameter_order=True)
    return dict(zip(connection.scalars(query, rows), noted, strict=True))


def note_everything(connection: Connection) -> None:
    """Note every minute as changed, in this transaction and in place of what was noted before."""
    connection.execute(
        delete(BarChangeRow)
    )  # before the look at the minutes: what comes meanwhile stays noted
    bars = MinuteBarRow
    query = select(bars.symbol, func.min(bars.ts), func.max(bars.ts)).group_by(bars.symbol)
    spans = [Span(symbol, low.value, high.value) for symbol, low, high in connection.execute(query)]
    mark_changed(connection, spans)


def changes(connection: Connection) -> dict[int, Span]:
    """Return the noted changes by number, waiting for another refresh that is taking them up."""
    table = BarChangeRow
    if connection.dialect.name == "sqlite":  # which has no locks of rows, but one writer at a time
        connection.execute(delete(table).where(false()))
    query = select(table.change_id, table.symbol, table.first_ts, table.last_ts)
    found = connection.execute(query.order_by(table.change_id).with_for_update())
    return {number: Span(symbol, first.value, last.value) for number, symbol, first, last in found}


def forget(connection: Connection, numbers: Iterable[int]) -> None:
    """Take notes away that the aggregates hold."""
    rows = [{"done": number} for number in numbers]
    if rows:
        connection.execute(delete(BarChangeRow).where(BarChangeRow.change_id == bindparam("done")), rows)


def remake(
    connection: Connection, spans: Iterable[Span], progress: Callable[[Span], None] = lambda _span: None
) -> None:
    """Compute the aggregates of spans anew, in this transaction."""
    merged = merge(spans)
    if merged and connection.dialect.name != "sqlite":
        # Right after a load the server has no statistics, believes the tables empty, and would try every bar
        # with every slot. For this transaction only; a hash join is right at any size.
        connection.execute(text("SET LOCAL enable_nestloop = off"))
    for span in merged:
        for level in LEVELS:
            _remake(connection, level, span)
        _remake_sessions(connection, span)
        progress(span)


def create_tables(connection: Connection, edition: Edition) -> None:
    """Make the tables of the aggregates where they are missing."""
    lite = edition.dialect == "sqlite"
    moment, double = ("BIGINT", "DOUBLE") if lite else ("TIMESTAMPTZ", "DOUBLE PRECISION")
    key = f"symbol VARCHAR(32) NOT NULL, ts {moment} NOT NULL"
    values = ", ".join(f"{name} {double} NOT NULL" for name in ("open", "high", "low", "close", "volume"))
    end = f"{values}, bars BIGINT NOT NULL, PRIMARY KEY (symbol, ts)"
    for level in LEVELS:
        connection.execute(text(f"CREATE TABLE IF NOT EXISTS {level.name} ({key}, {end})"))
    session = f"ends_at {moment} NOT NULL, session_date DATE NOT NULL"
    connection.execute(text(f"CREATE TABLE IF NOT EXISTS {DAILY} ({key}, {session}, {end})"))
    if edition.has_hypertables:
        for name, chunk in (*((level.name, "3 months") for level in LEVELS), (DAILY, "5 years")):
            connection.execute(
                text(
                    f"SELECT create_hypertable('{name}', by_range('ts', INTERVAL '{chunk}'), "
                    "create_default_indexes => false, if_not_exists => true, migrate_data => true)"
                )
            )


def merge(spans: Iterable[Span]) -> list[Span]:
    """Join the spans of a symbol that lie within a day of each other."""
    merged: list[Span] = []
    for span in sorted(spans, key=lambda s: (s.symbol, s.first_ns)):
        last = merged[-1] if merged else None
        if last is not None and last.symbol == span.symbol and span.first_ns <= last.last_ns + DAY_NS:
            merged[-1] = Span(span.symbol, last.first_ns, max(last.last_ns, span.last_ns))
        else:
            merged.append(span)
    return merged


_FOLDED = """
    SELECT s.symbol, {bucket} AS ts, {first}, max(s.high) AS high, min(s.low) AS low, {last},
           sum(s.volume) AS volume, {count} AS bars
    FROM {source} s WHERE s.symbol = :symbol AND s.ts >= {low} AND s.ts < {high}
    GROUP BY s.symbol, {bucket}
"""
_FIRST = "(array_agg(s.open ORDER BY s.ts))[1] AS open"
_LAST = "(array_agg(s.close ORDER BY s.ts DESC))[1] AS close"
_FOLDED_LITE = """
    SELECT b.symbol, b.ts, o.open, b.high, b.low, c.close, b.volume, b.bars
    FROM (SELECT s.symbol, {bucket} AS ts, min(s.ts) AS first_ts, max(s.ts) AS last_ts, max(s.high) AS high,
                 min(s.low) AS low, sum(s.volume) AS volume, {count} AS bars
          FROM {source} s WHERE s.symbol = :symbol AND s.ts >= {low} AND s.ts < {high}
          GROUP BY s.symbol, {bucket}) b
    JOIN {source} o ON o.symbol = b.symbol AND o.ts = b.first_ts
    JOIN {source} c ON c.symbol = b.symbol AND c.ts = b.last_ts
"""
"""SQLite has no aggregate that keeps an order: the first and last bar of a bucket are looked up."""


def _remake(connection: Connection, level: Level, span: Span) -> None:
    lite = connection.dialect.name == "sqlite"
    low = span.first_ns // level.width_ns * level.width_ns
    high = (span.last_ns // level.width_ns + 1) * level.width_ns
    bucket = (
        f"s.ts / {level.width_ns} * {level.width_ns}"
        if lite
        else f"date_bin('{level.minutes} minutes', s.ts, TIMESTAMPTZ '1970-01-01 00:00:00+00')"
    )
    place = "{}" if lite else "to_timestamp({} / 1000000.0)"
    low_text, high_text = place.format(":low"), place.format(":high")
    values = {"symbol": span.symbol, "low": _unit(low, lite), "high": _unit(high, lite)}
    within = f"symbol = :symbol AND ts >= {low_text} AND ts < {high_text}"
    connection.execute(text(f"DELETE FROM {level.name} WHERE {within}"), values)  # noqa: S608  # names of ours
    rows = (_FOLDED_LITE if lite else _FOLDED).format(
        bucket=bucket,
        first=_FIRST,
        last=_LAST,
        count="count(*)" if level.source == "bars_1m" else "sum(s.bars)",
        source=level.source,
        low=low_text,
        high=high_text,
    )
    columns = "symbol, ts, open, high, low, close, volume, bars"
    connection.execute(text(f"INSERT INTO {level.name} ({columns}) {rows}"), values)


_SESSIONS = """
    SELECT b.symbol, e.opens_at, e.closes_at, b.session_date, b.open, b.high, b.low, b.close, b.volume, b.bars
    FROM (SELECT s.symbol, k.calendar, k.session_date, {first}, max(s.high) AS high, min(s.low) AS low,
                 {last}, sum(s.volume) AS volume, sum(s.bars) AS bars
          FROM bars_5m s
          JOIN session_slots k ON k.ts = s.ts AND k.calendar = (
              SELECT i.calendar FROM instruments i WHERE i.symbol = :symbol)
          WHERE s.symbol = :symbol
                AND s.ts >= {low} - {day} AND s.ts <= {high} + {day}
                AND k.ts >= {low} - {day} AND k.ts <= {high} + {day}
          GROUP BY s.symbol, k.calendar, k.session_date) b
    JOIN exchange_sessions e ON e.calendar = b.calendar AND e.session_date = b.session_date
    WHERE e.closes_at > {low} AND e.opens_at <= {high}
"""
"""Joined by equality on slots: a comparison of ranges would try every bar with every session."""

_SESSIONS_LITE = """
    SELECT b.symbol, b.opens_at, b.closes_at, b.session_date, o.open, b.high, b.low, c.close, b.volume, b.bars
    FROM (SELECT s.symbol, e.opens_at, e.closes_at, e.session_date, min(s.ts) AS first_ts,
                 max(s.ts) AS last_ts, max(s.high) AS high, min(s.low) AS low, sum(s.volume) AS volume,
                 sum(s.bars) AS bars
          FROM instruments i
          JOIN exchange_sessions e ON e.calendar = i.calendar
          JOIN bars_5m s ON s.symbol = i.symbol AND s.ts >= e.opens_at AND s.ts < e.closes_at
          WHERE i.symbol = :symbol AND e.closes_at > {low} AND e.opens_at <= {high}
          GROUP BY s.symbol, e.opens_at, e.closes_at, e.session_date) b
    JOIN bars_5m o ON o.symbol = b.symbol AND o.ts = b.first_ts
    JOIN bars_5m c ON c.symbol = b.symbol AND c.ts = b.last_ts
"""


def _remake_sessions(connection: Connection, span: Span) -> None:
    lite = connection.dialect.name == "sqlite"
    place = "{}" if lite else "to_timestamp({} / 1000000.0)"
    low, high = place.format(":low"), place.format(":high")
    values = {
        "symbol": span.symbol,
        "low": _unit(span.first_ns, lite),
        "high": _unit(span.last_ns, lite),
    }
    within = f"symbol = :symbol AND ends_at > {low} AND ts <= {high}"
    connection.execute(text(f"DELETE FROM {DAILY} WHERE {within}"), values)  # noqa: S608  # names of ours
    columns = "symbol, ts, ends_at, session_date, open, high, low, close, volume, bars"
    rows = (_SESSIONS_LITE if lite else _SESSIONS).format(
        low=low, high=high, first=_FIRST, last=_LAST, day="INTERVAL '1 day'"
    )
    connection.execute(text(f"INSERT INTO {DAILY} ({columns}) {rows}"), values)


def _unit(ns: int, lite: bool) -> int:
    return ns if lite else ns // MICROSECOND
