"""Corporate actions as the order path asks for them: by moment, in the words of `execution.book.adjustments`.

A source that does not cover a symbol is told of once and counts as knowing nothing: a position that nothing
explains is then a break that a person settles, which is what would happen without any source.
"""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from fractions import Fraction

import structlog

from data.calendars import ExchangeClock
from data.corporate_actions.action import ActionKind, CorporateAction
from data.corporate_actions.source import CorporateActionSource
from data.errors import CorporateActionDataError, SourceNotInstalledError
from execution.book import adjustments
from execution.clocks import timestamp


class TradingActions:
    """Corporate actions for the executor: an `execution.book.adjustments.CorporateActionSource`.

    Parameters
    ----------
    source
        Where they come from.
    clock
        The exchange: an action takes hold when its ex date begins there.
    """

    def __init__(self, source: CorporateActionSource, clock: ExchangeClock) -> None:
        self._source = source
        self._clock = clock
        self._told: set[str] = set()

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> list[adjustments.CorporateAction]:
        """Return the actions of a symbol that took hold after `since_ns` and up to `until_ns`, in order."""
        first, last = (timestamp(ns).tz_convert(self._clock.tz).date() for ns in (since_ns, until_ns))
        try:
            found = self._source.actions(symbol, first, last + dt.timedelta(days=1))
        except (CorporateActionDataError, SourceNotInstalledError) as error:
            if symbol not in self._told:
                self._told.add(symbol)
                structlog.get_logger("corporate-actions").warning(
                    "not covered; a person explains what changes", symbol=symbol, error=str(error)
                )
            return []
        translated = [in_the_book(action, self._clock) for action in found]
        return [action for action in translated if since_ns < action.time <= until_ns]


def in_the_book(action: CorporateAction, clock: ExchangeClock) -> adjustments.CorporateAction:
    """Return a corporate action in the words of the book: it takes hold when its ex date begins."""
    time = clock.midnight_ns(action.ex_date)
    kinds = adjustments.AdjustmentKind
    if action.kind is ActionKind.RENAME:
        name = action.new_symbol or ""
        return adjustments.CorporateAction(kinds.SYMBOL_CHANGE, action.symbol, time, new_symbol=name)
    value = action.value
    assert value is not None  # noqa: S101 - only a change of ticker has none
    if action.kind is ActionKind.SPLIT:
        return adjustments.CorporateAction(kinds.SPLIT, action.symbol, time, ratio=Fraction(value))
    numerator, denominator = value.as_integer_ratio()
    amount = value if isinstance(value, Decimal) else Decimal(numerator) / denominator
    return adjustments.CorporateAction(kinds.DIVIDEND, action.symbol, time, amount=amount)
