"""A file of quotes: CSV or Parquet with a row for each change of a symbol's best bid and ask.

Columns: ``time`` (``2018-01-02T14:30:00Z``, fractions of a second allowed, UTC or with an offset),
``symbol``, ``bid``, ``ask``, ``bid_size``, ``ask_size`` and, if wanted, ``last`` and ``last_size`` (both or
neither, empty where nothing traded). Every row is checked before any is used: times ascend for each symbol,
prices are positive, the bid is not above the ask. The first fault ends the load and names file and line.
"""

from __future__ import annotations

import csv
import io
import re
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from backtesting.gateway.errors import QuoteFileError

COLUMNS: Final = ("time", "symbol", "bid", "ask", "bid_size", "ask_size")
LAST: Final = ("last", "last_size")

_NUMBER: Final = re.compile(r"[0-9]{1,15}(\.[0-9]{1,10})?", re.ASCII)
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?(Z|[+-][0-9]{2}:[0-9]{2})",
    re.ASCII,
)
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9 ./-]{0,31}", re.ASCII)


class QuoteRow(NamedTuple):
    """One row: prices and sizes from its time on."""

    time_ns: int
    bid: float
    ask: float
    bid_size: float
    ask_size: float
    last: float | None = None
    last_size: float | None = None


class QuoteTable:
    """Quotes of many symbols in the order of time.

    Parameters
    ----------
    rows
        Rows by symbol, times ascending.
    """

    def __init__(self, rows: Mapping[str, list[QuoteRow]]) -> None:
        self._rows = rows
        self._times = {symbol: [row.time_ns for row in own] for symbol, own in rows.items()}

    @property
    def symbols(self) -> tuple[str, ...]:
        """Whose quotes it holds."""
        return tuple(self._rows)

    def at(self, symbol: str, ns: int) -> QuoteRow | None:
        """Return a symbol's newest row up to a moment, or None."""
        times = self._times.get(symbol)
        place = bisect_right(times, ns) if times else 0
        return self._rows[symbol][place - 1] if place else None


def load_quotes(path: Path) -> QuoteTable:
    """Load a quotes file; its suffix (``.csv`` or ``.parquet``) tells the format.

    Raises
    ------
    QuoteFileError
        If it cannot be read, or at the first unsound row.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise QuoteFileError(f"{path}: cannot be read: {error.strerror}; check --quotes") from error
    if path.suffix not in (".csv", ".parquet"):
        raise QuoteFileError(f"{path}: a quotes file ends in .csv or .parquet")
    numbered = _csv(path, content) if path.suffix == ".csv" else _parquet(path, content)
    rows: dict[str, list[QuoteRow]] = {}
    for where, fields in numbered:
        symbol, row = _row(where, fields)
        own = rows.setdefault(symbol, [])
        if own and row.time_ns <= own[-1].time_ns:
            raise QuoteFileError(f"{where}: not later than the row of {symbol} before it; sort by time")
        own.append(row)
    if not rows:
        raise QuoteFileError(f"{path}: no quotes; leave --quotes out to derive them from the bars")
    return QuoteTable(rows)


def _csv(path: Path, content: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise QuoteFileError(f"{path}: not UTF-8 text at byte {error.start}; save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        names = _checked_names(path, next(reader, []))
        for fields in reader:
            where = f"{path}, line {reader.line_num}"
            if len(fields) != len(names):
                raise QuoteFileError(f"{where}: {len(fields)} fields, the header has {len(names)}")
            yield where, dict(zip(names, fields, strict=True))
    except csv.Error as error:
        raise QuoteFileError(f"{path}, line {reader.line_num}: {error}; correct the row") from error


def _parquet(path: Path, content: bytes) -> Iterator[tuple[str, dict[str, str]]]:
    try:
        table = pa.parquet.read_table(pa.BufferReader(content))
    except (pa.ArrowException, OSError) as error:
        raise QuoteFileError(f"{path}: not a Parquet file: {error}") from error
    names = _checked_names(path, table.column_names)
    columns = [table.column(name).to_pylist() for name in names]
    for i, values in enumerate(zip(*columns, strict=True), start=1):
        yield f"{path}, row {i}", {name: _text(value) for name, value in zip(names, values, strict=True)}


def _text(value: object) -> str:
    """Return a value of a column of any type as a CSV file would hold it."""
    if value is None:
        return ""
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    return format(value, ".10f").rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _checked_names(path: Path, names: list[str]) -> list[str]:
    missing = [name for name in COLUMNS if name not in names]
    surplus = [name for name in names if name not in (*COLUMNS, *LAST)]
    if missing or surplus or len(set(names)) != len(names) or len(set(names) & set(LAST)) == 1:
        raise QuoteFileError(
            f"{path}: columns {','.join(names)[:120]}; "
            f"it needs {','.join(COLUMNS)} and may have {','.join(LAST)}"
        )
    return names


def _row(where: str, fields: Mapping[str, str]) -> tuple[str, QuoteRow]:
    if not _TIME.fullmatch(fields["time"]):
        raise QuoteFileError(
            f"{where}: time {fields['time'][:40]!r} is not like 2018-01-02T14:30:00Z (with its zone)"
        )
    try:
        time_ns = int(pd.Timestamp(fields["time"]).as_unit("ns").value)
    except ValueError as error:
        raise QuoteFileError(f"{where}: there is no time {fields['time'][:40]!r}; correct it") from error
    symbol = fields["symbol"]
    if not _SYMBOL.fullmatch(symbol):
        raise QuoteFileError(f"{where}: symbol {symbol[:40]!r} is none; use capital letters and digits")
    numbers = [_number(where, name, fields[name]) for name in COLUMNS[2:]]
    bid, ask, bid_size, ask_size = numbers
    if bid <= 0 or bid > ask:
        raise QuoteFileError(f"{where}: bid {bid:g} and ask {ask:g}: 0 < bid <= ask must hold")
    texts = [fields.get(name, "") for name in LAST]
    if any(texts) and not all(texts):
        raise QuoteFileError(f"{where}: last and last_size are given together or not at all")
    last = [_number(where, name, text) for name, text in zip(LAST, texts, strict=True)] if all(texts) else []
    if last and last[0] <= 0:
        raise QuoteFileError(f"{where}: last {last[0]:g} must be positive")
    return symbol, QuoteRow(time_ns, bid, ask, bid_size, ask_size, *last)


def _number(where: str, name: str, text: str) -> float:
    if not _NUMBER.fullmatch(text):
        raise QuoteFileError(f"{where}: {name} {text[:40]!r} is not a plain number of zero or more")
    return float(text)
