"""MAX_ORDER_NOTIONAL: one order's value is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Check, Control, RiskView


@dataclass(frozen=True, slots=True)
class OrderNotionalControl(Control):
    """Refuses orders worth more than `limit`; reducing orders pass, as the market moves what is held."""

    code: ClassVar[str] = "MAX_ORDER_NOTIONAL"

    limit: Decimal

    def check(self, order: OrderRequest, view: RiskView) -> Check:
        """Pass if quantity times reference price is within the limit or the order only reduces."""
        notional = view.notional(order)
        limit, actual = format_decimal(self.limit), format_decimal(notional)
        if notional <= self.limit or view.reduces(order):
            return self.passes(limit, actual)
        return self.refuses(
            limit, actual, f"the order is worth {actual}, more than {limit}: lower its quantity"
        )
