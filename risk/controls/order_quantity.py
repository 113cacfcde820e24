"""MAX_ORDER_QUANTITY: one order's size is bounded, for each instrument as it is liquid."""

from __future__ import annotations

from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Control, Figures, OrderView, Refused
from risk.limits import BySymbol


class OrderQuantityControl(Control):
    """Refuses orders of more units than their instrument's limit, whatever they do to the position."""

    code: ClassVar[str] = "MAX_ORDER_QUANTITY"

    def __init__(self, limits: BySymbol) -> None:
        self._limits = limits

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the size says it all
        """Pass if the order's quantity is within the limit."""
        most, actual = self._limits.of(order.symbol), format_decimal(order.quantity)
        if most is None:
            return self.code, "none", actual
        limit = format_decimal(most)
        if order.quantity <= most:
            return self.code, limit, actual
        return self.refuses(
            limit, actual, f"an order of {actual} {order.symbol} exceeds {limit}: send it in parts"
        )
