"""The interface of every source that is asked for the past, and how its questions are cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from data.bars import BarSeries
from execution.clocks import NANOS, timestamp
from execution.ibkr.description import Description
from execution.models import Instrument
from execution.timeframes import Timeframe

OPTIONS: Final = frozenset(("OPT", "FOP"))
_DAY_NS = 86_400 * NANOS
_SATURDAY_NS = 5 * _DAY_NS // 2  # 1970-01-03 12:00 UTC: no exchange that closes is open then


@dataclass(frozen=True, slots=True)
class Window:
    """A span of the past that one question covers: bars with ``start_ns <= start < end_ns``, UTC."""

    start_ns: int
    end_ns: int

    def __str__(self) -> str:
        return f"{timestamp(self.start_ns):%Y-%m-%d %H:%M} to {timestamp(self.end_ns):%Y-%m-%d %H:%M}"


class HistorySource(ABC):
    """Gives bars of the past as they were traded.

    "There are none" and "I do not know" are never the same answer: the first is an empty result, the second
    an error.
    """

    name: str
    """Under which answers are remembered: lower case, stable."""

    @abstractmethod
    def window_days(self, timeframe: Timeframe) -> int:
        """Return how many days one question covers: whole weeks."""

    @abstractmethod
    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int | None:
        """Return where the source's bars of an instrument begin at the earliest, UTC nanoseconds.

        None if it has such an instrument, and does not say where its bars begin.

        Raises
        ------
        HistoryRefusedError
            If the source does not know the instrument.
        """

    @abstractmethod
    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        """Return the bars of a window, None if there are none.

        Raises
        ------
        HistoryRefusedError
            If the source refuses; what it has is not known.
        HistoryUnavailableError
            If it cannot be reached, after the tries that it makes itself.
        """

    def basis(self, instrument: Instrument, window: Window, asked_ns: int) -> str:
        """Return what the bars of a window, asked for at a moment, rest on besides the source's answer.

        An answer that rests on something else, such as other splits, is asked for again. By default nothing.

        Raises
        ------
        HistoryRefusedError
            If it is not known.
        """
        del instrument, window, asked_ns
        return ""

    async def describe(self, instrument: Instrument) -> Description | None:
        """Return what the source knows of a contract beside its bars; by default nothing.

        Raises
        ------
        HistoryRefusedError, HistoryUnavailableError
            As `bars` does.
        """
        del instrument
        return None

    async def now_ns(self) -> int | None:
        """Return what time it is at the source, UTC nanoseconds; None, as by default, if it does not say.

        A bar that is not over there still forms, whatever the clock of this machine says.

        Raises
        ------
        HistoryUnavailableError
            As `bars` does.
        """
        return None

    async def close(self) -> None:
        """Release connections; the next question makes new ones."""
        return

    def was_asked(self, source: str, seconds_ago: float) -> None:
        """Take note of a question that an earlier pull asked a source of this name; by default nothing."""
        del source, seconds_ago

    def seconds_for(self, questions: int) -> float:
        """Return how long so many further questions have to wait for the source's limits, in seconds."""
        del questions
        return 0.0


def windows(days: int, start_ns: int, end_ns: int) -> list[Window]:
    """Cut ``[start_ns, end_ns)`` along a grid of `days` that begins on a Saturday, the same for every call.

    So the windows of one pull are those of any other, but for the first and the last; and no cut falls into
    a session, of which a question could only bring a part.
    """
    step = days * _DAY_NS
    cuts = [start_ns]
    following = (start_ns - _SATURDAY_NS) // step * step + _SATURDAY_NS + step
    while following < end_ns:
        cuts.append(following)
        following += step
    cuts.append(end_ns)
    return [Window(a, b) for a, b in pairwise(cuts) if a < b]
