"""Rows into tables in bulk: ``COPY`` on a server, one prepared statement for many rows on SQLite.

A row is a dict of plain values: moments as integer nanoseconds, money as `Decimal`, documents as JSON text.
Whole columns are encoded at once, by Arrow, and those of the next table while the server stores the last: it
takes about as long to store a row as it takes here to make it. What may replace rows goes through a temporary
table and one ``INSERT … ON CONFLICT``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import sql
from pyarrow import csv
from sqlalchemy import JSON, Boolean, Column, Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from data.schema import Base
from data.schema.types import MICROSECOND, Money, UtcTime

Row = dict[str, Any]
Columns = Mapping[str, Sequence[Any]]
_PLAIN_CSV = csv.WriteOptions(include_header=False)


@dataclass(frozen=True, slots=True)
class Part:
    """What goes into one table: columns of equal length, by name.

    `replaces` says that rows may be there already, to be put in the place of those with the same key.
    """

    table: Table
    columns: Columns
    replaces: bool = False

    @classmethod
    def of(cls, model: type[Base], rows: Sequence[Row], *, replaces: bool = False) -> Self:
        """Return the part that consists of these rows, all with the columns of the first."""
        names = list(rows[0]) if rows else []
        return cls.of_columns(model, {n: [row[n] for row in rows] for n in names}, replaces=replaces)

    @classmethod
    def of_columns(cls, model: type[Base], columns: Columns, *, replaces: bool = False) -> Self:
        """Return the part that consists of these columns."""
        table = model.__table__
        assert isinstance(table, Table)  # noqa: S101  # no model of ours maps anything else
        return cls(table, columns, replaces)

    def __bool__(self) -> bool:
        return any(len(values) for values in self.columns.values())


def append(session: Session, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows that are not there yet."""
    store(session, [Part.of(model, rows)])


def replace(session: Session, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows, or put them in the place of those with the same key."""
    store(session, [Part.of(model, rows, replaces=True)])


def store(session: Session, parts: Sequence[Part]) -> None:
    """Write parts in their order; those without rows are passed over."""
    full = [part for part in parts if part]
    if not full:
        return
    connection = session.connection()
    if connection.dialect.name == "sqlite":
        for part in full:
            _insert(connection, part)
        return
    with ThreadPoolExecutor(1, "encode rows") as ahead:
        blocks = [ahead.submit(encoded, part.table, part.columns) for part in full]
        try:
            for part, block in zip(full, blocks, strict=True):
                _send(connection, part, block.result())
        finally:
            ahead.shutdown(wait=True, cancel_futures=True)


def _insert(connection: Connection, part: Part) -> None:
    names = list(part.columns)
    marks = ", ".join("?" * len(names))
    statement = f"INSERT INTO {part.table.name} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # ours
    if part.replaces:
        statement += f" {_on_conflict(part.table, names)}"
    columns = [_plain(part.table.columns[name])(values) for name, values in part.columns.items()]
    connection.exec_driver_sql(statement, list(zip(*columns, strict=True)))


def _send(connection: Connection, part: Part, block: pa.Buffer) -> None:
    table, names = part.table, list(part.columns)
    if not part.replaces:
        _copy(connection, table.name, names, block)
        return
    staged = f"staged_{table.name}"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staged} (LIKE {table.name}) ON COMMIT DELETE ROWS"
    )
    _copy(connection, staged, names, block)
    columns = ", ".join(names)
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {staged} "  # noqa: S608  # names of ours
        f"{_on_conflict(table, names)}"
    )
    connection.exec_driver_sql(f"TRUNCATE {staged}")


def _on_conflict(table: Table, names: Sequence[str]) -> str:
    keys = [column.name for column in table.primary_key]
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"


def _copy(connection: Connection, into: str, names: Sequence[str], block: pa.Buffer) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT CSV)").format(
        sql.Identifier(into), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(memoryview(block))
    except psycopg.Error as error:
        raise DBAPIError.instance(f"COPY {into}", None, error, psycopg.Error) from error


def _plain(column: Column[Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    if isinstance(column.type, UtcTime):
        return lambda values: [None if v is None else v // MICROSECOND * MICROSECOND for v in values]
    if isinstance(column.type, Money):
        return lambda values: [None if v is None else format(v, "f") for v in values]
    if column.type.python_type is dt.date:
        return lambda values: [None if v is None else v.isoformat() for v in values]
    return lambda values: values


def encoded(table: Table, columns: Columns) -> pa.Buffer:
    """Return columns as the lines of a ``COPY … (FORMAT CSV)``: a text is quoted, nothing is NULL."""
    arrays = [_wire(table.columns[name])(values) for name, values in columns.items()]
    lines = pa.BufferOutputStream()
    csv.write_csv(pa.table(arrays, names=list(columns)), lines, _PLAIN_CSV)
    return lines.getvalue()


def _wire(column: Column[Any]) -> Callable[[Sequence[Any]], pa.Array]:
    kind: Any = column.type
    if isinstance(kind, UtcTime):
        return _times
    if isinstance(kind, Money):
        return lambda values: pa.array([None if v is None else format(v, "f") for v in values], pa.string())
    if isinstance(kind, JSON):
        return _documents
    if isinstance(kind, Boolean):
        return lambda values: pa.array(values, pa.bool_())
    return _texts if kind.python_type is str else pa.array


def _times(values: Sequence[int | None]) -> pa.Array:
    micros = pa.array([None if v is None else v // MICROSECOND for v in values], pa.int64())
    return micros.view(pa.timestamp("us", "UTC"))


def _documents(values: Sequence[str]) -> pa.Array:
    # A server's JSON has no NUL and no half of a surrogate pair; the audit event keeps the text as it was.
    return _texts([_storable(v) if "\\u0000" in v or "\\ud" in v else v for v in values])


def _storable(text: str) -> str:
    spelt = json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return spelt.replace("\\u0000", "\\ufffd").encode("utf-8", "replace").decode()


def _texts(values: Sequence[str | None]) -> pa.Array:
    try:
        found = pa.array(values, pa.string())
    except UnicodeEncodeError:  # a half of a surrogate pair
        whole = [None if v is None else v.encode("utf-8", "replace").decode() for v in values]
        found = pa.array(whole, pa.string())
    letters = found.buffers()[2]
    if letters is not None and b"\0" in letters.to_pybytes():  # a server's text has no NUL
        found = pc.replace_substring(found, "\0", "\ufffd")
    return found


def money(text: str) -> Decimal:
    """Return an amount of an event; raise ValueError unless it is a finite number."""
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text} is no amount")
    return value
