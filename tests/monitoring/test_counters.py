from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from execution.events import OrderEventHandler, StepProgress
from execution.models import Fill, Order, OrderStatus
from monitoring.counters import WINDOW, Counters, quantile

MakeStep = Callable[..., StepProgress]
MakeOrder = Callable[..., Order]


def test_each_step_is_added_up(step: MakeStep) -> None:
    counters = Counters()
    counters.on_step(step(1, bars=2, proposed=3, approved=2, submitted=1, refused=1, failed=1))
    counters.on_step(step(2, bars=2, proposed=1, approved=1, submitted=1))
    figures = counters.as_dict()
    assert (figures["steps"], figures["bars_processed"]) == (2, 4)
    assert (figures["orders_proposed"], figures["orders_approved"], figures["orders_submitted"]) == (4, 3, 2)
    assert (figures["orders_refused"], figures["orders_failed"]) == (1, 1)


def test_a_replayed_step_counts_as_nothing_but_a_replay(step: MakeStep) -> None:
    counters = Counters()
    counters.on_step(step(1, bars=2, replayed=True))
    assert counters.as_dict()["replayed_steps"] == 1
    assert counters.as_dict()["bars_processed"] == 0
    assert counters.last_bar is not None


def test_close_to_submit_has_count_median_and_p99_of_the_latest(step: MakeStep) -> None:
    counters = Counters()
    for index in range(1, WINDOW + 101):
        counters.on_step(step(index, close_to_submit=float(index)))
    times = counters.as_dict()["close_to_submit"]
    assert times["count"] == WINDOW + 100
    assert times["median"] == 100 + WINDOW / 2
    assert times["p99"] == 100 + 4056


def test_without_a_submission_there_are_no_times() -> None:
    assert Counters().as_dict()["close_to_submit"] == {"count": 0, "median": None, "p99": None}


def test_open_orders_are_those_whose_status_is_not_final(order: MakeOrder, fill: Callable[..., Fill]) -> None:
    counters = Counters()
    counters.on_order_status(order("a", OrderStatus.PENDING))
    counters.on_order_status(order("b", OrderStatus.UNKNOWN))
    counters.on_order_status(order("c", OrderStatus.SUBMITTED))
    counters.on_order_status(order("a", OrderStatus.FILLED))
    counters.on_order_rejected(order("c", OrderStatus.REJECTED), "no such contract")
    counters.on_fill(fill("a-1"))
    assert counters.open_orders == 1
    assert (counters.fills, counters.orders_rejected) == (1, 1)


def test_counters_are_an_order_event_handler() -> None:
    assert isinstance(Counters(), OrderEventHandler)


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.01, 1.0))
def test_a_quantile_is_a_value_that_enough_others_do_not_exceed(values: list[float], share: float) -> None:
    found = quantile(values, share)
    assert found in values
    assert sum(value <= found for value in values) >= share * len(values) - 1e-9
    assert sum(value < found for value in values) < share * len(values) + 1e-9


def test_the_equity_of_the_last_step_is_kept(step: MakeStep) -> None:
    counters = Counters()
    counters.on_step(step(1, equity="1000.50"))
    assert counters.snapshot is not None
    assert counters.snapshot.equity == Decimal("1000.50")
    assert counters.last_bar == pd.Timestamp("2020-01-01 21:00", tz="UTC")
