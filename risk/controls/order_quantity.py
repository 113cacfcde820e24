"""MAX_ORDER_QUANTITY: one order's size is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Figures, LimitControl, OrderView, Refused


@dataclass(frozen=True, slots=True)
class OrderQuantityControl(LimitControl):
    """Refuses orders of more than `limit` units, whatever they do to the position."""

    code: ClassVar[str] = "MAX_ORDER_QUANTITY"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the size says it all
        """Pass if the order's quantity is within the limit."""
        limit, actual = self.text, format_decimal(order.quantity)
        if order.quantity <= self.limit:
            return self.code, limit, actual
        return self.refuses(
            limit, actual, f"an order of {actual} {order.symbol} exceeds {limit}: send it in parts"
        )
