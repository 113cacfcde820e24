"""Trading costs of a run: slippage as the matching rules take it, and commission per order.

Commission is ``max(minimum, fixed + per_share x quantity)`` of the whole order. An order that fills in parts
is charged as it goes, so that the sum over its fills is what one single fill would have cost: the first fill
carries the minimum, later ones only what exceeds it. Rounding is cumulative too and never drifts.

With another plan than ``custom`` the whole order is charged by Interactive Brokers' published schedule
instead (`backtesting.schedules`), in the same cumulative way.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from typing import Protocol

from backtesting.schedules import Traded, ibkr_commission
from execution.numbers import round_money
from strategies.spec import CUSTOM, CostSpec

_PPM = Decimal(1_000_000)
_CENTI = Decimal(100)


class ChargedOrder(Protocol):
    """What the commission of the next fill depends on."""

    @property
    def filled(self) -> Decimal:
        """Size executed before this fill."""

    @property
    def fees(self) -> Decimal:
        """Commission charged before this fill."""


def order_commission(costs: CostSpec, quantity: Decimal) -> Decimal:
    """Return the commission of a whole order that filled `quantity` units."""
    return round_money(
        max(costs.commission_minimum, costs.commission_fixed + costs.commission_per_share * quantity)
    )


def commission(costs: CostSpec, order: ChargedOrder, quantity: Decimal) -> Decimal:
    """Return the commission of an order's next fill.

    Parameters
    ----------
    costs
        The commission plan.
    order
        The order before this fill is booked on it.
    quantity
        Size of this fill, in units.
    """
    return order_commission(costs, order.filled + quantity) - order.fees


def plan_commission(costs: CostSpec, order: ChargedOrder, quantity: Decimal, traded: Traded) -> Decimal:
    """Return the commission of an order's next fill under any plan.

    Parameters
    ----------
    costs
        The commission plan.
    order
        The order before this fill is booked on it.
    quantity
        Size of this fill, in units.
    traded
        The whole order with this fill: what the published schedules depend on.
    """
    if costs.plan == CUSTOM:
        return commission(costs, order, quantity)
    return ibkr_commission(costs.plan, traded) - order.fees


def slippage_centi_bps(costs: CostSpec) -> int:
    """Return the slippage in hundredths of a basis point, as `execution.book.matching` takes it.

    Raises
    ------
    ValueError
        If it is negative or finer than a hundredth of a basis point.
    """
    return _whole("slippage_bps", costs.slippage_bps, _CENTI)


def participation_ppm(costs: CostSpec) -> int | None:
    """Return the largest share of a bar's volume in parts per million, or None if any size fills.

    Raises
    ------
    ValueError
        If it is negative or finer than one part per million.
    """
    return None if costs.participation is None else _whole("participation", costs.participation, _PPM)


def _whole(name: str, value: Decimal, scale: Decimal) -> int:
    scaled = value * scale
    rounded = scaled.to_integral_value(rounding=ROUND_HALF_EVEN)
    if scaled != rounded or scaled < 0:
        raise ValueError(f"{name}: {value} must be zero or more, in steps of {1 / scale}")
    return int(rounded)
