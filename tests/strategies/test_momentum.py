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


def test_it_buys_when_the_return_passes_the_threshold_and_sells_when_it_falls_back(
    stage: MakeStage, bars: Bars
) -> None:
    closes = [100.0, 104.0, 109.3, 115.0, 120.0, 130.0, 130.0]
    proposals = stage("momentum", lookback=1, threshold=0.05).play(bars(closes))
    assert sides(proposals) == [None, None, Side.BUY, None, Side.SELL, Side.BUY, Side.SELL]


def test_turns_and_orders_are_signals_that_say_what_they_rest_on(stage: MakeStage, bars: Bars) -> None:
    played = stage("momentum", lookback=1)
    played.play(bars([100.0, 50.0, 60.0, 66.0, 33.0]))
    assert [(s.direction, len(s.orders)) for s in played.signals] == [("LONG", 1), ("FLAT", 1)]
    assert played.signals[0].strength == pytest.approx(0.2)
    assert played.signals[0].features == {"return": pytest.approx(0.2), "lookback": 1, "close": 60.0}


def test_a_return_of_exactly_the_threshold_is_not_above_it(stage: MakeStage, bars: Bars) -> None:
    assert sides(stage("momentum", lookback=1).play(bars([2.0, 1.0, 1.0, 1.0]))) == [None] * 4


def test_rising_from_the_start_is_no_passing_of_the_threshold(stage: MakeStage, bars: Bars) -> None:
    assert sides(stage("momentum", lookback=1).play(bars([1.0, 2.0, 3.0]))) == [None] * 3


def test_no_entry_is_proposed_on_top_of_a_position(stage: MakeStage, bars: Bars) -> None:
    held = [Decimal(0), Decimal(0), Decimal(5)]
    assert sides(stage("momentum", lookback=1).play(bars([2.0, 1.0, 3.0]), held)) == [None] * 3


@pytest.mark.parametrize("params", [{"lookback": 0}, {"threshold": -1.0}, {"threshold": float("nan")}])
def test_parameters_that_make_no_sense_are_refused(stage: MakeStage, params: dict[str, float]) -> None:
    with pytest.raises(StrategyParamsError, match=f"params.{next(iter(params))}"):
        stage("momentum", **params)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ticks=st.lists(st.integers(900, 1_100), min_size=10, max_size=60),
    lookback=st.integers(1, 6),
    data=st.data(),
)
def test_replaying_from_any_earlier_point_gives_the_same_proposals(
    stage: MakeStage, bars: Bars, ticks: list[int], lookback: int, data: st.DataObject
) -> None:
    history = bars([t / 100 for t in ticks])
    whole = stage("momentum", lookback=lookback)
    held: list[Decimal] = []
    proposals: list[OrderRequest | None] = []
    pending = Decimal(0)
    for b in history:
        held.append(pending)
        proposals += whole.play([b], [pending])
        if proposals[-1]:
            pending += proposals[-1].quantity * proposals[-1].side.sign
    start = data.draw(st.integers(0, len(history) - lookback - 2))
    warm = lookback + 1
    replayed = stage("momentum", lookback=lookback).play(history[start:], held[start:])
    assert replayed[warm:] == proposals[start + warm :]
