"""The aggregates of bars as continuous aggregates of TimescaleDB's community edition.

Bars of the last moments, which no refresh has reached, are computed when asked for. A policy refreshes every
few minutes; its window has no lower bound, so that it takes in whatever was changed, however old it is: with
one, late data would stay out until somebody noticed. It computes a month in one transaction: left to itself
the server commits every ten bars, and years of minutes take it hours. The daily bars join bars to
`session_slots` by equality, the one join that an aggregate may have; a view puts the two parts of a session
over midnight UTC together.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import OperationalError

from data.schema.aggregates import DAILY, DAILY_PARTS, DAY_NS, DERIVED, LEVELS, Span, forget
from data.schema.edition import ask

_DAY_SECONDS = 86_400
_DAY_MINUTES = 1_440
_BATCH_DAYS = 30
"""Days of one transaction of a refresh."""
_LOCK_NOT_AVAILABLE = "55P03"
_PATIENCE_S = 600
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
_SESSIONS = """CREATE OR REPLACE VIEW {name} AS
    SELECT s.symbol, e.opens_at AS ts, e.closes_at AS ends_at, s.session_date, s.open, s.high, s.low, s.close,
           s.volume, s.bars
    FROM {parts} s
    JOIN exchange_sessions e ON e.calendar = s.calendar AND e.session_date = s.session_date
        AND s.ts <= e.opens_at AND e.closes_at <= s.ts + INTERVAL '24 hours'
    UNION ALL
    SELECT s.symbol, e.opens_at, e.closes_at, s.session_date, {folded}, sum(s.bars)::bigint AS bars
    FROM {parts} s
    JOIN exchange_sessions e ON e.calendar = s.calendar AND e.session_date = s.session_date
        AND e.closes_at > time_bucket(INTERVAL '1 day', e.opens_at) + INTERVAL '24 hours'
    GROUP BY s.symbol, e.opens_at, e.closes_at, s.session_date"""
"""A session within one day of UTC has one part; to group those too would take longer than to read them."""

_JOBS = """FROM timescaledb_information.jobs j JOIN timescaledb_information.continuous_aggregates a
    ON j.hypertable_name IN (a.view_name, a.materialization_hypertable_name)
    WHERE a.view_name = :name AND a.view_schema = current_schema()
    AND j.proc_name = 'policy_refresh_continuous_aggregate'"""


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
            _policy(connection, level.name, level.minutes, f"{level.minutes} minutes")
        if DAILY_PARTS not in kinds:
            connection.execute(text(_PARTS.format(name=DAILY_PARTS, folded=_FOLDED)))
        _policy(connection, DAILY_PARTS, _DAY_MINUTES, "1 hour")
        connection.execute(text(_SESSIONS.format(name=DAILY, folded=_FOLDED, parts=DAILY_PARTS)))


def _policy(connection: Connection, name: str, minutes: int, every: str) -> None:
    """Refresh everything that was changed, however old: a window with a lower bound would leave it stale.

    A policy that an earlier version, or somebody else, has made otherwise is set right: the server would
    refuse a second one.
    """
    wanted: dict[str, object] = {"start_offset": None}
    if _takes(connection, "add_continuous_aggregate_policy", "buckets_per_batch"):
        wanted["buckets_per_batch"] = _batch(minutes)
    places = {"name": name, "wanted": json.dumps(wanted)}
    if not connection.scalar(text(f"SELECT count(*) {_JOBS}"), {"name": name}):
        connection.execute(
            text(
                f"SELECT add_continuous_aggregate_policy('{name}', start_offset => NULL, "
                f"end_offset => INTERVAL '{minutes} minutes', schedule_interval => INTERVAL '{every}')"
            )
        )
    connection.execute(
        text(
            f"SELECT alter_job(j.job_id, config => j.config || CAST(:wanted AS jsonb)) {_JOBS} "
            "AND NOT j.config @> CAST(:wanted AS jsonb)"
        ),
        places,
    )


def _batch(minutes: int) -> int:
    """Return how many buckets of so many minutes a refresh computes in one transaction."""
    return _BATCH_DAYS * _DAY_MINUTES // minutes


def _takes(connection: Connection, function: str, argument: str) -> bool:
    """Return whether this version's function has an argument: earlier ones refresh all in one go."""
    query = text("SELECT bool_or(:argument = ANY(proargnames)) FROM pg_proc WHERE proname = :function")
    return bool(connection.scalar(query, {"function": function, "argument": argument}))


def refresh_continuous(engine: Engine, noted: Mapping[int, Span]) -> bool:
    """Refresh what was noted, if this user owns the aggregates; else leave the notes to the owner.

    The server does not follow changes of sessions: the days of the noted spans are computed anew by force.
    Notes are taken away when the aggregates hold their spans: a refresh that fails leaves all of them.
    """
    if not noted:
        return True
    spans = [(span.first_ns // DAY_NS, span.last_ns // DAY_NS) for span in noted.values()]
    owns = text(
        "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class WHERE oid = to_regclass('bars_5m')"
    )
    with autocommit(engine) as connection:
        if not connection.scalar(owns):
            return False
        for low, high in _windows(spans):
            _refresh(connection, low * _DAY_SECONDS, high * _DAY_SECONDS)
    with engine.begin() as connection:
        forget(connection, noted)
    return True


def _windows(spans: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Join spans of days within a batch of each other; each window is whole days, with one around it."""
    windows: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if windows and first <= windows[-1][1] + _BATCH_DAYS:
            windows[-1] = (windows[-1][0], max(windows[-1][1], last + 2))
        else:
            windows.append((first - 1, last + 2))
    return windows


def _refresh(connection: Connection, low: int, high: int) -> None:
    """Refresh every aggregate from one second to another, but for the bucket that is not over yet.

    The server computes that one when asked, unless a refresh has been there: then what comes after it would
    stay out until the next.
    """
    in_batches = _takes(connection, "refresh_continuous_aggregate", "options")
    now = int(connection.scalar(text("SELECT extract(epoch FROM now())::bigint")) or 0)
    for name, minutes in (*((level.name, level.minutes) for level in LEVELS), (DAILY_PARTS, _DAY_MINUTES)):
        end = min(high, now - now % (minutes * 60))
        if end <= low:
            continue
        force = ", force => true" if name == DAILY_PARTS else ""
        batch = json.dumps({"buckets_per_batch": _batch(minutes)})
        batches = f", options => '{batch}'" if in_batches else ""
        window = f"to_timestamp({low}), to_timestamp({end})"
        _patiently(connection, f"CALL refresh_continuous_aggregate('{name}', {window}{force}{batches})")


def _patiently(connection: Connection, statement: str) -> None:
    """Execute a refresh, waiting for one of a policy: where they meet, newer versions refuse the second."""
    for turn in range(_PATIENCE_S):
        try:
            connection.exec_driver_sql(statement)
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != _LOCK_NOT_AVAILABLE or turn == _PATIENCE_S - 1:
                raise
            connection.exec_driver_sql("SELECT pg_sleep(1)")
        else:
            return


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
