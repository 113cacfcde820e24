from __future__ import annotations

import dataclasses

import pytest

from execution.models import Instrument
from execution.timeframes import Timeframe
from strategies.spec import RunSpec


def test_symbols_are_sorted_whatever_the_order_of_instruments() -> None:
    spec = RunSpec((Instrument("SPY"), Instrument("IWM")), Timeframe.DAY, "momentum")
    assert spec.symbols == ("IWM", "SPY")


def test_a_specification_cannot_be_changed() -> None:
    spec = RunSpec((Instrument("SPY"),), Timeframe.DAY, "momentum")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.strategy = "other"  # type: ignore[misc]


def test_specifications_of_the_same_run_are_equal() -> None:
    one, two = (RunSpec((Instrument("SPY"),), Timeframe.MINUTE, "momentum", {"lookback": 5}) for _ in "ab")
    assert one == two
    assert one != dataclasses.replace(two, calendar="XLON")
