"""The corporate actions of the stocks on offer, from a file that `data.corporate_actions` reads.

Rows are splits and dividends: ``date`` (the ex date), ``symbol``, ``kind``, ``value``. Bars are those that
were traded on their day, not adjusted afterwards. Every row is checked before any is used; the first fault
ends the load and names file, line and remedy.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Final

from backtesting.gateway.errors import CorporateActionError
from backtesting.gateway.wire.codec import EASTERN
from data.calendars import MarketClock
from data.corporate_actions import ActionKind, FileActionSource, file_source
from data.errors import CorporateActionDataError
from execution.clocks import NANOS
from execution.models import Instrument

SPLIT: Final = ActionKind.SPLIT.value
DIVIDEND: Final = ActionKind.DIVIDEND.value


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
    try:
        rows = FileActionSource(path, kinds=(ActionKind.SPLIT, ActionKind.DIVIDEND)).in_file_order
    except CorporateActionDataError as error:
        raise CorporateActionError(str(error)) from error
    actions = []
    for row in rows:
        require_stock(row.symbol, offered, row.where)
        assert row.value is not None  # noqa: S101 - only a change of ticker has none
        actions.append(CorporateAction(row.ex_date, row.symbol, row.kind.value, row.value, row.where))
        _require_session(actions[-1], sessions)
    if not actions:
        raise CorporateActionError(f"{path}: no corporate actions; leave --corporate-actions out")
    return tuple(sorted(actions, key=lambda action: action.date))


def parse_value(kind: str, text: str) -> Decimal | Fraction:
    """Parse the value of an action; raise `CorporateActionError` unless it is one that changes something."""
    try:
        return file_source.parse_value(ActionKind(kind), text)
    except CorporateActionDataError as error:
        raise CorporateActionError(str(error)) from error


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
