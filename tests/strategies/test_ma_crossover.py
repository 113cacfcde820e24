from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from execution.models import Bar, OrderRequest, Side
from strategies.errors import StrategyParamsError

if TYPE_CHECKING:
    from .conftest import MakeStage

Bars = Callable[..., list[Bar]]


def sides(proposals: list[OrderRequest | None]) -> list[Side | None]:
    return [None if order is None else order.side for order in proposals]


def test_it_buys_at_the_crossing_and_sells_when_the_fast_average_is_no_longer_above(
    stage: MakeStage, bars: Bars
) -> None:
    #  fast(1) against slow(2): below, above, above, below
    proposals = stage("ma_crossover", fast=1, slow=2).play(bars([10.0, 8.0, 9.0, 11.0, 7.0, 6.0]))
    assert sides(proposals) == [None, None, Side.BUY, None, Side.SELL, None]
    assert proposals[2] is not None
    assert proposals[4] is not None
    assert proposals[2].quantity == proposals[4].quantity == Decimal(25_000 // 9)


def test_an_average_that_is_above_from_the_start_is_no_crossing(stage: MakeStage, bars: Bars) -> None:
    assert sides(stage("ma_crossover", fast=1, slow=2).play(bars([1.0, 2.0, 3.0]))) == [None] * 3


def test_an_entry_is_proposed_once_and_an_exit_until_it_is_flat(stage: MakeStage, bars: Bars) -> None:
    closes = [10.0, 8.0, 9.0, 10.0, 7.0, 6.0, 5.0]
    held = [Decimal(n) for n in (0, 0, 0, 0, 5, 3, 0)]
    proposals = stage("ma_crossover", fast=1, slow=2).play(bars(closes), held)
    assert sides(proposals) == [None, None, Side.BUY, None, Side.SELL, Side.SELL, None]
    assert [order.quantity for order in proposals[4:6] if order] == [5, 3]


def test_no_entry_is_proposed_on_top_of_a_position(stage: MakeStage, bars: Bars) -> None:
    held = [Decimal(0), Decimal(0), Decimal(5)]
    assert sides(stage("ma_crossover", fast=1, slow=2).play(bars([10.0, 8.0, 9.0]), held)) == [None] * 3


def test_symbols_do_not_share_state(stage: MakeStage, bars: Bars) -> None:
    alone = stage("ma_crossover", fast=1, slow=2)
    first, second = bars([10.0, 8.0, 9.0]), bars([1.0, 2.0, 3.0], symbol="BBB")
    mixed = [alone.strategy.on_bar(b) for pair in zip(first, second, strict=True) for b in pair]
    assert [getattr(order, "symbol", None) for order in mixed] == [None, None, None, None, "AAA", None]


def test_the_fast_window_must_be_the_shorter_one(stage: MakeStage) -> None:
    with pytest.raises(StrategyParamsError, match="fast = 5 must be less than slow = 5"):
        stage("ma_crossover", fast=5, slow=5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ticks=st.lists(st.integers(900, 1_100), min_size=10, max_size=60),
    fast=st.integers(1, 3),
    more=st.integers(1, 3),
    data=st.data(),
)
def test_replaying_from_any_earlier_point_gives_the_same_proposals(
    stage: MakeStage, bars: Bars, ticks: list[int], fast: int, more: int, data: st.DataObject
) -> None:
    history = bars([t / 100 for t in ticks])
    slow = fast + more
    whole = stage("ma_crossover", fast=fast, slow=slow)
    held: list[Decimal] = []
    proposals: list[OrderRequest | None] = []
    pending = Decimal(0)
    for b in history:
        held.append(pending)
        proposals += whole.play([b], [pending])
        if proposals[-1]:
            pending += proposals[-1].quantity * proposals[-1].side.sign
    start = data.draw(st.integers(0, len(history) - slow - 1))
    replayed = stage("ma_crossover", fast=fast, slow=slow).play(history[start:], held[start:])
    assert replayed[slow:] == proposals[start + slow :]
