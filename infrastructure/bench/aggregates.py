"""How long daily bars of minutes take on TimescaleDB, and whether they equal what numpy makes of the same.

Minutes of every session of 2023 (half days included) are made from a seed, loaded through the store, brought
into the aggregates as `trade db refresh` does it, and read back; every value must be equal to the last bit.
Then the daily bars are asked for from what holds them (a table or, in the community edition, an aggregate)
and, the same rows, from the raw minutes. Where the server can, every chunk is then compressed, and both are
asked for again and compared again.
"""

from __future__ import annotations

import datetime as dt
import statistics
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, LiteralString

import numpy as np
import pandas as pd
import psycopg

from data.aggregation import refresh
from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.database import Database
from data.reference.instruments import register
from data.schema.aggregates import MINUTE_NS
from data.stores import DatabaseBarStore
from data.testing import local_server
from execution.models import Instrument
from execution.timeframes import Timeframe
from infrastructure.bench import compression
from infrastructure.bench.bars import timed

_YEAR = (dt.date(2023, 1, 1), dt.date(2023, 12, 31))
_BATCH = 10
"""Symbols of one load."""

_KEPT = "SELECT symbol, ts, open, high, low, close, volume, bars FROM bars_1d ORDER BY symbol, ts"
_RAW = """
    SELECT s.symbol, e.opens_at, first(s.open, s.ts), max(s.high), min(s.low), last(s.close, s.ts),
           sum(s.volume), count(*)
    FROM bars_1m s
    JOIN instruments i ON i.symbol = s.symbol
    JOIN session_slots k ON k.calendar = i.calendar AND k.ts = time_bucket(INTERVAL '5 minutes', s.ts)
    JOIN exchange_sessions e ON e.calendar = k.calendar AND e.session_date = k.session_date
    GROUP BY s.symbol, e.opens_at ORDER BY s.symbol, e.opens_at
"""

Floats = np.ndarray[Any, np.dtype[np.float64]]


def measure(
    symbols: int, turns: int, tell: Callable[[str], None], programs: Path | None = None
) -> dict[str, float]:
    """Return seconds and ratios of a year of minutes of so many symbols.

    Parameters
    ----------
    symbols
        Symbols with a year of minutes each.
    turns
        Queries of which the median is taken.
    tell
        Told what is being done.
    programs
        Folder of ``initdb`` and ``postgres`` of the server to measure; None takes the Apache edition.

    Raises
    ------
    RuntimeError
        If a daily bar differs from the one that numpy computes.
    ServerNotInstalledError
        If this machine has no TimescaleDB.
    """
    clock = ExchangeClock("XNYS", *_YEAR)
    names = [f"S{number:03d}" for number in range(symbols)]
    with local_server(timescale=True, programs=programs, settings={"work_mem": "128MB"}) as server:
        database = Database(server.create_database("bench"))
        with closing(database):
            database.upgrade()
            register(database, [Instrument(name) for name in names])
            load_s, days = _load(database, names, clock, tell)
            tell("refresh")
            refresh_s = timed(lambda: refresh(database))
            with psycopg.connect(server.conninfo("bench"), autocommit=True) as connection:
                figures = _ask(connection, turns, days, names, tell)
                if compression.possible(connection):
                    tell("compress")
                    figures |= compression.compress(connection, "bars_1m")
                    again = _ask(connection, turns, days, names, tell)
                    figures |= {f"compressed_{name}": value for name, value in again.items()}
    rows = float(len(names) * int(((clock.closes_ns - clock.opens_ns) // MINUTE_NS).sum()))
    return {
        "minutes": rows,
        "daily_bars_equal_to_numpy": float(len(names) * len(clock.opens_ns)),
        "load_rows_s": rows / load_s,
        "refresh_s": refresh_s,
        "refresh_minutes_s": rows / refresh_s,
        **figures,
    }


def _ask(
    connection: psycopg.Connection[Any],
    turns: int,
    days: dict[str, list[Floats]],
    names: list[str],
    tell: Callable[[str], None],
) -> dict[str, float]:
    """Ask for the daily bars both ways, in turn; both must be numpy's.

    The times are the server's own, of planning and execution; the last figure has the rows fetched as well,
    which takes this program as long for the one as for the other.
    """
    connection.execute("VACUUM ANALYZE")
    kept, raw, kept_fetched, raw_fetched = [], [], [], []
    for turn in range(turns):
        tell(f"queries {turn} of {turns}")
        kept.append(_server_ms(connection, _KEPT))
        raw.append(_server_ms(connection, _RAW))
        kept_fetched.append(timed(lambda: connection.execute(_KEPT).fetchall()))
        raw_fetched.append(timed(lambda: connection.execute(_RAW).fetchall()))
    for query in (_KEPT, _RAW):
        _compare(connection.execute(query).fetchall(), days, names)
    return {
        "daily_from_aggregate_ms": statistics.median(kept),
        "daily_from_minutes_ms": statistics.median(raw),
        "aggregate_times_faster": statistics.median(raw) / statistics.median(kept),
        "aggregate_times_faster_fetched": statistics.median(raw_fetched) / statistics.median(kept_fetched),
    }


def _server_ms(connection: psycopg.Connection[Any], query: LiteralString) -> float:
    """Return what the server took to plan and execute a query."""
    found = connection.execute("EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) " + query).fetchone()
    assert found is not None  # noqa: S101  # a plan is one row
    (plan,) = found[0]
    return float(plan["Planning Time"]) + float(plan["Execution Time"])


def _load(
    database: Database, names: list[str], clock: ExchangeClock, tell: Callable[[str], None]
) -> tuple[float, dict[str, list[Floats]]]:
    """Load the minutes of every symbol; return the seconds and the daily bars by numpy."""
    starts = np.concatenate(
        [np.arange(a, b, MINUTE_NS) for a, b in zip(clock.opens_ns, clock.closes_ns, strict=True)]
    )
    first = np.searchsorted(starts, clock.opens_ns)
    last = np.append(first[1:], len(starts)) - 1
    chance, seconds = np.random.default_rng(7), 0.0
    days: dict[str, list[Floats]] = {}
    known_at = pd.Timestamp("2024-01-02", tz="UTC")
    with closing(DatabaseBarStore(database)) as store:
        for low in range(0, len(names), _BATCH):
            tell(f"load {low} of {len(names)} symbols")
            series = {
                name: _walk(name, starts, chance, first, last, days) for name in names[low : low + _BATCH]
            }
            seconds += timed(lambda series=series: store.write(series, known_at=known_at))  # type: ignore[misc]
    return seconds, days


def _walk(
    name: str,
    starts: np.ndarray[Any, np.dtype[np.int64]],
    chance: np.random.Generator,
    first: np.ndarray[Any, Any],
    last: np.ndarray[Any, Any],
    days: dict[str, list[Floats]],
) -> BarSeries:
    count = len(starts)
    closes = np.round(100 * np.exp(np.cumsum(chance.normal(0, 0.0006, count))), 2)
    opens = np.concatenate([[100.0], closes[:-1]])
    highs = np.maximum(opens, closes) + 0.01
    lows = np.minimum(opens, closes) - 0.01
    volume = chance.integers(100, 100_000, count).astype(np.float64)
    days[name] = [
        opens[first],
        np.maximum.reduceat(highs, first),
        np.minimum.reduceat(lows, first),
        closes[last],
        np.add.reduceat(volume, first),
        (last - first + 1).astype(np.float64),
    ]
    return BarSeries(name, Timeframe.MINUTE, starts, starts + MINUTE_NS, opens, highs, lows, closes, volume)


def _compare(rows: list[tuple[Any, ...]], days: dict[str, list[Floats]], names: list[str]) -> None:
    found = np.array([[float(value) for value in row[2:]] for row in rows])
    wanted = np.concatenate([np.column_stack(days[name]) for name in sorted(names)])
    if found.shape != wanted.shape or not np.array_equal(found, wanted):
        raise RuntimeError(f"daily bars differ from numpy's: {found.shape[0]} rows, {wanted.shape[0]} wanted")
