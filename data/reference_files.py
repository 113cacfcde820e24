"""Files of what is traded: contracts, members of universes, corporate actions, taken into the database.

Each is CSV in UTF-8 with a header; what a column may hold is checked first, then all of the file is written
or nothing. The same file may come again: contracts and members are replaced by their key, actions stay.
"""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pandas as pd
from exchange_calendars import get_calendar_names
from sqlalchemy import select

from data.corporate_actions import ActionKind, CorporateAction, FileActionSource
from data.database import Database
from data.errors import ReferenceFileError
from data.instruments import CALENDAR, row_of, store
from data.schema import CorporateActionRow, UniverseMemberRow
from data.writing import add, upsert
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

    Daily bars of a symbol that gets another calendar are computed anew with the next refresh.

    Raises
    ------
    ReferenceFileError
        If the file cannot be read or a row is unsound; the message names file and line.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    rows = []
    for where, told in _rows(path, INSTRUMENT_COLUMNS, ("symbol",)):
        values = _values(told, _CONTRACT, where)
        try:
            contract = Instrument(told["symbol"], **{name: v for name, v in values.items() if v is not None})
        except InvalidOrderError as error:
            raise ReferenceFileError(f"{where}: {error}") from error
        calendar = told.get("calendar") or CALENDAR
        if calendar not in get_calendar_names():
            raise ReferenceFileError(f"{where}: no calendar {calendar!r}; use a name such as XNYS or CMES")
        stated = {name: read for name, read in _METADATA.items() if name in told}
        rows.append(row_of(contract, calendar) | _values(told, stated, where))
    _require_distinct(path, rows, ("symbol",))
    return store(database, rows)


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
        rows.append(row | {"known_at": row["known_at"] or now})
    _require_distinct(path, rows, ("universe", "symbol", "from_date"))
    with database.session() as session:
        upsert(session, UniverseMemberRow, rows)
    return len(rows)


def import_actions(
    database: Database, path: Path, calendar: str = CALENDAR, source: str | None = None
) -> int:
    """Add the corporate actions of a file or folder; return how many it has; those that are there stay.

    An action of which the file does not say when it was learnt counts as known on its ex date.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound; file, line and remedy.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    found = FileActionSource(path, calendar).in_file_order
    with database.session() as session:
        add(session, CorporateActionRow, [_action_row(action, source or path.name) for action in found])
    return len(found)


def actions_as_of(database: Database, symbol: str, moment: pd.Timestamp) -> tuple[CorporateAction, ...]:
    """Return the corporate actions of a symbol that are stored and were known at a moment, by date.

    Of several versions of one action from one source the last known counts. None stored is no statement that
    there were none.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be read.
    """
    row = CorporateActionRow
    query = select(row).where(row.symbol == symbol, row.known_at <= moment).order_by(row.known_at)
    with database.session() as session:
        newest = {(one.ex_date, one.kind, one.source): _action(one) for one in session.scalars(query)}
    return tuple(newest[key] for key in sorted(newest))


def _action_row(action: CorporateAction, source: str) -> Row:
    known = action.known_at or pd.Timestamp(action.ex_date, tz="UTC")
    split = action.kind is ActionKind.SPLIT
    return {
        "symbol": action.symbol,
        "ex_date": action.ex_date,
        "kind": action.kind.value,
        "source": source,
        "known_at": known.as_unit("ns"),
        "ratio": None if not split or action.value is None else _exact(action.value),
        "amount": None if split or action.value is None else _exact(action.value),
        "currency": None,
        "new_symbol": action.new_symbol,
    }


def _exact(value: Decimal | Fraction) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value.numerator) / Decimal(value.denominator)


def _action(row: CorporateActionRow) -> CorporateAction:
    value = row.ratio if row.ratio is not None else row.amount
    ratio = None if row.ratio is None else Fraction(row.ratio).limit_denominator(1_000_000)
    return CorporateAction(
        row.symbol,
        row.ex_date,
        ActionKind(row.kind),
        value if ratio is None else ratio,
        row.new_symbol,
        row.known_at,
        row.source,
    )


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


def _require_distinct(path: Path, rows: list[Row], key: tuple[str, ...]) -> None:
    seen = set()
    for row in rows:
        names = tuple(row[name] for name in key)
        if names in seen:
            raise ReferenceFileError(f"{path}: {' '.join(map(str, names))} stands twice; remove one")
        seen.add(names)
