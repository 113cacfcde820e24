"""NO_REFERENCE_PRICE: what cannot be valued is not traded."""

from __future__ import annotations

from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Control, Figures, OrderView, Refused


class ReferencePriceControl(Control):
    """Refuses orders with neither a mark nor a price of their own; reducing orders need none."""

    code: ClassVar[str] = "NO_REFERENCE_PRICE"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if the order has a reference price or only reduces a position."""
        if view.price is not None:
            return self.code, "a price", format_decimal(view.price)
        if view.reduces:
            return self.code, "a price", "none, the order reduces"
        return self.refuses(
            "a price", "none", f"{order.symbol} has no price yet: wait for a bar, or send a limit order"
        )
