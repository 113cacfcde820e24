"""The bars' tables on PostgreSQL and TimescaleDB: read by ADBC into Arrow, written by binary COPY."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import adbc_driver_manager
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from adbc_driver_postgresql import dbapi
from psycopg import sql
from sqlalchemy.exc import DBAPIError

from data.database import Database
from data.errors import BarStoreError, DatabaseUnavailableError
from data.stores.copy_binary import encoded
from data.stores.rows import COLUMNS, MINUTE_US, SCHEMA, UTC, Rows, sort_versions, symbol_codes
from data.stores.runs import in_order
from data.stores.tables import BarTable
from data.stores.versions import Change
from execution.timeframes import Timeframe

_LOCK = 7_161_202_403
"""Number of the advisory lock that writers of bars hold."""

_MINUTE = pa.scalar(MINUTE_US, pa.duration("us"))


class PostgresBars:
    """Connections to the tables: one kept for reading, one of the database's pool for each write."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._reading: dbapi.Connection | None = None
        self._one_at_a_time = threading.Lock()

    def fetch_bars(self, table: BarTable, query: Any, symbol: str | None) -> pa.Table:
        """Return the bars of a query in order; `symbol` names them if the query does not."""

        def read(cursor: dbapi.Cursor) -> pa.Table:
            with cursor.fetch_record_batch() as reader:
                return in_order(_as_bars(batch, table, symbol) for batch in reader)

        return self._read(query, read)

    def fetch_versions(self, table: BarTable, query: Any) -> Rows:
        """Return the versions of a query, sorted by symbol, start and when they were learnt."""
        found: pa.Table = self._read(query, lambda cursor: cursor.fetch_arrow_table())
        symbols, codes = symbol_codes(found.column(0))
        times = [found.column(i).cast(UTC).cast(pa.int64()).to_numpy() for i in (1, found.num_columns - 1)]
        known = found["known_at"].cast(UTC).cast(pa.int64()).to_numpy()
        if table.timeframe is None:
            end = times[0] + MINUTE_US
        else:
            end = found["ends_at"].cast(UTC).cast(pa.int64()).to_numpy()
        numbers = [found[name].to_numpy() for name in COLUMNS[2:-1]]
        return sort_versions(Rows.of(symbols, codes, [times[0], end, *numbers, known], times[1]))

    def fetch(self, query: Any) -> list[tuple[Any, ...]]:
        """Return the rows of a small query."""
        with self._explained(), self._database.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(query)]

    @contextmanager
    def writing(self) -> Iterator[PostgresWrite]:
        """Open a transaction that excludes other writers of bars.

        Raises
        ------
        DatabaseUnavailableError
            If the server cannot be reached or goes away.
        BarStoreError
            If it refuses.
        """
        with self._explained():
            pooled = self._database.engine.raw_connection()
            try:
                connection: psycopg.Connection[Any] = pooled.driver_connection  # type: ignore[assignment]
                with connection.transaction():
                    connection.execute("SELECT pg_advisory_xact_lock(%s)", (_LOCK,))
                    yield PostgresWrite(connection)
                connection.commit()
            except psycopg.OperationalError:
                pooled.invalidate()
                raise
            finally:
                pooled.close()

    def close(self) -> None:
        """Close the connection for reading."""
        with self._one_at_a_time:
            if self._reading is not None:
                self._reading.close()
                self._reading = None

    def _read(self, query: Any, use: Any) -> Any:
        text = str(query.compile(self._database.engine, compile_kwargs={"literal_binds": True}))
        with self._explained(), self._one_at_a_time:
            if self._reading is not None:
                try:
                    return _asked(self._reading, text, use)
                except adbc_driver_manager.Error:  # the server may have been restarted since: ask once more
                    self._drop()
            self._reading = dbapi.connect(self._database.conninfo(), autocommit=True)
            return _asked(self._reading, text, use)

    def _drop(self) -> None:
        connection, self._reading = self._reading, None
        if connection is not None:
            connection.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (psycopg.Error, adbc_driver_manager.Error, DBAPIError) as error:
            cause = error.orig if isinstance(error, DBAPIError) else error
            reason = (str(cause).strip() or type(cause).__name__).splitlines()[0]
            state = getattr(cause, "sqlstate", None) or ""
            if state in ("42P01", "42703"):
                raise BarStoreError(
                    f"database {self._database}: {reason}; migrate it first: trade db upgrade"
                ) from error
            gone = isinstance(cause, psycopg.OperationalError | adbc_driver_manager.OperationalError)
            if gone or not state or state.startswith(("08", "57", "53")):
                raise DatabaseUnavailableError(
                    f"database {self._database}: {reason}; nothing was written: when the server answers "
                    "again, run the same command"
                ) from error
            raise BarStoreError(f"database {self._database}: {reason}; nothing was written") from error


class PostgresWrite:
    """A write under way."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def apply(self, table: BarTable, change: Change) -> None:
        """Write what changes."""
        with self._connection.cursor() as cursor:
            if len(change.rewritten):
                self._remove_versions(cursor, table, change.rewritten)
            if len(change.superseded):
                _copy(cursor, table, table.versions.name, change.superseded)
            if len(change.replaced):
                self._replace(cursor, table, change.replaced)
            if len(change.fresh):
                _copy(cursor, table, table.bars.name, change.fresh)
            if table.size is Timeframe.MINUTE:
                _note_spans(cursor, [*_spans(change.fresh), *_spans(change.replaced)])

    def _replace(self, cursor: psycopg.Cursor[Any], table: BarTable, rows: Rows) -> None:
        self._stage(cursor, table, rows)
        names = [name for name in table.names(table.stored) if name not in table.key]
        assigned = sql.SQL(", ").join(
            sql.SQL("{0} = staged_bars.{0}").format(sql.Identifier(name)) for name in names
        )
        statement = sql.SQL("UPDATE {table} AS held SET {assigned} FROM staged_bars WHERE {same}")
        cursor.execute(
            statement.format(
                table=sql.Identifier(table.bars.name), assigned=assigned, same=_same(table, rows)
            )
        )
        if cursor.rowcount != len(rows):
            raise BarStoreError(
                f"{table.bars.name}: {len(rows)} rows were to be revised, {cursor.rowcount} were found; "
                "another program changes the table: stop it and run the same command again"
            )

    def _remove_versions(self, cursor: psycopg.Cursor[Any], table: BarTable, rows: Rows) -> None:
        self._stage(cursor, table, rows)
        statement = sql.SQL("DELETE FROM {table} AS held USING staged_bars WHERE {same}")
        cursor.execute(statement.format(table=sql.Identifier(table.versions.name), same=_same(table, rows)))

    def _stage(self, cursor: psycopg.Cursor[Any], table: BarTable, rows: Rows) -> None:
        cursor.execute("DROP TABLE IF EXISTS pg_temp.staged_bars")
        statement = sql.SQL("CREATE TEMPORARY TABLE staged_bars (LIKE {}) ON COMMIT DROP")
        cursor.execute(statement.format(sql.Identifier(table.bars.name)))
        _copy(cursor, table, "staged_bars", rows)


def _asked(connection: dbapi.Connection, text: str, use: Any) -> Any:
    with connection.cursor() as cursor:
        cursor.execute(text)
        return use(cursor)


def _as_bars(batch: pa.RecordBatch, table: BarTable, symbol: str | None) -> pa.RecordBatch:
    """Give a batch of a query the columns of `SCHEMA`."""
    columns = [column if column.type != _NAIVE else column.cast(UTC) for column in batch.columns]
    if symbol is None:
        names = columns.pop(0).dictionary_encode()
    else:
        names = pa.DictionaryArray.from_arrays(np.zeros(batch.num_rows, np.int32), pa.array([symbol]))
    if table.timeframe is None:
        columns.insert(1, pc.add(columns[0], _MINUTE))
    return pa.RecordBatch.from_arrays([names, *columns], schema=SCHEMA)


_NAIVE = pa.timestamp("us")


def _copy(cursor: psycopg.Cursor[Any], table: BarTable, into: str, rows: Rows) -> None:
    columns = table.stored if rows.superseded is None else [*table.stored, "superseded"]
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(
        sql.Identifier(into), sql.SQL(", ").join(map(sql.Identifier, table.names(columns)))
    )
    with cursor.copy(statement) as copy:
        for block in encoded(rows, columns, table.timeframe):
            copy.write(block)


def _same(table: BarTable, rows: Rows) -> sql.Composed:
    """Match keys; the bounds let the server leave out chunks in which no row can lie."""
    keys = [sql.SQL("held.{0} = staged_bars.{0}").format(sql.Identifier(name)) for name in table.key]
    first, last = (np.datetime64(int(us), "us").item() for us in (rows.start.min(), rows.start.max()))
    bounds = sql.SQL("held.ts BETWEEN {} AND {}").format(
        sql.Literal(f"{first.isoformat()}+00:00"), sql.Literal(f"{last.isoformat()}+00:00")
    )
    return sql.SQL(" AND ").join([*keys, bounds])


def _spans(rows: Rows) -> list[tuple[str, int, int]]:
    return [(symbol, int(rows.start[i]), int(rows.start[j - 1])) for symbol, i, j in rows.spans()]


def _note_spans(cursor: psycopg.Cursor[Any], spans: list[tuple[str, int, int]]) -> None:
    times = [
        (symbol, *(f"{np.datetime64(us, 'us').item().isoformat()}+00:00" for us in (first, last)))
        for symbol, first, last in spans
    ]
    cursor.executemany("INSERT INTO bar_changes (symbol, first_ts, last_ts) VALUES (%s, %s, %s)", times)
