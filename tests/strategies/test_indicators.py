from __future__ import annotations

import math
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from strategies.indicators import ATR, EMA, SMA, RateOfChange

prices = st.lists(st.floats(0.0001, 1e9), min_size=1, max_size=40)
windows = st.integers(1, 12)


def last(indicator: SMA | RateOfChange, values: Iterable[float]) -> float | None:
    result = None
    for value in values:
        result = indicator.update(value)
    return result


def test_the_simple_average_waits_for_its_window_and_then_slides() -> None:
    average = SMA(3)
    assert [average.update(x) for x in (1.0, 2.0, 6.0, 7.0)] == [None, None, 3.0, 5.0]


def test_the_rate_of_change_compares_with_the_value_a_window_ago() -> None:
    change = RateOfChange(2)
    assert [change.update(x) for x in (100.0, 50.0, 110.0, 25.0)] == [None, None, 110 / 100 - 1, -0.5]


def test_the_exponential_average_starts_at_its_first_value_and_waits_for_its_warm_up() -> None:
    average = EMA(3, warmup=2)
    assert [average.update(x) for x in (8.0, 4.0, 2.0)] == [None, 6.0, 4.0]


def test_the_default_warm_up_of_the_exponential_average_leaves_little_of_its_start() -> None:
    low, high = EMA(20), EMA(20)
    low.update(0.0)
    high.update(1.0)
    pairs = [(low.update(5.0), high.update(5.0)) for _ in range(199)]
    assert pairs[197] == (None, None)
    a, b = pairs[198]
    assert a is not None
    assert b is not None
    assert 0 < b - a < 3e-9


def test_the_average_true_range_needs_a_close_before_its_first_bar() -> None:
    atr = ATR(2)
    assert atr.update(10.0, 9.0, 9.5) is None
    assert atr.update(12.0, 11.0, 11.0) is None  # 12 - 9.5
    assert atr.update(11.5, 9.0, 9.0) == (2.5 + 2.5) / 2
    assert atr.update(8.0, 7.0, 7.5) == (2.5 + 2.0) / 2  # 9 - 7


@given(windows, prices, prices)
def test_the_simple_average_has_the_same_bits_after_any_longer_history(
    window: int, before: list[float], values: list[float]
) -> None:
    tail = (values * window)[-window:]
    expected = math.fsum(tail) / window
    assert last(SMA(window), tail) == expected
    assert last(SMA(window), before + tail) == expected


@given(windows, prices, prices)
def test_the_rate_of_change_has_the_same_bits_after_any_longer_history(
    window: int, before: list[float], values: list[float]
) -> None:
    tail = (values * (window + 1))[-window - 1 :]
    assert last(RateOfChange(window), tail) == last(RateOfChange(window), before + tail)


@given(windows, prices, st.data())
def test_the_average_true_range_has_the_same_bits_after_any_longer_history(
    window: int, before: list[float], data: st.DataObject
) -> None:
    tail = data.draw(st.lists(st.floats(1, 1e6), min_size=window + 1, max_size=window + 1))
    short, long = ATR(window), ATR(window)
    for x in before:
        long.update(x * 1.01, x * 0.99, x)
    results = [(short.update(x * 1.01, x, x), long.update(x * 1.01, x, x)) for x in tail]
    a, b = results[-1]
    assert a is not None
    assert a == b


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_no_number_is_refused_and_leaves_no_trace(bad: float) -> None:
    average, smooth, change, atr = SMA(1), EMA(1, warmup=1), RateOfChange(1), ATR(1)
    change.update(1.0)
    atr.update(1.0, 1.0, 1.0)
    for update in (average.update, smooth.update, change.update):
        with pytest.raises(ValueError, match="not a finite number"):
            update(bad)
    with pytest.raises(ValueError, match="not a finite number"):
        atr.update(2.0, 1.0, bad)
    assert (average.update(3.0), smooth.update(3.0), change.update(3.0)) == (3.0, 3.0, 2.0)
    assert atr.update(2.0, 1.0, 2.0) == 1.0


def test_a_rate_of_change_refuses_prices_that_are_not_positive() -> None:
    with pytest.raises(ValueError, match="not positive"):
        RateOfChange(1).update(0.0)


@pytest.mark.parametrize("make", [SMA, RateOfChange, EMA, ATR, lambda n: EMA(5, warmup=n)])
def test_a_window_of_nothing_is_refused(make: type[SMA]) -> None:
    with pytest.raises(ValueError, match="at least 1"):
        make(0)


@given(windows, prices, prices, st.sampled_from([0.25, 0.5, 2.0, 8.0]))
def test_an_indicator_that_is_scaled_goes_on_as_if_all_prices_had_been_in_the_new_shares(
    window: int, before: list[float], after: list[float], factor: float
) -> None:
    for make in (SMA, RateOfChange, lambda n: EMA(n, warmup=1)):
        scaled, told = make(window), make(window)
        for value in before:
            told.update(value)
            scaled.update(value * factor)
        told.scale(factor)
        assert [told.update(x) for x in after] == [scaled.update(x) for x in after]
    scaled_range, told_range = ATR(window), ATR(window)
    told_range.scale(factor)  # nothing is kept yet
    for value in before:
        told_range.update(value * 1.5, value, value)
        scaled_range.update(value * 1.5 * factor, value * factor, value * factor)
    told_range.scale(factor)
    ranges = [[one.update(x, x, x) for x in after] for one in (told_range, scaled_range)]
    assert ranges[0] == ranges[1]
