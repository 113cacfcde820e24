"""Typed payloads, and the fakes that honour the handler protocols."""

from __future__ import annotations

from decimal import Decimal

import pytest

from execution.errors import DuplicateOrderError, RiskCheckError
from execution.events import RiskDecision
from execution.models import OrderRequest, OrderType, Side
from execution.testing import RecordingExecutionEngine, bars_from_closes


def test_a_decision_becomes_plain_values() -> None:
    decision = RiskDecision(False, "R", "why", (("R", "1", "2"),))
    assert decision.as_dict() == {
        "approved": False,
        "rule": "R",
        "reason": "why",
        "checks": [["R", "1", "2"]],
    }


def test_the_recording_engine_keeps_the_contract_of_an_engine() -> None:
    engine = RecordingExecutionEngine()
    order = OrderRequest("AAA", Decimal(1), OrderType.MARKET, Side.BUY, client_order_id="a")
    assert engine.submit(order) is engine.submit(order)
    with pytest.raises(DuplicateOrderError):
        engine.submit(OrderRequest("AAA", Decimal(2), OrderType.MARKET, Side.BUY, client_order_id="a"))
    engine.refuse_next("R")
    with pytest.raises(RiskCheckError):
        engine.submit(order)
    assert list(engine.orders) == ["a"]


def test_bars_from_closes_follow_one_another() -> None:
    first, second = bars_from_closes([1.0, 2.0])
    assert first.end_ns == second.start_ns
    assert first.defect() is None
