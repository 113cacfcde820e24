"""LONG_ONLY: no sale may leave a short position."""

from __future__ import annotations

from typing import ClassVar

from execution.models import OrderRequest, Side
from execution.numbers import format_decimal
from risk.controls.base import Control, Figures, OrderView, Refused


class LongOnlyControl(Control):
    """Refuses sells of more than is held and not promised to other sells; buys are not counted on."""

    code: ClassVar[str] = "LONG_ONLY"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if the position stays at or above zero when every open sell and this one trade."""
        after = view.after
        if order.side is Side.BUY or after >= 0:
            return self.code, "0", format_decimal(after)
        return self.refuses(
            "0",
            format_decimal(after),
            f"selling {format_decimal(order.quantity)} {order.symbol} could leave a position of "
            f"{format_decimal(after)}; {format_decimal(after + order.quantity)} can be sold",
        )
