"""A bar cut into parts is still the same bar."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.market.paths import Path, Tick, merge
from execution.models import Bar

CENT = Tick(Decimal("0.01"))
NANOS = 1_000_000_000


@st.composite
def bars(draw: st.DrawFn) -> Bar:
    tick = CENT
    prices = sorted(draw(st.lists(st.integers(1, 10_000_000), min_size=4, max_size=4)))
    first, last = draw(st.permutations(prices[1:3]))
    length = draw(st.integers(1, 10**15))
    whole = st.integers(0, 10**9).map(float)
    volume = draw(st.one_of(whole, st.floats(0, 1e9, allow_nan=False)))
    open_, high, low, close = (tick.price(price) for price in (first, prices[3], prices[0], last))
    return Bar("AAA", 1000, 1000 + length, open_, high, low, close, volume)


@given(bars(), st.lists(st.floats(0, 1), max_size=20))
def test_the_parts_of_a_bar_have_its_prices_and_volume_however_it_is_cut(bar: Bar, cuts: list[float]) -> None:
    length = bar.end_ns - bar.start_ns
    moments = sorted({bar.start_ns, bar.end_ns, *(bar.start_ns + int(cut * length) for cut in cuts)})
    path = Path(bar, CENT)
    parts = [path.part(start, end) for start, end in pairwise(moments)]
    assert merge(parts) == bar
    assert all(part.defect() is None for part in parts)
    assert all(before.close == after.open for before, after in pairwise(parts))
    assert all(CENT.round(part.close) == part.close for part in parts)


@pytest.mark.parametrize(
    ("open_", "close", "turns"), [(100.0, 101.0, [100, 98, 103, 101]), (101.0, 100.0, [101, 103, 98, 100])]
)
def test_a_rising_bar_goes_low_first_and_a_falling_one_high_first(
    open_: float, close: float, turns: list[int]
) -> None:
    path = Path(Bar("AAA", 0, 60 * NANOS, open_, 103.0, 98.0, close, 60.0), CENT)
    assert [path.price(second * NANOS) for second in (0, 20, 40, 60)] == turns
    assert path.price(10 * NANOS) == (turns[0] + turns[1]) / 2
    assert [path.volume(second * NANOS) for second in (0, 15, 60)] == [0, 15, 60]


def test_a_moment_is_a_bar_of_one_price_without_volume() -> None:
    path = Path(Bar("AAA", 0, 60 * NANOS, 100.0, 103.0, 98.0, 101.0, 60.0), CENT)
    assert path.part(0, 0) == Bar("AAA", 0, 0, 100.0, 100.0, 100.0, 100.0, 0.0)


@pytest.mark.parametrize("tick", ["0.01", "0.25", "5", "0.0001", "1E+1"])
def test_a_price_on_the_tick_is_the_float_of_its_spelling(tick: str) -> None:
    increment = Tick(Decimal(tick))
    for count in (1, 3, 7, 12_345):
        assert increment.price(count) == float(Decimal(tick) * count)
        assert increment.count(increment.price(count)) == count
