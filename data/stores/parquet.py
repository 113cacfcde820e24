"""Bars in Parquet files: the store that needs no server.

``1D/AAPL/all.parquet`` holds daily bars, ``1m/AAPL/2024.parquet`` a year of minutes, so that one symbol is
one file to read and an update rewrites little. Versions that were superseded lie beside it, in
``2024.versions.parquet``. The same rows give the same bytes, whatever the order in which they were written.
Other files and folders are left alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from data.errors import BarStoreError
from data.stores.base import ALWAYS, BarStore, Holding, Span, WriteReport
from data.stores.checked import Bars, checked_rows
from data.stores.commit import ReplacedTogether, Replacement
from data.stores.parquet_files import (
    BARS,
    VERSIONS,
    WHOLE,
    content,
    edges,
    folder_of,
    integers,
    read_bars,
    read_side_by_side,
    read_versions,
    symbol_in,
    versions_of,
    year_in,
)
from data.stores.rows import SCHEMA, Rows, empty_rows, is_symbol
from data.stores.versions import as_known, compare, join, positions
from execution.timeframes import Timeframe

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
                    path = self._folder(size, symbol) / name
                    counts = _merge(path, symbol, piece, replacement, minutes=size is Timeframe.MINUTE)
                    inserted += counts.inserted
                    revised += counts.revised
                    unchanged += counts.unchanged
        return WriteReport(inserted, revised, unchanged)

    def symbols(self, timeframe: Timeframe | None = None) -> list[str]:
        """Return the symbols that have bars, sorted."""
        with self._files.reading():
            sizes = list(Timeframe) if timeframe is None else [timeframe]
            return sorted({symbol for size in sizes for symbol, _ in self._found(size)})

    def holdings(self) -> list[Holding]:
        """Return what is held, sorted by symbol and timeframe, from the files' footers."""
        with self._files.reading():
            found = [
                _holding(symbol, size, paths) for size in Timeframe for symbol, paths in self._found(size)
            ]
        return sorted(found, key=lambda held: held.symbol)

    def close(self) -> None:
        """Do nothing: no file stays open."""

    def _folder(self, timeframe: Timeframe, symbol: str) -> Path:
        return self.root / timeframe.value / folder_of(symbol)

    def _paths(self, symbol: str, timeframe: Timeframe, span: Span) -> list[Path]:
        if not is_symbol(symbol):
            return []
        folder = self._folder(timeframe, symbol)
        if timeframe is not Timeframe.MINUTE:
            path = folder / WHOLE
            return [path] if path.is_file() else []
        if not folder.is_dir():
            return []
        first, last = (_year(us) for us in (span.first, span.last - 1))
        years = ((year_in(path.name), path) for path in folder.iterdir())
        return sorted(path for year, path in years if year is not None and first <= year <= last)

    def _found(
        self, timeframe: Timeframe, symbols: Sequence[str] | None = None, span: Span = ALWAYS
    ) -> Iterator[tuple[str, list[Path]]]:
        """Yield the symbols that have files, of those asked for or of all, sorted, with their files."""
        if symbols is None:
            folder = self.root / timeframe.value
            named = (symbol_in(path.name) for path in folder.iterdir()) if folder.is_dir() else ()
            symbols = sorted(symbol for symbol in named if symbol is not None)
        for symbol in symbols:
            paths = self._paths(symbol, timeframe, span)
            if paths:
                yield symbol, paths

    def _now(
        self, symbols: list[str] | None, timeframe: Timeframe, span: Span, learnt_after: int | None = None
    ) -> pa.Table:
        with self._files.reading():
            found = list(self._found(timeframe, symbols, span))
            paths = [path for _, paths in found for path in paths]
            if len(paths) < _MANY:
                tables = [read_bars(path, threads=timeframe is Timeframe.MINUTE) for path in paths]
            else:
                tables = read_side_by_side(paths)
        tables = [_within(table, span, learnt_after) for table in tables]
        return _named(tables, [symbol for symbol, paths in found for _ in paths])

    def _then(self, symbols: list[str] | None, timeframe: Timeframe, span: Span, when: int) -> Rows:
        parts = []
        with self._files.reading():
            for symbol, paths in self._found(timeframe, symbols, span):
                for path in paths:
                    rows = as_known(_load(path, symbol), _load_versions(path, symbol), when)
                    if (rows.start[1:] == rows.start[:-1]).any():
                        raise BarStoreError(
                            f"{path}: it and {versions_of(path).name} do not belong together; restore both "
                            "from one backup"
                        )
                    parts.append(rows.take((rows.start >= span.first) & (rows.start < span.last)))
        return join(parts) if parts else empty_rows()

    def _edge(self, symbol: str, timeframe: Timeframe, count: int, *, newest: bool) -> pa.Table:
        with self._files.reading():
            paths = self._paths(symbol, timeframe, ALWAYS)
            tables: list[pa.Table] = []
            for path in reversed(paths) if newest else paths:
                if sum(table.num_rows for table in tables) < count:
                    tables.append(read_bars(path))
        table = _named(tables[::-1] if newest else tables, [symbol] * len(tables))
        return table.slice(max(0, table.num_rows - count)) if newest else table.slice(0, count)


def _year(us: int) -> int:
    return int(np.datetime64(us, "us").astype("datetime64[Y]").astype(np.int64)) + 1970


def _within(table: pa.Table, span: Span, learnt_after: int | None) -> pa.Table:
    if learnt_after is not None:
        table = table.filter(pa.array(integers(table, "known_at") > learnt_after))
    if span == ALWAYS:
        return table
    first, last = np.searchsorted(integers(table, "start"), (span.first, span.last))
    return table.slice(int(first), int(last - first))


def _named(tables: Sequence[pa.Table], symbols: Sequence[str]) -> pa.Table:
    """Return tables of bars, each of one symbol, as one table of `SCHEMA`."""
    if not tables:
        return SCHEMA.empty_table()
    names = list(dict.fromkeys(symbols))
    code = {name: i for i, name in enumerate(names)}
    codes = np.array([code[symbol] for symbol in symbols], np.int32).repeat([one.num_rows for one in tables])
    column = pa.DictionaryArray.from_arrays(codes, pa.array(names, pa.string()), safe=False)
    return pa.concat_tables(tables).add_column(0, SCHEMA.field("symbol"), column)


def _rows_of(table: pa.Table, symbol: str) -> Rows:
    arrays = [
        integers(table, field.name) if pa.types.is_timestamp(field.type) else table[field.name].to_numpy()
        for field in BARS
    ]
    later = integers(table, "superseded_at") if "superseded_at" in table.column_names else None
    return Rows.of((symbol,), np.zeros(table.num_rows, np.int32), arrays, later)


def _load(path: Path, symbol: str) -> Rows:
    return _rows_of(read_bars(path) if path.exists() else BARS.empty_table(), symbol)


def _load_versions(path: Path, symbol: str) -> Rows:
    beside = versions_of(path)
    return _rows_of(read_versions(beside) if beside.exists() else VERSIONS.empty_table(), symbol)


def _partitions(rows: Rows, timeframe: Timeframe) -> Iterator[tuple[str, Rows]]:
    """Cut the rows of one symbol into the files that they belong to."""
    if timeframe is not Timeframe.MINUTE:
        yield WHOLE, rows
        return
    years = rows.start.astype("datetime64[us]").astype("datetime64[Y]").astype(np.int64) + 1970
    for year in np.unique(years).tolist():
        first, last = np.searchsorted(years, [year, year + 1])
        yield f"{year}.parquet", rows.take(slice(int(first), int(last)))


def _merge(
    path: Path, symbol: str, incoming: Rows, replacement: Replacement, *, minutes: bool
) -> WriteReport:
    """Stage what a write changes of one file and of the versions beside it."""
    if versions_of(path).exists() and not path.exists():
        raise BarStoreError(
            f"{versions_of(path)}: the versions of bars that are gone; restore {path.name} from a backup, or "
            "remove this file, too"
        )
    incoming = Rows.of((symbol,), np.zeros(len(incoming), np.int32), incoming.arrays)
    current = _load(path, symbol)

    def stored(_: Rows) -> Rows:
        return _load_versions(path, symbol)

    change = compare(incoming, current, stored)
    report = WriteReport(change.inserted, change.revised, change.unchanged)
    if not change.inserted and not change.revised:
        return report
    kept = current.take(positions(current, change.replaced) < 0)
    replacement.stage(path, content(join([kept, change.fresh, change.replaced]), minutes=minutes))
    if len(change.superseded):
        versions = _load_versions(path, symbol)
        untouched = versions.take(positions(versions, change.rewritten) < 0)
        replacement.stage(versions_of(path), content(join([untouched, change.superseded]), minutes=minutes))
    return report


def _holding(symbol: str, timeframe: Timeframe, paths: list[Path]) -> Holding:
    firsts, lasts, counts = zip(*map(edges, paths), strict=True)
    return Holding(symbol, timeframe, pd.Timestamp(min(firsts)), pd.Timestamp(max(lasts)), sum(counts))
