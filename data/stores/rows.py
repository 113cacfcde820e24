"""Rows of bars as a store keeps them: sorted by symbol and start, one row a key.

A row is known by symbol and start. Times are UTC microseconds, the finest that every store keeps; `known`
says when the row was learnt. What people offer becomes rows in `data.stores.checked`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from data.bars import FloatArray, Int64Array
from data.errors import BarDataError
from execution.clocks import utc_ns

UTC = pa.timestamp("us", "UTC")
PRICES = ("open", "high", "low", "close")
VALUES = ("end", *PRICES, "volume")
"""Columns that may differ between two versions of a bar."""
COLUMNS = ("start", *VALUES, "known_at")
SCHEMA = pa.schema(
    [("symbol", pa.dictionary(pa.int32(), pa.string()))]
    + [(name, UTC if name in ("start", "end", "known_at") else pa.float64()) for name in COLUMNS]
)
EARLIEST_US, LATEST_US = -2_208_988_800_000_000, 4_102_444_800_000_000
"""The years 1900 to 2099: a time outside them is a mistake of unit."""

_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9 .:/^=_-]{0,31}", re.ASCII)
MICRO = 1_000
"""Nanoseconds of a microsecond."""
MINUTE_US = 60_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Bars of one timeframe, sorted by symbol and start; `codes` are positions in the sorted `symbols`.

    All arrays have one length. `superseded` is None for bars that hold; for versions that were replaced it
    says when, in microseconds.
    """

    symbols: tuple[str, ...]
    codes: npt.NDArray[np.int32]
    start: Int64Array
    end: Int64Array
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    known: Int64Array
    superseded: Int64Array | None = None

    @classmethod
    def of(
        cls,
        symbols: tuple[str, ...],
        codes: npt.NDArray[np.int32],
        arrays: Sequence[npt.NDArray[Any]],
        superseded: Int64Array | None = None,
    ) -> Rows:
        """Build rows from arrays in the order of `COLUMNS`."""
        start, end, opens, highs, lows, closes, volume, known = arrays
        return cls(symbols, codes, start, end, opens, highs, lows, closes, volume, known, superseded)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def values(self) -> tuple[npt.NDArray[Any], ...]:
        """Arrays of what may differ between two versions, in the order of `VALUES`."""
        return (self.end, self.open, self.high, self.low, self.close, self.volume)

    @property
    def arrays(self) -> tuple[npt.NDArray[Any], ...]:
        """Arrays in the order of `COLUMNS`."""
        return (self.start, *self.values, self.known)

    def take(self, which: npt.NDArray[Any] | slice) -> Rows:
        """Return the rows at these positions, or those that a mask or slice keeps."""
        later = None if self.superseded is None else self.superseded[which]
        return Rows.of(self.symbols, self.codes[which], [array[which] for array in self.arrays], later)

    def array(self, name: str) -> npt.NDArray[Any]:
        """Return the array of a column of `COLUMNS`, or of ``superseded``."""
        found = getattr(self, "known" if name == "known_at" else name)
        if found is None:
            raise ValueError("rows that hold were not superseded")
        return np.asarray(found)

    def with_superseded(self, when: Int64Array) -> Rows:
        """Return the rows as versions that were replaced at these moments."""
        return Rows.of(self.symbols, self.codes, self.arrays, when)

    def spans(self) -> list[tuple[str, int, int]]:
        """Return ``(symbol, first, last + 1)`` for each symbol that has rows."""
        edges = np.flatnonzero(np.diff(self.codes)) + 1
        firsts = [0, *edges.tolist()] if len(self) else []
        lasts = [*edges.tolist(), len(self)]
        return [(self.symbols[self.codes[i]], i, j) for i, j in zip(firsts, lasts, strict=False)]

    def place(self, i: int) -> str:
        """Name a row for a message."""
        return f"{self.symbols[self.codes[i]]} {pd.Timestamp(int(self.start[i]), unit='us', tz='UTC')}"

    def to_arrow(self) -> pa.Table:
        """Return the rows as an Arrow table of `SCHEMA`."""
        return arrow_table(self.symbols, self.codes, self.arrays)


def arrow_table(
    symbols: Sequence[str], codes: npt.NDArray[np.int32], arrays: Sequence[npt.NDArray[Any]]
) -> pa.Table:
    """Return an Arrow table of `SCHEMA` over arrays in the order of `COLUMNS`, without copying them."""
    names = pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(symbols, pa.string()))
    columns = [pa.array(array).view(UTC) if array.dtype == np.int64 else pa.array(array) for array in arrays]
    return pa.Table.from_arrays([names, *columns], schema=SCHEMA)


def symbol_codes(column: pa.ChunkedArray) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return the sorted symbols of a column, and the position of each row's among them.

    Raises
    ------
    BarDataError
        If one is empty or no name of a contract.
    """
    if not pa.types.is_dictionary(column.type):
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            raise BarDataError(f"column 'symbol' has type {column.type}; store text")
        column = column.dictionary_encode()
    if column.null_count:
        row = int(np.argmax(pc.is_null(column).to_numpy())) + 1
        raise BarDataError(f"row {row}: symbol is empty; name it")
    chunk = column.unify_dictionaries().combine_chunks()
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.chunk(0) if chunk.num_chunks else pa.array([], chunk.type)
    found = chunk.dictionary.to_pylist()
    codes = chunk.indices.to_numpy()
    used = np.bincount(codes, minlength=len(found)) > 0  # rows that were filtered out leave their names
    for code in np.flatnonzero(used).tolist():
        symbol = found[code]
        if not isinstance(symbol, str) or not is_symbol(symbol):
            row = int(np.argmax(codes == code)) + 1
            raise BarDataError(
                f"row {row}: symbol {symbol!r} is not a name of at most 32 letters, digits and marks"
            )
    ordered = sorted({found[code] for code in np.flatnonzero(used).tolist()})
    rank = {symbol: i for i, symbol in enumerate(ordered)}
    renumbered = np.array([rank.get(symbol, -1) for symbol in found], np.int32)
    same = len(ordered) == len(found) and (renumbered == np.arange(len(found))).all()
    return tuple(ordered), codes.astype(np.int32, copy=False) if same else renumbered[codes]


def ranked(names: Sequence[str]) -> tuple[tuple[str, ...], npt.NDArray[np.int32]]:
    """Return the sorted distinct names, and the position of each name among them."""
    symbols = tuple(sorted(set(names)))
    rank = {symbol: i for i, symbol in enumerate(symbols)}
    return symbols, np.array([rank[name] for name in names], np.int32)


def rows_of(table: pa.Table) -> Rows:
    """Return a table of `SCHEMA` as rows; the inverse of `Rows.to_arrow` for sorted rows."""
    symbols, codes = symbol_codes(table["symbol"])
    columns = (table[name] for name in COLUMNS)
    arrays = [(c.cast(pa.int64()) if c.type == UTC else c).to_numpy() for c in columns]
    return Rows.of(symbols, codes, arrays)


def sort_versions(rows: Rows) -> Rows:
    """Sort rows by symbol, start and when they were learnt, as the versions of bars are kept."""
    order = np.lexsort((rows.known, rows.start, rows.codes))
    return rows if (order[1:] > order[:-1]).all() else rows.take(order)


def empty_rows() -> Rows:
    """Return no rows."""
    whole, real = np.empty(0, np.int64), np.empty(0, np.float64)
    return Rows((), np.empty(0, np.int32), whole, whole, real, real, real, real, real, whole)


def is_symbol(text: str) -> bool:
    """Say whether a store accepts this name of a contract."""
    return _SYMBOL.fullmatch(text) is not None


def microseconds(when: pd.Timestamp, *, up: bool = False) -> int:
    """Return UTC microseconds; a moment between two is taken as the earlier, or as the later if `up`.

    Raises
    ------
    ValueError
        If the Timestamp has no timezone.
    """
    if when.tzinfo is not None and when.unit != "ns":  # years of which nanoseconds cannot tell
        return int(when.to_datetime64().astype("datetime64[us]").astype(np.int64))
    ns = utc_ns(when)
    return -(-ns // MICRO) if up else ns // MICRO
