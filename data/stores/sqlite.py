"""The bars' tables on SQLite, where a moment is an integer of nanoseconds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sqlalchemy.exc import DBAPIError

from data.database import Database
from data.errors import BarStoreError, DatabaseUnavailableError
from data.stores.rows import COLUMNS, MICRO, MINUTE_US, SCHEMA, Rows, ranked, sort_versions
from data.stores.tables import BarTable
from data.stores.versions import Change
from execution.timeframes import Timeframe

_TIMES = ("start", "end", "known_at", "superseded")


class SqliteBars:
    """Connections to the tables, from the database's pool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fetch_bars(self, table: BarTable, query: Any, symbol: str | None) -> pa.Table:
        """Return the bars of a query in order; `symbol` names them if the query does not."""
        found = self._fetch(query)
        if not found:
            return SCHEMA.empty_table()
        return sort_versions(_rows(table, found, symbol, [])).to_arrow()

    def fetch_versions(self, table: BarTable, query: Any) -> Rows:
        """Return the versions of a query, sorted by symbol, start and when they were learnt."""
        return sort_versions(_rows(table, self._fetch(query), None, ["superseded"]))

    def fetch(self, query: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a small query."""
        with self._explained(), self._database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    @contextmanager
    def writing(self) -> Iterator[SqliteWrite]:
        """Open a transaction that excludes other writers.

        Raises
        ------
        DatabaseUnavailableError
            If the file cannot be opened, is locked for too long, or the disk is full.
        """
        with self._explained(), closing(self._database.engine.raw_connection()) as pooled:
            connection: sqlite3.Connection = pooled.driver_connection  # type: ignore[assignment]
            connection.execute("BEGIN IMMEDIATE")
            with connection:  # commits, or rolls back if the block raises
                yield SqliteWrite(connection)

    def close(self) -> None:
        """Do nothing: the connections are the pool's."""

    def _fetch(self, query: Any) -> list[tuple[Any, ...]]:
        text = str(query.compile(self._database.engine, compile_kwargs={"literal_binds": True}))
        with self._explained(), closing(self._database.engine.raw_connection()) as pooled:
            connection: sqlite3.Connection = pooled.driver_connection  # type: ignore[assignment]
            return connection.execute(text).fetchall()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, DBAPIError) as error:
            reason = str(error.orig if isinstance(error, DBAPIError) else error)
            where = f"database {self._database}: {reason}"
            if "no such table" in reason or "no such column" in reason:
                raise BarStoreError(f"{where}; migrate it first: trade db upgrade") from error
            raise DatabaseUnavailableError(
                f"{where}; nothing was written: free the disk or end what locks the file, and run the same "
                "command again"
            ) from error


class SqliteWrite:
    """A write under way."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def apply(self, table: BarTable, change: Change) -> None:
        """Write what changes."""
        for name, rows in ((table.versions.name, change.rewritten), (table.bars.name, change.replaced)):
            self._remove(name, table, rows)
        self._insert(table.versions.name, table, change.superseded)
        for rows in (change.replaced, change.fresh):
            self._insert(table.bars.name, table, rows)
            if table.size is Timeframe.MINUTE:
                self._connection.executemany(
                    "INSERT INTO bar_changes (symbol, first_ts, last_ts) VALUES (?, ?, ?)",
                    [
                        (s, int(rows.start[i]) * MICRO, int(rows.start[j - 1]) * MICRO)
                        for s, i, j in rows.spans()
                    ],
                )

    def _remove(self, name: str, table: BarTable, rows: Rows) -> None:
        same = " AND ".join(f"{column} = ?" for column in table.key)
        statement = f"DELETE FROM {name} WHERE {same}"  # noqa: S608  names of the models
        self._connection.executemany(statement, _tuples(table, rows, ["start"]))

    def _insert(self, name: str, table: BarTable, rows: Rows) -> None:
        columns = table.stored if rows.superseded is None else [*table.stored, "superseded"]
        names = table.names(columns)
        marks = ", ".join("?" * len(names))
        statement = f"INSERT INTO {name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  names of the models
        self._connection.executemany(statement, _tuples(table, rows, columns))


def _tuples(table: BarTable, rows: Rows, columns: list[str]) -> Iterator[tuple[Any, ...]]:
    symbols = [rows.symbols[code] for code in rows.codes.tolist()]
    fixed = [symbols] if table.timeframe is None else [symbols, [table.timeframe] * len(rows)]
    arrays: list[npt.NDArray[Any]] = [rows.array(name) for name in columns]
    values = [(a * MICRO if n in _TIMES else a).tolist() for n, a in zip(columns, arrays, strict=True)]
    return zip(*fixed, *values, strict=True)


def _rows(table: BarTable, found: list[tuple[Any, ...]], symbol: str | None, more: list[str]) -> Rows:
    """Turn rows of a query over ``[symbol,] *table.stored, *more`` into arrays."""
    columns = list(zip(*found, strict=True))
    if symbol is None:
        symbols, codes = ranked(columns.pop(0) if columns else ())
    else:
        symbols, codes = (symbol,), np.zeros(len(found), np.int32)
    arrays: dict[str, npt.NDArray[Any]] = {}
    for i, name in enumerate([*table.stored, *more]):
        kind = np.int64 if name in _TIMES else np.float64
        values = np.array(columns[i] if columns else (), dtype=kind)
        arrays[name] = values // MICRO if name in _TIMES else values
    if "end" not in arrays:
        arrays["end"] = arrays["start"] + MINUTE_US
    return Rows.of(symbols, codes, [arrays[name] for name in COLUMNS], arrays.get("superseded"))
