"""Rows of bars in the binary format of PostgreSQL's ``COPY``, made by numpy without a loop over rows.

Every row is the number of its fields (16 bits), then each field as its length (32 bits) and its bytes, all
big-endian (PostgreSQL manual, "COPY", "Binary Format"). With one symbol all rows have one size, so a
structured array is the wire format: lengths and symbol are filled in once, values are assigned by column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from data.stores.rows import Rows

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = b"\xff\xff"
EPOCH_US = 946_684_800_000_000
"""2000-01-01, from which PostgreSQL counts microseconds."""

_BLOCK = 4_096
"""Rows of one buffer: while the server works on one, the next is made."""


def encoded(rows: Rows, columns: Sequence[str], timeframe: str | None = None) -> Iterator[memoryview | bytes]:
    """Yield the stream of a ``COPY (symbol, [timeframe,] *columns) FROM STDIN (FORMAT BINARY)``.

    Parameters
    ----------
    rows
        What is to be stored, sorted by symbol.
    columns
        Names of `rows.COLUMNS`, or ``superseded``, in the order of the statement.
    timeframe
        Value of the column after the symbol, if the table has it.

    A yielded buffer is overwritten by the next: use it at once.
    """
    arrays = [rows.array(name) for name in columns]
    yield HEADER
    for symbol, first, last in rows.spans():
        texts = [symbol.encode()] + ([] if timeframe is None else [timeframe.encode()])
        block = _block(min(_BLOCK, last - first), texts, arrays)
        values = [block[f"value{i}"] for i in range(len(arrays))]
        for low in range(first, last, _BLOCK):
            count = min(_BLOCK, last - low)
            for value, array in zip(values, arrays, strict=True):
                if array.dtype == np.int64:
                    np.subtract(array[low : low + count], EPOCH_US, out=value[:count])
                else:
                    value[:count] = array[low : low + count]
            yield block[:count].view(np.uint8).data
    yield TRAILER


def _block(
    size: int, texts: Sequence[bytes], arrays: Sequence[np.ndarray[Any, Any]]
) -> np.ndarray[Any, np.dtype[Any]]:
    layout: list[tuple[str, str]] = [("fields", ">i2")]
    for i, text in enumerate(texts):
        layout += [(f"text_length{i}", ">i4"), (f"text{i}", f"V{len(text)}")]
    for i, array in enumerate(arrays):
        layout += [(f"length{i}", ">i4"), (f"value{i}", ">i8" if array.dtype == np.int64 else ">f8")]
    block = np.zeros(size, dtype=np.dtype(layout))
    block["fields"] = len(texts) + len(arrays)
    for i, text in enumerate(texts):
        block[f"text_length{i}"] = len(text)
        block[f"text{i}"] = np.void(text)
    for i in range(len(arrays)):
        block[f"length{i}"] = 8
    return block
