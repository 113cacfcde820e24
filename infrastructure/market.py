"""The market of a run: its bars, its instruments, and how they are labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from backtesting.runs import config_hash
from data.files import BarFolder, load_bars
from data.samples import SAMPLE_INSTRUMENTS, sample_bars
from execution.models import Instrument
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings
from strategies.spec import RunSpec


@dataclass(frozen=True, slots=True)
class Market:
    """Bars with their calendar, the instruments traded on them, and what a person should read for each."""

    bars: BarFolder
    instruments: tuple[Instrument, ...]
    labels: Mapping[str, str]

    @property
    def total_steps(self) -> int:
        """Number of distinct bar ends."""
        return len({int(end) for series in self.bars.values() for end in series.end_ns})

    @property
    def last_end_ns(self) -> int:
        """End of the last bar, UTC nanoseconds."""
        return max(int(series.end_ns[-1]) for series in self.bars.values())


def load_market(settings: Settings) -> Market:
    """Load the bars that the settings name: the built-in sample, or a folder.

    Raises
    ------
    BarFileError
        If the bars are missing or defective.
    ConfigError
        If the settings name neither.
    """
    data = settings.data
    wanted = settings.symbols or None
    if data.bars is not None:
        explicit = settings.is_set("timeframe")
        bars = load_bars(
            data.bars,
            symbols=wanted,
            timeframe=settings.timeframe if explicit else None,
            calendar=data.calendar,
            regular_hours=data.regular_hours,
            start=data.start,
            end=data.end,
        )
        instruments = tuple(
            Instrument(symbol, name=f"{symbol}, simulated contract") for symbol in bars.symbols
        )
    elif data.source == "sample":
        bars = sample_bars(wanted, data.start, data.end)
        instruments = tuple(i for i in SAMPLE_INSTRUMENTS if i.symbol in bars)
    else:
        raise ConfigError(
            f"data.source {data.source}: past bars come from data.bars or the sample here; give --bars DIR"
        )
    if bars.timeframe is not settings.timeframe and settings.is_set("timeframe"):
        raise ConfigError(
            f"timeframe {settings.timeframe.value}: the bars are {bars.timeframe.value}; leave timeframe out"
        )
    return Market(bars, instruments, {i.symbol: i.name or i.symbol for i in instruments})


def run_spec(settings: Settings, market: Market) -> RunSpec:
    """Return what decides the outcome of a run on this market."""
    return replace(settings.to_run_spec(market.instruments), timeframe=market.bars.timeframe)


def run_hash(settings: Settings, market: Market, corporate_actions: Sequence[str] = ()) -> str:
    """Return the hash of everything that decides a run: configuration, bars, corporate actions."""
    decides: dict[str, Any] = {"config": settings.config_for_hash(), "data": market.bars.data_hashes()}
    if corporate_actions:
        decides["corporate_actions"] = list(corporate_actions)
    return config_hash(decides)
