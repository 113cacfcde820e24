"""A file of corporate actions: CSV with a row for each split or dividend of a stock.

Columns: ``date`` (the ex date, ``2018-01-03``), ``symbol``, ``kind`` (``split`` or ``dividend``), ``value``:
new shares for each old one (``2``, ``0.1``, or ``1/15`` where that is no decimal number), or the dividend a
share in the currency of the stock. Bars are those that were traded on their day, not adjusted afterwards.
Every row is checked before any is used; the first fault ends the load and names file, line and remedy.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

from backtesting.gateway.errors import CorporateActionError
from backtesting.gateway.wire.codec import EASTERN
from data.calendars import MarketClock
from execution.clocks import NANOS
from execution.errors import NumberFormatError
from execution.models import Instrument
from execution.numbers import parse_decimal

COLUMNS: Final = ("date", "symbol", "kind", "value")
SPLIT: Final = "split"
DIVIDEND: Final = "dividend"

_LARGEST_FILE: Final = 8 << 20
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_RATIO: Final = re.compile(r"([1-9][0-9]{0,5})/([1-9][0-9]{0,5})", re.ASCII)


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split, `value` being new shares for each old one, or a dividend, `value` being cash a share."""

    date: dt.date
    """The ex date."""
    symbol: str
    kind: str
    value: Decimal | Fraction
    where: str = ""
    """File and line."""

    @property
    def ex_ns(self) -> int:
        """When the ex date begins in New York, UTC nanoseconds: it is applied before anything trades."""
        start = dt.datetime.combine(self.date, dt.time(), EASTERN)
        return int(start.timestamp()) * NANOS

    @property
    def is_split(self) -> bool:
        """Whether shares change, and not cash."""
        return self.kind == SPLIT

    @property
    def per_share(self) -> Decimal:
        """The value as cash a share."""
        numerator, denominator = self.value.as_integer_ratio()
        return Decimal(numerator) / denominator

    def of_close(self, close: float) -> float:
        """Return a close before the ex date as one after it: divided, or less the dividend."""
        if self.is_split:
            new, old = self.value.as_integer_ratio()
            return close * old / new
        return max(0.0, close - float(self.value))


def load_corporate_actions(
    path: Path, instruments: Sequence[Instrument], sessions: MarketClock
) -> tuple[CorporateAction, ...]:
    """Load a file of corporate actions; return them by date, those of one date as in the file.

    Parameters
    ----------
    path
        The file, UTF-8.
    instruments
        What is offered: actions are of stocks among it.
    sessions
        The market calendar: within its range an ex date is a session.

    Raises
    ------
    CorporateActionError
        If it cannot be read, or at the first unsound row.
    """
    offered = {instrument.symbol: instrument for instrument in instruments}
    actions: dict[tuple[dt.date, str, str], CorporateAction] = {}
    for line, fields in _rows(path):
        action = _action(f"{path}, line {line}", fields, offered)
        _require_session(action, sessions)
        key = action.date, action.symbol, action.kind
        if key in actions:
            raise CorporateActionError(
                f"{action.where}: {actions[key].where} is a {action.kind} of {action.symbol} on that date "
                "already; put them into one row"
            )
        actions[key] = action
    if not actions:
        raise CorporateActionError(f"{path}: no corporate actions; leave --corporate-actions out")
    return tuple(sorted(actions.values(), key=lambda action: action.date))


def parse_value(kind: str, text: str) -> Decimal | Fraction:
    """Parse the value of an action.

    Raises
    ------
    CorporateActionError
        If it is no positive number; of a split also one that changes nothing.
    """
    ratio = _RATIO.fullmatch(text) if kind == SPLIT else None
    try:
        value = Fraction(int(ratio[1]), int(ratio[2])) if ratio else parse_decimal(text, name=kind)
    except NumberFormatError as error:
        also = ", or NEW/OLD such as 1/15" if kind == SPLIT else ""
        raise CorporateActionError(f"{error}{also}") from error
    if value <= 0:
        raise CorporateActionError(f"{kind}: {text} must be more than zero")
    if kind == SPLIT and value == 1:
        raise CorporateActionError(f"split: {text} changes nothing; give the new shares for each old one")
    return value


def _rows(path: Path) -> list[tuple[int, dict[str, str]]]:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise CorporateActionError(f"{path}: larger than {_LARGEST_FILE >> 20} MiB; keep what is traded")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CorporateActionError(
            f"{path}: cannot be read ({' '.join(str(error).split())}); give a CSV file in UTF-8"
        ) from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows = []
    try:
        names = [name.strip() for name in next(reader, [])]
        if sorted(names) != sorted(COLUMNS):
            raise CorporateActionError(
                f"{path}, line 1: columns {','.join(names)[:120]}; it needs {','.join(COLUMNS)}"
            )
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(names):
                raise CorporateActionError(
                    f"{path}, line {reader.line_num}: {len(cells)} fields, the header has {len(names)}"
                )
            rows.append((reader.line_num, dict(zip(names, map(str.strip, cells), strict=True))))
    except csv.Error as error:
        raise CorporateActionError(f"{path}, line {reader.line_num}: {error}; correct the row") from error
    return rows


def _action(where: str, fields: Mapping[str, str], instruments: Mapping[str, Instrument]) -> CorporateAction:
    symbol, kind = fields["symbol"], fields["kind"]
    if kind not in (SPLIT, DIVIDEND):
        raise CorporateActionError(f"{where}: kind {kind[:40]!r}: use split or dividend")
    require_stock(symbol, instruments, where)
    try:
        if not _DATE.fullmatch(fields["date"]):
            raise ValueError(fields["date"])  # noqa: TRY301  reported below with the dates that do not exist
        date = dt.date.fromisoformat(fields["date"])
    except ValueError as error:
        raise CorporateActionError(
            f"{where}: date {fields['date'][:40]!r} is none; write the ex date like 2018-01-03"
        ) from error
    try:
        value = parse_value(kind, fields["value"])
    except CorporateActionError as error:
        raise CorporateActionError(f"{where}: {error}") from error
    return CorporateAction(date, symbol, kind, value, where)


def _require_session(action: CorporateAction, sessions: MarketClock) -> None:
    known = sessions.session_closing_after(action.ex_ns) is not None
    if known and sessions.session_on(action.date) is None:
        raise CorporateActionError(
            f"{action.where}: {action.date} is no session; an ex date is the first day of trading without "
            "the right, so give the session it is meant for"
        )


def require_stock(symbol: str, instruments: Mapping[str, Instrument], where: str) -> None:
    """Refuse a symbol that is not offered or is no stock; raise `CorporateActionError`."""
    instrument = instruments.get(symbol)
    if instrument is None:
        raise CorporateActionError(
            f"{where}: {symbol[:40]!r} is not offered; take it out, or serve bars of it"
        )
    if instrument.security_type != "STK":
        raise CorporateActionError(f"{where}: {symbol} is no stock; only stocks split and pay dividends")
