"""Bars from the wire, kept in memory."""

from __future__ import annotations

import math
from dataclasses import replace
from decimal import Decimal

import pytest

from data.ibkr import LiveBars
from execution.clocks import NANOS
from execution.models import Instrument
from execution.testing import FixedClock, bars_from_closes
from execution.timeframes import Timeframe

ONE, TWO, THREE = bars_from_closes([100.0, 101.0, 102.0])


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock()


@pytest.fixture
def source(clock: FixedClock) -> LiveBars:
    return LiveBars(clock, Timeframe.MINUTE, {"AAA": Instrument("AAA", tick=Decimal("0.25"))})


def test_a_bar_is_complete_once_the_clock_has_passed_its_end(source: LiveBars, clock: FixedClock) -> None:
    source.on_bar(ONE)
    assert source.latest_completed_bar("AAA", "1m") is None
    clock.ns = ONE.end_ns
    assert source.latest_completed_bar("AAA", "1m") == ONE
    source.on_bar(TWO)
    clock.ns = TWO.end_ns
    assert source.latest_completed_bar("AAA", "1m") == TWO
    assert source.completed_bars("AAA", "1m", 0) == [ONE, TWO]
    assert source.completed_bars("AAA", "1m", ONE.end_ns) == [TWO]


def test_the_newest_bar_changes_until_the_next_and_older_ones_never(
    source: LiveBars, clock: FixedClock
) -> None:
    clock.ns = THREE.end_ns
    source.on_bar(ONE)
    source.on_bar(replace(ONE, close=100.0, volume=5.0))
    source.on_bar(TWO)
    source.on_bar(replace(ONE, close=55.0))
    assert [b.volume for b in source.completed_bars("AAA", "1m", 0)] == [5.0, 1000.0]


def test_history_that_overlaps_is_taken_once(source: LiveBars, clock: FixedClock) -> None:
    clock.ns = THREE.end_ns
    source.extend([ONE, TWO])
    source.extend([ONE, TWO, THREE])
    assert source.completed_bars("AAA", "1m", 0) == [ONE, TWO, THREE]


def test_prices_are_rounded_to_the_tick_and_defects_are_left_for_the_step(
    source: LiveBars, clock: FixedClock
) -> None:
    clock.ns = THREE.end_ns
    source.on_bar(replace(ONE, open=100.1, high=100.2, low=100.0, close=100.2))
    source.on_bar(replace(TWO, open=math.nan))
    first, second = source.completed_bars("AAA", "1m", 0)
    assert (first.open, first.high, first.low, first.close) == (100.0, 100.25, 100.0, 100.25)
    assert second.defect()


def test_within_the_grace_the_last_update_still_counts(clock: FixedClock) -> None:
    source = LiveBars(clock, Timeframe.MINUTE, {"AAA": Instrument("AAA")}, grace_ns=NANOS)
    source.on_bar(ONE)
    clock.ns = ONE.end_ns + NANOS - 1
    assert source.latest_completed_bar("AAA", "1m") is None
    assert source.completed_bars("AAA", "1m", 0) == []
    final = replace(ONE, volume=7.0)
    source.on_bar(final)
    clock.ns += 1
    assert source.latest_completed_bar("AAA", "1m") == final


def test_a_bar_is_complete_as_soon_as_a_later_one_has_begun(clock: FixedClock) -> None:
    source = LiveBars(clock, Timeframe.MINUTE, {"AAA": Instrument("AAA")}, grace_ns=NANOS)
    source.extend([ONE, TWO])
    clock.ns = ONE.end_ns
    assert source.completed_bars("AAA", "1m", 0) == [ONE]
    assert source.latest_completed_bar("AAA", "1m") == ONE


def test_another_timeframe_is_refused(source: LiveBars) -> None:
    with pytest.raises(ValueError, match="holds 1m bars"):
        source.latest_completed_bar("AAA", "1D")
