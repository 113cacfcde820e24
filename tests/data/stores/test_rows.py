"""Moments as a store counts them."""

from __future__ import annotations

import pandas as pd
import pytest

from data.stores.rows import microseconds


def test_a_moment_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="timezone"):
        microseconds(pd.Timestamp("2024-03-11"))


def test_a_moment_between_two_microseconds_is_the_earlier_or_as_a_bound_the_later() -> None:
    between = pd.Timestamp("2024-03-11", tz="UTC").as_unit("ns") + pd.Timedelta(1_500, "ns")
    whole = pd.Timestamp("2024-03-11", tz="UTC").value // 1_000
    assert microseconds(between) == whole + 1
    assert microseconds(between, up=True) == whole + 2
    assert microseconds(between.floor("us"), up=True) == whole + 1
    assert microseconds(pd.Timestamp("9999-12-31", tz="UTC").as_unit("s")) == 253_402_214_400_000_000
