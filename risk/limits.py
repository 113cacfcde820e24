"""The numbers that the pre-trade rules hold orders to."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Limits in account currency and units; None leaves a rule out.

    `per_symbol_notional_cap` and `max_gross_exposure` bound the worst case: what is held plus everything
    reserved by open orders, each side taken alone. `max_order_quantity` bounds one order, `max_daily_loss`
    trips the kill switch. `long_only` refuses orders that could leave a short position.
    """

    per_symbol_notional_cap: Decimal | None = None
    max_gross_exposure: Decimal | None = None
    max_order_quantity: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_daily_loss: Decimal | None = None
    long_only: bool = True
