"""Corporate actions from CSV files: one file for all symbols, or a folder with one a symbol.

A row of a single file is ``date,symbol,kind,value``; of ``SYMBOL.csv`` or ``SYMBOL.csv.gz`` in a folder
``last_cum_date,kind,value`` or ``date,kind,value``; further columns are ignored. `date` is the ex date;
`last_cum_date` the last date with the right, so that the ex date is the next session. Kinds: ``split`` (new
shares for each old one: ``2``, ``0.1``, ``1/15``), ``dividend`` (cash a share, in the currency of the stock),
``rename`` (the new symbol). A line after the first that begins with # is a comment.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import re
import zlib
from bisect import bisect_right
from collections.abc import Collection
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

from data.calendars import ExchangeClock
from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.source import CorporateActionSource
from data.errors import CorporateActionDataError
from execution.errors import NumberFormatError
from execution.numbers import parse_decimal

_LARGEST_FILE: Final = 8 << 20
_FIRST_YEAR, _LAST_YEAR = 1900, 2098
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_RATIO: Final = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)
_SYMBOL: Final = re.compile(r"[A-Z0-9][A-Z0-9 .-]{0,31}", re.ASCII)
_LAST_CUM = "last_cum_date"


class FileActionSource(CorporateActionSource):
    """Corporate actions of a file or folder, read once and checked whole.

    Parameters
    ----------
    path
        The file or folder.
    calendar
        Name of the exchange whose sessions turn a last cum date into an ex date.
    kinds
        Kinds that may occur; another one is refused.

    Raises
    ------
    CorporateActionDataError
        If it cannot be read, or at the first unsound row: file, line and remedy.
    """

    def __init__(
        self, path: Path, calendar: str = "XNYS", kinds: Collection[ActionKind] = tuple(ActionKind)
    ) -> None:
        self.path = path
        self.in_file_order: list[CorporateAction] = []
        """All actions, as they stand in the file."""
        self._kinds = kinds
        self._calendar = calendar
        self._sessions: list[dt.date] = []
        self._actions: dict[str, tuple[CorporateAction, ...]] = {}
        if path.is_dir():
            for file in sorted(path.iterdir()):
                symbol = file.name.removesuffix(".gz").removesuffix(".csv")
                if symbol != file.name and _SYMBOL.fullmatch(symbol):
                    self._take(file, symbol)
            if not self._actions:
                raise CorporateActionDataError(f"{path}: holds no SYMBOL.csv or SYMBOL.csv.gz")
        else:
            self._take(path, None)

    @property
    def symbols(self) -> list[str]:
        """The symbols that are covered, sorted."""
        return sorted(self._actions)

    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        """Return the actions with ``start <= ex_date <= end``, by date.

        Raises
        ------
        CorporateActionDataError
            If a folder has no file of the symbol. A single file covers every symbol.
        """
        if symbol not in self._actions and self.path.is_dir():
            raise CorporateActionDataError(
                f"{self.path}: no file of {symbol}; put {symbol}.csv there, its heading alone if it had none"
            )
        return tuple(a for a in self._actions.get(symbol, ()) if start <= a.ex_date <= end)

    def _take(self, path: Path, symbol: str | None) -> None:
        found: dict[str, dict[tuple[dt.date, ActionKind], CorporateAction]] = {}
        if symbol is not None:
            found[symbol] = {}
        for line, row in _rows(path, symbol is None):
            action = self._action(f"{path}, line {line}", row, symbol)
            of_symbol = found.setdefault(action.symbol, {})
            before = of_symbol.setdefault((action.ex_date, action.kind), action)
            if before is not action:
                raise CorporateActionDataError(
                    f"{action.where}: {before.where} is a {action.kind} of {action.symbol} on that date "
                    "already; put them into one row"
                )
            self.in_file_order.append(action)
        for name, of_symbol in found.items():
            self._actions[name] = tuple(sorted(of_symbol.values(), key=lambda a: (a.ex_date, a.kind)))

    def _action(self, where: str, row: dict[str, str], symbol: str | None) -> CorporateAction:
        symbol = symbol or row["symbol"]
        if not _SYMBOL.fullmatch(symbol):
            raise CorporateActionDataError(f"{where}: symbol {symbol!r}: write it in capital letters")
        kind = next((kind for kind in self._kinds if kind.value == row["kind"]), None)
        if kind is None:
            *others, last = self._kinds
            names = f"{', '.join(others)} or {last}" if others else last
            raise CorporateActionDataError(f"{where}: kind {row['kind'][:40]!r}: use {names}")
        if _LAST_CUM in row:
            ex_date = self._session_after(_date(row[_LAST_CUM], where), where)
        else:
            ex_date = _date(row["date"], where)
        if kind is ActionKind.RENAME:
            if row["value"] and not _SYMBOL.fullmatch(row["value"]):
                raise CorporateActionDataError(
                    f"{where}: new symbol {row['value'][:40]!r}: write it in capital letters, 32 at most"
                )
            return CorporateAction(symbol, ex_date, kind, new_symbol=row["value"], where=where)
        try:
            value = parse_value(kind, row["value"])
        except CorporateActionDataError as error:
            raise CorporateActionDataError(f"{where}: {error}") from error
        return CorporateAction(symbol, ex_date, kind, value, where=where)

    def _session_after(self, day: dt.date, where: str) -> dt.date:
        if not self._sessions or not self._sessions[0] <= day < self._sessions[-1]:
            # Wide enough for every stock in one go; dates beyond it widen it once more.
            first = min(day, dt.date(1990, 1, 1)) - dt.timedelta(days=10)
            last = max(day, dt.date(2030, 1, 1)) + dt.timedelta(days=10)
            self._sessions = list(ExchangeClock(self._calendar, first, last).dates)
        i = bisect_right(self._sessions, day)
        if i == len(self._sessions):
            raise CorporateActionDataError(f"{where}: {self._calendar} knows no session after {day}")
        return self._sessions[i]


def parse_value(kind: ActionKind, text: str) -> Decimal | Fraction:
    """Parse the value of a split or dividend.

    Raises
    ------
    CorporateActionDataError
        If it is no positive number; of a split also one that changes nothing.
    """
    ratio = _RATIO.fullmatch(text) if kind is ActionKind.SPLIT else None
    try:
        value = Fraction(int(ratio[1]), int(ratio[2])) if ratio else parse_decimal(text, name=kind)
    except NumberFormatError as error:
        also = ", or NEW/OLD such as 1/15" if kind is ActionKind.SPLIT else ""
        raise CorporateActionDataError(f"{error}{also}") from error
    if value <= 0:
        raise CorporateActionDataError(f"{kind}: {text} must be more than zero")
    if kind is ActionKind.SPLIT and value == 1:
        raise CorporateActionDataError(f"split: {text} changes nothing; give the new shares for each old one")
    return value


def _rows(path: Path, with_symbol: bool) -> list[tuple[int, dict[str, str]]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        names = [name.strip() for name in next(reader, [])]
        needed = {"kind", "value", *(("symbol",) if with_symbol else ())}
        if not needed <= set(names) or not {"date", _LAST_CUM} & set(names) or len(set(names)) < len(names):
            wanted = "date,symbol,kind,value" if with_symbol else "date,kind,value"
            raise CorporateActionDataError(
                f"{path}, line 1: columns {','.join(names)[:120]}; it needs {wanted}"
            )
        for cells in reader:
            if not any(cell.strip() for cell in cells) or cells[0].lstrip().startswith("#"):
                continue
            if len(cells) != len(names):
                raise CorporateActionDataError(
                    f"{path}, line {reader.line_num}: {len(cells)} fields, the header has {len(names)}"
                )
            rows.append((reader.line_num, dict(zip(names, map(str.strip, cells), strict=True))))
    except csv.Error as error:
        raise CorporateActionDataError(f"{path}, line {reader.line_num}: {error}; correct the row") from error
    return rows


def _text(path: Path) -> str:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            content = file.read(_LARGEST_FILE + 1)
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorporateActionDataError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); give a CSV file in UTF-8"
        ) from error
    if len(content) > _LARGEST_FILE:
        raise CorporateActionDataError(f"{path}: larger than {_LARGEST_FILE >> 20} MiB; split it by symbol")
    return text


def _date(text: str, where: str) -> dt.date:
    try:
        date = dt.date.fromisoformat(text) if _DATE.fullmatch(text) else None
    except ValueError:
        date = None  # such as 2018-02-30
    if date is None or not _FIRST_YEAR <= date.year <= _LAST_YEAR:
        raise CorporateActionDataError(
            f"{where}: date {text[:40]!r} is none; write the ex date like 2018-01-03"
        )
    return date
