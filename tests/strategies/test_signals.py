from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from execution.models import OrderRequest, OrderType, Side
from strategies.errors import SignalError
from strategies.signals import Direction, Signal, StatedSignal

ORDER = OrderRequest("SPY", Decimal(1), OrderType.MARKET, Side.BUY)


def test_a_signal_becomes_plain_values_of_the_journal() -> None:
    signal = Signal("SPY", Direction.LONG, 0.5, Decimal("10.0"), {"z": 1.5, "of": ["a", None]}, "breakout")
    body = StatedSignal("s-1", "ma", 7, signal).to_body()
    assert json.loads(json.dumps(body)) == {
        "signal_id": "s-1", "strategy": "ma", "name": "breakout", "symbol": "SPY", "direction": "LONG",
        "strength": 0.5, "target": "10.0", "features": {"z": 1.5, "of": ["a", None]}, "trading_time": 7,
    }  # fmt: skip


def test_a_signal_without_a_name_has_that_of_its_strategy_and_a_replayed_one_says_so() -> None:
    body = StatedSignal("s-1", "ma", 7, Signal("SPY", Direction.FLAT), replayed=True).to_body()
    assert (body["name"], body["strength"], body["target"], body["replayed"]) == ("ma", None, None, True)


def test_orders_that_a_factory_did_not_make_are_left_out() -> None:
    assert Signal("SPY", Direction.LONG).leading_to(ORDER, None).orders == (ORDER,)
    assert Signal("SPY", Direction.LONG).leading_to(None).orders == ()


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"direction": "UP"}, "direction 'UP': use one of LONG, SHORT, FLAT"),
        ({"strength": float("inf")}, "strength inf: use a finite number"),
        ({"target": Decimal("NaN")}, "target NaN: use a finite Decimal"),
        ({"features": {"a": float("nan")}}, "features of SPY: "),
        ({"features": {"a": Decimal(1)}}, "features of SPY: .*float"),
        ({"name": "n" * 65}, "use at most 64 characters"),
    ],
)
def test_what_cannot_be_put_on_record_is_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(SignalError, match=says):
        Signal(**{"symbol": "SPY", "direction": Direction.LONG, **wrong})
