"""Stores of every kind, and small tables of bars."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pytest
import sqlalchemy as sa

from data.database import Database
from data.stores import BarStore, DatabaseBarStore, ParquetBarStore
from data.testing import LocalServer

TABLES = ("bars_1m", "bar_revisions", "vendor_bars", "vendor_bar_revisions", "bar_changes")
MONDAY = pd.Timestamp("2024-03-04 14:30", tz="UTC")

Minutes = Callable[..., pa.Table]
Fresh = Callable[[], BarStore]
Migrated = Callable[[str], tuple[str, Callable[[], None]]]


@pytest.fixture(scope="session")
def minutes() -> Minutes:
    """Build a table of minutes: ``minutes({"AAA": {0: 100.0, 1: 101.0}})`` by minute and close."""

    def build(closes: dict[str, dict[int, float]]) -> pa.Table:
        rows = [
            {
                "symbol": symbol,
                "start": MONDAY + pd.Timedelta(minutes=minute),
                "end": MONDAY + pd.Timedelta(minutes=minute + 1),
                "open": close,
                "high": close + 1,
                "low": close / 2,
                "close": close,
                "volume": 10.0,
            }
            for symbol, bars in closes.items()
            for minute, close in bars.items()
        ]
        time = pa.timestamp("us", "UTC")
        kinds = {"symbol": pa.string(), "start": time, "end": time}
        names = ("symbol", "start", "end", "open", "high", "low", "close", "volume")
        return pa.Table.from_pylist(rows, pa.schema([(n, kinds.get(n, pa.float64())) for n in names]))

    return build


@pytest.fixture(scope="module")
def postgres_database(postgres_server: LocalServer, migrated: Migrated) -> Iterator[Database]:
    """A migrated database of plain PostgreSQL, shared by a module."""
    yield from shared("postgres", migrated)


@pytest.fixture(scope="module")
def timescale_database(timescale_server: LocalServer, migrated: Migrated) -> Iterator[Database]:
    """A migrated database of TimescaleDB, shared by a module."""
    if not timescale_server.whole:
        pytest.skip("needs a server that takes COPY")
    yield from shared("timescale", migrated)


def shared(kind: str, migrated: Migrated) -> Iterator[Database]:
    """Open a migrated database; remove it in the end."""
    url, remove = migrated(kind)
    database = Database(url)
    yield database
    database.close()
    remove()


@pytest.fixture(params=["parquet", "sqlite", "postgres", "timescale"])
def fresh(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> Iterator[Fresh]:
    """Return a function that gives an empty store, as often as it is called."""
    opened: list[BarStore] = []
    database: Database | None = None
    if request.param == "sqlite":
        shutil.copy(migrated_file, tmp_path / "bars.db")
        database = Database(f"sqlite:///{tmp_path}/bars.db")
    elif request.param != "parquet":
        database = request.getfixturevalue(f"{request.param}_database")

    def make() -> BarStore:
        if database is None:
            opened.append(ParquetBarStore(tmp_path / f"bars{len(opened)}"))
        else:
            with database.engine.begin() as connection:
                for table in TABLES:
                    connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608  names above
            for store in opened:
                store.close()
            opened.append(DatabaseBarStore(database))
        return opened[-1]

    yield make
    for store in opened:
        store.close()
    if request.param == "sqlite" and database is not None:
        database.close()


@pytest.fixture
def store(fresh: Fresh) -> BarStore:
    """An empty store of each kind."""
    return fresh()
