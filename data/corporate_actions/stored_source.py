"""Corporate actions of the database: taken in from files, and given back as of any moment.

Each row says from when on it was known. A file that comes again with another value is a correction: it is
known from the moment of the import on, and the old value stays for questions about the past. What a source
lists no more stays, too, until it is withdrawn: a version without a value, known from then on. A symbol is
covered by its rows that are not withdrawn. A folder's file that holds its heading alone states that its
symbol had no actions, and is kept as a row of kind `NOTHING`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final

import pandas as pd
from sqlalchemy import select
from sqlalchemy.orm import Session

from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.file_source import FileActionSource
from data.corporate_actions.source import CorporateActionSource
from data.database import Database
from data.errors import CorporateActionDataError, DatabaseUnavailableError
from data.schema import CorporateActionRow
from data.writing import add

NOTHING: Final = "none"
"""Kind of the row that states that a source covers a symbol, which had no actions."""

_LARGEST_DENOMINATOR: Final = 1_000_000
_ROUNDED: Final = Fraction(1, 10**20)
_TICK: Final = pd.Timedelta(1, "us")
_LONGEST_NAME: Final = 64
_NO_DATE: Final = dt.date(1970, 1, 1)
_Key = tuple[str, dt.date, str]
_Standing = dict[tuple[dt.date, str, str], tuple[CorporateActionRow, pd.Timestamp]]
"""By ex date, kind and source: the newest version, and when the action was first learnt."""


class StoredActionSource(CorporateActionSource):
    """Corporate actions that `import_actions` put into a database.

    No connection is kept between two questions: a trader asks for weeks.

    Parameters
    ----------
    database
        A migrated database.
    as_of
        Answer as it was known at this moment; None for what is known now.
    origin
        Name under which a source was imported: only what it says counts. None for all; where two of them
        contradict each other, the question is refused.
    """

    def __init__(
        self, database: Database, *, as_of: pd.Timestamp | None = None, origin: str | None = None
    ) -> None:
        self._database = database
        self._as_of = as_of
        self._origin = origin

    def __str__(self) -> str:
        return f"database {self._database}"

    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        """Return the actions with ``start <= ex_date <= end``, by date; see `CorporateActionSource`.

        An action carries the newest value that was known, and the moment at which it was first learnt.

        Raises
        ------
        CorporateActionDataError
            If the database has no row of the symbol or cannot be read, or two sources contradict each other.
        """
        row = CorporateActionRow
        query = select(row).where(row.symbol == symbol)
        if self._origin is not None:
            query = query.where(row.source == self._origin)
        held = self._rows(query.order_by(row.known_at))
        known = [one for one in held if self._as_of is None or one.known_at <= self._as_of]
        standing = _standing(known)
        if not standing and not _standing(held) and all(one.kind != NOTHING for one in held):
            of_whom = "" if self._origin is None else f" from {self._origin!r}"
            raise CorporateActionDataError(
                f"{self} holds no corporate actions of {symbol}{of_whom}; import them (trade db "
                "import-actions), or name who knows them: --actions FILE, yahoo or none"
            )
        found = _agreed(symbol, {place: one for place, one in standing.items() if start <= place[0] <= end})
        return tuple(found[key] for key in sorted(found))

    def holds_any(self) -> bool:
        """Return whether the database holds any corporate action.

        Raises
        ------
        CorporateActionDataError
            If it cannot be read.
        """
        return bool(self._rows(select(CorporateActionRow).limit(1)))

    def _rows(self, query: Any) -> list[CorporateActionRow]:
        try:
            with self._database.session() as session:
                return list(session.scalars(query))
        except DatabaseUnavailableError as error:
            raise CorporateActionDataError(f"stored corporate actions: {error}") from error
        finally:
            self._database.close()


def import_actions(
    database: Database,
    path: Path,
    now: pd.Timestamp,
    calendar: str = "XNYS",
    origin: str | None = None,
) -> int:
    """Take the corporate actions of a file or folder into a database; return how many it has.

    All of them or none; again, it changes nothing. An action that is new counts as known on its ex date, one
    that is there with another value as corrected at `now`.

    Parameters
    ----------
    path
        The file or folder, as `FileActionSource` reads it.
    calendar
        Exchange that turns a last date with the right into an ex date.
    origin
        Name under which they are kept; by default that of the file.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound; file, line and remedy.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    source, name = FileActionSource(path, calendar), origin or path.name
    if len(name) > _LONGEST_NAME:
        raise CorporateActionDataError(f"{name}: a name of {len(name)} letters; give --source, at most 64")
    listed = [_row(action, name) for action in source.in_file_order]
    told = {row["symbol"] for row in listed}
    listed += [_statement(symbol, name) for symbol in source.symbols if symbol not in told]
    with database.session() as session:
        held = _newest(session, {row["symbol"] for row in listed}, name)
        rows = [row for one in listed if (row := _news(one, held.get(_key(one)), now)) is not None]
        add(session, CorporateActionRow, rows)
    return len(source.in_file_order)


def withdraw_actions(
    database: Database,
    path: Path,
    now: pd.Timestamp,
    calendar: str = "XNYS",
    origin: str | None = None,
) -> int:
    """Withdraw the corporate actions of a file or folder; return how many it has.

    From `now` on their source says nothing of them; for questions about the past they stay. All of them or
    none; again, it changes nothing. Parameters as for `import_actions`, which takes them in once more.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound, or the source does not hold an action as it stands there; file, line and
        remedy.
    DatabaseUnavailableError
        If the database cannot be reached.
    """
    source, name = FileActionSource(path, calendar), origin or path.name
    rows = []
    with database.session() as session:
        held = _newest(session, source.symbols, name)
        for action in source.in_file_order:
            listed = _row(action, name)
            known = held.get(_key(listed))
            if known is None or _value(known) not in (None, _value(CorporateActionRow(**listed))):
                raise CorporateActionDataError(_not_held(session, action, name, known))
            if _value(known) is not None:
                empty = dict.fromkeys(("ratio", "amount", "new_symbol"))
                rows.append(listed | empty | {"known_at": _after(known, now)})
        add(session, CorporateActionRow, rows)
    return len(source.in_file_order)


def _not_held(session: Session, action: CorporateAction, name: str, held: CorporateActionRow | None) -> str:
    what = f"{action.where}: {action.kind} of {action.symbol} on {action.ex_date}"
    if held is not None:
        return f"{what}: {name!r} holds it as {_value(held)}; write that to withdraw it"
    row = CorporateActionRow
    query = select(row.source).where(row.symbol == action.symbol, row.ex_date == action.ex_date)
    others = sorted(set(session.scalars(query.where(row.kind == action.kind.value))))
    remedy = f"it is of {', '.join(others)}: name that, --source {others[0]}" if others else "take it out"
    return f"{what}: {name!r} holds none; {remedy}"


def _newest(session: Session, symbols: Iterable[str], name: str) -> dict[_Key, CorporateActionRow]:
    row = CorporateActionRow
    query = select(row).where(row.source == name).order_by(row.known_at)
    wanted = set(symbols)
    return {
        (one.symbol, one.ex_date, one.kind): one for one in session.scalars(query) if one.symbol in wanted
    }


def _news(
    listed: dict[str, Any], held: CorporateActionRow | None, now: pd.Timestamp
) -> dict[str, Any] | None:
    """Return what is to be stored of an action: all of it, a correction, or None if that is known already."""
    if held is None:
        return listed
    if _value(held) == _value(CorporateActionRow(**listed)):
        return None
    return listed | {"known_at": _after(held, now)}


def _after(held: CorporateActionRow, now: pd.Timestamp) -> pd.Timestamp:
    """Return when a version is known that is learnt now: later than the one that it follows."""
    return max(now, held.known_at + _TICK).as_unit("ns")


def _key(row: dict[str, Any]) -> _Key:
    return row["symbol"], row["ex_date"], row["kind"]


def _standing(rows: Iterable[CorporateActionRow]) -> _Standing:
    """Return what stands of versions that come in the order in which they were known."""
    newest: _Standing = {}
    for row in rows:
        place = row.ex_date, row.kind, row.source
        if _value(row) is None:  # withdrawn, or the statement that there are none
            newest.pop(place, None)
        else:
            newest[place] = (row, newest[place][1] if place in newest else row.known_at)
    return newest


def _agreed(symbol: str, standing: _Standing) -> dict[tuple[dt.date, str], CorporateAction]:
    """Return each action once: what all sources say that know of it."""
    found: dict[tuple[dt.date, str], CorporateAction] = {}
    for (ex_date, kind, origin), (row, learnt) in sorted(standing.items(), key=lambda item: item[0]):
        action = _action(row, learnt)
        other = found.setdefault((ex_date, kind), action)
        if (other.value, other.new_symbol) != (action.value, action.new_symbol):
            raise CorporateActionDataError(
                f"{kind} of {symbol} on {ex_date}: {other.where} says {other.value or other.new_symbol}, "
                f"{origin} says {action.value or action.new_symbol}; choose one: stored:{other.where} or "
                f"stored:{origin}"
            )
    return found


def _row(action: CorporateAction, name: str) -> dict[str, Any]:
    known = action.known_at or pd.Timestamp(action.ex_date, tz="UTC")
    split = action.kind is ActionKind.SPLIT
    return {
        "symbol": action.symbol,
        "ex_date": action.ex_date,
        "kind": action.kind.value,
        "source": name,
        "known_at": known.as_unit("ns"),
        "ratio": None if not split or action.value is None else _exact(action.value),
        "amount": None if split or action.value is None else _exact(action.value),
        "currency": None,
        "new_symbol": action.new_symbol,
    }


def _statement(symbol: str, name: str) -> dict[str, Any]:
    empty = dict.fromkeys(("ratio", "amount", "currency", "new_symbol"))
    known = pd.Timestamp(_NO_DATE, tz="UTC").as_unit("ns")
    key = {"symbol": symbol, "ex_date": _NO_DATE, "kind": NOTHING, "source": name, "known_at": known}
    return {**key, **empty}


def _exact(value: Decimal | Fraction) -> Decimal:
    return value if isinstance(value, Decimal) else Decimal(value.numerator) / Decimal(value.denominator)


def _value(row: CorporateActionRow) -> Decimal | Fraction | str | None:
    if row.ratio is not None:
        near = Fraction(row.ratio).limit_denominator(_LARGEST_DENOMINATOR)
        # A third is kept as 0.333..., to 28 digits; another number is meant as it stands.
        return near if abs(near - Fraction(row.ratio)) <= near * _ROUNDED else Fraction(row.ratio)
    return row.amount if row.amount is not None else row.new_symbol


def _action(row: CorporateActionRow, learnt: pd.Timestamp) -> CorporateAction:
    value = _value(row)
    return CorporateAction(
        row.symbol,
        row.ex_date,
        ActionKind(row.kind),
        None if isinstance(value, str) else value,
        row.new_symbol,
        learnt,
        row.source,
    )
