"""Columns of values in the forms that PostgreSQL's ``COPY`` takes, made by Arrow a whole column at a time.

A table of texts, documents, moments and whole numbers is sent in the binary form (PostgreSQL manual, "COPY",
"Binary Format"): the server need not look for the end of a text, nor for what is escaped in it. Each row is
the number of its fields (16 bits), then each field as its length (32 bits, -1 for NULL) and its bytes, all
big-endian. A table with amounts of money is sent as CSV: a text is quoted, nothing is NULL.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv
from sqlalchemy import JSON, BigInteger, Boolean, Column, String, Table, Text

from data.schema.types import MICROSECOND, Money, UtcTime

Columns = Mapping[str, Sequence[Any]]
Form = Literal["BINARY", "CSV"]

_HEADER, _TRAILER = b"PGCOPY\n\xff\r\n\0" + bytes(8), b"\xff\xff"
_EPOCH_US = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts microseconds."""
_PLAIN_CSV = csv.WriteOptions(include_header=False)
_DOCUMENT = b"\x01"
"""The version that begins a document in the binary form."""


def form_of(table: Table) -> Form:
    """Return the form in which rows of a table are sent."""
    return "BINARY" if all(_is_binary(column) for column in table.columns) else "CSV"


def encoded(table: Table, columns: Columns) -> list[memoryview]:
    """Return columns of equal length as the stream of a ``COPY`` in the form of the table."""
    names = [table.columns[name] for name in columns]
    if form_of(table) == "BINARY":
        return [memoryview(_HEADER), _rows(names, columns), memoryview(_TRAILER)]
    arrays = [wire(column, columns[column.name]) for column in names]
    lines = pa.BufferOutputStream()
    csv.write_csv(pa.table(arrays, names=list(columns)), lines, _PLAIN_CSV)
    return [memoryview(lines.getvalue())]


def wire(column: Column[Any], values: Sequence[Any]) -> pa.Array:
    """Return a column as Arrow's, with values that a server takes: its texts have no NUL, for one."""
    kind: Any = column.type
    if isinstance(kind, UtcTime):
        micros = pa.array([None if v is None else v // MICROSECOND for v in values], pa.int64())
        return micros.view(pa.timestamp("us", "UTC"))
    if isinstance(kind, Money):
        return pa.array([None if v is None else format(v, "f") for v in values], pa.string())
    if isinstance(kind, JSON):
        return _documents(values)
    if isinstance(kind, Boolean):
        return pa.array(values, pa.bool_())
    return _texts(values) if kind.python_type is str else pa.array(values)


def _is_binary(column: Column[Any]) -> bool:
    if isinstance(column.type, UtcTime | BigInteger):
        return not column.nullable
    return isinstance(column.type, String | Text | JSON) and not isinstance(column.type, Money)


def _rows(columns: Sequence[Column[Any]], values: Columns) -> memoryview:
    pieces: list[Any] = [pa.scalar(len(columns).to_bytes(2, "big"), pa.binary())]
    for column in columns:
        pieces += _fields(column, values[column.name])
    rows = pc.binary_join_element_wise(*pieces, b"", null_handling="replace", null_replacement=b"")
    size = pc.sum(pc.binary_length(rows)).as_py() or 0
    return memoryview(rows.buffers()[2])[:size]  # Arrow's buffers may be longer than what they hold


def _fields(column: Column[Any], values: Sequence[Any]) -> list[pa.Array]:
    """Return one column's fields in pieces that stand side by side: lengths, and what they are lengths of."""
    if isinstance(column.type, UtcTime | BigInteger):
        numbers = np.fromiter(values, np.int64, len(values))
        if isinstance(column.type, UtcTime):
            numbers = numbers // MICROSECOND - _EPOCH_US
        fields = np.empty(len(values), [("length", ">i4"), ("value", ">i8")])
        fields["length"], fields["value"] = 8, numbers
        return [_pieces(fields)]
    texts = wire(column, values).cast(pa.binary())
    lengths = np.asarray(pc.fill_null(pc.binary_length(texts), -1))
    if isinstance(column.type, JSON):
        return [_pieces((lengths + len(_DOCUMENT)).astype(">i4")), pa.scalar(_DOCUMENT, pa.binary()), texts]
    return [_pieces(lengths.astype(">i4")), texts]


def _pieces(items: np.ndarray[Any, Any]) -> pa.Array:
    """Return the bytes of each item."""
    ends = np.arange(0, (len(items) + 1) * items.itemsize, items.itemsize, dtype=np.int32)
    return pa.Array.from_buffers(pa.binary(), len(items), [None, pa.py_buffer(ends), pa.py_buffer(items)])


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
