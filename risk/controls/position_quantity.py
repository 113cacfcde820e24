"""MAX_POSITION: the size held of one symbol is bounded."""

from __future__ import annotations

from typing import ClassVar

from execution.models import OrderRequest
from execution.numbers import format_decimal
from risk.controls.base import Control, Figures, OrderView, Refused
from risk.limits import BySymbol


class PositionQuantityControl(Control):
    """Refuses orders that could bring a position beyond its limit in units, long or short.

    Every open order of the order's side counts as traded, those of the other side do not. Reducing orders
    always pass.
    """

    code: ClassVar[str] = "MAX_POSITION"

    def __init__(self, limits: BySymbol) -> None:
        self._limits = limits

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if the position stays within the limit with this order and all open ones of its side."""
        most = self._limits.of(order.symbol)
        size = abs(view.after)
        actual = format_decimal(size)
        if most is None:
            return self.code, "none", actual
        limit = format_decimal(most)
        if size <= most or view.reduces:
            return self.code, limit, actual
        return self.refuses(
            limit, actual, f"{order.symbol} could come to {actual} units, beyond {limit}: lower the quantity"
        )
