"""Rows of bars as a store keeps them: checked, sorted by symbol and start, one row a key.

A row is known by symbol and start. Times are UTC microseconds, the finest that every store keeps; `known_us`
says when the row was learnt. `checked_rows` takes what people have (`BarSeries`, Arrow, pandas, polars) and
refuses what is unsound with the number of the row, before anything is written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from data.bars import (
    HIGHEST_PRICE,
    HIGHEST_VOLUME,
    BarSeries,
    BoolArray,
    FloatArray,
    Int64Array,
    defects,
)
from data.errors import BarConflictError, BarDataError
from data.signs import is_signed
from execution.clocks import utc_ns
from execution.timeframes import Timeframe

UTC = pa.timestamp("us", "UTC")
PRICES = ("open", "high", "low", "close")
VALUES = ("end", *PRICES, "volume")
"""Columns that may differ between two versions of a bar."""
COLUMNS = ("start", *VALUES, "known_at")
SCHEMA = pa.schema(
    [("symbol", pa.dictionary(pa.int32(), pa.string()))]
    + [(name, UTC if name in ("start", "end", "known_at") else pa.float64()) for name in COLUMNS]
)
_LOWEST_PRICE = np.nextafter(0.0, 1.0)
"""Of what cannot be worth nothing: the smallest positive float."""
EARLIEST_US, LATEST_US = -2_208_988_800_000_000, 4_102_444_800_000_000
"""The years 1900 to 2099: a time outside them is a mistake of unit."""

Bars: TypeAlias = BarSeries | Mapping[str, BarSeries] | pa.Table | pd.DataFrame | pl.DataFrame

_SYMBOL = re.compile(r"[A-Za-z0-9^][A-Za-z0-9 .:/^=_-]{0,31}", re.ASCII)
_MICRO = 1_000


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
        raise BarDataError(f"row {_first(pc.is_null(column)) + 1}: symbol is empty; name it")
    chunk = column.unify_dictionaries().combine_chunks()
    if isinstance(chunk, pa.ChunkedArray):
        chunk = chunk.chunk(0) if chunk.num_chunks else pa.array([], chunk.type)
    found = chunk.dictionary.to_pylist()
    codes = chunk.indices.to_numpy()
    for code, symbol in enumerate(found):
        if not isinstance(symbol, str) or not is_symbol(symbol):
            row = int(np.argmax(codes == code)) + 1
            raise BarDataError(
                f"row {row}: symbol {symbol!r} is not a name of at most 32 letters, digits and marks"
            )
    ordered = sorted(set(found))
    rank = {symbol: i for i, symbol in enumerate(ordered)}
    renumbered = np.array([rank[symbol] for symbol in found], np.int32)
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


def microseconds(when: pd.Timestamp) -> int:
    """Return UTC microseconds; a moment between two is taken as the earlier.

    Raises
    ------
    ValueError
        If the Timestamp has no timezone.
    """
    return utc_ns(when) // _MICRO


def checked_rows(
    bars: Bars,
    known_at: pd.Timestamp | None,
    timeframe: Timeframe | None = None,
    signed: Collection[str] = (),
) -> tuple[Timeframe, Rows]:
    """Check bars and return them as rows to be written, with their timeframe.

    Parameters
    ----------
    bars
        A series, series by symbol, or a table with the columns ``symbol, start, end, open, high, low, close,
        volume``; times carry a timezone. A table without ``start`` needs `timeframe` 1m.
    known_at
        When these bars were learnt; None to take a column ``known_at`` of the table.
    timeframe
        Their size; found from the longest bar if None.
    signed
        Symbols whose prices may be zero or negative, beside those of `data.signs`.

    Raises
    ------
    BarDataError
        At the first unsound row.
    BarConflictError
        If two rows have one key and different values.
    """
    if isinstance(bars, BarSeries):
        bars = {bars.symbol: bars}
    if isinstance(bars, Mapping):
        timeframe, table = _from_series(bars, timeframe)
    elif isinstance(bars, pd.DataFrame):
        table = _from_pandas(bars)
    else:
        table = bars.to_arrow() if isinstance(bars, pl.DataFrame) else bars
    names = set(table.column_names)
    if "start" not in names and "end" in names and timeframe is Timeframe.MINUTE:
        table = table.append_column("start", _minute_starts(table["end"]))
    for name in ("symbol", *COLUMNS[: -1 if known_at is not None else None]):
        if table.column_names.count(name) != 1:
            what = "is missing" if name not in table.column_names else "appears twice"
            raise BarDataError(f"column {name!r} {what}; the bars have {', '.join(table.column_names)}")
    symbols, codes = symbol_codes(table["symbol"])
    start, end = _times(table["start"], "start"), _times(table["end"], "end")
    numbers = [_numbers(table[name], name) for name in (*PRICES, "volume")]
    if known_at is None:
        known = _times(table["known_at"], "known_at")
    else:
        known = np.full(len(start), microseconds(known_at), np.int64)
    rows = Rows.of(symbols, codes, [start, end, *numbers, known])
    free = [i for i, name in enumerate(symbols) if is_signed(name, signed)]
    _check_values(rows, np.isin(codes, free) if free else False)
    size = timeframe or _longest(rows)
    _check_length(rows, size)
    return size, _sorted(rows)


def _from_series(
    series: Mapping[str, BarSeries], timeframe: Timeframe | None
) -> tuple[Timeframe | None, pa.Table]:
    sizes = {bars.timeframe for bars in series.values()} | ({timeframe} if timeframe else set())
    if len(sizes) > 1:
        names = ", ".join(sorted(size.value for size in sizes))
        raise BarDataError(f"bars of {names} in one write; write each timeframe by itself")
    parts = []
    for symbol, bars in sorted(series.items()):
        times = {}
        for name, array in (("start", bars.start_ns), ("end", bars.end_ns)):
            if (array % _MICRO).any():
                raise BarDataError(f"{symbol}: a {name} is finer than a microsecond")
            times[name] = pa.array(array // _MICRO).view(UTC)
        values = {name: pa.array(getattr(bars, name)) for name in (*PRICES, "volume")}
        parts.append(pa.table({"symbol": pa.array([symbol] * len(bars), pa.string()), **times, **values}))
    if not parts:
        return timeframe, SCHEMA.empty_table()
    return next(iter(sizes)), pa.concat_tables(parts)


def _from_pandas(bars: pd.DataFrame) -> pa.Table:
    """Return a frame as a table; several zones in one column are a mistake of whoever joined it."""
    for name in ("start", "end", "known_at"):
        if name in bars and bars[name].dtype == object:
            zones = [str(getattr(when, "tzinfo", None)) for when in bars[name]]
            other = next((i for i, zone in enumerate(zones) if zone != zones[0]), None)
            if other is not None:
                raise BarDataError(
                    f"row {other + 1}: {name} has the timezone {zones[other]}, the rows before it "
                    f"{zones[0]}; convert all to UTC"
                )
    try:
        return pa.Table.from_pandas(bars, preserve_index=False)
    except (pa.ArrowException, ValueError) as error:
        raise BarDataError(
            f"a column appears twice or holds values of several types: {error}; store one type"
        ) from error


def _minute_starts(ends: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.subtract(ends, pa.scalar(Timeframe.MINUTE.seconds * 1_000_000, pa.duration("us")))


def _first(mask: pa.ChunkedArray) -> int:
    return int(np.argmax(mask.to_numpy()))


def _times(column: pa.ChunkedArray, name: str) -> Int64Array:
    if not pa.types.is_timestamp(column.type):
        raise BarDataError(f"column {name!r} has type {column.type}; store times with their timezone")
    if column.type.tz is None:
        raise BarDataError(f"column {name!r} has no timezone: nobody can say which moment is meant; use UTC")
    if column.null_count:
        raise BarDataError(
            f"row {_first(pc.is_null(column)) + 1}: {name} is empty; correct or remove the row"
        )
    unit = column.type.unit
    if unit != "us":
        scale = {"s": 1_000_000, "ms": 1_000, "ns": 1}[unit]
        whole = column.cast(pa.int64()).to_numpy()
        if unit == "ns":
            if (whole % _MICRO).any():
                row = int(np.argmax(whole % _MICRO != 0)) + 1
                raise BarDataError(f"row {row}: {name} is finer than a microsecond; round it")
            return np.asarray(whole // _MICRO, np.int64)
        limit = LATEST_US // scale + 1
        return np.asarray(np.clip(whole, -limit, limit) * scale, np.int64)
    return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)


def _numbers(column: pa.ChunkedArray, name: str) -> FloatArray:
    if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        raise BarDataError(f"column {name!r} has type {column.type}; store 64-bit floats")
    if column.null_count:
        raise BarDataError(
            f"row {_first(pc.is_null(column)) + 1}: {name} is empty; correct or remove the row"
        )
    return np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)


def _check_values(rows: Rows, signed: BoolArray | bool) -> None:
    if not len(rows):
        return
    faults: list[tuple[str, BoolArray]] = []
    for name, times in (("start", rows.start), ("end", rows.end), ("known_at", rows.known)):
        if times.min() < EARLIEST_US or times.max() >= LATEST_US:
            faults.append((f"{name} is outside 1900 to 2099", (times < EARLIEST_US) | (times >= LATEST_US)))
    if (rows.start >= rows.end).any():
        faults.append(("the bar does not end after it starts", rows.start >= rows.end))
    faults += _price_faults(rows, signed)
    for rule, broken in faults:
        if broken.any():
            i = int(np.argmax(broken))
            prices = ", ".join(f"{name} {getattr(rows, name)[i]:g}" for name in (*PRICES, "volume"))
            raise BarDataError(f"row {i + 1}, {rows.place(i)}: {rule} ({prices}); correct or remove the row")


def _price_faults(rows: Rows, signed: BoolArray | bool) -> list[tuple[str, BoolArray]]:
    """Look for any fault with the least work, and name it only if there is one.

    A NaN or infinity anywhere fails one of these comparisons, which are written to be false for it.
    """
    top = np.maximum(rows.open, rows.close)
    bottom = np.minimum(rows.open, rows.close)
    lowest = np.where(signed, -HIGHEST_PRICE, _LOWEST_PRICE)
    sound = (rows.low <= bottom) & (top <= rows.high) & (rows.low >= lowest) & (rows.high <= HIGHEST_PRICE)
    sound &= (rows.volume >= 0) & (rows.volume <= HIGHEST_VOLUME)
    if sound.all():
        return []
    return list(defects(rows.open, rows.high, rows.low, rows.close, rows.volume, signed=signed))


def _longest(rows: Rows) -> Timeframe:
    longest = int((rows.end - rows.start).max()) * _MICRO if len(rows) else 0
    sizes = (Timeframe.MINUTE, Timeframe.HOUR, Timeframe.DAY)
    return next((size for size in sizes if longest <= size.nanos), Timeframe.DAY)


def _check_length(rows: Rows, timeframe: Timeframe) -> None:
    """Refuse bars too long for their size, and minutes that are no minute: their end is not stored."""
    limit = timeframe.nanos // _MICRO
    length = rows.end - rows.start
    broken = length != limit if timeframe is Timeframe.MINUTE else length > limit
    if broken.any():
        i = int(np.argmax(broken))
        lasts = pd.Timedelta(int(length[i]), unit="us").total_seconds()
        raise BarDataError(
            f"row {i + 1}, {rows.place(i)}: the bar lasts {lasts:g} s, one of {timeframe.value} "
            f"{'' if timeframe is Timeframe.MINUTE else 'at most '}{timeframe.seconds} s; correct its times"
        )


def _sorted(rows: Rows) -> Rows:
    """Sort by symbol and start, and drop rows that say the same twice."""
    same_symbol = rows.codes[1:] == rows.codes[:-1]
    if not ((rows.codes[1:] > rows.codes[:-1]) | (same_symbol & (rows.start[1:] > rows.start[:-1]))).all():
        order = np.lexsort((rows.start, rows.codes))
        rows = rows.take(order)
        twice = np.flatnonzero((np.diff(rows.codes) == 0) & (np.diff(rows.start) == 0))
        if len(twice):
            differ = np.zeros(len(twice), np.bool_)
            for array in (*rows.values, rows.known):
                differ |= array[twice] != array[twice + 1]
            if differ.any():
                i = int(twice[np.argmax(differ)])
                first, second = sorted((int(order[i]) + 1, int(order[i + 1]) + 1))
                raise BarConflictError(
                    f"rows {first} and {second}: {rows.place(i)} is there twice with different values; "
                    "keep one"
                )
            keep = np.ones(len(rows), np.bool_)
            keep[twice] = False
            rows = rows.take(keep)
        same_symbol = rows.codes[1:] == rows.codes[:-1]
    overlap = same_symbol & (rows.start[1:] < rows.end[:-1])
    if overlap.any():
        i = int(np.argmax(overlap))
        raise BarDataError(f"{rows.place(i + 1)}: starts before the bar before it ends; correct the times")
    return rows
