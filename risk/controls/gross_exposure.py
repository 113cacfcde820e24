"""MAX_GROSS_EXPOSURE: the worst case of the whole book is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Check, Control, RiskView


@dataclass(frozen=True, slots=True)
class GrossExposureControl(Control):
    """Refuses orders with which the symbols' worse sides could add up to more than `limit`.

    Reducing orders always pass, also when the market has carried the book beyond the limit.
    """

    code: ClassVar[str] = "MAX_GROSS_EXPOSURE"

    limit: Decimal

    def check(self, order: OrderRequest, view: RiskView) -> Check:
        """Pass if the book's worst case with this order is within the limit."""
        gross = view.gross_after(order)
        limit, actual = format_decimal(self.limit), format_decimal(gross)
        if gross <= self.limit or view.reduces(order):
            return self.passes(limit, actual)
        return self.refuses(
            limit, actual, f"gross exposure could come to {actual}, beyond {limit}: lower the quantity"
        )
