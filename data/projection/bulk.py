"""Rows into tables in bulk: text ``COPY`` on a server, one prepared statement for many rows on SQLite.

A row is a dict of plain values: moments as integer nanoseconds, money as `Decimal`, documents as JSON text.
Whole columns are encoded at once; a server takes about twice as long to store a row as it takes here to make
it. What may replace rows goes through a temporary table and one ``INSERT … ON CONFLICT``.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import psycopg
from psycopg import sql
from sqlalchemy import JSON, Boolean, Column, Connection, Table
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from data.schema import Base
from data.schema.types import MICROSECOND, Money, UtcTime

Row = dict[str, Any]
Encode = Callable[[list[Any]], list[Any]]
_NULL = "\\N"
_SEPARATOR = "\x1f"
_ESCAPES = (("\\", "\\\\"), ("\t", "\\t"), ("\n", "\\n"), ("\r", "\\r"))


def append(session: Session, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows that are not there yet."""
    if not rows:
        return
    table, connection = _table(model), session.connection()
    names = list(rows[0])
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql(_insert(table.name, names), _sqlite_rows(table, rows))
    else:
        _copy(connection, table.name, table, rows)


def replace(session: Session, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows, or put them in the place of those with the same key."""
    if not rows:
        return
    table, connection = _table(model), session.connection()
    names = list(rows[0])
    if connection.dialect.name == "sqlite":
        statement = f"{_insert(table.name, names)} {_on_conflict(table, names)}"
        connection.exec_driver_sql(statement, _sqlite_rows(table, rows))
        return
    staged = f"staged_{table.name}"
    connection.exec_driver_sql(
        f"CREATE TEMPORARY TABLE IF NOT EXISTS {staged} (LIKE {table.name}) ON COMMIT DELETE ROWS"
    )
    _copy(connection, staged, table, rows)
    columns = ", ".join(names)
    connection.exec_driver_sql(
        f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM {staged} "  # noqa: S608  # names of ours
        f"{_on_conflict(table, names)}"
    )
    connection.exec_driver_sql(f"TRUNCATE {staged}")


def _table(model: type[Base]) -> Table:
    table = model.__table__
    assert isinstance(table, Table)  # noqa: S101  # no model of ours maps anything else
    return table


def _insert(table: str, names: Sequence[str]) -> str:
    marks = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})"  # noqa: S608  # names of ours


def _on_conflict(table: Table, names: Sequence[str]) -> str:
    keys = [column.name for column in table.primary_key]
    changed = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
    return f"ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {changed}"


def _sqlite_rows(table: Table, rows: Sequence[Row]) -> list[tuple[Any, ...]]:
    columns = [_plain(table.columns[name])([row[name] for row in rows]) for name in rows[0]]
    return list(zip(*columns, strict=True))


def _plain(column: Column[Any]) -> Encode:
    if isinstance(column.type, UtcTime):
        return lambda values: [None if v is None else v // MICROSECOND * MICROSECOND for v in values]
    if isinstance(column.type, Money):
        return lambda values: [None if v is None else format(v, "f") for v in values]
    if column.type.python_type is dt.date:
        return lambda values: [None if v is None else v.isoformat() for v in values]
    return lambda values: values


def _copy(connection: Connection, into: str, table: Table, rows: Sequence[Row]) -> None:
    names = list(rows[0])
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(into), sql.SQL(", ").join(map(sql.Identifier, names))
    )
    driver: psycopg.Connection[Any] = connection.connection.driver_connection  # type: ignore[assignment]
    block = encoded(table, rows)
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            copy.write(block)
    except psycopg.Error as error:
        raise DBAPIError.instance(f"COPY {into}", None, error, psycopg.Error) from error


def encoded(table: Table, rows: Sequence[Row]) -> bytes:
    """Return rows in the text format of ``COPY``, in the order of the first row's columns."""
    columns = [_wire(table.columns[name])([row[name] for row in rows]) for name in rows[0]]
    text = "\n".join(map("\t".join, zip(*columns, strict=True)))
    return (text + "\n").encode("utf-8", "replace")


def _wire(column: Column[Any]) -> Encode:
    kind: Any = column.type
    if isinstance(kind, UtcTime):
        return _times
    if isinstance(kind, Money):
        return lambda values: [_NULL if v is None else format(v, "f") for v in values]
    if isinstance(kind, Boolean):
        return lambda values: [_NULL if v is None else "t" if v else "f" for v in values]
    if isinstance(kind, JSON):
        return _documents
    return _texts if kind.python_type is str else _others


def _times(values: list[int | None]) -> list[str]:
    micros = np.array([0 if v is None else v // MICROSECOND for v in values], "datetime64[us]")
    found = np.char.add(np.datetime_as_string(micros), "+00").tolist()
    return [_NULL if v is None else text for v, text in zip(values, found, strict=True)]


def _others(values: list[Any]) -> list[str]:
    return [_NULL if v is None else str(v) for v in values]


def _documents(values: list[str]) -> list[str]:
    # A server's JSON has no NUL and no half of a surrogate pair; the audit event keeps the text as it was.
    return _texts([_storable(v) if "\\u0000" in v or "\\ud" in v else v for v in values])


def _storable(text: str) -> str:
    spelt = json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return spelt.replace("\\u0000", "\\ufffd").encode("utf-8", "replace").decode()


def _texts(values: list[str | None]) -> list[str]:
    joined = _SEPARATOR.join(["" if v is None else v for v in values]).replace("\0", "\ufffd")
    for plain, escaped in _ESCAPES:
        joined = joined.replace(plain, escaped)
    found = joined.split(_SEPARATOR)
    if len(found) != len(values):  # a text holds the separator itself
        return [_texts([v])[0] if v is None or _SEPARATOR not in v else _one(v) for v in values]
    return [_NULL if v is None else text for v, text in zip(values, found, strict=True)]


def _one(value: str) -> str:
    return _texts([value.replace(_SEPARATOR, " ")])[0]


def money(text: str) -> Decimal:
    """Return an amount of an event; raise ValueError unless it is a finite number."""
    value = Decimal(text)
    if not value.is_finite():
        raise ValueError(f"{text} is no amount")
    return value
