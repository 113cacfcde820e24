"""All kinds of stores, told the same and asked the same, answer alike: bars, reports and refusals."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.database import Database
from data.errors import DataError
from data.stores import BarStore, DatabaseBarStore, ParquetBarStore
from execution.timeframes import Timeframe

TABLES = ("bars_1m", "bar_revisions", "vendor_bars", "vendor_bar_revisions", "bar_changes")
NEW_YEAR = pd.Timestamp("2024-01-01", tz="UTC")
"""Bars lie on both sides of it, in two files of a Parquet store."""
Emptied = Callable[[], tuple[BarStore, BarStore]]


@dataclass(frozen=True)
class Write:
    """Bars by symbol and slot, each with a price and a length in twenties of minutes."""

    size: Timeframe
    bars: dict[tuple[str, int], tuple[float, int]]
    day: int

    def to(self, store: BarStore) -> Any:
        step = pd.Timedelta(minutes=1 if self.size is Timeframe.MINUTE else 20)
        rows = []
        for (symbol, slot), (price, length) in self.bars.items():
            start = NEW_YEAR + slot * step
            end = start + step * (1 if self.size is Timeframe.MINUTE else length)
            prices = {"open": price, "high": max(price, 1.0), "low": min(price, 1.0), "close": price}
            rows.append({"symbol": symbol, "start": start, "end": end, **prices, "volume": abs(price)})
        return store.write(pd.DataFrame(rows), known_at=known(self.day), timeframe=self.size, signed=["SGN"])


@dataclass(frozen=True)
class Ask:
    """A question about bars of some symbols between two slots, and about one moment."""

    size: Timeframe
    symbols: list[str] | None
    span: tuple[int, int]
    day: int
    count: int

    def to(self, store: BarStore) -> Any:
        start, end = (NEW_YEAR + pd.Timedelta(minutes=slot) for slot in self.span)
        one = (self.symbols or ["A"])[0]
        asked = (self.symbols, self.size, start, end)
        tables = [
            store.read(*asked).to_arrow(),
            store.read(self.symbols, self.size).to_arrow(),
            store.read(*asked, as_of=known(self.day)).to_arrow(),
            store.changed_since(known(self.day), self.size, self.symbols, start, end),
            store.head(one, self.size, self.count),
            store.last(one, self.size, self.count),
        ]
        lists = [table.to_pylist() for table in tables]
        return repr((lists, store.symbols(self.size), store.symbols(), store.holdings()))


def known(day: int) -> pd.Timestamp:
    return pd.Timestamp("2024-04-01", tz="UTC") + pd.Timedelta(days=day)


_SIZES = st.sampled_from([Timeframe.MINUTE, Timeframe.MINUTE, Timeframe.HOUR, Timeframe.DAY])
_SYMBOLS = st.sampled_from(["A", "A", "B", "a", "SGN", "BRK B", "^X=Y/Z"])
_SLOTS = st.integers(-3, 3)
_DAYS = st.integers(0, 4)
_PRICES = st.sampled_from([1.0, 2.0, 0.1 + 0.2, 5e-324, 1e9, 1e9 + 1, -0.0, -37.63, float("nan")])
_SOUND = st.sampled_from([1.0, 2.0, 3.0])
_BARS = st.dictionaries(
    st.tuples(_SYMBOLS, _SLOTS),
    st.tuples(st.one_of(_SOUND, _SOUND, _PRICES), st.integers(1, 3)),
    min_size=1,
    max_size=6,
)
_WRITES = st.builds(Write, _SIZES, _BARS, _DAYS)
_ASKS = st.builds(
    Ask,
    _SIZES,
    st.one_of(
        st.none(), st.lists(st.one_of(_SYMBOLS, st.sampled_from(["", "..", "A' OR 1=1", "ZZZ"])), max_size=3)
    ),
    st.tuples(_SLOTS, _SLOTS),
    _DAYS,
    st.integers(-1, 3),
)


@pytest.fixture(params=["sqlite", "postgres", "timescale"])
def emptied(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> Iterator[Emptied]:
    """Return a function that gives two empty stores: of Parquet, and of a database."""
    if request.param == "sqlite":
        shutil.copy(migrated_file, tmp_path / "bars.db")
        database = Database(f"sqlite:///{tmp_path}/bars.db")
    else:
        database = request.getfixturevalue(f"{request.param}_database")
    other = DatabaseBarStore(database)

    def make() -> tuple[BarStore, BarStore]:
        shutil.rmtree(tmp_path / "bars", ignore_errors=True)
        with database.engine.begin() as connection:
            for table in TABLES:
                connection.execute(sa.text(f"DELETE FROM {table}"))  # noqa: S608  names above
        return ParquetBarStore(tmp_path / "bars"), other

    yield make
    other.close()
    if request.param == "sqlite":
        database.close()


def answer(step: Write | Ask, store: BarStore) -> Any:
    try:
        return step.to(store)
    except DataError as error:
        return error.code, str(error)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.one_of(_WRITES, _WRITES, _ASKS), min_size=2, max_size=8), ask=_ASKS)
def test_every_store_answers_as_the_files_do(emptied: Emptied, steps: list[Write | Ask], ask: Ask) -> None:
    files, database = emptied()
    for step in [*steps, ask]:
        assert answer(step, files) == answer(step, database)
