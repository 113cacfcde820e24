"""Clocks and timestamps."""

from __future__ import annotations

import pandas as pd
import pytest

from execution.clocks import SteppedClock, SystemClock, random_id, timestamp, utc_ns
from execution.testing import START, FixedClock


def test_a_stepped_clock_never_runs_back() -> None:
    clock = SteppedClock(5)
    clock.advance_to(9)
    clock.advance_to(7)
    assert clock.now_ns() == 9


def test_the_machine_s_clocks_go_forward() -> None:
    clock = SystemClock()
    assert clock.monotonic() <= clock.monotonic()
    assert clock.now_ns() > utc_ns(START)


def test_timestamps_are_utc_and_keep_their_nanoseconds() -> None:
    assert utc_ns(timestamp(1_514_903_400_000_000_001)) == 1_514_903_400_000_000_001
    assert str(timestamp(0).tz) == "UTC"
    with pytest.raises(ValueError, match="no timezone"):
        utc_ns(pd.Timestamp("2018-01-02"))


def test_ids_differ() -> None:
    assert random_id() != random_id()


def test_a_fixed_clock_moves_when_told() -> None:
    clock = FixedClock()
    clock.advance(1.5)
    assert clock.now_ns() - utc_ns(START) == 1_500_000_000
    assert clock.monotonic() == clock.now_ns() / 1e9
