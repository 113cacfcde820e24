"""Rounding to the tick, steps in time order, and hashes."""

from __future__ import annotations

from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bars import BarSeries, data_hash, round_prices, steps
from execution.models import Bar
from execution.numbers import round_to_tick
from execution.timeframes import Timeframe


def series(symbol: str, ends: list[int], close: float = 10.0) -> BarSeries:
    end = np.array(ends, dtype=np.int64)
    prices = np.full(len(ends), close)
    return BarSeries(symbol, Timeframe.MINUTE, end - 1, end, prices, prices, prices, prices, prices * 0)


@given(
    st.lists(st.floats(0.01, 1e6), min_size=1, max_size=20),
    st.sampled_from(["0.01", "0.05", "0.25", "0.005", "0.0001", "1", "5", "1E+1", "0.03125", "0.10"]),
)
def test_a_rounded_price_is_the_float_of_its_decimal(prices: list[float], tick: str) -> None:
    rounded = round_prices(np.array(prices), Decimal(tick))
    assert rounded.tolist() == [float(round_to_tick(price, Decimal(tick))) for price in prices]


@given(st.integers(0, 10**6))
def test_a_half_goes_to_the_even_tick_as_the_decimals_do(cents: int) -> None:
    price = float(Decimal(cents) / 100 + Decimal("0.005"))
    rounded = round_prices(np.array([price]), Decimal("0.01"))
    assert rounded[0] == float(round_to_tick(price, Decimal("0.01")))


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e15])
def test_a_price_that_cannot_be_exact_is_refused(price: float) -> None:
    with pytest.raises(ValueError, match="not finite or too large"):
        round_prices(np.array([price]), Decimal("0.01"))


@pytest.mark.parametrize("tick", ["0", "-0.01", "NaN"])
def test_a_tick_that_is_not_positive_is_refused(tick: str) -> None:
    with pytest.raises(ValueError, match="must be positive"):
        round_prices(np.array([1.0]), Decimal(tick))


def test_bars_are_plain_values() -> None:
    one = series("SPY", [60, 120])
    assert one.bar(-1) == Bar("SPY", 119, 120, 10.0, 10.0, 10.0, 10.0, 0.0)
    assert list(one) == [one.bar(0), one.bar(1)]
    assert type(one.bar(0).open) is float
    assert type(one.bar(0).end_ns) is int
    assert repr(one) == "BarSeries('SPY', 1m, 2 bars)"


def test_arrays_cannot_be_written() -> None:
    one = series("SPY", [60])
    with pytest.raises(ValueError, match="read-only"):
        one.close[0] = 1.0


def test_completed_counts_bars_up_to_and_including_the_moment() -> None:
    one = series("SPY", [60, 120])
    assert [one.completed(at) for at in (59, 60, 119, 120)] == [0, 1, 1, 2]
    assert one.slice(1, 2).end_ns.tolist() == [120]


@pytest.mark.parametrize("ends", [[60, 60], [120, 60]])
def test_ends_must_ascend(ends: list[int]) -> None:
    with pytest.raises(ValueError, match="ascending"):
        series("SPY", ends)


def test_arrays_must_have_one_length() -> None:
    one = np.array([60], dtype=np.int64)
    two = np.array([1.0, 2.0])
    with pytest.raises(ValueError, match="open has shape"):
        BarSeries("SPY", Timeframe.MINUTE, one - 1, one, two, two, two, two, two)


@given(st.dictionaries(st.sampled_from("ABC"), st.sets(st.integers(1, 30), max_size=8).map(sorted)))
def test_steps_hold_every_bar_once_in_time_and_symbol_order(ends: dict[str, list[int]]) -> None:
    found = list(steps({symbol: series(symbol, values) for symbol, values in ends.items()}))
    expected = sorted({end for values in ends.values() for end in values})
    assert [end for end, _ in found] == expected
    for end, bars in found:
        assert [bar.symbol for bar in bars] == sorted(s for s, values in ends.items() if end in values)
        assert all(bar.end_ns == end for bar in bars)


def test_the_hash_depends_on_every_value() -> None:
    one = series("SPY", [60, 120])
    assert data_hash(one) == data_hash(series("SPY", [60, 120]))
    others = [series("IWM", [60, 120]), series("SPY", [60, 180]), series("SPY", [60, 120], close=10.01)]
    assert len({data_hash(s) for s in [one, *others]}) == 4
