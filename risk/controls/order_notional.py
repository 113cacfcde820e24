"""MAX_ORDER_NOTIONAL: one order's value is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Figures, LimitControl, OrderView, Refused


@dataclass(frozen=True, slots=True)
class OrderNotionalControl(LimitControl):
    """Refuses orders worth more than `limit`; reducing orders pass, as the market moves what is held."""

    code: ClassVar[str] = "MAX_ORDER_NOTIONAL"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the view has it
        """Pass if quantity times reference price is within the limit or the order only reduces."""
        limit, actual = self.text, format_decimal(view.notional)
        if view.notional <= self.limit or view.reduces:
            return self.code, limit, actual
        return self.refuses(
            limit, actual, f"the order is worth {actual}, more than {limit}: lower its quantity"
        )
