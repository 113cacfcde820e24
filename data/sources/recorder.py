"""What streams in is kept in memory and goes into the store every few minutes, as bars of one minute.

Only whole minutes are written: one of a share is over when its last part, or a later one, has come. The
minute in which a stream begins, or breaks off, is left out, for nobody saw all of it: a gap, which a pull
fills. A store that cannot be reached loses nothing: what was not written waits, up to a stated number of
minutes, for the next snapshot.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import structlog

from data.database import Database
from data.errors import BarStoreError, DatabaseUnavailableError
from data.schema import OptionBarRow
from data.signs import is_signed
from data.sources.ibkr import series_of
from data.stores.base import BarStore
from data.writing import upsert
from execution.clocks import NANOS, timestamp
from execution.ibkr.tick import QuoteTick
from execution.models import Bar
from execution.timeframes import Timeframe

MINUTE_NS = 60 * NANOS
MOST_MINUTES = 500_000
"""Minutes of all symbols kept while the store cannot be reached: a day of more than 1,200 symbols."""
_END_OF_MINUTE = (
    *("bid", "ask", "open_interest", "implied_volatility", "delta", "gamma", "vega", "theta"),
    "underlying_price",
)


class MinuteRecorder:
    """Minutes made of shorter bars, such as those of five seconds.

    Parameters
    ----------
    store
        Where minutes go.
    signed
        Symbols whose prices may be zero or negative, beside those of `data.signs`.
    """

    def __init__(self, store: BarStore, *, signed: Collection[str] = ()) -> None:
        self._store = store
        self._signed = frozenset(signed)
        self._whole_from: dict[str, int] = {}
        self._minutes: dict[tuple[str, int], Bar] = {}
        self._last: dict[str, int] = {}
        self.written = 0
        """Minutes that went into the store."""
        self.lost = 0
        """Minutes given up because the store was away for too long."""

    def on_bar(self, bar: Bar) -> None:
        """Take the next part of a minute; one that was taken before is left out."""
        if not self._is_sound(bar) or bar.start_ns < self._last.get(bar.symbol, 0):
            return
        self._last[bar.symbol] = bar.end_ns
        start = bar.start_ns // MINUTE_NS * MINUTE_NS
        if start < self._whole_from.setdefault(bar.symbol, -(-bar.start_ns // MINUTE_NS) * MINUTE_NS):
            return
        key = bar.symbol, start
        held = self._minutes.get(key)
        if held is None:
            self._minutes[key] = Bar(
                bar.symbol, start, start + MINUTE_NS, bar.open, bar.high, bar.low, bar.close, bar.volume
            )
            return
        high, low = max(held.high, bar.high), min(held.low, bar.low)
        volume = held.volume + bar.volume
        self._minutes[key] = Bar(bar.symbol, start, held.end_ns, held.open, high, low, bar.close, volume)

    def snapshot(self, now_ns: int) -> int:
        """Write the minutes that are over as learnt now; return how many, 0 if the store cannot be reached.

        Raises
        ------
        BarDataError, BarConflictError
            If the store refuses what came: nothing of this snapshot was written.
        """
        over = [key for key, bar in self._minutes.items() if self._is_over(bar)]
        if not over:
            return 0
        by_symbol: dict[str, list[Bar]] = {}
        for key in sorted(over):
            by_symbol.setdefault(key[0], []).append(self._minutes[key])
        series = {symbol: series_of(symbol, Timeframe.MINUTE, bars) for symbol, bars in by_symbol.items()}
        try:
            known_at = timestamp(max(now_ns, *(bars[-1].end_ns for bars in by_symbol.values())))
            self._store.write(series, known_at=known_at, timeframe=Timeframe.MINUTE, signed=self._signed)
        except (BarStoreError, DatabaseUnavailableError) as error:
            _log().warning("minutes wait for the store", minutes=len(over), error=str(error))
            for key in sorted(over, key=lambda key: key[1])[: max(0, len(self._minutes) - MOST_MINUTES)]:
                del self._minutes[key]
                self.lost += 1
            return 0
        for key in over:
            del self._minutes[key]
        self.written += len(over)
        return len(over)

    @property
    def waiting(self) -> int:
        """Minutes in memory."""
        return len(self._minutes)

    def broken_off(self, now_ns: int, symbol: str | None = None) -> None:
        """Take note that a symbol's stream, or every one, has a hole: what is not over stays unwritten."""
        del now_ns  # the parts themselves say what is over
        ended = self._whole_from if symbol is None else {symbol}
        self._minutes = {
            key: bar for key, bar in self._minutes.items() if key[0] not in ended or self._is_over(bar)
        }
        for name in list(ended):
            self._whole_from.pop(name, None)

    def _is_over(self, bar: Bar) -> bool:
        """Return whether nothing more of a minute can come: parts come in order."""
        return self._last[bar.symbol] >= bar.end_ns

    def _is_sound(self, bar: Bar) -> bool:
        return bar.defect(signed=is_signed(bar.symbol, self._signed)) is None


@dataclass(slots=True)
class _OptionMinute:
    trades: list[float] = field(default_factory=list)
    volume: float = 0.0
    at_end: dict[str, float] = field(default_factory=dict)


class OptionRecorder:
    """Minutes of options with the quotes and Greeks at their end, from a stream of ticks.

    Parameters
    ----------
    database
        A migrated database; rows go into ``option_bars_1m``.
    allow_delayed
        Take delayed quotes, too: they are a quarter of an hour older than the minute says.
    """

    def __init__(self, database: Database, *, allow_delayed: bool = False) -> None:
        self._database = database
        self._allow_delayed = allow_delayed
        self._state: dict[str, dict[str, float]] = {}
        self._minutes: dict[tuple[str, int], _OptionMinute] = {}
        self._whole_from: dict[str, int] = {}
        self.written = 0
        """Minutes that went into the database."""
        self.lost = 0
        """Minutes given up because the database was away for too long."""
        self.delayed = 0
        """Ticks left out because they were delayed."""

    def on_tick(self, tick: QuoteTick, now_ns: int) -> None:
        """Take what changed of an option's quote at a moment."""
        if tick.delayed and not self._allow_delayed:
            self.delayed += 1
            return
        state = self._state.setdefault(tick.symbol, {})
        start = now_ns // MINUTE_NS * MINUTE_NS
        traded = 0.0
        if "volume" in tick.values and "volume" in state:  # the day's volume so far
            traded = max(0.0, tick.values["volume"] - state["volume"])
        state.update(tick.values)
        if start < self._whole_from.setdefault(tick.symbol, -(-now_ns // MINUTE_NS) * MINUTE_NS):
            return
        minute = self._minutes.get((tick.symbol, start))
        if minute is None:
            minute = self._minutes[tick.symbol, start] = _OptionMinute()
        if "last" in tick.values:
            minute.trades.append(tick.values["last"])
        minute.volume += traded
        minute.at_end = {name: state[name] for name in _END_OF_MINUTE if name in state}

    def snapshot(self, now_ns: int) -> int:
        """Write the minutes that are over; return how many, 0 if the database cannot be reached.

        A minute in which nothing came has no row: a gap stays a gap.
        """
        over = [key for key in self._minutes if key[1] + MINUTE_NS <= now_ns]
        rows = [self._row(*key, self._minutes[key], now_ns) for key in sorted(over)]
        if not rows:
            return 0
        try:
            with self._database.session() as session:
                upsert(session, OptionBarRow, rows)
        except DatabaseUnavailableError as error:
            _log().warning("option minutes wait for the database", minutes=len(over), error=str(error))
            for key in sorted(over, key=lambda key: key[1])[: max(0, len(self._minutes) - MOST_MINUTES)]:
                del self._minutes[key]
                self.lost += 1
            return 0
        for key in over:
            del self._minutes[key]
        self.written += len(rows)
        return len(rows)

    @property
    def waiting(self) -> int:
        """Minutes in memory."""
        return len(self._minutes)

    def broken_off(self, now_ns: int, symbol: str | None = None) -> None:
        """Take note that a symbol's stream, or every one, has a hole.

        What is not over stays unwritten, and no quote stands.
        """
        ended = set(self._state) if symbol is None else {symbol}
        self._minutes = {
            key: held
            for key, held in self._minutes.items()
            if key[0] not in ended or key[1] + MINUTE_NS <= now_ns
        }
        for name in ended:
            self._whole_from.pop(name, None)
            self._state.pop(name, None)

    @staticmethod
    def _row(symbol: str, start_ns: int, minute: _OptionMinute, now_ns: int) -> dict[str, object]:
        trades = minute.trades
        prices = (trades[0], max(trades), min(trades), trades[-1]) if trades else (None,) * 4
        return {
            "symbol": symbol,
            "ts": timestamp(start_ns),
            **dict(zip(("open", "high", "low", "close"), prices, strict=True)),
            "volume": minute.volume,
            **{name: minute.at_end.get(name) for name in _END_OF_MINUTE},
            "known_at": timestamp(now_ns),
        }


def _log() -> structlog.stdlib.BoundLogger:
    logger: structlog.stdlib.BoundLogger = structlog.get_logger("recorder")
    return logger
