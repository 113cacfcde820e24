"""What a strategy's loop needs of market data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from execution.models import Bar


class DataAdapter(ABC):
    """A source of completed bars."""

    @abstractmethod
    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        """Return the newest bar whose end the trading clock has passed, or None if there is none yet."""

    @abstractmethod
    def completed_bars(self, symbol: str, timeframe: str, after_ns: int) -> Sequence[Bar]:
        """Return the completed bars that end after `after_ns` (UTC nanoseconds), oldest first."""
