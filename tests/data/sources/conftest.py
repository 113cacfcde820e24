"""Clocks that tests move, and bars of a few weeks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable

import numpy as np
import pytest

from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.timeframes import Timeframe

FIRST, LAST = dt.date(2018, 1, 2), dt.date(2018, 2, 16)


class Wall:
    """A wall clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


class Moment:
    """A trading clock that stands."""

    def __init__(self, now_ns: int) -> None:
        self.ns = now_ns

    def now_ns(self) -> int:
        return self.ns


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def moment() -> Callable[[int], Moment]:
    return Moment


@pytest.fixture(scope="session")
def exchange() -> ExchangeClock:
    return ExchangeClock("XNYS", FIRST - dt.timedelta(days=30), LAST + dt.timedelta(days=30))


@pytest.fixture(scope="session")
def hourly(exchange: ExchangeClock) -> dict[str, BarSeries]:
    return {symbol: bars_of(symbol, exchange, Timeframe.HOUR) for symbol in ("AAA", "BBB")}


@pytest.fixture(scope="session")
def minutes(exchange: ExchangeClock) -> dict[str, BarSeries]:
    return {symbol: bars_of(symbol, exchange, Timeframe.MINUTE) for symbol in ("AAA", "BBB")}


def bars_of(symbol: str, exchange: ExchangeClock, timeframe: Timeframe) -> BarSeries:
    starts, ends = [], []
    for session in exchange.sessions(FIRST, LAST):
        start = session.open_ns
        while start < session.close_ns:
            end = min((start // timeframe.nanos + 1) * timeframe.nanos, session.close_ns)
            starts.append(start)
            ends.append(end)
            start = end
    walk = (
        100 + np.cumsum(np.random.default_rng(len(symbol) + ord(symbol[0])).integers(-5, 6, len(ends))) / 100
    )
    walk = np.asarray(np.round(np.maximum(walk, 5.0), 2), np.float64)
    high, low = np.round(walk + 0.05, 2), np.round(walk - 0.05, 2)
    volume = np.full(len(ends), 1000.0)
    return BarSeries(symbol, timeframe, np.array(starts), np.array(ends), walk, high, low, walk, volume)
