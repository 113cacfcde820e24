"""The rows of one file of bars: CSV, gzip CSV or Parquet, parsed strictly and judged by row.

Daily files have ``date,open,high,low,close,volume``, intraday files ``end,open,…`` with `end` the bar's end
in UTC (``2014-06-06T13:31:00Z``).

1. Read the columns, those of CSV as text, and parse them (`data.files.columns`).
2. Check each row: finite, positive, high and low enclose the bar, times ascend.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet

from data.bars import RawBars, defects
from data.errors import BarFileError
from data.files.columns import Place, dates, ends, floats
from execution.clocks import NANOS

PRICES = ("open", "high", "low", "close")


def read_bars(path: Path, content: bytes, *, signed: bool = False) -> RawBars:
    """Parse and check the rows of one file, whose suffix tells the format; prices may be `signed`.

    Raises
    ------
    BarFileError
        At the first unsound row.
    """
    rows, where = parse_rows(path, content)
    for rule, broken in defects(*rows.ohlc, rows.volume, signed=signed):
        if broken.any():
            i = int(np.argmax(broken))
            shown = ", ".join(f"{n} {v[i]:g}" for n, v in zip(PRICES, rows.ohlc, strict=True))
            raise BarFileError(
                f"{where(i)}: {rule} ({shown}, volume {rows.volume[i]:g}); correct or remove the row"
            )
    gaps = np.diff(rows.times)
    if (gaps <= 0).any():
        i = int(np.argmax(gaps <= 0)) + 1
        if gaps[i - 1] == 0:
            raise BarFileError(f"{where(i)}: the same time as the row before it; keep one of the two")
        raise BarFileError(f"{where(i)}: earlier than the row before it; sort the file by time")
    if not rows.daily and (rows.times % (60 * NANOS)).any():
        i = int(np.argmax(rows.times % (60 * NANOS) != 0))
        raise BarFileError(f"{where(i)}: the bar does not end on a whole minute; correct the time")
    return rows


def parse_rows(
    path: Path, content: bytes, columns: Mapping[str, str] | None = None, date_format: str | None = None
) -> tuple[RawBars, Place]:
    """Parse one file without judging its prices.

    Parameters
    ----------
    path
        Where the content came from; its suffix tells the format.
    content
        The file's bytes.
    columns
        Other names of columns in the file, mapped to the standard ones.
    date_format
        How the file writes a date, such as ``%m/%d/%Y``; None for ``2014-06-06``.

    Returns
    -------
    tuple
        The rows, and a function that names the place of a row for messages.
    """
    if path.suffix == ".parquet":
        table = _parquet(path, content)

        def where(i: int) -> str:
            return f"{path}, row {i + 1}"
    else:
        text = _text(path, content)
        table = _csv(path, text)

        def where(i: int) -> str:
            return f"{path}, line {_line(text, i)}"

    if columns:
        table = table.rename_columns([columns.get(name, name) for name in table.column_names])
    names = table.column_names
    daily = "date" in names
    if not daily and "end" not in names:
        raise BarFileError(
            f"{path}: no column 'date' (daily bars) or 'end' (intraday bars, UTC); it has {', '.join(names)}"
        )
    for name in ("date" if daily else "end", *PRICES, "volume"):
        if names.count(name) != 1:
            what = "is missing" if name not in names else "appears twice"
            raise BarFileError(f"{path}: column {name!r} {what}; it has {', '.join(names)}")
    if not table.num_rows:
        raise BarFileError(f"{path}: no rows below the header; remove the file or fill it")
    times = dates(table["date"], where, date_format) if daily else ends(table["end"], where)
    opens, highs, lows, closes, volume = (floats(table[name], name, where) for name in (*PRICES, "volume"))
    return RawBars(daily, times, (opens, highs, lows, closes), volume), where


def _text(path: Path, content: bytes) -> bytes:
    if path.suffix == ".gz":
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise BarFileError(
                f"{path}: not a sound gzip file ({error}); fetch or compress it again"
            ) from error
    content = content.removeprefix(b"\xef\xbb\xbf")
    if not content.strip():
        raise BarFileError(f"{path}: the file is empty; remove it or fill it")
    return content


def _csv(path: Path, text: bytes) -> pa.Table:
    lines = text.splitlines()
    header = next(line for line in lines if line.strip())
    names = [name.decode("ascii", "replace").strip() for name in header.split(b",")]
    faulty: list[object] = []

    def note(row: object) -> str:
        faulty.append(row)
        return "skip"

    try:
        table = pa.csv.read_csv(
            io.BytesIO(text),
            read_options=pa.csv.ReadOptions(
                use_threads=False, column_names=names, skip_rows=lines.index(header) + 1
            ),
            parse_options=pa.csv.ParseOptions(quote_char=False, invalid_row_handler=note),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            raise BarFileError(f"{path}: no rows below the header; remove the file or fill it") from error
        raise BarFileError(
            f"{path}: not a CSV file ({error}); save it as comma-separated UTF-8 text"
        ) from error
    if faulty:
        odd = (i for i, line in enumerate(lines, start=1) if line and line.count(b",") != len(names) - 1)
        number = next(odd)
        raise BarFileError(
            f"{path}, line {number}: {lines[number - 1].count(b',') + 1} fields where the header has "
            f"{len(names)}; complete or remove the row"
        )
    return table


def _line(text: bytes, row: int) -> int:
    filled = (number for number, line in enumerate(text.splitlines(), start=1) if line)
    return next(number for i, number in enumerate(filled) if i == row + 1)


def _parquet(path: Path, content: bytes) -> pa.Table:
    try:
        table = pa.parquet.read_table(io.BytesIO(content))
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise BarFileError(f"{path}: not a sound Parquet file ({reason}); write it again") from error
    for i, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(i, field.name, table[i].cast(field.type.value_type))
    return table
