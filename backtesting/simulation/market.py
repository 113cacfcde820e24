"""The market of every seed: the minutes of one session in two symbols, made by rule and shared by all worlds.

Prices walk so that limits are reached and missed, and volumes are small, so that orders are filled in parts.
"""

from __future__ import annotations

import datetime as dt
import random
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Final

import numpy as np

from backtesting.gateway.config import GatewayConfig
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.clocks import NANOS, timestamp
from execution.models import Instrument
from execution.timeframes import Timeframe
from strategies.spec import CostSpec

SYMBOLS: Final = ("AAA", "BBB")
ACCOUNT: Final = "DU0000001"
CLIENT_ID: Final = 1
_DAYS: Final = 2
_MINUTE_NS: Final = 60 * NANOS
_CASH: Final = Decimal(1_000_000)
_FIRST_PRICES: Final = (100.0, 40.0)


@dataclass(frozen=True)
class SharedMarket:
    """What no seed changes: calendar, bars, contracts."""

    calendar: ExchangeClock
    bars: dict[str, BarSeries]
    instruments: tuple[Instrument, ...]

    def open_ns(self, day: int = 0) -> int:
        """Return when a session opens, the first or a later one."""
        return int(self.calendar.opens_ns[day])

    def close_ns(self) -> int:
        """Return when the first session closes."""
        return int(self.calendar.closes_ns[0])


@cache
def shared_market() -> SharedMarket:
    """Make the market, once in a process."""
    calendar = ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 1, 12))
    bars = {
        symbol: _series(symbol, price, calendar) for symbol, price in zip(SYMBOLS, _FIRST_PRICES, strict=True)
    }
    return SharedMarket(calendar, bars, tuple(Instrument(symbol) for symbol in SYMBOLS))


def _series(symbol: str, price: float, calendar: ExchangeClock) -> BarSeries:
    walk = random.Random(symbol)  # noqa: S311  # nosec B311  # the same walk in every world
    starts: list[int] = []
    rows: list[tuple[float, float, float, float, float]] = []
    for day in range(_DAYS):
        for start in range(int(calendar.opens_ns[day]), int(calendar.closes_ns[day]), _MINUTE_NS):
            opened = price
            price = round(max(5.0, price * (1 + walk.gauss(0.0, 0.0015))), 2)
            high = round(max(opened, price) * (1 + walk.random() * 0.001), 2)
            low = round(min(opened, price) * (1 - walk.random() * 0.001), 2)
            starts.append(start)
            rows.append(
                (opened, max(high, opened, price), min(low, opened, price), price, walk.randrange(400, 6000))
            )
    columns = np.array(rows, dtype=np.float64).T
    begun = np.array(starts, dtype=np.int64)
    return BarSeries(symbol, Timeframe.MINUTE, begun, begun + _MINUTE_NS, *columns)


def gateway_config(start_ns: int) -> GatewayConfig:
    """Return how the gateway of a world is run: its time is moved by the world."""
    return GatewayConfig(
        account=ACCOUNT,
        speed="1",
        paused=True,
        start=timestamp(start_ns),
        costs=CostSpec(participation=Decimal("0.3")),
        initial_cash=_CASH,
    )
