"""Real daily bars that come with a dependency, so that a fresh machine can trade without any download.

The package ``arch`` ships daily bars of two US indices, 1999 to 2018. An index cannot be traded, so they are
offered as simulated contracts and named so. Their file is read where it lies, without importing the package.
Rows that break a rule of a sound bar are left out and counted; adjusted closes are ignored.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import importlib.util
import logging
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from data.bars import BarSeries, RawBars, build_series, defects, within_dates
from data.calendars import ExchangeClock
from data.errors import BarFileError
from data.files import LOOKAHEAD, BarFolder
from data.files.rows import parse_rows
from execution.models import Instrument
from execution.timeframes import Timeframe

SAMPLE_INSTRUMENTS: tuple[Instrument, ...] = (
    Instrument("COMPSIM", name="NASDAQ Composite index, simulated contract"),
    Instrument("SPXSIM", name="S&P 500 index, simulated contract"),
)
"""The simulated contracts, sorted by symbol."""

SAMPLE_SOURCE = "daily index bars of the package arch (arch.data.sp500, arch.data.nasdaq)"

_FILES = {"COMPSIM": "nasdaq", "SPXSIM": "sp500"}
_COLUMNS = {name.capitalize(): name for name in ("date", "open", "high", "low", "close", "volume")}
_DATE_FORMAT = "%m/%d/%Y"
_TICK = Decimal("0.01")
_log = logging.getLogger(__name__)


def sample_bars(
    symbols: Sequence[str] | None = None, start: dt.date | None = None, end: dt.date | None = None
) -> BarFolder:
    """Load the sample bars.

    Parameters
    ----------
    symbols
        Some of ``COMPSIM`` and ``SPXSIM``; both if None.
    start, end
        First and last date to keep, both included.

    Raises
    ------
    BarFileError
        If a symbol is not a sample, the range holds no bars, or the package's file cannot be found.
    """
    wanted = sorted(_FILES) if symbols is None else sorted(set(symbols))
    unknown = [symbol for symbol in wanted if symbol not in _FILES]
    if unknown or not wanted:
        named = repr(unknown[0]) if unknown else "an empty choice"
        raise BarFileError(f"{named} is not a sample; there are {', '.join(sorted(_FILES))}")
    raw: dict[str, tuple[RawBars, int, str]] = {}
    hashes: dict[str, str] = {}
    for symbol in wanted:
        path = _path(_FILES[symbol])
        content = path.read_bytes()
        hashes[symbol] = hashlib.sha256(content).hexdigest()
        rows, _ = parse_rows(path, content, _COLUMNS, _DATE_FORMAT)
        sound, defective = drop_defects(rows)
        raw[symbol] = (sound, defective, str(path))
    first = min(rows.date(0) for rows, _, _ in raw.values())
    last = max(rows.date(-1) for rows, _, _ in raw.values())
    clock = ExchangeClock("XNYS", first - dt.timedelta(days=1), last + LOOKAHEAD)
    series: dict[str, BarSeries] = {}
    dropped: dict[str, int] = {}
    for symbol, (rows, defective, where) in raw.items():
        bars, outside = build_series(symbol, rows, Timeframe.DAY, clock, _TICK, where)
        series[symbol] = within_dates(bars, clock, start, end, where)
        dropped[symbol] = defective + outside
        if dropped[symbol]:
            _log.info("%s: %d defective rows, %d outside sessions left out", symbol, defective, outside)
    return BarFolder(series, Timeframe.DAY, clock, _TICK, dropped, hashes, SAMPLE_SOURCE)


def drop_defects(rows: RawBars) -> tuple[RawBars, int]:
    """Return the sound rows in time order, the first of each date, and the number of rows left out."""
    keep = np.ones(len(rows.times), dtype=np.bool_)
    for _, broken in defects(*rows.ohlc, rows.volume):
        keep &= ~broken
    newest = np.maximum.accumulate(rows.times)
    keep[1:] &= rows.times[1:] > newest[:-1]
    return rows.select(keep), int((~keep).sum())


def _path(name: str) -> Path:
    spec = importlib.util.find_spec("arch")
    for folder in spec.submodule_search_locations or () if spec else ():
        path = Path(folder) / "data" / name / f"{name}.csv.gz"
        if path.is_file():
            return path
    raise BarFileError(
        f"the package arch with its data file {name}.csv.gz is not installed; run the set-up again"
    )
