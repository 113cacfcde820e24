"""Write bars as the files that `data.files` reads: one a symbol, gzip CSV or Parquet, all or none."""

from __future__ import annotations

import datetime as dt
import gzip
import io
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv
import pyarrow.parquet

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.errors import BarFileError
from data.files.reading import names_a_file
from execution.clocks import timestamp
from execution.timeframes import Timeframe

_NUMBERS = ("open", "high", "low", "close", "volume")
_ONE_DAY = dt.timedelta(days=1)


def write_bars(
    folder: Path, series: Mapping[str, BarSeries], *, calendar: str = "XNYS", parquet: bool = False
) -> None:
    """Write series into a new folder.

    Parameters
    ----------
    folder
        Must not exist; it appears when every file is complete.
    series
        Bars by symbol, of one timeframe.
    calendar
        Exchange whose session gives a daily bar its date.
    parquet
        Write Parquet instead of gzip CSV.

    Raises
    ------
    BarFileError
        If the folder exists or cannot be written, a symbol names no file that `data.files` reads, or a daily
        bar lies in no session.
    """
    if folder.exists():
        raise BarFileError(f"{folder}: exists already; name a new folder, or remove this one")
    strange = next((symbol for symbol in sorted(series) if not names_a_file(symbol)), None)
    if strange is not None:
        raise BarFileError(
            f"{strange!r}: a file of this name would not be read again, which takes capital letters, digits, "
            "space, dot and minus; export the others with --symbols"
        )
    draft = folder.with_name(f".{folder.name}.draft")
    try:
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        for symbol, bars in sorted(series.items()):
            table = _table(bars, calendar)
            if parquet:
                pa.parquet.write_table(table, draft / f"{symbol}.parquet")
            else:
                text = io.BytesIO((",".join(table.column_names) + "\n").encode())
                text.seek(0, io.SEEK_END)
                pa.csv.write_csv(
                    _as_text(table), text, pa.csv.WriteOptions(include_header=False, quoting_style="none")
                )
                (draft / f"{symbol}.csv.gz").write_bytes(gzip.compress(text.getvalue(), mtime=0))
        draft.rename(folder)
    except OSError as error:
        raise BarFileError(
            f"{folder}: cannot be written: {error.strerror or error}; nothing is left"
        ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _table(bars: BarSeries, calendar: str) -> pa.Table:
    if bars.timeframe is Timeframe.DAY:
        first = {"date": pa.array(_dates(bars, calendar))}
    else:
        ends = pa.array(bars.end_ns // 1_000_000_000).view(pa.timestamp("s"))
        first = {"end": pa.compute.strftime(ends, format="%Y-%m-%dT%H:%M:%SZ")}
    return pa.table(first | {name: getattr(bars, name) for name in _NUMBERS})


def _as_text(table: pa.Table) -> pa.Table:
    """Spell numbers as plain decimals: a large volume has no exponent in a file that people read."""
    for i, name in enumerate(table.column_names[1:], start=1):
        values = table[name].to_numpy()
        spelt = (
            pa.array(values.astype(np.int64))
            if (values == np.rint(values)).all()
            else pa.array([np.format_float_positional(value, trim="-") for value in values.tolist()])
        )
        table = table.set_column(i, name, spelt)
    return table


def _dates(bars: BarSeries, calendar: str) -> list[dt.date]:
    days = [timestamp(int(ns)).date() for ns in bars.start_ns[[0, -1]]]
    clock = ExchangeClock(calendar, days[0] - _ONE_DAY, days[1] + _ONE_DAY)
    at = np.searchsorted(clock.opens_ns, bars.start_ns, side="right") - 1
    inside = (at >= 0) & (bars.start_ns < clock.closes_ns[at])
    if not inside.all():
        start = timestamp(int(bars.start_ns[np.argmin(inside)]))
        raise BarFileError(
            f"{bars.symbol}: the daily bar of {start} lies in no session of {calendar}; name its own"
        )
    return [clock.dates[i] for i in at]
