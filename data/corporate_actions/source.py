"""The contract of every source of corporate actions."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod

from data.corporate_actions.action import CorporateAction


class CorporateActionSource(ABC):
    """Gives the corporate actions of a stock.

    An empty answer means that the source knows there were none. A source that does not cover the stock or the
    range raises instead: "none" and "unknown" are never the same answer.
    """

    @abstractmethod
    def actions(self, symbol: str, start: dt.date, end: dt.date) -> tuple[CorporateAction, ...]:
        """Return the actions with ``start <= ex_date <= end``, by date.

        Raises
        ------
        CorporateActionDataError
            If the source does not cover the symbol, or what it holds is unsound.
        """
