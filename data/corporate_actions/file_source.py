"""Corporate actions from CSV files: one file for all symbols, or a folder with one a symbol.

A row of a single file is ``date,symbol,kind,value``; of ``SYMBOL.csv`` or ``SYMBOL.csv.gz`` in a folder
``last_cum_date,kind,value`` (a further column ``cum_close`` is checked and otherwise ignored) or
``date,kind,value``. `date` is the ex date; `last_cum_date` the last date with the right, so that the ex date
is the next session. Kinds: ``split`` (new shares for each old one: ``2``, ``0.1``, ``1/15``), ``dividend``
(cash a share), ``rename`` (the new symbol).
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import re
import zlib
from bisect import bisect_right
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

_LARGEST_FILE: Final = 64 << 20
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

    Raises
    ------
    CorporateActionDataError
        If it cannot be read, or at the first unsound row: file, line and remedy.
    """

    def __init__(self, path: Path, calendar: str = "XNYS") -> None:
        self.path = path
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
                    f"{action.where}: {before.where} is a {action.kind} of {action.symbol} on "
                    f"{action.ex_date} already; put them into one row"
                )
        for name, of_symbol in found.items():
            self._actions[name] = tuple(sorted(of_symbol.values(), key=lambda a: (a.ex_date, a.kind)))

    def _action(self, where: str, row: dict[str, str], symbol: str | None) -> CorporateAction:
        symbol = symbol or row["symbol"]
        if not _SYMBOL.fullmatch(symbol):
            raise CorporateActionDataError(f"{where}: symbol {symbol!r}: write it in capital letters")
        try:
            kind = ActionKind(row["kind"])
        except ValueError:
            names = ", ".join(ActionKind)
            raise CorporateActionDataError(f"{where}: kind {row['kind']!r} is none of {names}") from None
        if _LAST_CUM in row:
            ex_date = self._session_after(_date(row[_LAST_CUM], where), where)
        else:
            ex_date = _date(row["date"], where)
        if kind is ActionKind.RENAME:
            return CorporateAction(symbol, ex_date, kind, new_symbol=row["value"], where=where)
        return CorporateAction(symbol, ex_date, kind, _value(kind, row["value"], where), where=where)

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


def _rows(path: Path, with_symbol: bool) -> list[tuple[int, dict[str, str]]]:
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
        text = content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorporateActionDataError(f"{path}: cannot be read: {error}") from error
    if len(content) > _LARGEST_FILE:
        raise CorporateActionDataError(f"{path}: more than {_LARGEST_FILE >> 20} MiB; split it by symbol")
    reader = csv.DictReader(io.StringIO(text), strict=True)
    names = set(reader.fieldnames or ())
    needed = {"kind", "value", *(("symbol",) if with_symbol else ())}
    if not needed <= names or not names & {"date", _LAST_CUM}:
        wanted = "date,symbol,kind,value" if with_symbol else "date,kind,value"
        raise CorporateActionDataError(f"{path}: its first line is {','.join(names)}; write {wanted}")
    rows: list[tuple[int, dict[str, str]]] = []
    try:
        for row in reader:
            if None in row or None in row.values():
                raise CorporateActionDataError(f"{path}, line {reader.line_num}: {len(names)} fields are due")
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise CorporateActionDataError(f"{path}, line {reader.reader.line_num}: {error}") from error
    return rows


def _date(text: str, where: str) -> dt.date:
    try:
        if _DATE.fullmatch(text):
            return dt.date.fromisoformat(text)
    except ValueError:
        pass  # 2018-02-30: the message below says what is due
    raise CorporateActionDataError(f"{where}: date {text!r}: write it as 2018-01-03")


def _value(kind: ActionKind, text: str, where: str) -> Decimal | Fraction:
    ratio = _RATIO.fullmatch(text) if kind is ActionKind.SPLIT else None
    if ratio:
        return Fraction(int(ratio[1]), int(ratio[2]))
    try:
        return parse_decimal(text, name="value")
    except NumberFormatError as error:
        raise CorporateActionDataError(f"{where}: {error}") from error
