"""SYMBOL_NOTIONAL_CAP: the worst case of one symbol is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Figures, LimitControl, OrderView, Refused


@dataclass(frozen=True, slots=True)
class SymbolCapControl(LimitControl):
    """Refuses orders that could bring a symbol's value beyond `limit` on the side they extend.

    The other side is as it was when its own orders were approved. Reducing orders always pass, also when the
    market has carried the position beyond the cap.
    """

    code: ClassVar[str] = "SYMBOL_NOTIONAL_CAP"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if position, open orders of this side and this order stay within the limit together."""
        exposure = view.exposure_after()
        limit, actual = self.text, format_decimal(exposure)
        if exposure <= self.limit or view.reduces:
            return self.code, limit, actual
        return self.refuses(
            limit,
            actual,
            f"{order.symbol} could come to {actual}, beyond its cap of {limit}: lower the quantity",
        )
