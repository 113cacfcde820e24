"""The pre-trade rules, one class and one module each, and the order in which they are asked.

The first refusal ends the questions. The order goes from what stops everything (kill switch, hours), over
what needs no price (short positions, size), to what does (value of the order, the symbol, the book).
"""

from __future__ import annotations

from risk.controls.base import Control, Figures, OrderView, Refused, RiskView
from risk.controls.gross_exposure import GrossExposureControl
from risk.controls.kill_switch import KillSwitchControl
from risk.controls.long_only import LongOnlyControl
from risk.controls.order_notional import OrderNotionalControl
from risk.controls.order_quantity import OrderQuantityControl
from risk.controls.reference_price import ReferencePriceControl
from risk.controls.session import SessionControl
from risk.controls.symbol_cap import SymbolCapControl
from risk.limits import RiskLimits

__all__ = ["CONTROLS", "Control", "Figures", "OrderView", "Refused", "RiskView", "controls_for"]

CONTROLS: tuple[type[Control], ...] = (
    KillSwitchControl,
    SessionControl,
    LongOnlyControl,
    OrderQuantityControl,
    ReferencePriceControl,
    OrderNotionalControl,
    SymbolCapControl,
    GrossExposureControl,
)
"""Every rule, in the order of evaluation."""


def controls_for(limits: RiskLimits) -> tuple[Control, ...]:
    """Return the rules that the limits ask for, in the order of `CONTROLS`."""
    controls: list[Control] = [KillSwitchControl(), SessionControl()]
    if limits.long_only:
        controls.append(LongOnlyControl())
    if limits.max_order_quantity is not None:
        controls.append(OrderQuantityControl(limits.max_order_quantity))
    controls.append(ReferencePriceControl())
    if limits.max_order_notional is not None:
        controls.append(OrderNotionalControl(limits.max_order_notional))
    if limits.per_symbol_notional_cap is not None:
        controls.append(SymbolCapControl(limits.per_symbol_notional_cap))
    if limits.max_gross_exposure is not None:
        controls.append(GrossExposureControl(limits.max_gross_exposure))
    return tuple(controls)
