"""How the values of a table look in a backup: plain, and the same whichever server they come from."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from sqlalchemy import JSON, BigInteger, Boolean, Date, Double, Integer, Table

from data.schema.types import Money, UtcTime

_ARROW = {
    "money": pa.string(), "moment": pa.int64(), "json": pa.string(), "date": pa.string(),
    "float": pa.float64(), "truth": pa.bool_(), "whole": pa.int64(), "text": pa.string(),
}  # fmt: skip
KINDS = frozenset(_ARROW)
"""Kinds of columns."""
_MOMENT = "(extract(epoch FROM {}) * 1000000)::bigint * 1000"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; `kind` is one of money, moment, json, date, float, truth, whole and text."""

    name: str
    kind: str
    key: bool

    @property
    def arrow(self) -> pa.DataType:
        """Type in the Parquet file."""
        return _ARROW[self.kind]

    def plain(self, value: Any) -> Any:
        """Return a value as the backup keeps it."""
        if value is None:
            return None
        if self.kind == "json":
            parsed = json.loads(value) if isinstance(value, str) else value
            return json.dumps(parsed, sort_keys=True, separators=(",", ":"))
        if self.kind == "truth":
            return bool(value)
        return float(value) if self.kind == "float" else value


def columns_of(table: Table) -> list[Column]:
    """Return the columns of a table."""
    return [Column(c.name, _kind(c.type), c.primary_key) for c in table.columns]


def selected(table: str, columns: list[Column], dialect: str) -> str:
    """Return the query that reads a table as plain values, in the order of its key."""
    fields = ", ".join(_read(column, dialect) for column in columns)
    collate = "" if dialect == "sqlite" else ' COLLATE "C"'
    keys = ", ".join(
        f'"{column.name}"{collate if column.kind == "text" else ""}' for column in columns if column.key
    )
    return f"SELECT {fields} FROM {table} ORDER BY {keys}"  # noqa: S608  # names of ours


def literal(column: Column, dialect: str) -> str:
    """Return the parameter that writes a plain value into a column."""
    name = f":{column.name}"
    if dialect == "sqlite":
        return name
    written = {
        "money": f"CAST({name} AS numeric)",
        "moment": f"to_timestamp(CAST({name} AS bigint) / 1000000000) + "
        f"(CAST({name} AS bigint) % 1000000000) / 1000 * INTERVAL '1 microsecond'",
        "json": f"CAST({name} AS jsonb)",
        "date": f"CAST({name} AS date)",
    }
    return written.get(column.kind, name)


def _read(column: Column, dialect: str) -> str:
    name = f'"{column.name}"'
    if dialect == "sqlite":
        return name
    if column.kind == "moment":
        return _MOMENT.format(name)
    return f"{name}::text" if column.kind in ("money", "json", "date") else name


def _kind(found: Any) -> str:
    for kinds, name in (
        ((Money,), "money"), ((UtcTime,), "moment"), ((JSON,), "json"), ((Date,), "date"),
        ((Double,), "float"), ((Boolean,), "truth"), ((BigInteger, Integer), "whole"),
    ):  # fmt: skip
        if isinstance(found, kinds):
            return name
    return "text"
