"""Fundamentals as of a day: figures of fiscal quarters with the moment at which each was known.

A file has the columns ``symbol,item,period_end,known_at,value`` and, if wanted, ``currency``; a figure a row.
A restatement is another row with a later `known_at`, and never hides what was believed before it. A fiscal
year ends with its last quarter: its figures are items of their own, such as ``revenue_fy``.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from data.database import Database
from data.errors import FundamentalsFileError
from data.schema import FundamentalRow
from data.writing import add, too_long
from execution.errors import NumberFormatError
from execution.numbers import parse_decimal

REQUIRED = ("symbol", "item", "period_end", "known_at", "value")
COLUMNS = (*REQUIRED, "currency")
_SYMBOLS_AT_ONCE = 500


def import_csv(database: Database, path: Path, source: str | None = None) -> int:
    """Add the figures of a file; those that are there stay. All of the file is written, or nothing.

    A figure that is there with another value, known at the same moment, is refused.

    Parameters
    ----------
    database
        A migrated database.
    path
        CSV file, UTF-8, with a header.
    source
        Where the figures come from; the file's name unless given.

    Returns
    -------
    int
        Rows read.

    Raises
    ------
    FundamentalsFileError
        If the file cannot be read or a row is unsound; the message names file and line.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    rows = read_csv(path, source or path.name)
    with database.session() as session:
        _require_agreement(session, path, rows)
        add(session, FundamentalRow, rows)
    return len(rows)


def _require_agreement(session: Session, path: Path, rows: list[dict[str, Any]]) -> None:
    """Refuse figures that are there with another value: which of the two was known then, nobody can say."""
    row = FundamentalRow
    symbols = sorted({one["symbol"] for one in rows})
    held: dict[tuple[Any, ...], Decimal] = {}
    for first in range(0, len(symbols), _SYMBOLS_AT_ONCE):
        some = symbols[first : first + _SYMBOLS_AT_ONCE]
        query = select(row.symbol, row.item, row.period_end, row.known_at, row.value)
        for *key, value in session.execute(query.where(row.symbol.in_(some))):
            held[tuple(key)] = value
    for one in rows:
        known = one["known_at"].floor("us").as_unit("ns")
        before = held.get((one["symbol"], one["item"], one["period_end"], known))
        if before is not None and before != one["value"]:
            raise FundamentalsFileError(
                f"{path}: {one['symbol']} {one['item']} {one['period_end']} known at {known.isoformat()}: is "
                f"stored as {before:f}, not {one['value']:f}; write a restatement with its own known_at"
            )


def as_of(database: Database, symbol: str, moment: pd.Timestamp) -> pd.DataFrame:
    """Return the figures of a symbol as they were known at a moment, by item and quarter.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be read.
    """
    row = FundamentalRow
    newest = (
        select(row.item, row.period_end, func.max(row.known_at).label("known_at"))
        .where(row.symbol == symbol, row.known_at <= moment)
        .group_by(row.item, row.period_end)
        .subquery()
    )
    query = (
        select(row.item, row.period_end, row.known_at, row.value, row.currency, row.source)
        .join(
            newest,
            (newest.c.item == row.item)
            & (newest.c.period_end == row.period_end)
            & (newest.c.known_at == row.known_at),
        )
        .where(row.symbol == symbol)
        .order_by(row.item, row.period_end)
    )
    with database.session() as session:
        found = session.execute(query)
        return pd.DataFrame.from_records([tuple(r) for r in found], columns=list(found.keys()))


def read_csv(path: Path, source: str) -> list[dict[str, Any]]:
    """Read and check a file of figures; see `import_csv`."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = tuple(reader.fieldnames or ())
            if not set(REQUIRED) <= set(names) or not set(names) <= set(COLUMNS):
                raise FundamentalsFileError(
                    f"{path}: line 1: columns {', '.join(names) or 'none'}; write {', '.join(COLUMNS)}"
                )
            rows: list[dict[str, Any]] = []
            seen: dict[tuple[Any, ...], int] = {}
            for values in reader:
                row = _row(values, source, f"{path}: line {reader.line_num}")
                key = (row["symbol"], row["item"], row["period_end"], row["known_at"])
                if key in seen:
                    raise FundamentalsFileError(
                        f"{path}: line {reader.line_num}: the same figure as line {seen[key]}; remove "
                        "one, or give a year's figure an item of its own, such as revenue_fy"
                    )
                seen[key] = reader.line_num
                rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise FundamentalsFileError(f"{path}: cannot be read: {error}") from error
    return rows


def _row(values: dict[str, str | None], source: str, where: str) -> dict[str, Any]:
    if None in values:
        raise FundamentalsFileError(f"{where}: more fields than columns; write one figure a row")
    text = {name: (values.get(name) or "").strip() for name in COLUMNS}
    for name, field in text.items():
        if not field and name in REQUIRED:
            raise FundamentalsFileError(f"{where}: {name} is missing; write one figure a row")
        if "\0" in field:
            raise FundamentalsFileError(f"{where}: {name} holds a NUL; remove it")
    period_end = _read("period_end", "2024-03-31", dt.date.fromisoformat, text, where)
    known = _read("known_at", "2024-05-02T20:30:00Z", _moment, text, where)
    if known.tz is None:
        raise FundamentalsFileError(f"{where}: known_at {text['known_at']!r} has no zone; add Z for UTC")
    known = known.tz_convert("UTC")
    if known.date() < period_end:
        raise FundamentalsFileError(f"{where}: known_at lies before the quarter's end; exchange them")
    try:
        value = parse_decimal(text["value"], name="value")
    except NumberFormatError as error:
        raise FundamentalsFileError(f"{where}: {error}") from error
    row = {
        "symbol": text["symbol"],
        "item": text["item"],
        "period_end": period_end,
        "known_at": known,
        "value": value,
        "currency": text["currency"] or None,
        "source": source,
    }
    longer = too_long(FundamentalRow, row)
    if longer is not None:
        raise FundamentalsFileError(f"{where}: {longer}; shorten it")
    return row


def _read(name: str, like: str, reader: Callable[[str], Any], text: dict[str, str], where: str) -> Any:
    """Read a field, naming it where it is not like the example."""
    try:
        return reader(text[name])
    except ValueError as error:
        raise FundamentalsFileError(f"{where}: {name} {text[name]!r} is not written like {like}") from error


def _moment(text: str) -> pd.Timestamp:
    # Of ISO's forms only: pandas takes 5/2/2024 too, which is May here and February there.
    return pd.Timestamp(dt.datetime.fromisoformat(text)).as_unit("ns")
