"""What a stand-alone gateway serves: bars of one or several sizes, their sessions, and contracts."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pandas as pd

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.files import LOOKAHEAD, load_bars
from execution.clocks import timestamp
from execution.models import Instrument
from infrastructure.errors import ConfigError
from infrastructure.market import load_market, run_spec
from infrastructure.settings import Settings
from strategies.spec import RunSpec

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_CENT = Decimal("0.01")
EXCHANGE_ZONE = "America/New_York"


@dataclass(frozen=True, slots=True)
class ServedMarket:
    """Bars by symbol, of one size or several; sessions; contracts; costs."""

    bars: Mapping[str, Sequence[BarSeries]]
    clock: ExchangeClock
    instruments: tuple[Instrument, ...]
    spec: RunSpec

    @property
    def source(self) -> dict[str, BarSeries | Sequence[BarSeries]]:
        """The bars as a gateway takes them."""
        return {symbol: several[0] if len(several) == 1 else several for symbol, several in self.bars.items()}

    @property
    def first_start_ns(self) -> int:
        """Start of the first bar, UTC nanoseconds."""
        return min(int(one.start_ns[0]) for series in self.bars.values() for one in series)

    @property
    def last_end_ns(self) -> int:
        """End of the last bar, UTC nanoseconds."""
        return max(int(one.end_ns[-1]) for series in self.bars.values() for one in series)


def load_served_market(
    settings: Settings, more_bars: Sequence[Path] = (), contracts: Path | None = None
) -> ServedMarket:
    """Load everything a gateway serves.

    Parameters
    ----------
    settings
        Name the bars: a folder, or the built-in sample.
    more_bars
        Further folders, for bars of other sizes or other symbols.
    contracts
        A contracts file; symbols that it does not name are stocks.

    Raises
    ------
    BarFileError, ContractFileError, ConfigError
        If something is missing or unsound; the message names file, line and remedy.
    """
    listings = _listings(contracts)
    loaded = load_market(settings)
    folders = [dict(loaded.bars)]
    if settings.data.bars is not None:
        folders[0] |= _finer(settings, settings.data.bars, listings, folders[0])
    for folder in more_bars:
        folders.append(_load(settings, folder, listings))
    bars: dict[str, list[BarSeries]] = {}
    for found in folders:
        for symbol, series in found.items():
            bars.setdefault(symbol, []).append(series)
    plain = {one.symbol: one for one in loaded.instruments}
    offered = {symbol: plain.get(symbol, Instrument(symbol)) for symbol in bars} | listings
    clock = _clock(settings, bars) if more_bars else loaded.bars.clock
    return ServedMarket(bars, clock, tuple(offered.values()), run_spec(settings, loaded))


def _listings(path: Path | None) -> dict[str, Instrument]:
    if path is None:
        return {}
    from backtesting.gateway.market.contract_file import load_contracts

    return {listing.symbol: listing for listing in load_contracts(path)}


def _load(settings: Settings, folder: Path, listings: Mapping[str, Instrument]) -> dict[str, BarSeries]:
    """Load a further folder: all symbols of it, or those of the settings that it has."""
    found = dict(_read(settings, folder, None))
    wanted = settings.symbols
    chosen = {symbol: series for symbol, series in found.items() if not wanted or symbol in wanted}
    return chosen | _finer(settings, folder, listings, chosen)


def _finer(
    settings: Settings, folder: Path, listings: Mapping[str, Instrument], loaded: Mapping[str, BarSeries]
) -> dict[str, BarSeries]:
    """Load again the symbols whose increment is not a cent, so that their prices are not rounded to one."""
    found: dict[str, BarSeries] = {}
    for symbol in loaded:
        listing = listings.get(symbol)
        if listing is not None and listing.tick != _CENT:
            found |= _read(settings, folder, [symbol], listing.tick)
    return found


def _read(
    settings: Settings, folder: Path, symbols: Sequence[str] | None, tick: Decimal = _CENT
) -> Mapping[str, BarSeries]:
    data = settings.data
    return load_bars(
        folder,
        symbols=symbols,
        tick=tick,
        calendar=data.calendar,
        regular_hours=data.regular_hours,
        start=data.start,
        end=data.end,
    ).series


def _clock(settings: Settings, bars: Mapping[str, Sequence[BarSeries]]) -> ExchangeClock:
    """Return a calendar over the bars of all folders."""
    series = [one for several in bars.values() for one in several]
    first = timestamp(min(int(one.start_ns[0]) for one in series)).date() - dt.timedelta(days=1)
    last = timestamp(max(int(one.end_ns[-1]) for one in series)).date() + LOOKAHEAD
    return ExchangeClock(settings.data.calendar, first, last)


def start_time(text: str, market: ServedMarket) -> pd.Timestamp:
    """Read when simulated time starts: a date (that session's opening), or a time.

    A time without a zone is meant in New York. A date without a session means the next one.

    Raises
    ------
    ConfigError
        If it is neither, or lies outside the bars.
    """
    try:
        moment = pd.Timestamp(text)
    except (ValueError, OverflowError) as error:
        raise ConfigError(f"--start {text}: write a date or time, such as 2018-01-03T10:00:00") from error
    if pd.isna(moment):
        raise ConfigError(f"--start {text}: write a date or time, such as 2018-01-03T10:00:00")
    moment = moment.tz_localize(EXCHANGE_ZONE) if moment.tz is None else moment
    moment = moment.tz_convert("UTC").as_unit("ns")
    if _DATE.fullmatch(text):
        session = market.clock.session_closing_after(moment.value)
        moment = moment if session is None else timestamp(session.open_ns)
    if not market.first_start_ns <= moment.value < market.last_end_ns:
        first, last = timestamp(market.first_start_ns), timestamp(market.last_end_ns)
        raise ConfigError(f"--start {text}: the bars reach from {first.isoformat()} to {last.isoformat()}")
    return moment
