"""Bars from files: CSV, gzip CSV and Parquet, one file a symbol, every row checked before any is used.

1. Find ``SYMBOL.csv``, ``SYMBOL.csv.gz`` or ``SYMBOL.parquet`` in the folder; other names are ignored.
2. Read the columns as text and parse them strictly: a number is a plain decimal, a time names its zone.
3. Check each row (finite, positive, high and low enclose the bar, times ascend). The first fault ends the
   load with one `BarFileError` that names file, line and remedy.
4. Agree on one timeframe, build the calendar over the bars' days, and give each bar its start.
5. Drop and count what lies outside regular sessions; round prices to the tick, here and nowhere else.

Daily files have ``date,open,high,low,close,volume``, intraday files ``end,open,…`` with `end` the bar's end
in UTC (``2014-06-06T13:31:00Z``).

A Parquet file here is somebody else's, so it is read like the CSV beside it: any types, dates or ends, no
`known_at`, errors by row. `data.stores.ParquetBarStore` reads what it wrote itself and would refuse such a
file without saying where; the two meet in `trade data import` and `trade data export`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import gzip
import hashlib
import io
import logging
import re
import zlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from data.bars import (
    BarSeries,
    FloatArray,
    Int64Array,
    RawBars,
    build_series,
    data_hash,
    defects,
    within_dates,
)
from data.calendars import ExchangeClock
from data.errors import BarFileError
from data.signs import is_signed
from execution.clocks import NANOS
from execution.timeframes import Timeframe

PRICES = ("open", "high", "low", "close")
LOOKAHEAD = dt.timedelta(days=14)
"""How far the clock sees past the last bar, so that an order decided there knows its session."""

_log = logging.getLogger(__name__)
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 .-]{0,31}", re.ASCII)
_NUMBER = r"^-?[0-9]{1,15}(\.[0-9]{1,10})?$"
_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"
_LOCAL = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?"
_ZONED = _LOCAL + r"(Z|[+-][0-9]{2}:[0-9]{2})$"


@dataclass(frozen=True, slots=True, eq=False)
class BarFolder(Mapping[str, BarSeries]):
    """The bars of a folder by symbol, with the clock of their exchange.

    `dropped` counts, for each symbol, rows left out because they lie outside the calendar's sessions (or,
    for the samples, are defective); `file_hashes` holds the SHA-256 of each file as it lies on disk.
    """

    series: Mapping[str, BarSeries]
    timeframe: Timeframe
    clock: ExchangeClock
    tick: Decimal
    dropped: Mapping[str, int]
    file_hashes: Mapping[str, str]
    source: str

    def __getitem__(self, symbol: str) -> BarSeries:
        return self.series[symbol]

    def __iter__(self) -> Iterator[str]:
        return iter(self.series)

    def __len__(self) -> int:
        return len(self.series)

    @property
    def symbols(self) -> tuple[str, ...]:
        """The symbols, sorted."""
        return tuple(self.series)

    def data_hashes(self) -> dict[str, str]:
        """Return the SHA-256 of each symbol's bars as they are used, after rounding and dropping."""
        return {symbol: data_hash(series) for symbol, series in self.series.items()}


def load_bars(
    folder: Path,
    *,
    symbols: Sequence[str] | None = None,
    timeframe: Timeframe | None = None,
    tick: Decimal = Decimal("0.01"),
    calendar: str = "XNYS",
    regular_hours: bool = True,
    start: dt.date | None = None,
    end: dt.date | None = None,
    signed: Collection[str] = (),
) -> BarFolder:
    """Load and check the bars of a folder.

    Parameters
    ----------
    folder
        Folder with one file a symbol.
    symbols
        Symbols to load; all if None.
    timeframe
        Size of the bars; found from the most common gap between them if None.
    tick
        Price increment to which every price is rounded.
    calendar
        Exchange whose sessions hold, such as ``XNYS``.
    regular_hours
        Whether to drop intraday bars outside sessions. Daily bars always need a session.
    start, end
        First and last exchange date to keep, both included.
    signed
        Symbols whose prices may be zero or negative, beside those of `data.signs`.

    Raises
    ------
    BarFileError
        If anything is missing or unsound; the message names file, line and remedy.
    CalendarError
        If the calendar is unknown.
    """
    paths = bar_files(Path(folder), symbols)
    raw: dict[str, RawBars] = {}
    hashes: dict[str, str] = {}
    for symbol, path in paths.items():
        content = _read(path)
        hashes[symbol] = hashlib.sha256(content).hexdigest()
        raw[symbol] = read_bars(path, content, signed=is_signed(symbol, signed))
    size = _agree(raw, paths, timeframe)
    first = min(rows.date(0) for rows in raw.values())
    last = max(rows.date(-1) for rows in raw.values())
    clock = ExchangeClock(calendar, first - dt.timedelta(days=1), last + LOOKAHEAD)
    series: dict[str, BarSeries] = {}
    dropped: dict[str, int] = {}
    for symbol, rows in sorted(raw.items()):
        where = str(paths[symbol])
        bars, dropped[symbol] = build_series(
            symbol,
            rows,
            size,
            clock,
            tick,
            where,
            regular_hours=regular_hours,
            signed=is_signed(symbol, signed),
        )
        series[symbol] = within_dates(bars, clock, start, end, where)
        if dropped[symbol]:
            _log.info("%s: %d rows outside the sessions of %s left out", where, dropped[symbol], calendar)
    return BarFolder(series, size, clock, tick, dropped, hashes, str(folder))


def names_a_file(symbol: str) -> bool:
    """Say whether a file named after this symbol is read as its bars; another name is ignored."""
    return _SYMBOL.fullmatch(symbol) is not None


def bar_files(folder: Path, symbols: Sequence[str] | None = None) -> dict[str, Path]:
    """Return the files of bars in a folder by symbol, or those of some symbols; raise `BarFileError`."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise BarFileError(
            f"{folder}: {what}; name a folder that holds SYMBOL.csv, .csv.gz or .parquet files"
        )
    found: dict[str, Path] = {}
    others: list[str] = []
    for path in sorted(folder.iterdir()):
        suffix = next((s for s in sorted(_SUFFIXES, key=len, reverse=True) if path.name.endswith(s)), "")
        symbol = path.name.removesuffix(suffix)
        if not suffix or not names_a_file(symbol) or not path.is_file():
            others.append(path.name)
        elif symbol in found:
            raise BarFileError(f"{folder}: both {found[symbol].name} and {path.name} hold {symbol}; keep one")
        else:
            found[symbol] = path
    if not found:
        seen = f" (found only {', '.join(others[:3])})" if others else ""
        raise BarFileError(
            f"{folder}: no bar files{seen}; put SYMBOL.csv, SYMBOL.csv.gz or SYMBOL.parquet there, "
            "the symbol in capital letters"
        )
    if symbols is None:
        return found
    if not symbols:
        raise BarFileError(f"{folder}: no symbol was asked for; there are {', '.join(found)}")
    for symbol in symbols:
        if symbol not in found:
            near = difflib.get_close_matches(symbol.upper(), list(found), n=1, cutoff=0.4)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(list(found)[:10])}"
            raise BarFileError(f"{folder}: no file for symbol {symbol!r}; {hint}", symbol=symbol)
    return {symbol: found[symbol] for symbol in sorted(set(symbols))}


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BarFileError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error


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
) -> tuple[RawBars, Callable[[int], str]]:
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
    times = _dates(table["date"], where, date_format) if daily else _ends(table["end"], where)
    opens, highs, lows, closes, volume = (_floats(table[name], name, where) for name in (*PRICES, "volume"))
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


def _floats(column: pa.ChunkedArray, name: str, where: Callable[[int], str]) -> FloatArray:
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        _require(column, _NUMBER, where, name, "is not a plain decimal number such as 101.25")
    try:
        floats: FloatArray = pc.cast(column, pa.float64()).to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise BarFileError(f"{where(0)}: column {name!r} has type {column.type}; store numbers") from error
    return np.array(floats, dtype=np.float64)


def _dates(column: pa.ChunkedArray, where: Callable[[int], str], date_format: str | None) -> Int64Array:
    if date_format is not None:
        column = pc.strptime(column, format=date_format, unit="s", error_is_null=True)
    elif pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        _require(column, _DATE, where, "date", "is not a date such as 2014-06-06")
    if pa.types.is_timestamp(column.type):
        whole = pc.equal(pc.floor_temporal(column, unit="day"), column)
        if column.type.tz is not None or not pc.all(whole).as_py():
            raise BarFileError(f"{where(0)}: column 'date' holds times; store dates, or bar ends as 'end'")
    days = _cast(column, pa.date32(), where, "date", "is not a date such as 2014-06-06")
    return np.asarray(days.cast(pa.int32()).to_numpy(), dtype=np.int64)


def _ends(column: pa.ChunkedArray, where: Callable[[int], str]) -> Int64Array:
    remedy = "has no timezone; write UTC such as 2014-06-06T13:31:00Z"
    if pa.types.is_timestamp(column.type) and column.type.tz is None:
        raise BarFileError(f"{where(0)}: column 'end' {remedy}")
    if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
        _require(column, _LOCAL, where, "end", "is not a time such as 2014-06-06T13:31:00Z")
        _require(column, _ZONED, where, "end", remedy)
        _require_one_way_of_zones(column, where)
    ends = _cast(
        column, pa.timestamp("ns", "UTC"), where, "end", "is not a time such as 2014-06-06T13:31:00Z"
    )
    return np.asarray(ends.cast(pa.int64()).to_numpy(), dtype=np.int64)


def _require_one_way_of_zones(column: pa.ChunkedArray, where: Callable[[int], str]) -> None:
    """Refuse a file in which some times are in UTC and others are not: it was put together from two.

    Offsets alone may differ: those of a city do, twice a year.
    """
    utc = pc.ends_with(column, "Z").to_numpy()
    other = ~pc.match_substring_regex(column, r"(Z|[+-]00:00)$").to_numpy()
    if utc.any() and other.any():
        one, two = int(np.argmax(utc)), int(np.argmax(other))
        raise BarFileError(
            f"{where(two)}: end {str(column[two].as_py())!r} is in another time zone than "
            f"{str(column[one].as_py())!r}; write all of them in UTC"
        )


def _require(
    column: pa.ChunkedArray, pattern: str, where: Callable[[int], str], name: str, fault: str
) -> None:
    fits = pc.fill_null(pc.match_substring_regex(column, pattern), fill_value=False).to_numpy()
    if not fits.all():
        i = int(np.argmin(fits))
        raise BarFileError(f"{where(i)}: {name} {str(column[i].as_py())[:40]!r} {fault}")


def _cast(
    column: pa.ChunkedArray, kind: pa.DataType, where: Callable[[int], str], name: str, fault: str
) -> pa.ChunkedArray:
    try:
        result = pc.cast(column, kind)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        for i in range(len(column)):
            try:
                pc.cast(column[i], kind)
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise BarFileError(f"{where(i)}: {name} {str(column[i].as_py())[:40]!r} {fault}") from error
        raise
    if result.null_count:
        i = int(np.argmax(pc.is_null(result).to_numpy()))
        raise BarFileError(f"{where(i)}: {name} is empty; correct or remove the row")
    return result


def _agree(raw: Mapping[str, RawBars], paths: Mapping[str, Path], wanted: Timeframe | None) -> Timeframe:
    sizes = {paths[symbol]: _timeframe(rows, paths[symbol], wanted) for symbol, rows in raw.items()}
    first, size = next(iter(sizes.items()))
    for path, other in sizes.items():
        if other is not size:
            raise BarFileError(
                f"{path}: bars of {other.value}, but {first.name} has {size.value}; "
                "keep one timeframe a folder, or choose symbols"
            )
    return size


def _timeframe(rows: RawBars, path: Path, wanted: Timeframe | None) -> Timeframe:
    gap = 0
    found: Timeframe | None = Timeframe.DAY
    if not rows.daily:
        gaps, counts = np.unique(np.diff(rows.times), return_counts=True)
        gap = int(gaps[np.argmax(counts)]) if len(gaps) else 0
        found = next((size for size in (Timeframe.HOUR, Timeframe.MINUTE) if size.nanos == gap), None)
    if found is None and wanted is not None and wanted is not Timeframe.DAY:
        return wanted  # a thin market: most bars are further apart than they are long
    if found is None:
        seen = f"the most common gap is {gap // NANOS} s" if gap else "it has a single bar"
        hint = "state 1h or 1m, or write daily bars under their dates alone, such as 2018-01-02"
        raise BarFileError(f"{path}: cannot tell the timeframe ({seen}); {hint}")
    if wanted is not None and found is not wanted:
        raise BarFileError(
            f"{path}: holds bars of {found.value}, but timeframe {wanted.value} was asked for; change one"
        )
    return found
