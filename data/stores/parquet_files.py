"""The files of a Parquet store: where they lie, their bytes, and what is checked whenever one is read.

Disks and copies change bits, and a decompressor turns most such pages into other numbers without a word.
Every page is therefore written with a checksum, which is verified at each read. What the footer says is held
against what is read, and the rows against the file's name: a copied year is not taken for another.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
from pyarrow.fs import LocalFileSystem

from data.bars import Int64Array
from data.errors import BarStoreError
from data.stores.rows import COLUMNS, EARLIEST_US, LATEST_US, SCHEMA, UTC, Rows, is_symbol

BARS = pa.schema([SCHEMA.field(name) for name in COLUMNS])
VERSIONS = BARS.append(pa.field("superseded_at", UTC))
WHOLE = "all.parquet"
"""Name of the file of bars that are not cut by year."""

_UNREADABLE = (pa.ArrowException, OSError, ValueError, OverflowError)
_CHECKED = ds.ParquetFileFormat(
    default_fragment_scan_options=ds.ParquetFragmentScanOptions(
        page_checksum_verification=True, pre_buffer=True
    )
)
_NUMBERS = ("open", "high", "low", "close", "volume")
_TIME_ENCODINGS = dict.fromkeys(("start", "end", "known_at"), "DELTA_BINARY_PACKED")
_YEAR = re.compile(r"([12][0-9]{3})\.parquet", re.ASCII)
_SMALL = re.compile(r"[a-z]", re.ASCII)


def folder_of(symbol: str) -> str:
    """Return the name of a symbol's folder, which none shares where capitals and small letters are one."""
    return _SMALL.sub(lambda letter: f"%{ord(letter[0]):X}", quote(symbol, safe=" ^=:"))


def symbol_in(folder: str) -> str | None:
    """Return the symbol whose bars a folder of this name holds, None if it is none of the store's."""
    symbol = unquote(folder)
    return symbol if is_symbol(symbol) and folder_of(symbol) == folder else None


def year_in(file: str) -> int | None:
    """Return the year whose minutes a file of this name holds, None if it is none of the store's."""
    found = _YEAR.fullmatch(file)
    return None if found is None else int(found[1])


def versions_of(path: Path) -> Path:
    """Return the file of the versions that were superseded, beside one of bars."""
    return path.with_name(path.stem + ".versions.parquet")


def read_bars(path: Path, *, threads: bool = False) -> pa.Table:
    """Read one file of bars, decoding its columns side by side if `threads`.

    Raises
    ------
    BarStoreError
        If it is cut off or damaged, or its columns, their types, or its times are not the store's.
    """
    table = _read(path, BARS, threads=threads)
    _require_bars(path, table)
    return table


def read_side_by_side(paths: Sequence[Path]) -> list[pa.Table]:
    """Read many files of bars at once, on Arrow's own threads; raises what `read_bars` raises."""
    names = [str(path) for path in paths]
    dataset = ds.FileSystemDataset.from_paths(
        names, schema=BARS, format=_CHECKED, filesystem=LocalFileSystem()
    )
    try:
        parts = list(dataset.get_fragments())
        table = dataset.to_table()
        footers = [(part.physical_schema, part.metadata.num_rows) for part in parts]  # kept by the read
    except _UNREADABLE:
        table, footers = None, []
    counted = table is not None and table.num_rows == sum(count for _, count in footers)
    if table is None or not counted or not all(schema.equals(BARS) for schema, _ in footers):
        return [read_bars(path) for path in paths]  # this names the file that is at fault
    tables, first = [], 0
    for path, (_, count) in zip(paths, footers, strict=True):
        piece = table.slice(first, count)
        _require_whole(path, piece)
        _require_bars(path, piece)
        tables.append(piece)
        first += count
    return tables


def read_versions(path: Path) -> pa.Table:
    """Read one file of versions; raise `BarStoreError` if it is no sound one."""
    table = _read(path, VERSIONS)
    starts, known = integers(table, "start"), integers(table, "known_at")
    later = (starts[1:] > starts[:-1]) | ((starts[1:] == starts[:-1]) & (known[1:] > known[:-1]))
    if not later.all() or not (integers(table, "superseded_at") > known).all():
        raise BarStoreError(
            f"{path}: versions are out of order; restore it from a backup together with its bars"
        )
    return table


def edges(path: Path) -> tuple[pa.Scalar, pa.Scalar, int]:
    """Return the start of the first bar, the end of the last and their number, from a file's footer."""
    try:
        meta = pq.read_metadata(path)
        group = meta.row_group(0)
        return group.column(0).statistics.min, group.column(1).statistics.max, meta.num_rows
    except _UNREADABLE as error:
        raise _damaged(path, error) from error


def integers(table: pa.Table, name: str) -> Int64Array:
    """Return a column of times as microseconds."""
    return np.asarray(table[name].cast(pa.int64()).to_numpy(), np.int64)


def content(rows: Rows, *, minutes: bool) -> memoryview:
    """Return the bytes of a file: a function of the rows alone.

    Times grow by steps that repeat, and are stored as such. A year of minutes has few distinct prices, which
    a dictionary makes faster to read; twenty years of days have many, and are smaller without.
    """
    arrays = rows.arrays if rows.superseded is None else (*rows.arrays, rows.superseded)
    columns = [pa.array(array).view(UTC) if array.dtype == np.int64 else pa.array(array) for array in arrays]
    table = pa.Table.from_arrays(columns, schema=BARS if rows.superseded is None else VERSIONS)
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
        write_page_checksum=True,
    )
    return memoryview(sink.getvalue())


def _read(path: Path, schema: pa.Schema, *, threads: bool = False) -> pa.Table:
    try:
        with pq.ParquetFile(path, memory_map=True, page_checksum_verification=True) as file:
            table, count = file.read(use_threads=threads), file.metadata.num_rows
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    if not table.schema.equals(schema):
        found = ", ".join(f"{field.name} {field.type}" for field in table.schema)
        raise BarStoreError(
            f"{path}: holds {found}; expected {', '.join(f'{f.name} {f.type}' for f in schema)}: it was not "
            "written by this store; import it instead"
        )
    if table.num_rows != count:
        raise _damaged(path, f"{table.num_rows} rows where its footer counts {count}")
    _require_whole(path, table)
    return table


def _require_whole(path: Path, table: pa.Table) -> None:
    if any(column.null_count for column in table.columns):
        raise _damaged(path, "it has empty values")


def _require_bars(path: Path, table: pa.Table) -> None:
    """Refuse bars that are out of order, or not of the year that the file's name says."""
    row, before = 0, EARLIEST_US - 1
    first, beyond = _times_in(path.name)
    for chunk in table["start"].chunks:
        starts = chunk.view(pa.int64()).to_numpy()
        if not len(starts):
            continue
        later = starts[1:] > starts[:-1]
        if starts[0] <= before or not later.all():
            row += 1 if starts[0] <= before else int(np.argmin(later)) + 2
            raise BarStoreError(
                f"{path}, row {row}: starts no later than the row before it; load its bars again"
            )
        if starts[0] < first or beyond <= starts[-1]:
            raise BarStoreError(
                f"{path}: holds bars of another year than its name says: it was copied or renamed; give it "
                "back its name, or remove it and load its bars again"
            )
        row, before = row + len(starts), int(starts[-1])


def _damaged(path: Path, why: object) -> BarStoreError:
    reason = (str(why).splitlines() or [type(why).__name__])[0]
    return BarStoreError(
        f"{path}: not a sound Parquet file ({reason}); restore it from a backup, or remove it and the "
        "versions beside it and load its bars again"
    )


def _times_in(file: str) -> tuple[int, int]:
    """Return the first start that belongs into a file of this name, in microseconds, and the first beyond."""
    year = year_in(file)
    if year is None:
        return EARLIEST_US, LATEST_US
    first, beyond = (int(np.datetime64(f"{y}-01-01", "us").astype(np.int64)) for y in (year, year + 1))
    return first, beyond
