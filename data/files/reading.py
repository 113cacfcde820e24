"""Bars from files: CSV, gzip CSV and Parquet, one file a symbol, every row checked before any is used.

1. Find ``SYMBOL.csv``, ``SYMBOL.csv.gz`` or ``SYMBOL.parquet`` in the folder; other names are ignored.
2. Read and check the rows of each (`data.files.rows`). The first fault ends the load with one `BarFileError`
   that names file, line and remedy.
3. Agree on one timeframe, build the calendar over the bars' days, and give each bar its start.
4. Drop and count what lies outside regular sessions; round prices to the tick, here and nowhere else.

A Parquet file here is somebody else's, so it is read like the CSV beside it: any types, dates or ends, no
`known_at`, errors by row. `data.stores.ParquetBarStore` reads what it wrote itself and would refuse such a
file without saying where; the two meet in `trade data import` and `trade data export`.
"""

from __future__ import annotations

import datetime as dt
import difflib
import hashlib
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import numpy as np

from data.bars import BarSeries, RawBars, build_series, data_hash, within_dates
from data.calendars import ExchangeClock
from data.errors import BarFileError
from data.files.rows import read_bars
from data.signs import is_signed
from execution.clocks import NANOS
from execution.timeframes import Timeframe

LOOKAHEAD = dt.timedelta(days=14)
"""How far the clock sees past the last bar, so that an order decided there knows its session."""

_log = logging.getLogger(__name__)
_SUFFIXES = (".csv", ".csv.gz", ".parquet")
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 .-]{0,31}", re.ASCII)


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
