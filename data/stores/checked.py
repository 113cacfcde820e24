"""Bars as people have them, checked and turned into the rows that a store keeps.

`checked_rows` takes `BarSeries`, Arrow, pandas and polars, and refuses what is unsound with the number of the
row, before anything is written.

1. The columns are there, once each, and of the right type; times name their zone.
2. Each row is sound: times within 1900 to 2099, prices that enclose each other, no longer than its timeframe.
3. Rows are sorted by symbol and start. A row that is there twice goes; with other values it is a conflict;
   bars of a symbol that overlap are refused.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TypeAlias

import numpy as np
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
from data.stores.rows import (
    COLUMNS,
    EARLIEST_US,
    LATEST_US,
    MICRO,
    MINUTE_US,
    PRICES,
    SCHEMA,
    UTC,
    Rows,
    empty_rows,
    microseconds,
    symbol_codes,
)
from execution.timeframes import Timeframe

Bars: TypeAlias = BarSeries | Mapping[str, BarSeries] | pa.Table | pd.DataFrame | pl.DataFrame

_LOWEST_PRICE = np.nextafter(0.0, 1.0)
"""Of what cannot be worth nothing: the smallest positive float."""


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
    names = table.column_names
    if "start" not in names and "end" in names and timeframe is Timeframe.MINUTE:
        table = table.append_column("start", _minute_starts(table["end"]))
    for name in ("symbol", *COLUMNS[: -1 if known_at is not None else None]):
        if table.column_names.count(name) != 1:
            what = "is missing" if name not in table.column_names else "appears twice"
            raise BarDataError(f"column {name!r} {what}; the bars have {', '.join(table.column_names)}")
    if not table.num_rows:
        return timeframe or Timeframe.MINUTE, empty_rows()  # of frames without rows no column has a type
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
            if (array % MICRO).any():
                raise BarDataError(f"{symbol}: a {name} is finer than a microsecond")
            times[name] = pa.array(array // MICRO).view(UTC)
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
    return pc.subtract(ends, pa.scalar(MINUTE_US, pa.duration("us")))


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
            if (whole % MICRO).any():
                row = int(np.argmax(whole % MICRO != 0)) + 1
                raise BarDataError(f"row {row}: {name} is finer than a microsecond; round it")
            return np.asarray(whole // MICRO, np.int64)
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
    numbers = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(), np.float64)
    # Zero has one sign, as in the stores that keep none.
    return numbers + 0.0 if ((numbers == 0) & np.signbit(numbers)).any() else numbers


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
    longest = int((rows.end - rows.start).max()) * MICRO if len(rows) else 0
    sizes = (Timeframe.MINUTE, Timeframe.HOUR, Timeframe.DAY)
    return next((size for size in sizes if longest <= size.nanos), Timeframe.DAY)


def _check_length(rows: Rows, timeframe: Timeframe) -> None:
    """Refuse bars too long for their size, and minutes that are no minute: their end is not stored."""
    limit = timeframe.nanos // MICRO
    length = rows.end - rows.start
    minute = timeframe is Timeframe.MINUTE
    broken = length != limit if minute else length > limit
    if broken.any():
        i = int(np.argmax(broken))
        lasts = pd.Timedelta(int(length[i]), unit="us").total_seconds()
        raise BarDataError(
            f"row {i + 1}, {rows.place(i)}: the bar lasts {lasts:g} s, one of {timeframe.value} "
            f"{'' if minute else 'at most '}{timeframe.seconds} s; correct its times"
        )
    if minute and (rows.start % limit).any():
        i = int(np.argmax(rows.start % limit != 0))
        raise BarDataError(
            f"row {i + 1}, {rows.place(i)}: the bar does not start on a whole minute; correct its times"
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
