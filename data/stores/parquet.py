"""Bars in Parquet files: the store that needs no server.

``1D/AAPL/all.parquet`` holds daily bars, ``1m/AAPL/2024.parquet`` a year of minutes, so that one symbol is
one file to read and an update rewrites little. Versions that were superseded lie beside it, in
``2024.versions.parquet``. The same rows give the same bytes, whatever the order in which they were written.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from data.bars import Int64Array
from data.errors import BarStoreError
from data.stores.base import ALWAYS, BarStore, Holding, Span, WriteReport
from data.stores.commit import ReplacedTogether, Replacement
from data.stores.rows import (
    COLUMNS,
    SCHEMA,
    UTC,
    Bars,
    Rows,
    checked_rows,
    empty_rows,
)
from data.stores.versions import as_known, compare, join, positions
from execution.timeframes import Timeframe

_FILE = pa.schema([SCHEMA.field(name) for name in COLUMNS])
_VERSIONS = _FILE.append(pa.field("superseded_at", UTC))
_NUMBERS = ("open", "high", "low", "close", "volume")
_TIME_ENCODINGS = dict.fromkeys(("start", "end", "known_at"), "DELTA_BINARY_PACKED")
_SUFFIX = ".parquet"
_VERSIONS_SUFFIX = ".versions.parquet"
_WHOLE = "all"
_THREADS = 4
_MANY = 8
"""Files from which on reading them side by side is faster than one after the other."""


class ParquetBarStore(BarStore):
    """A folder of Parquet files.

    Parameters
    ----------
    root
        The folder; made by the first write.
    """

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self._files = ReplacedTogether(self.root)

    def __repr__(self) -> str:
        return f"ParquetBarStore({str(self.root)!r})"

    def __str__(self) -> str:
        return str(self.root)

    def write(
        self,
        bars: Bars,
        *,
        known_at: pd.Timestamp | None,
        timeframe: Timeframe | None = None,
        signed: Collection[str] = (),
    ) -> WriteReport:
        """Add new bars and revise those that changed; see `BarStore.write`."""
        size, rows = checked_rows(bars, known_at, timeframe, signed)
        inserted = revised = unchanged = 0
        with self._files.writing() as replacement:
            for symbol, first, last in rows.spans():
                for name, piece in _partitions(rows.take(slice(first, last)), size):
                    path = self._folder(size, symbol) / (name + _SUFFIX)
                    counts = _merge(path, symbol, piece, replacement, minutes=size is Timeframe.MINUTE)
                    inserted += counts.inserted
                    revised += counts.revised
                    unchanged += counts.unchanged
        return WriteReport(inserted, revised, unchanged)

    def symbols(self, timeframe: Timeframe | None = None) -> list[str]:
        """Return the symbols that have bars, sorted."""
        sizes = list(Timeframe) if timeframe is None else [timeframe]
        folders = (self.root / size.value for size in sizes)
        found = {unquote(path.name) for folder in folders if folder.is_dir() for path in folder.iterdir()}
        return sorted(found)

    def holdings(self) -> list[Holding]:
        """Return what is held, sorted by symbol and timeframe, from the files' footers."""
        found = []
        with self._files.reading():
            for symbol in self.symbols():
                for size in Timeframe:
                    paths = self._paths(symbol, size, ALWAYS)
                    if paths:
                        found.append(_holding(symbol, size, paths))
        return found

    def head(self, symbol: str, timeframe: Timeframe, count: int = 5) -> pa.Table:
        """Return the first `count` bars of a symbol."""
        return self._end_of(symbol, timeframe, count, newest=False)

    def last(self, symbol: str, timeframe: Timeframe, count: int = 1) -> pa.Table:
        """Return the last `count` bars of a symbol, oldest first."""
        return self._end_of(symbol, timeframe, count, newest=True)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _folder(self, timeframe: Timeframe, symbol: str) -> Path:
        return self.root / timeframe.value / quote(symbol, safe=" ^=:")

    def _paths(self, symbol: str, timeframe: Timeframe, span: Span) -> list[Path]:
        folder = self._folder(timeframe, symbol)
        if timeframe is not Timeframe.MINUTE:
            path = folder / (_WHOLE + _SUFFIX)
            return [path] if path.exists() else []
        if not folder.is_dir():
            return []
        first, last = (pd.Timestamp(us, unit="us").year for us in (span.first, span.last - 1))
        named = (path for path in folder.iterdir() if not path.name.endswith(_VERSIONS_SUFFIX))
        return sorted(path for path in named if path.stem.isdigit() and first <= int(path.stem) <= last)

    def _now(
        self, symbols: list[str] | None, timeframe: Timeframe, span: Span, learnt_after: int | None = None
    ) -> pa.Table:
        names = self.symbols(timeframe) if symbols is None else symbols
        with self._files.reading():
            work = [
                (code, path)
                for code, symbol in enumerate(names)
                for path in self._paths(symbol, timeframe, span)
            ]
            if len(work) < _MANY:
                tables = [read_file(path, _FILE, threads=True) for _, path in work]
            else:
                with ThreadPoolExecutor(_THREADS) as pool:
                    tables = list(pool.map(lambda item: read_file(item[1], _FILE), work))
        tables = [_within(table, span, learnt_after) for table in tables]
        symbols_array = pa.array(names, pa.string())
        codes = [
            pa.DictionaryArray.from_arrays(np.full(table.num_rows, code, np.int32), symbols_array)
            for (code, _), table in zip(work, tables, strict=True)
        ]
        if not tables:
            return SCHEMA.empty_table()
        whole = pa.concat_tables(tables)
        return whole.add_column(
            0, SCHEMA.field("symbol"), pa.chunked_array(codes, SCHEMA.field("symbol").type)
        )

    def _then(self, symbols: list[str] | None, timeframe: Timeframe, span: Span, when: int) -> Rows:
        names = self.symbols(timeframe) if symbols is None else symbols
        parts = []
        with self._files.reading():
            for symbol in names:
                for path in self._paths(symbol, timeframe, span):
                    rows = as_known(_load(path, symbol), _load_versions(path, symbol), when)
                    parts.append(rows.take((rows.start >= span.first) & (rows.start < span.last)))
        return join(parts) if parts else empty_rows()

    def _end_of(self, symbol: str, timeframe: Timeframe, count: int, *, newest: bool) -> pa.Table:
        with self._files.reading():
            paths = self._paths(symbol, timeframe, ALWAYS)
            tables: list[pa.Table] = []
            for path in reversed(paths) if newest else paths:
                if sum(table.num_rows for table in tables) < count:
                    tables.append(read_file(path, _FILE))
        table = pa.concat_tables(tables[::-1] if newest else tables) if tables else _FILE.empty_table()
        table = table.slice(max(0, table.num_rows - count)) if newest else table.slice(0, count)
        names = pa.DictionaryArray.from_arrays(np.zeros(table.num_rows, np.int32), pa.array([symbol]))
        return table.add_column(0, SCHEMA.field("symbol"), names)


def read_file(path: Path, schema: pa.Schema, *, threads: bool = False) -> pa.Table:
    """Read one file of the store.

    Raises
    ------
    BarStoreError
        If it is cut off or damaged, or its columns, their types or the order of its rows are not the store's.
    """
    try:
        with pq.ParquetFile(path, memory_map=True) as file:
            table = file.read(use_threads=threads)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BarStoreError(
            f"{path}: not a sound Parquet file ({reason}); restore it from a backup, or remove it and load "
            "its bars again"
        ) from error
    if not table.schema.equals(schema):
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        raise BarStoreError(
            f"{path}: holds {found}; expected {', '.join(f'{f.name} {f.type}' for f in schema)}: it was not "
            "written by this store; import it instead"
        )
    starts = _integers(table, "start")
    if schema is _FILE and not (starts[1:] > starts[:-1]).all():
        i = int(np.argmin(starts[1:] > starts[:-1])) + 2
        raise BarStoreError(f"{path}, row {i}: starts no later than the row before it; load its bars again")
    return table


def _integers(table: pa.Table, name: str) -> Int64Array:
    return np.asarray(table[name].cast(pa.int64()).to_numpy(), np.int64)


def _within(table: pa.Table, span: Span, learnt_after: int | None) -> pa.Table:
    if learnt_after is not None:
        table = table.filter(pa.array(_integers(table, "known_at") > learnt_after))
    starts = _integers(table, "start")
    first, last = np.searchsorted(starts, (span.first, span.last))
    return table if first == 0 and last == len(starts) else table.slice(int(first), int(last - first))


def _rows_of(table: pa.Table, symbol: str) -> Rows:
    arrays = [
        _integers(table, field.name) if field.type == UTC else table[field.name].to_numpy() for field in _FILE
    ]
    later = _integers(table, "superseded_at") if "superseded_at" in table.column_names else None
    return Rows.of((symbol,), np.zeros(table.num_rows, np.int32), arrays, later)


def _load(path: Path, symbol: str) -> Rows:
    table = read_file(path, _FILE) if path.exists() else _FILE.empty_table()
    return _rows_of(table, symbol)


def _versions_of(path: Path) -> Path:
    return path.with_name(path.stem + _VERSIONS_SUFFIX)


def _load_versions(path: Path, symbol: str) -> Rows:
    beside = _versions_of(path)
    table = read_file(beside, _VERSIONS) if beside.exists() else _VERSIONS.empty_table()
    return _rows_of(table, symbol)


def _partitions(rows: Rows, timeframe: Timeframe) -> Iterator[tuple[str, Rows]]:
    """Cut the rows of one symbol into the files that they belong to."""
    if timeframe is not Timeframe.MINUTE:
        yield _WHOLE, rows
        return
    years = rows.start.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    for year in np.unique(years).tolist():
        first, last = np.searchsorted(years, [year, year + 1])
        yield str(year), rows.take(slice(int(first), int(last)))


def _merge(
    path: Path, symbol: str, incoming: Rows, replacement: Replacement, *, minutes: bool
) -> WriteReport:
    """Stage what a write changes of one file and of the versions beside it."""
    incoming = Rows.of((symbol,), np.zeros(len(incoming), np.int32), incoming.arrays)
    current = _load(path, symbol)

    def stored(_: Rows) -> Rows:
        return _load_versions(path, symbol)

    change = compare(incoming, current, stored)
    report = WriteReport(change.inserted, change.revised, change.unchanged)
    if not change.inserted and not change.revised:
        return report
    kept = current.take(positions(current, change.replaced) < 0)
    replacement.stage(path, _content(join([kept, change.fresh, change.replaced]), minutes=minutes))
    if len(change.superseded):
        versions = _load_versions(path, symbol)
        untouched = versions.take(positions(versions, change.rewritten) < 0)
        replacement.stage(_versions_of(path), _content(join([untouched, change.superseded]), minutes=minutes))
    return report


def _content(rows: Rows, *, minutes: bool) -> memoryview:
    """Return the bytes of a file: a function of the rows alone.

    Times grow by steps that repeat, and are stored as such. A year of minutes has few distinct prices, which
    a dictionary makes faster to read; twenty years of days have many, and are smaller without.
    """
    columns = [
        pa.array(array).view(UTC) if array.dtype == np.int64 else pa.array(array) for array in rows.arrays
    ]
    schema = _FILE
    if rows.superseded is not None:
        columns.append(pa.array(rows.superseded).view(UTC))
        schema = _VERSIONS
    table = pa.Table.from_arrays(columns, schema=schema)
    sink = pa.BufferOutputStream()
    pq.write_table(
        table,
        sink,
        row_group_size=max(1, table.num_rows),
        compression="zstd",
        compression_level=3,
        use_dictionary=list(_NUMBERS) if minutes else False,
        column_encoding=_TIME_ENCODINGS,
        version="2.6",
        data_page_version="2.0",
        store_schema=True,
    )
    return memoryview(sink.getvalue())


def _holding(symbol: str, timeframe: Timeframe, paths: list[Path]) -> Holding:
    firsts, lasts, count = [], [], 0
    for path in paths:
        try:
            meta = pq.read_metadata(path)
        except (pa.ArrowException, OSError) as error:
            raise BarStoreError(
                f"{path}: not a sound Parquet file ({str(error).splitlines()[0]}); restore it from a backup, "
                "or remove it and load its bars again"
            ) from error
        group = meta.row_group(0)
        firsts.append(group.column(0).statistics.min)
        lasts.append(group.column(1).statistics.max)
        count += meta.num_rows
    return Holding(symbol, timeframe, pd.Timestamp(min(firsts)), pd.Timestamp(max(lasts)), count)
