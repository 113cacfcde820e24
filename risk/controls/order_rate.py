"""MAX_ORDERS_PER_MINUTE: a program that runs wild is stopped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from execution.models import OrderRequest
from risk.controls.base import Control, Figures, OrderView, Refused


@dataclass(frozen=True, slots=True)
class OrderRateControl(Control):
    """Refuses orders beyond `limit` within a minute of trading time; reducing orders pass."""

    code: ClassVar[str] = "MAX_ORDERS_PER_MINUTE"
    limit: int

    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Pass if fewer other orders than the limit were approved within the last minute."""
        count = view.book.rate.count(view.book.clock.now_ns(), order.client_order_id)
        limit, actual = str(self.limit), str(count + 1)
        if count < self.limit or view.reduces:
            return self.code, limit, actual
        return self.refuses(
            limit, actual, f"{count} orders were approved within a minute, as many as are allowed: send fewer"
        )
