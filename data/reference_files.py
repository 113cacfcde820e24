"""Files of what is traded: contracts and members of universes, taken into the database.

Each is CSV in UTF-8 with a header; what a column may hold is checked first, then all of the file is written
or nothing. The same file may come again: contracts and members are replaced by their key.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from exchange_calendars import get_calendar_names

from data.database import Database
from data.errors import ReferenceFileError
from data.instruments import CALENDAR, row_of, store
from data.schema import InstrumentRow, UniverseMemberRow
from data.schema.base import Base
from data.writing import too_long, upsert
from execution.errors import InvalidOrderError, NumberFormatError
from execution.models import Instrument
from execution.numbers import parse_decimal, parse_integer

Row = dict[str, Any]


def _text(text: str) -> str:
    return text


def _decimal(text: str) -> Decimal:
    return parse_decimal(text, name="value")


def _moment(text: str) -> pd.Timestamp:
    moment = pd.Timestamp(text)
    if pd.isna(moment) or moment.tz is None:
        raise ValueError(f"{text!r} has no zone; add Z for UTC")
    return moment.tz_convert("UTC").as_unit("ns")


_DATE = dt.date.fromisoformat
_CONTRACT: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("security_type", "exchange", "primary_exchange", "currency", "name"), _text),
    **dict.fromkeys(("tick", "lot", "multiplier", "strike"), _decimal),
    **dict.fromkeys(("underlying", "right"), _text),
    "con_id": lambda text: parse_integer(text, name="con_id"),
    "expiry": lambda text: f"{_DATE(text):%Y%m%d}",
}
_METADATA: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("sector", "industry"), _text),
    **dict.fromkeys(("listed_on", "delisted_on"), _DATE),
}
INSTRUMENT_COLUMNS = ("symbol", "calendar", *_CONTRACT, *_METADATA)
"""Columns of a file of contracts; only `symbol` is required."""
UNIVERSE_COLUMNS = ("universe", "symbol", "from_date", "until_date", "known_at")
"""Columns of a file of members; the last two may be empty or missing."""


def import_instruments(database: Database, path: Path) -> int:
    """Write the contracts of a file, or replace what is known of them; return how many are new or changed.

    Of a contract that is there, columns that the file does not have stay as they are.

    Daily bars of a symbol that gets another calendar are computed anew with the next refresh.

    Raises
    ------
    ReferenceFileError
        If the file cannot be read or a row is unsound; the message names file and line.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    rows, named = [], {"symbol"}
    for where, told in _rows(path, INSTRUMENT_COLUMNS, ("symbol",)):
        values = _values(told, _CONTRACT, where)
        try:
            contract = Instrument(told["symbol"], **{name: v for name, v in values.items() if v is not None})
        except InvalidOrderError as error:
            raise ReferenceFileError(f"{where}: {error}") from error
        calendar = told.get("calendar") or CALENDAR
        if calendar not in get_calendar_names():
            raise ReferenceFileError(f"{where}: no calendar {calendar!r}; use a name such as XNYS or CMES")
        named |= told.keys()
        stated = {name: read for name, read in _METADATA.items() if name in told}
        rows.append(_fitting(InstrumentRow, row_of(contract, calendar) | _values(told, stated, where), where))
    _require_distinct(path, rows, ("symbol",))
    return store(database, rows, named)


def import_universe(database: Database, path: Path, now: pd.Timestamp) -> int:
    """Write the members of universes of a file; return how many rows it has.

    A symbol belongs from `from_date` until before `until_date`, or still; `known_at` is when that was learnt,
    by default `now`. See `import_instruments` for what is raised.
    """
    readers = {"from_date": _DATE, "until_date": _DATE, "known_at": _moment}
    rows = []
    for where, told in _rows(path, UNIVERSE_COLUMNS, ("universe", "symbol", "from_date")):
        row = {"universe": told["universe"], "symbol": told["symbol"], **_values(told, readers, where)}
        if row["until_date"] is not None and row["until_date"] <= row["from_date"]:
            raise ReferenceFileError(f"{where}: until_date is not after from_date; correct one")
        rows.append(_fitting(UniverseMemberRow, row | {"known_at": row["known_at"] or now}, where))
    _require_distinct(path, rows, ("universe", "symbol", "from_date"))
    with database.session() as session:
        upsert(session, UniverseMemberRow, rows)
    return len(rows)


def _rows(path: Path, columns: tuple[str, ...], required: tuple[str, ...]) -> Iterator[tuple[str, Row]]:
    """Yield place and texts of each row of a file: only the columns that its header has."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            names = tuple(reader.fieldnames or ())
            if not set(required) <= set(names) or not set(names) <= set(columns):
                offered = ", ".join(columns)
                raise ReferenceFileError(
                    f"{path}: line 1: columns {', '.join(names) or 'none'}; write some of {offered}"
                )
            for values in reader:
                where = f"{path}: line {reader.line_num}"
                if None in values or None in values.values():
                    raise ReferenceFileError(f"{where}: has another number of columns than the header")
                row = {name: values[name].strip() for name in names}
                missing = [name for name in required if not row[name]]
                if missing:
                    raise ReferenceFileError(f"{where}: {missing[0]} is missing")
                yield where, row
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReferenceFileError(f"{path}: cannot be read: {error}") from error


def _values(told: Row, readers: dict[str, Callable[[str], Any]], where: str) -> Row:
    found: Row = {}
    for name, read in readers.items():
        text = told.get(name, "")
        try:
            found[name] = read(text) if text else None
        except (ValueError, NumberFormatError) as error:
            raise ReferenceFileError(f"{where}: {name}: {error}") from error
    return found


def _fitting(model: type[Base], row: Row, where: str) -> Row:
    longer = too_long(model, row)
    if longer is not None:
        raise ReferenceFileError(f"{where}: {longer}; shorten it")
    return row


def _require_distinct(path: Path, rows: list[Row], key: tuple[str, ...]) -> None:
    seen = set()
    for row in rows:
        names = tuple(row[name] for name in key)
        if names in seen:
            raise ReferenceFileError(f"{path}: {' '.join(map(str, names))} stands twice; remove one")
        seen.add(names)
