"""MAX_ORDER_QUANTITY: one order's size is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Check, Control, RiskView


@dataclass(frozen=True, slots=True)
class OrderQuantityControl(Control):
    """Refuses orders of more than `limit` units, whatever they do to the position."""

    code: ClassVar[str] = "MAX_ORDER_QUANTITY"

    limit: Decimal

    def check(self, order: OrderRequest, view: RiskView) -> Check:  # noqa: ARG002 - the size says it all
        """Pass if the order's quantity is within the limit."""
        limit, actual = format_decimal(self.limit), format_decimal(order.quantity)
        if order.quantity <= self.limit:
            return self.passes(limit, actual)
        return self.refuses(
            limit, actual, f"an order of {actual} {order.symbol} exceeds {limit}: send it in parts"
        )
