"""The adapter of a plain callback."""

from __future__ import annotations

from decimal import Decimal

from execution.clocks import timestamp
from execution.models import Fill, OrderRequest, OrderType, Side
from execution.validators import CallbackValidator

ORDER = OrderRequest("AAA", Decimal(1), OrderType.MARKET, Side.BUY)


def test_a_callback_decides_and_reserves_nothing() -> None:
    yes, no = CallbackValidator(lambda order: True), CallbackValidator(lambda order: False)
    assert yes.evaluate(ORDER).approved
    refusal = no.evaluate(ORDER)
    assert (refusal.approved, refusal.rule) == (False, "CALLBACK")
    yes.reserve(ORDER)
    yes.on_fill(Fill("f", "1", "AAA", Decimal(1), Decimal(1), Side.BUY, timestamp(0)))
    yes.release("x")
    assert yes.evaluate(ORDER).approved
