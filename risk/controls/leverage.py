"""MAX_LEVERAGE: the worst case of the whole book is bounded by what the account is worth."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Figures, LimitControl, OrderView, Refused

_SHOWN = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class LeverageControl(LimitControl):
    """Refuses orders with which gross exposure could exceed `limit` times the equity.

    Without equity nothing but reducing orders pass; those always do.
    """

    code: ClassVar[str] = "MAX_LEVERAGE"

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:  # noqa: ARG002 - the view has it
        """Pass if the book's worst case with this order is within so many times the equity."""
        gross, equity = view.gross_after(), view.equity
        limit = self.text
        actual = format_decimal((gross / equity).quantize(_SHOWN)) if equity > 0 else "no equity"
        if view.reduces or (equity > 0 and gross <= self.limit * equity):
            return self.code, limit, actual
        return self.refuses(
            limit,
            actual,
            f"gross exposure could come to {format_decimal(gross)} on an equity of {format_decimal(equity)}, "
            f"beyond {limit} times: lower the quantity",
        )
