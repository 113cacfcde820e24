"""The interface of every store of bars."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pandas as pd
import pyarrow as pa

from data.stores.checked import Bars
from data.stores.reader import Reader
from data.stores.rows import EARLIEST_US, LATEST_US, Rows, microseconds, rows_of
from data.stores.versions import positions
from execution.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What a write did, in rows; all three zero but `unchanged` when the same is written again."""

    inserted: int
    revised: int
    unchanged: int


@dataclass(frozen=True, slots=True)
class Holding:
    """What a store holds of a symbol: start of the first bar, end of the last, and their number."""

    symbol: str
    timeframe: Timeframe
    first: pd.Timestamp
    last: pd.Timestamp
    bars: int


@dataclass(frozen=True, slots=True)
class Span:
    """Starts of bars from `first` up to, not including, `last`, in UTC microseconds."""

    first: int
    last: int

    @classmethod
    def of(cls, start: pd.Timestamp | None, end: pd.Timestamp | None) -> Span:
        """Return the span between two moments; None leaves a side open."""
        first = EARLIEST_US if start is None else _within_reach(microseconds(start, up=True))
        return cls(first, LATEST_US if end is None else _within_reach(microseconds(end, up=True)))


ALWAYS = Span(EARLIEST_US, LATEST_US)


def _within_reach(us: int) -> int:
    """Return a moment, or the end of what a store can hold if it is beyond: both mean the same."""
    return min(max(us, EARLIEST_US), LATEST_US)


class BarStore(ABC):
    """Bars by symbol, timeframe and start, with the moment at which each was learnt.

    A write is all or nothing, and doing it again changes nothing. A bar that is written with other values
    is a revision: the store answers with the new one, and with the old one for any moment before.
    """

    @abstractmethod
    def write(
        self,
        bars: Bars,
        *,
        known_at: pd.Timestamp | None,
        timeframe: Timeframe | None = None,
        signed: Collection[str] = (),
    ) -> WriteReport:
        """Add new bars and revise those that changed, in one step.

        Parameters
        ----------
        bars
            A series, series by symbol, or an Arrow, pandas or polars table with ``symbol, start, end, open,
            high, low, close, volume``, in any order of rows; times carry a timezone.
        known_at
            When the bars were learnt; None to take the table's own column ``known_at``.
        timeframe
            Size of the bars; found from the longest if None.
        signed
            Symbols whose prices may be zero or negative, beside those of `data.signs`.

        Raises
        ------
        BarDataError, BarConflictError
            If a row is unsound, or contradicts another one.
        BarStoreError, DatabaseUnavailableError
            If the store fails; nothing was written, and the same call finishes the work later.
        """

    def read(
        self,
        symbols: str | Sequence[str] | None,
        timeframe: Timeframe,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
        *,
        as_of: pd.Timestamp | None = None,
    ) -> Reader:
        """Return a reader of the bars that start in ``[start, end)``.

        Parameters
        ----------
        symbols
            One symbol, several, or None for all; a symbol without bars gives none.
        as_of
            Read what was known at this moment; None for what holds now.
        """
        names, span = wanted(symbols), Span.of(start, end)
        if as_of is None:
            return Reader(lambda: self._now(names, timeframe, span), timeframe)
        when = _within_reach(microseconds(as_of))
        return Reader(lambda: self._then(names, timeframe, span, when).to_arrow(), timeframe)

    @abstractmethod
    def symbols(self, timeframe: Timeframe | None = None) -> list[str]:
        """Return the symbols that have bars, sorted."""

    @abstractmethod
    def holdings(self) -> list[Holding]:
        """Return what is held, sorted by symbol and timeframe."""

    def changed_since(
        self,
        when: pd.Timestamp,
        timeframe: Timeframe,
        symbols: str | Sequence[str] | None = None,
        start: pd.Timestamp | None = None,
        end: pd.Timestamp | None = None,
    ) -> pa.Table:
        """Return the bars in ``[start, end)`` learnt after `when`: a reader's columns and ``revised``.

        `revised` says whether the bar was known before with other values, so that a backtest run at `when`
        used numbers that no longer hold.
        """
        span, since = Span.of(start, end), _within_reach(microseconds(when))
        news = self._now(wanted(symbols), timeframe, span, since)
        names = sorted(set(news["symbol"].cast(pa.string()).to_pylist()))
        before = self._then(names, timeframe, span, since)
        return news.append_column("revised", pa.array(positions(rows_of(news), before) >= 0))

    def head(self, symbol: str, timeframe: Timeframe, count: int = 5) -> pa.Table:
        """Return the first `count` bars of a symbol."""
        return self._edge(symbol, timeframe, max(0, count), newest=False)

    def last(self, symbol: str, timeframe: Timeframe, count: int = 1) -> pa.Table:
        """Return the last `count` bars of a symbol, oldest first."""
        return self._edge(symbol, timeframe, max(0, count), newest=True)

    @abstractmethod
    def _edge(self, symbol: str, timeframe: Timeframe, count: int, *, newest: bool) -> pa.Table:
        """Return the first or last `count` bars that hold of a symbol, oldest first."""

    @abstractmethod
    def _now(
        self, symbols: list[str] | None, timeframe: Timeframe, span: Span, learnt_after: int | None = None
    ) -> pa.Table:
        """Return the rows that hold, as a table of `rows.SCHEMA`, sorted."""

    @abstractmethod
    def _then(self, symbols: list[str] | None, timeframe: Timeframe, span: Span, when: int) -> Rows:
        """Return the rows as they were known at `when`."""

    @abstractmethod
    def close(self) -> None:
        """Release files and connections; the store can be used again."""


def wanted(symbols: str | Sequence[str] | None) -> list[str] | None:
    """Return the symbols asked for, sorted and without repetition; None for all."""
    if symbols is None:
        return None
    return [symbols] if isinstance(symbols, str) else sorted(set(symbols))
