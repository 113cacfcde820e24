"""NO_REFERENCE_PRICE: what cannot be valued is not traded."""

from __future__ import annotations

from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Check, Control, RiskView


class ReferencePriceControl(Control):
    """Refuses orders with neither a mark nor a price of their own; reducing orders need none."""

    code: ClassVar[str] = "NO_REFERENCE_PRICE"

    def check(self, order: OrderRequest, view: RiskView) -> Check:
        """Pass if the order has a reference price or only reduces a position."""
        price = view.reference_price(order)
        if price is not None:
            return self.passes("a price", format_decimal(price))
        if view.reduces(order):
            return self.passes("a price", "none, the order reduces")
        return self.refuses(
            "a price", "none", f"{order.symbol} has no price yet: wait for a bar, or send a limit order"
        )
