"""The aggregates of bars as continuous aggregates of TimescaleDB's community edition.

Bars of the last moments, which no refresh has reached, are computed when asked for. A policy refreshes every
few minutes; its window has no lower bound, so that it takes in whatever was changed, however old it is: with
one, late data would stay out until somebody noticed. The daily bars join bars to `session_slots` by equality,
the one join that an aggregate may have; a view puts the two parts of a session over midnight UTC together.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from data.schema.aggregates import DAILY, DAILY_PARTS, DAY_NS, DERIVED, LEVELS, take_changes
from data.schema.edition import ask

_DAY_SECONDS = 86_400
_NOUNS = {"r": "TABLE", "p": "TABLE", "v": "VIEW", "c": "MATERIALIZED VIEW"}
_FOLDED = """first(s.open, s.ts) AS open, max(s.high) AS high, min(s.low) AS low,
    last(s.close, s.ts) AS close, sum(s.volume) AS volume"""
_LEVEL = """CREATE MATERIALIZED VIEW {name}
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT s.symbol, time_bucket(INTERVAL '{minutes} minutes', s.ts) AS ts, {folded}, {count} AS bars
    FROM {source} s GROUP BY 1, 2 WITH NO DATA"""
_PARTS = """CREATE MATERIALIZED VIEW {name}
    WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS
    SELECT s.symbol, time_bucket(INTERVAL '1 day', s.ts) AS ts, k.calendar, k.session_date, {folded},
           sum(s.bars)::bigint AS bars
    FROM bars_5m s
    JOIN instruments i ON i.symbol = s.symbol
    JOIN session_slots k ON k.calendar = i.calendar AND k.ts = s.ts
    GROUP BY 1, 2, 3, 4 WITH NO DATA"""
_SESSIONS = """CREATE VIEW {name} AS
    SELECT s.symbol, e.opens_at AS ts, e.closes_at AS ends_at, s.session_date, {folded},
           sum(s.bars)::bigint AS bars
    FROM {parts} s
    JOIN exchange_sessions e ON e.calendar = s.calendar AND e.session_date = s.session_date
    GROUP BY s.symbol, e.opens_at, e.closes_at, s.session_date"""


def create_continuous(engine: Engine) -> None:
    """Make the continuous aggregates that are missing, one after the other."""
    with autocommit(engine) as connection:
        kinds = kinds_of(connection)
        for level in LEVELS:
            count = "count(*)" if level.source == "bars_1m" else "sum(s.bars)::bigint"
            if level.name not in kinds:
                ddl = _LEVEL.format(
                    name=level.name, minutes=level.minutes, folded=_FOLDED, count=count, source=level.source
                )
                connection.execute(text(ddl))
            _policy(connection, level.name, f"{level.minutes} minutes", f"{level.minutes} minutes")
        if DAILY_PARTS not in kinds:
            connection.execute(text(_PARTS.format(name=DAILY_PARTS, folded=_FOLDED)))
        _policy(connection, DAILY_PARTS, "1 day", "1 hour")
        if DAILY not in kinds:
            connection.execute(text(_SESSIONS.format(name=DAILY, folded=_FOLDED, parts=DAILY_PARTS)))


def _policy(connection: Connection, name: str, end: str, every: str) -> None:
    """Refresh everything that was changed, however old: a window with a lower bound would leave it stale."""
    connection.execute(
        text(
            f"SELECT add_continuous_aggregate_policy('{name}', start_offset => NULL, "
            f"end_offset => INTERVAL '{end}', schedule_interval => INTERVAL '{every}', if_not_exists => true)"
        )
    )


def refresh_continuous(engine: Engine) -> int:
    """Refresh what was changed, if this user owns the aggregates; else leave the notes to the owner.

    The server does not follow changes of sessions: the days of the noted spans are computed anew by force.
    """
    with engine.begin() as connection:
        owned = connection.scalar(
            text(
                "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class "
                "WHERE oid = to_regclass('bars_5m')"
            )
        )
        taken = take_changes(connection) if owned else []
    if not taken:
        return 0
    low = (min(span.first_ns for span in taken) // DAY_NS - 1) * _DAY_SECONDS
    high = (max(span.last_ns for span in taken) // DAY_NS + 2) * _DAY_SECONDS
    with autocommit(engine) as connection:
        for name in (*(level.name for level in LEVELS), DAILY_PARTS):
            force = ", force => true" if name == DAILY_PARTS else ""
            connection.execute(
                text(
                    f"CALL refresh_continuous_aggregate('{name}', to_timestamp({low}), "
                    f"to_timestamp({high}){force})"
                )
            )
    return len(taken)


def remove_derived(engine: Engine) -> None:
    """Remove the aggregates of any kind; they can be made again from the minutes at any time."""
    with autocommit(engine) as connection:
        kinds = kinds_of(connection)
        for name in (DAILY, DAILY_PARTS, *(level.name for level in reversed(LEVELS))):
            if name in kinds:
                connection.execute(text(f"DROP {_NOUNS[kinds[name]]} {name}"))


@contextmanager
def autocommit(engine: Engine) -> Iterator[Connection]:
    """Open a connection without a transaction: the DDL of continuous aggregates stands in none."""
    with engine.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


def kinds_of(connection: Connection) -> dict[str, str]:
    """Return the kind of each derived object that exists: ``r`` a table, ``v`` a view, ``c`` continuous."""
    names = ", ".join(f"'{name}'" for name in DERIVED)
    if connection.dialect.name == "sqlite":
        query = f"SELECT name, 'r' FROM sqlite_master WHERE type = 'table' AND name IN ({names})"  # noqa: S608  # our names
        return {row[0]: row[1] for row in connection.execute(text(query))}
    query = (
        "SELECT relname, relkind::text FROM pg_class WHERE relnamespace = "  # noqa: S608  # our names
        f"(SELECT oid FROM pg_namespace WHERE nspname = current_schema()) AND relname IN ({names})"
    )
    kinds = {row[0]: row[1] for row in connection.execute(text(query))}
    if ask(connection).timescale is not None:
        found = connection.execute(
            text(
                "SELECT view_name FROM timescaledb_information.continuous_aggregates "
                "WHERE view_schema = current_schema()"
            )
        )
        kinds |= {row[0]: "c" for row in found if row[0] in kinds}
    return kinds
