"""The pre-trade rules, one class and one module each, and the order in which they are asked.

The first refusal ends the questions. The order goes from what stops everything (kill switch, hours, symbols),
over what needs no price (short positions, sizes, how many), to what does (value of the order, the symbol, the
book).
"""

from __future__ import annotations

from risk.controls.base import Control, Figures, OrderView, Refused, RiskView
from risk.controls.gross_exposure import GrossExposureControl
from risk.controls.kill_switch import KillSwitchControl
from risk.controls.leverage import LeverageControl
from risk.controls.long_only import LongOnlyControl
from risk.controls.order_notional import OrderNotionalControl
from risk.controls.order_quantity import OrderQuantityControl
from risk.controls.order_rate import OrderRateControl
from risk.controls.position_quantity import PositionQuantityControl
from risk.controls.reference_price import ReferencePriceControl
from risk.controls.session import SessionControl
from risk.controls.symbol_cap import SymbolCapControl
from risk.controls.symbols import AllowedSymbolControl, RestrictedSymbolControl
from risk.limits import RiskLimits

__all__ = ["CONTROLS", "Control", "Figures", "OrderView", "Refused", "RiskView", "controls_for"]

CONTROLS: tuple[type[Control], ...] = (
    KillSwitchControl,
    SessionControl,
    RestrictedSymbolControl,
    AllowedSymbolControl,
    LongOnlyControl,
    OrderQuantityControl,
    PositionQuantityControl,
    OrderRateControl,
    ReferencePriceControl,
    OrderNotionalControl,
    SymbolCapControl,
    GrossExposureControl,
    LeverageControl,
)
"""Every rule, in the order of evaluation."""


def controls_for(limits: RiskLimits) -> tuple[Control, ...]:
    """Return the rules that the limits ask for, in the order of `CONTROLS`."""
    controls: list[Control] = [KillSwitchControl(), SessionControl()]
    if limits.restricted_symbols:
        controls.append(RestrictedSymbolControl(frozenset(limits.restricted_symbols)))
    if limits.allowed_symbols:
        controls.append(AllowedSymbolControl(frozenset(limits.allowed_symbols)))
    if limits.long_only:
        controls.append(LongOnlyControl())
    if limits.order_quantities.is_set:
        controls.append(OrderQuantityControl(limits.order_quantities))
    if limits.position_quantities.is_set:
        controls.append(PositionQuantityControl(limits.position_quantities))
    if limits.max_orders_per_minute is not None:
        controls.append(OrderRateControl(limits.max_orders_per_minute))
    controls.append(ReferencePriceControl())
    if limits.max_order_notional is not None:
        controls.append(OrderNotionalControl(limits.max_order_notional))
    if limits.per_symbol_notional_cap is not None:
        controls.append(SymbolCapControl(limits.per_symbol_notional_cap))
    if limits.max_gross_exposure is not None:
        controls.append(GrossExposureControl(limits.max_gross_exposure))
    if limits.max_leverage is not None:
        controls.append(LeverageControl(limits.max_leverage))
    return tuple(controls)
