"""Files of what is traded: contracts and members of universes, taken into the database.

Each is CSV in UTF-8 with a header; what a column may hold is checked first, then all of the file is written
or nothing. The same file may come again: contracts and members are replaced by their key.
"""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
from exchange_calendars import get_calendar_names

from data.database import Database
from data.errors import ReferenceFileError
from data.reference.instruments import CALENDAR, row_of, store
from data.schema import InstrumentRow, UniverseMemberRow
from data.schema.base import Base
from data.writing import too_long, upsert
from execution.errors import InvalidOrderError, NumberFormatError
from execution.models import Instrument
from execution.numbers import parse_decimal, parse_integer

Row = dict[str, Any]


_FIRST_YEAR, _LAST_YEAR = 1800, 2199
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_SECURITY_TYPES = frozenset(
    {
        *("STK", "OPT", "FUT", "FOP", "IND", "CASH", "CFD", "BOND"),
        *("CMDTY", "CRYPTO", "FUND", "WAR", "IOPT", "CONTFUT", "BAG", "NEWS"),
    }
)


def _text(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds a character that cannot be printed; take it out")
    return text


def _one_of(names: frozenset[str]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in names:
            raise ValueError(f"is none of {', '.join(sorted(names))}")
        return text

    return read


def _symbol(text: str) -> str:
    try:
        return Instrument(text).symbol
    except InvalidOrderError as error:
        raise ValueError("is no symbol; use capital letters, digits, space . / -") from error


def _currency(text: str) -> str:
    if not re.fullmatch(r"[A-Z]{3}", text, re.ASCII):
        raise ValueError("is no currency; write three capital letters such as USD")
    return text


def _decimal(text: str) -> Decimal:
    return parse_decimal(text, name="it")


def _contract_id(text: str) -> int:
    number = parse_integer(text, name="it")
    if number < 0:
        raise ValueError("is negative; leave it empty if it is not known")
    return number


def _date(text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text) if _DAY.fullmatch(text) else None
    except ValueError:
        day = None
    if day is None or not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise ValueError("is no date; write one like 2020-01-31")
    return day


def _moment(text: str) -> pd.Timestamp:
    told = "is no time; write one like 2020-01-31T21:00:00Z"
    if not _DAY.match(text):
        raise ValueError(told)
    try:
        moment = pd.Timestamp(text)
    except ValueError as error:
        raise ValueError(told) from error
    if moment.tz is None:
        raise ValueError("has no zone; add Z for UTC")
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise ValueError(told)
    return moment.tz_convert("UTC").as_unit("ns")


_CONTRACT: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("exchange", "primary_exchange", "name", "underlying"), _text),
    **dict.fromkeys(("tick", "lot", "multiplier", "strike"), _decimal),
    "security_type": _one_of(_SECURITY_TYPES),
    "currency": _currency,
    "right": _one_of(frozenset("CP")),
    "con_id": _contract_id,
    "expiry": lambda text: f"{_date(text):%Y%m%d}",
}
_METADATA: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("sector", "industry"), _text),
    **dict.fromkeys(("listed_on", "delisted_on"), _date),
}
INSTRUMENT_COLUMNS = (
    *("symbol", "calendar", "security_type", "exchange", "primary_exchange", "currency", "con_id", "name"),
    *("tick", "lot", "multiplier", "underlying", "expiry", "strike", "right"),
    *_METADATA,
)
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
    seen: dict[tuple[str, ...], str] = {}
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
        stated = _values(told, {name: read for name, read in _METADATA.items() if name in told}, where)
        listed, delisted = stated.get("listed_on"), stated.get("delisted_on")
        if listed is not None and delisted is not None and delisted < listed:
            raise ReferenceFileError(f"{where}: delisted_on is before listed_on; correct one")
        rows.append(_fitting(InstrumentRow, row_of(contract, calendar) | stated, where))
        _require_new(seen, (contract.symbol,), where)
    return store(database, rows, named)


def import_universe(database: Database, path: Path, now: pd.Timestamp) -> int:
    """Write the members of universes of a file; return how many rows it has.

    A symbol belongs from `from_date` until before `until_date`, or still; `known_at` is when that was learnt,
    by default `now`. See `import_instruments` for what is raised.
    """
    readers = {"from_date": _date, "until_date": _date, "known_at": _moment}
    rows = []
    seen: dict[tuple[str, ...], str] = {}
    for where, told in _rows(path, UNIVERSE_COLUMNS, ("universe", "symbol", "from_date")):
        row = _values(told, {"universe": _text, "symbol": _symbol, **readers}, where)
        if row["until_date"] is not None and row["until_date"] <= row["from_date"]:
            raise ReferenceFileError(f"{where}: until_date is not after from_date; correct one")
        rows.append(_fitting(UniverseMemberRow, row | {"known_at": row["known_at"] or now}, where))
        _require_new(seen, (row["universe"], row["symbol"], str(row["from_date"])), where)
    with database.session() as session:
        upsert(session, UniverseMemberRow, rows)
    return len(rows)


def _rows(path: Path, columns: tuple[str, ...], required: tuple[str, ...]) -> Iterator[tuple[str, Row]]:
    """Yield place and texts of each row of a file: only the columns that its header has."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            reader.fieldnames = names = [name.strip() for name in reader.fieldnames or ()]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise ReferenceFileError(f"{path}: line 1: column {twice!r} appears twice; keep one")
            if not set(required) <= set(names) or not set(names) <= set(columns):
                offered = ", ".join(columns)
                raise ReferenceFileError(
                    f"{path}: line 1: columns {', '.join(names) or 'none'}; write, between commas, "
                    f"some of {offered}"
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
    except csv.Error as error:
        raise ReferenceFileError(
            f"{path}: line {reader.reader.line_num}: {error}; correct the row"
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceFileError(f"{path}: cannot be read: {error}; give a CSV file in UTF-8") from error


def _values(told: Row, readers: dict[str, Callable[[str], Any]], where: str) -> Row:
    found: Row = {}
    for name, read in readers.items():
        text = told.get(name, "")
        try:
            found[name] = read(text) if text else None
        except (ValueError, NumberFormatError) as error:
            raise ReferenceFileError(f"{where}: {name}: {_said(text, error)}") from error
    return found


def _fitting(model: type[Base], row: Row, where: str) -> Row:
    longer = too_long(model, row)
    if longer is not None:
        raise ReferenceFileError(f"{where}: {longer}; shorten it")
    return row


def _said(text: str, error: Exception) -> str:
    """Return what is wrong with a text; a number's own message names the text already."""
    return (
        str(error).removeprefix("it: ") if isinstance(error, NumberFormatError) else f"{text[:40]!r} {error}"
    )


def _require_new(seen: dict[tuple[str, ...], str], key: tuple[str, ...], where: str) -> None:
    before = seen.setdefault(key, where)
    if before is not where:
        raise ReferenceFileError(f"{where}: {' '.join(key)} stands twice, first at {before}; remove one")
