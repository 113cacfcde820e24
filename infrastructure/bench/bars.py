"""How fast bars are stored and read, each against the same work done bare, in one run.

A machine that others use too is fast one second and slow the next: every figure is a ratio of two operations
that were timed in turn, the median of several turns. Bars are made from a seed: random walks in cents,
minutes of the regular session.
"""

from __future__ import annotations

import gc
import shutil
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
from adbc_driver_postgresql import dbapi

from data.bars import BarSeries
from data.database import Database
from data.files import load_bars
from data.stores import BarStore, DatabaseBarStore, ParquetBarStore
from data.stores.checked import checked_rows
from data.stores.copy_binary import encoded
from data.stores.rows import UTC
from data.testing import LocalServer, local_server
from execution.clocks import NANOS
from execution.timeframes import Timeframe

MINUTE, DAY = Timeframe.MINUTE, Timeframe.DAY
KNOWN_AT = pd.Timestamp("2024-06-01", tz="UTC")
_SESSION = 390
_COLUMNS = "symbol, ts, open, high, low, close, volume, known_at"
_COPY = f"COPY bars_1m ({_COLUMNS}) FROM STDIN (FORMAT BINARY)"
_INSERT = "INSERT INTO bars_1m VALUES (%s, %s, %s, %s, %s, %s, %s, %s)"

Tell = Callable[[str], None]


def minutes(rows: int, symbols: int = 20) -> pa.Table:
    """Return `rows` one-minute bars, the same number of each symbol, from 2023-01-02."""
    count, chance = rows // symbols, np.random.default_rng(7)
    days = np.datetime64("2023-01-02T14:30") + np.arange(count // _SESSION + 1).astype("timedelta64[D]")
    days = days[np.is_busday(days.astype("datetime64[D]"))] if count > _SESSION else days
    while len(days) * _SESSION < count:
        more = days[-1] + np.arange(1, len(days) + 8).astype("timedelta64[D]")
        days = np.concatenate([days, more[np.is_busday(more.astype("datetime64[D]"))]])
    starts = days.astype("datetime64[us]").astype(np.int64)[:, None] + np.arange(_SESSION) * 60_000_000
    start = starts.ravel()[:count]
    parts = []
    for number in range(symbols):
        opens, highs, lows, closes, volume = _walk(count, chance)
        parts.append(
            pa.table(
                {
                    "symbol": pa.array([f"SYM{number:02d}"] * count),
                    "start": pa.array(start).view(UTC),
                    "end": pa.array(start + 60_000_000).view(UTC),
                    "open": opens,
                    "high": highs,
                    "low": lows,
                    "close": closes,
                    "volume": volume,
                }
            )
        )
    return pa.concat_tables(parts)


def _walk(count: int, chance: np.random.Generator) -> tuple[np.ndarray[Any, Any], ...]:
    closes = np.round(100 * np.exp(np.cumsum(chance.normal(0, 0.0006, count))), 2)
    opens = np.concatenate([[100.0], closes[:-1]])
    highs = np.round(np.maximum(opens, closes) + np.abs(chance.normal(0, 0.05, count)), 2)
    lows = np.round(np.minimum(opens, closes) - np.abs(chance.normal(0, 0.05, count)), 2)
    return opens, highs, lows, closes, chance.integers(100, 100_000, count).astype(np.float64)


def timed(work: Callable[[], Any]) -> float:
    """Return the seconds that `work` took, with the garbage collected before."""
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def in_turn(turns: int, bare: Callable[[], Any], ours: Callable[[], Any]) -> tuple[float, float, float]:
    """Time two operations alternately; return the median seconds of each and the median ratio bare / ours."""
    pairs = []
    for turn in range(turns):
        if turn % 2:  # neither profits from being second
            second, first = timed(ours), timed(bare)
            pairs.append((first, second))
        else:
            pairs.append((timed(bare), timed(ours)))
    ratio = statistics.median(first / second for first, second in pairs)
    return statistics.median(p[0] for p in pairs), statistics.median(p[1] for p in pairs), ratio


def measure_database(rows: int, turns: int, tell: Tell) -> dict[str, float]:
    """Return the figures of the store on TimescaleDB, with a server of its own that writes to the disk."""
    with local_server(timescale=True, fsync=True, settings={"synchronous_commit": "off"}) as server:
        database = Database(server.create_database("bench"))
        database.upgrade()
        with (
            closing(database),
            closing(DatabaseBarStore(database)) as store,
            psycopg.connect(server.conninfo("bench"), autocommit=True) as connection,
        ):
            table = minutes(rows)
            figures = _measure_load(connection, store, table, turns, tell)
            connection.execute("VACUUM ANALYZE bars_1m")
            return figures | _measure_reads(server, database, store, table, turns, tell)


def _measure_load(
    connection: psycopg.Connection[Any], store: BarStore, table: pa.Table, turns: int, tell: Tell
) -> dict[str, float]:
    _, rows = checked_rows(table, KNOWN_AT)
    columns = ("start", "open", "high", "low", "close", "volume", "known_at")
    buffers = [bytes(block) for block in encoded(rows, columns)]

    def bare() -> None:
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for buffer in buffers:
                copy.write(buffer)

    def write() -> None:
        store.write(table, known_at=KNOWN_AT)

    bare_s, write_s, again_s, ratios, agains = [], [], [], [], []
    for turn in range(turns):
        tell(f"load {turn + 1} of {turns}")
        for ours in (False, True) if turn % 2 == 0 else (True, False):
            connection.execute("TRUNCATE bars_1m, bar_changes")
            connection.execute("CHECKPOINT")
            if not ours:
                bare_s.append(timed(bare))
                continue
            write_s.append(timed(write))
            again_s.append(timed(write))
        ratios.append(bare_s[-1] / write_s[-1])
        agains.append(write_s[-1] / again_s[-1])
    tell("executemany")
    some = min(len(rows), 50_000)
    values = list(zip(*table.slice(0, some).drop_columns(["end"]).to_pydict().values(), strict=True))
    connection.execute("TRUNCATE bars_1m")
    with connection.transaction(), connection.cursor() as cursor:
        began = time.perf_counter()
        cursor.executemany(_INSERT, [(*value, KNOWN_AT.to_pydatetime()) for value in values])
        one_by_one = some / (time.perf_counter() - began)
    connection.execute("TRUNCATE bars_1m, bar_changes")
    write()
    rate = len(rows) / statistics.median(write_s)
    return {
        "rows": float(len(rows)),
        "load_rows_s": rate,
        "load_bare_copy_rows_s": len(rows) / statistics.median(bare_s),
        "load_of_bare_copy": statistics.median(ratios),
        "load_times_executemany": rate / one_by_one,
        "load_again_rows_s": len(rows) / statistics.median(again_s),
        "load_again_of_first": statistics.median(agains),
    }


def _measure_reads(
    server: LocalServer, database: Database, store: BarStore, table: pa.Table, turns: int, tell: Tell
) -> dict[str, float]:
    symbol = table["symbol"][-1].as_py()
    with dbapi.connect(server.conninfo("bench"), autocommit=True) as bare:

        def fetch(condition: str = "") -> pa.Table:
            with bare.cursor() as cursor:
                cursor.execute(f"SELECT {_COLUMNS} FROM bars_1m {condition}")  # noqa: S608  of this module
                return cursor.fetch_arrow_table()

        tell("one symbol to Arrow")
        _, one_s, one = in_turn(
            4 * turns,
            lambda: fetch(f"WHERE symbol = '{symbol}'"),
            lambda: store.read(symbol, MINUTE).to_arrow(),
        )
        tell("all rows to Arrow")
        _, all_s, whole = in_turn(2 * turns, fetch, lambda: store.read(None, MINUTE).to_arrow())
    tell("all rows to pandas")
    query = f"SELECT {_COLUMNS} FROM bars_1m"  # noqa: S608  of this module
    _, pandas_s, pandas = in_turn(
        min(turns, 3),
        lambda: pd.read_sql(query, database.engine),
        lambda: store.read(None, MINUTE).to_pandas(),
    )
    if store.read(None, MINUTE).to_arrow()["close"].combine_chunks() != table["close"].combine_chunks():
        raise RuntimeError("the bars read are not those written")
    return {
        "read_symbol_ms": one_s * 1_000,
        "read_symbol_of_bare_adbc": one,
        "read_all_rows_s": table.num_rows / all_s,
        "read_all_of_bare_adbc": whole,
        "read_pandas_rows_s": table.num_rows / pandas_s,
        "read_pandas_times_read_sql": pandas,
    }


def measure_parquet(folder: Path, rows: int, turns: int, tell: Tell) -> dict[str, float]:
    """Return the figures of the Parquet store against `pyarrow.parquet.read_table` on the same files."""
    tell("Parquet: minutes")
    store, table = ParquetBarStore(folder / "minutes"), minutes(rows)
    write_s = timed(lambda: store.write(table, known_at=KNOWN_AT))
    symbol = table["symbol"][-1].as_py()
    files = store.root / MINUTE.value
    _, all_s, whole = in_turn(
        4 * turns, lambda: pq.read_table(files), lambda: store.read(None, MINUTE).to_arrow()
    )
    _, _, one = in_turn(
        10 * turns, lambda: pq.read_table(files / symbol), lambda: store.read(symbol, MINUTE).to_arrow()
    )
    return {
        "parquet_write_rows_s": table.num_rows / write_s,
        "parquet_read_rows_s": table.num_rows / all_s,
        "parquet_read_all_of_bare": whole,
        "parquet_read_symbol_of_bare": one,
    }


def measure_universe(folder: Path, symbols: int, years: int, tell: Tell) -> dict[str, float]:
    """Return milliseconds to read one symbol out of a universe of daily bars, in process, pages cached."""
    store, chance = ParquetBarStore(folder / "universe"), np.random.default_rng(7)
    days = np.arange(np.datetime64("2004-01-01"), np.datetime64(f"{2004 + years}-01-01"))
    days = days[np.is_busday(days)]
    opens = days.astype("datetime64[ns]").astype(np.int64) + 52_200 * NANOS
    for first in range(0, symbols, 250):
        tell(f"daily bars of {symbols} symbols: {first}")
        names = [f"S{number:04d}" for number in range(first, min(first + 250, symbols))]
        series = {
            name: BarSeries(name, DAY, opens, opens + 23_400 * NANOS, *_walk(len(days), chance))
            for name in names
        }
        store.write(series, known_at=KNOWN_AT)
    some = [f"S{number:04d}" for number in chance.integers(0, symbols, 200)]
    for name in some:
        store.read(name, DAY).to_arrow()
    taken = sorted(timed(lambda name=name: store.read(name, DAY).to_arrow()) * 1_000 for name in some)  # type: ignore[misc]
    return {
        "universe_symbols": float(symbols),
        "universe_bars": float(symbols * len(days)),
        "universe_read_symbol_ms": statistics.median(taken),
        "universe_read_symbol_slowest_of_200_ms": taken[-1],
    }


def measure_sizes(folder: Path, real: Path, tell: Tell) -> dict[str, float]:
    """Return bytes a bar of real files: as CSV, gzip CSV, Parquet store and database table with its key."""
    figures: dict[str, float] = {}
    with local_server(timescale=True) as server:
        database = Database(server.create_database("sizes"))
        database.upgrade()
        for size, name, tables in _kinds(real):
            tell(f"sizes: {name}")
            bars = load_bars(real / name, timeframe=size, tick=Decimal("0.0001"), regular_hours=False)
            parquet = ParquetBarStore(folder / f"sizes-{name}")
            with closing(DatabaseBarStore(database)) as store:
                count = parquet.write(bars, known_at=KNOWN_AT).inserted
                store.write(bars, known_at=KNOWN_AT)
            with psycopg.connect(server.conninfo("sizes")) as connection:
                found = connection.execute("SELECT hypertable_size(%s)", (tables,)).fetchone()
            packed = [path for path in (real / name).glob("*.csv.gz") if "_quotes" not in path.name]
            files = parquet.root.rglob("*.parquet")
            figures |= {
                f"{name}_bars": float(count),
                f"{name}_csv_bytes_a_bar": sum(_unpacked(path) for path in packed) / count,
                f"{name}_gzip_csv_bytes_a_bar": sum(path.stat().st_size for path in packed) / count,
                f"{name}_parquet_bytes_a_bar": sum(path.stat().st_size for path in files) / count,
                f"{name}_table_bytes_a_bar": (found[0] if found else 0) / count,
            }
            shutil.rmtree(parquet.root)
        database.close()
    return figures


def _kinds(real: Path) -> Iterator[tuple[Timeframe, str, str]]:
    yield from (
        (size, name, table)
        for size, name, table in (
            (DAY, "daily", "vendor_bars"),
            (MINUTE, "minute", "bars_1m"),
        )
        if (real / name).is_dir()
    )


def _unpacked(path: Path) -> int:
    import gzip

    with gzip.open(path) as file:
        return len(file.read())
