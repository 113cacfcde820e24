"""The tape: which bars have been completed, which are in progress, and what comes next.

It is played in one of two ways, and may change between them:

- in whole steps (`next_step`): all bars that end together are played at once, as a backtest does;
- running (`advance_to`): a bar in progress is played in parts by the path rule (`paths`). Parts of a symbol
  follow each other without gap or overlap, so that an order always finds a part that starts after it.

Where a symbol has bars of several sizes, the finest is played and the coarser serve history only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from backtesting.gateway.errors import GatewayError
from backtesting.gateway.market.paths import Path, Tick
from data.bars import BarSeries, steps
from execution.models import Bar, Instrument
from execution.timeframes import Timeframe

BarSource = Mapping[str, BarSeries | Sequence[BarSeries]]
"""Bars by symbol, of one size each or of several."""

_CENT: Final = Decimal("0.01")
_NONE: Final[tuple[Bar, ...]] = ()
_FIRST_PIECE: Final = 64
_LARGEST_PIECE: Final = 8192
"""Bars of a symbol that are made ready at once: few at first, as some play half an hour only."""


@dataclass(slots=True)
class Step:
    """What happened up to `end_ns`: bars or parts of bars that orders are matched on, and bars that ended."""

    end_ns: int
    bars: Sequence[Bar]
    completed: Sequence[Bar]


class Tape:
    """Bars that have been completed so far, those in progress, and those still to come.

    Parameters
    ----------
    bars
        Bars by symbol.
    instruments
        Where the price increments come from; a symbol that is not named has one of a cent.

    Raises
    ------
    GatewayError
        If there are no bars at all, or two series of one symbol and size.
    """

    def __init__(self, bars: BarSource, instruments: Sequence[Instrument] = ()) -> None:
        self.series: dict[str, BarSeries] = {}
        """What is played, by symbol."""
        self.coarser: dict[tuple[str, Timeframe], BarSeries] = {}
        """What only serves history."""
        for symbol, source in bars.items():
            self._add(symbol, [source] if isinstance(source, BarSeries) else source)
        if not self.series:
            raise GatewayError("the gateway needs bars: check the folder given to --bars")
        ticks = {instrument.symbol: instrument.tick for instrument in instruments}
        self.ticks = {symbol: Tick(ticks.get(symbol, _CENT)) for symbol in self.series}
        finest = min(series.timeframe.seconds for series in self.series.values())
        self.first_start_ns = min(
            int(series.start_ns[0]) for series in self.series.values() if series.timeframe.seconds == finest
        )
        """Where the finest bars begin; what ended before is history."""
        self.last_end_ns = max(int(series.end_ns[-1]) for series in self.series.values())
        self.now_ns = self.first_start_ns
        """Time up to which the market has been played."""
        self._completed = dict.fromkeys(self.series, 0)
        self._steps = self._steps_from(dict(self._completed))
        self._upcoming: tuple[int, list[Bar]] | None = next(self._steps, None)
        self._paths: dict[str, Path | None] = {}
        self._played: dict[str, int] = {}

    def _add(self, symbol: str, sources: Sequence[BarSeries]) -> None:
        ordered = sorted((s for s in sources if len(s)), key=lambda series: series.timeframe.seconds)
        if len({series.timeframe for series in ordered}) != len(ordered):
            raise GatewayError(f"{symbol}: two sets of bars of one size; keep one")
        if ordered:
            self.series[symbol] = ordered[0]
            self.coarser |= {(symbol, series.timeframe): series for series in ordered[1:]}

    def skip_to(self, ns: int) -> None:
        """Make everything that ended by `ns` history without playing it; only before the first step."""
        self.now_ns = ns
        if self._upcoming is None or ns < self._upcoming[0]:
            return
        for symbol, series in self.series.items():
            self._completed[symbol] = series.completed(ns)
        self._steps = self._steps_from(dict(self._completed))
        self._upcoming = next(self._steps, None)

    def _steps_from(self, first: dict[str, int]) -> Iterator[tuple[int, list[Bar]]]:
        """Yield the ends of bars from these places on, piece by piece."""
        size = _FIRST_PIECE
        while True:
            left = {symbol: series for symbol, series in self.series.items() if first[symbol] < len(series)}
            if not left:
                return
            until = min(int(s.end_ns[min(first[name] + size, len(s)) - 1]) for name, s in left.items())
            piece = {}
            for symbol, series in left.items():
                last = series.completed(until)
                piece[symbol] = series.slice(first[symbol], last)
                first[symbol] = last
            yield from steps(piece)
            size = min(2 * size, _LARGEST_PIECE)

    def next_step(self) -> Step | None:
        """Play up to the next end of bars; None at the end of the data."""
        upcoming = self._upcoming
        if upcoming is None:
            return None
        end_ns, ended = upcoming
        bars: Sequence[Bar] = ended
        if self._played:
            self._begin(end_ns)
            bars = self._parts(end_ns)
        self._upcoming = next(self._steps, None)
        completed = self._completed
        for bar in ended:
            completed[bar.symbol] += 1
        if self._played:
            for bar in ended:
                self._paths.pop(bar.symbol, None)
                self._played.pop(bar.symbol, None)
        self.now_ns = end_ns
        return Step(end_ns, bars, ended)

    def advance_to(self, ns: int) -> Iterator[Step]:
        """Play up to `ns`: a step for every end of bars until then, and one for what remains.

        What the bars that are in progress at `ns` hold so far can be seen, and an order placed then meets the
        next part.
        """
        while self._upcoming is not None and self._upcoming[0] <= ns:
            self._begin(self.now_ns)
            self._begin(self._upcoming[0])
            step = self.next_step()
            if step is None:
                break
            yield step
        self._begin(self.now_ns)
        if ns > self.now_ns:
            self._begin(ns)
            parts = self._parts(ns)
            self.now_ns = ns
            yield Step(ns, parts, _NONE)

    def _begin(self, ns: int) -> None:
        """Take up the bars that have started by `ns`."""
        for symbol, series in self.series.items():
            if symbol in self._played:
                continue
            place = self._completed[symbol]
            if place < len(series) and series.start_ns[place] <= ns:
                bar = series.bar(place)
                self._paths[symbol] = Path(bar, self.ticks[symbol]) if bar.defect() is None else None
                self._played[symbol] = max(bar.start_ns, min(self.now_ns, bar.end_ns))

    def _parts(self, ns: int) -> list[Bar]:
        """Play every bar that is in progress up to `ns` and return the parts in symbol order."""
        parts = []
        for symbol in sorted(self._played):
            path, since = self._paths[symbol], self._played[symbol]
            if path is None:
                continue  # an unsound bar has no path: it only becomes history
            until = min(ns, path.bar.end_ns)
            if until > since:
                parts.append(path.part(since, until))
                self._played[symbol] = until
        return parts

    @property
    def next_end_ns(self) -> int | None:
        """When the next bars end; None at the end of the data."""
        return None if self._upcoming is None else self._upcoming[0]

    def completed(self, symbol: str) -> int:
        """Return how many bars of a symbol have been completed."""
        return self._completed[symbol]

    def forming(self, symbol: str) -> Bar | None:
        """Return what has been played of the bar in progress; None outside bars and between whole steps."""
        path = self._paths.get(symbol)
        return None if path is None else path.part(path.bar.start_ns, self._played[symbol])

    def last_price(self, symbol: str) -> float | None:
        """Return where the price is now: on the path, at the last close, or at the open of the first bar.

        None before the first bar, and for a symbol without bars.
        """
        path = self._paths.get(symbol)
        if path is not None:
            return path.price(self._played[symbol])
        series = self.series.get(symbol)
        if series is None:
            return None
        if count := self._completed[symbol]:
            return float(series.close[count - 1])
        return float(series.open[0]) if series.start_ns[0] <= self.now_ns else None

    def played_since(self, symbol: str, ns: int) -> Iterator[tuple[Path, int]]:
        """Yield the bars played since `ns` with the moment up to which each has been played."""
        series = self.series[symbol]
        for place in range(series.completed(ns), self._completed[symbol]):
            bar = series.bar(place)
            if bar.defect() is None:
                yield Path(bar, self.ticks[symbol]), bar.end_ns
        path = self._paths.get(symbol)
        if path is not None:
            yield path, self._played[symbol]
