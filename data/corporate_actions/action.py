"""One corporate action of a stock."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from fractions import Fraction

import pandas as pd

from data.errors import CorporateActionDataError


class ActionKind(StrEnum):
    """What happens to a share."""

    SPLIT = "split"
    """It becomes `value` shares."""
    DIVIDEND = "dividend"
    """It is paid `value` in cash."""
    RENAME = "rename"
    """It trades under `new_symbol` from the ex date on."""


@dataclass(frozen=True, slots=True)
class CorporateAction:
    """A split, dividend or change of ticker.

    Raises
    ------
    CorporateActionDataError
        If the value does not fit the kind; the message names symbol and date.
    """

    symbol: str
    ex_date: dt.date
    """First date, at the exchange, on which the stock trades without it; it happens before the open."""
    kind: ActionKind
    value: Decimal | Fraction | None = None
    """New shares for each old one, or cash a share in the currency of the stock."""
    new_symbol: str | None = None
    known_at: pd.Timestamp | None = None
    """When it was learnt (UTC); None where the source does not say, which counts as known on its ex date."""
    where: str = ""
    """File and line, or the name of the source."""

    def __post_init__(self) -> None:
        what = f"{self.where + ': ' if self.where else ''}{self.kind} of {self.symbol} on {self.ex_date}"
        if self.kind is ActionKind.RENAME:
            if not self.new_symbol or self.new_symbol == self.symbol or self.value is not None:
                raise CorporateActionDataError(f"{what}: give the new symbol, another one, and no value")
            return
        if self.value is None or self.value <= 0 or self.new_symbol is not None:
            raise CorporateActionDataError(f"{what}: give a positive value and no new symbol")
        if self.kind is ActionKind.SPLIT and self.value == 1:
            raise CorporateActionDataError(f"{what}: a split of 1 changes nothing; leave it out")

    def is_known(self, as_of: dt.date) -> bool:
        """Return whether it had happened, and was known, at the end of a date (UTC for `known_at`)."""
        if self.known_at is not None and self.known_at.date() > as_of:
            return False
        return self.ex_date <= as_of

    @property
    def amount(self) -> float:
        """The value as a float, for series of measurements."""
        return 0.0 if self.value is None else float(self.value)
