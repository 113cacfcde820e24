"""Rows into tables in bulk: ``COPY`` on a server, one prepared statement for many rows on SQLite.

A row is a dict of plain values: moments as integer nanoseconds, money as `Decimal`, documents as JSON text.
Whole columns are encoded at once (`data.projection.encoding`), before the transaction that stores them.
Each answer of a server is waited for, so few are asked for: rows that are only ever added are copied straight
into their table, many that may replace others by way of a temporary one, and all statements for few rows are
sent together.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Self

import psycopg
from psycopg import sql
from sqlalchemy import Column, Connection, Integer, String, Table
from sqlalchemy.exc import DBAPIError

from data.driver_errors import server_is_gone
from data.projection.encoding import Columns, encoded, form_of, wire
from data.schema import Base
from data.schema.types import MICROSECOND, Money, UtcTime

Row = dict[str, Any]
_FEW = 64
"""Rows that are sent as statements: to begin and end a ``COPY`` takes the server as long."""
_MOST_DIGITS = 131_071
"""Digits that a server's number may have before the point, less one."""


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

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))


@dataclass(frozen=True, slots=True)
class Removal:
    """Rows of a run that go before others take their place: all of a table, or those of some moments."""

    table: Table
    run_id: str
    times: Sequence[int] | None = None

    @classmethod
    def of(cls, model: type[Base], run_id: str, times: Sequence[int] | None = None) -> Self:
        """Return the removal of a run's rows from the table of a model."""
        table = model.__table__
        assert isinstance(table, Table)  # noqa: S101  # no model of ours maps anything else
        return cls(table, run_id, times)


@dataclass(frozen=True, slots=True)
class _Statement:
    text: str
    rows: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class _Copy:
    table: Table
    names: Sequence[str]
    blocks: Sequence[memoryview]
    replaces: bool


@dataclass(frozen=True, slots=True)
class Prepared:
    """Removals and parts in the form that a kind of database takes; `store` writes them."""

    removals: Sequence[_Statement]
    copies: Sequence[_Copy]
    additions: Sequence[_Statement]


def prepare(dialect: str, removals: Sequence[Removal], parts: Sequence[Part]) -> Prepared:
    """Encode what is to be removed and, after that, added; parts without rows are passed over."""
    server = dialect != "sqlite"
    full = [part for part in parts if len(part)]
    large = [part for part in full if server and len(part) > _FEW]
    small = [part for part in full if not server or len(part) <= _FEW]
    return Prepared(
        [_removing(removal, server=server) for removal in removals if removal.times is None or removal.times],
        [_Copy(p.table, list(p.columns), encoded(p.table, p.columns), p.replaces) for p in large],
        [_adding(part, server=server) for part in small],
    )


def store(connection: Connection, prepared: Prepared) -> None:
    """Write what was prepared for this kind of database: removals first."""
    if connection.dialect.name == "sqlite":
        for statement in (*prepared.removals, *prepared.additions):
            connection.exec_driver_sql(statement.text, list(map(tuple, statement.rows)))
        return
    staged = [copy for copy in prepared.copies if copy.replaces]
    with driver_of(connection) as driver, driver.cursor() as cursor:
        with driver.pipeline():
            for copy in staged:
                cursor.execute(_staging(copy.table))
            for statement in (*prepared.removals, *prepared.additions):
                cursor.executemany(statement.text, statement.rows)
        for copy in prepared.copies:
            _copy(cursor, copy)
        for copy in staged:
            cursor.execute(_from_staging(copy.table, copy.names))


@contextmanager
def driver_of(connection: Connection) -> Iterator[psycopg.Connection[Any]]:
    """Use the driver's own connection, in the transaction under way; its errors become SQLAlchemy's."""
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    try:
        yield driver
    except psycopg.Error as error:
        if server_is_gone(error):  # no use asking it to roll back
            connection.invalidate(error)
        raise DBAPIError.instance(None, None, error, psycopg.Error) from error


def unfit(part: Part) -> str:
    """Return which value does not fit its column, and of which row; empty if all do."""
    for name, values in part.columns.items():
        column = part.table.columns[name]
        for row, value in enumerate(values):
            if why := unfit_value(column, value):
                key = [f"{k.name} {part.columns[k.name][row]}" for k in part.table.primary_key]
                told = "" if value is None else f" {str(value)[:40]!r}"
                return f"{part.table.name} {', '.join(key)}: {name}{told} {why}"
    return ""


def unfit_value(column: Column[Any], value: Any) -> str:
    """Return why a server's column does not take a value; empty if it does."""
    kind: Any = column.type
    if value is None:
        return "" if column.nullable else "is missing"
    if isinstance(kind, Money):
        return "is too large a number" if value.adjusted() > _MOST_DIGITS else ""
    if isinstance(kind, UtcTime | Integer):
        bits = 32 if type(kind) is Integer else 64
        return "" if isinstance(value, int) and value.bit_length() < bits else f"is no number of {bits} bits"
    if not isinstance(kind, String):
        return ""
    if not isinstance(value, str):
        return "is no text"
    return f"is longer than {kind.length} letters" if kind.length and len(value) > kind.length else ""


def _removing(removal: Removal, *, server: bool) -> _Statement:
    mark = "%s" if server else "?"
    statement = f"DELETE FROM {removal.table.name} WHERE run_id = {mark}"  # noqa: S608  # a table of ours
    if removal.times is None:
        return _Statement(statement, [(removal.run_id,)])
    values = _values(removal.table.columns["timestamp"], removal.times, server=server)
    return _Statement(f"{statement} AND timestamp = {mark}", [(removal.run_id, time) for time in values])


def _adding(part: Part, *, server: bool) -> _Statement:
    marks = ", ".join(["%s" if server else "?"] * len(part.columns))
    statement = f"INSERT INTO {part.table.name} ({', '.join(part.columns)}) VALUES ({marks})"  # noqa: S608  # ours
    if part.replaces:
        statement += f" {_on_conflict(part.table, list(part.columns))}"
    columns = [_values(part.table.columns[n], values, server=server) for n, values in part.columns.items()]
    return _Statement(statement, list(zip(*columns, strict=True)))


def _values(column: Column[Any], values: Sequence[Any], *, server: bool) -> Sequence[Any]:
    found: Sequence[Any] = wire(column, values).to_pylist() if server else _plain(column)(values)
    return found


def _staged(table: Table) -> str:
    return f"staged_{table.name}"


def _staging(table: Table) -> str:
    return f"CREATE TEMPORARY TABLE IF NOT EXISTS {_staged(table)} (LIKE {table.name}) ON COMMIT DELETE ROWS"


def _from_staging(table: Table, names: Sequence[str]) -> str:
    columns = ", ".join(names)
    return (
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {_staged(table)} "  # noqa: S608  # ours
        f"{_on_conflict(table, names)}"
    )


def _on_conflict(table: Table, names: Sequence[str]) -> str:
    keys = [column.name for column in table.primary_key]
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"


def _copy(cursor: psycopg.Cursor[Any], copy: _Copy) -> None:
    into = _staged(copy.table) if copy.replaces else copy.table.name
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT {})").format(
        sql.Identifier(into),
        sql.SQL(", ").join(map(sql.Identifier, copy.names)),
        sql.SQL(form_of(copy.table)),
    )
    with cursor.copy(statement) as stream:
        for block in copy.blocks:
            stream.write(block)


def _plain(column: Column[Any]) -> Callable[[Sequence[Any]], Sequence[Any]]:
    if isinstance(column.type, UtcTime):
        return lambda values: [None if v is None else v // MICROSECOND * MICROSECOND for v in values]
    if isinstance(column.type, Money):
        return lambda values: [None if v is None else format(v, "f") for v in values]
    if column.type.python_type is dt.date:
        return lambda values: [None if v is None else v.isoformat() for v in values]
    return lambda values: values


def money(text: str) -> Decimal:
    """Return an amount of an event; raise ValueError unless it is a finite number."""
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text} is no amount")
    return value
