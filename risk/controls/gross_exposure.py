"""MAX_GROSS_EXPOSURE: the worst case of the whole book is bounded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Figures, LimitControl, OrderView, Refused


@dataclass(frozen=True, slots=True)
class GrossExposureControl(LimitControl):
    """Refuses orders with which the symbols' worse sides could add up to more than `limit`.

    Reducing orders always pass, also when the market has carried the book beyond the limit.
    """

    code: ClassVar[str] = "MAX_GROSS_EXPOSURE"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the view has it
        """Pass if the book's worst case with this order is within the limit."""
        gross = view.gross_after()
        limit, actual = self.text, format_decimal(gross)
        if gross <= self.limit or view.reduces:
            return self.code, limit, actual
        return self.refuses(
            limit, actual, f"gross exposure could come to {actual}, beyond {limit}: lower the quantity"
        )
