"""The risk engine: judges orders before they are sent, and holds the exposure of those that are.

1. `evaluate` asks the rules of `risk.controls` in their stated order, counting the position, everything that
   open orders may still trade, and the order itself. The first refusal ends it; every rule asked is recorded.
2. `reserve` holds the order's remaining quantity at its reference price until it is final.
3. `on_fill` gives back what was executed, which by then is in the position; `release` gives back the rest.

The executor calls `evaluate` and `reserve` back to back inside its lock, so two orders never pass on the same
room. A fill is to be booked in the portfolio no later than it is told to `on_fill`: in between it counts
twice, never not at all. The engine asks no clock but the trading clock, and decides alike for the same book.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from decimal import Decimal

from execution.clocks import TradingClock
from execution.events import RiskDecision
from execution.models import ZERO, Fill, OrderRequest
from execution.portfolio import Portfolio
from risk.controls import RiskView, controls_for
from risk.errors import LimitsError
from risk.kill_switch import KillSwitch
from risk.limits import RiskLimits
from risk.protocols import SessionSource
from risk.reservations import Reservations


class RiskEngine:
    """Pre-trade rules with reservation; a `execution.validators.PreTradeValidator`.

    Parameters
    ----------
    limits
        The numbers; None leaves a rule out.
    portfolio
        The book that fills are booked in.
    sessions, clock
        The market's calendar and time.
    kill_switch
        The daily-loss limit; None leaves it out.
    multipliers
        Contract multipliers by symbol; a symbol left out has 1.

    Raises
    ------
    LimitsError
        If a limit is negative or not a finite number.
    """

    def __init__(
        self,
        limits: RiskLimits,
        portfolio: Portfolio,
        sessions: SessionSource,
        clock: TradingClock,
        kill_switch: KillSwitch | None = None,
        multipliers: Mapping[str, Decimal] | None = None,
    ) -> None:
        _require_sound(limits)
        self.limits = limits
        self.reservations = Reservations()
        self._controls = controls_for(limits)
        self._view = RiskView(
            portfolio, self.reservations, sessions, clock, kill_switch, dict(multipliers or {})
        )

    def evaluate(self, request: OrderRequest) -> RiskDecision:
        """Judge an order against every rule, counting what is reserved; change nothing."""
        asked: list[tuple[str, str, str]] = []
        for control in self._controls:
            check = control.check(request, self._view)
            asked.append((check.code, check.limit, check.actual))
            if not check.passed:
                return RiskDecision(False, check.code, check.reason, tuple(asked))
        return RiskDecision(True, checks=tuple(asked))

    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:
        """Hold the order's worst-case exposure under its client order id.

        Parameters
        ----------
        request
            The order.
        price
            Price of one unit at which it was reserved before, when a reservation is restored; by default the
            reference price now.

        Returns
        -------
        Decimal or None
            The price at which it is held; None if there is none, which counts as zero.

        Raises
        ------
        ReservationError
            If the order has no client order id, or the id is reserved already.
        """
        held_at = self._view.reference_price(request) if price is None else price
        self.reservations.hold(request, held_at or ZERO)
        return held_at

    def release(self, client_order_id: str) -> None:
        """Give back what is left of a reservation; an unknown id is ignored."""
        self.reservations.release(client_order_id)

    def on_fill(self, fill: Fill) -> None:
        """Shrink the reservation of the filled order by the executed size; orders of others are ignored."""
        if fill.client_order_id is not None:
            self.reservations.shrink(fill.client_order_id, fill.quantity)

    def is_reserved(self, client_order_id: str | None) -> bool:
        """Return whether an order holds a reservation, that is: was approved here and can still trade."""
        return client_order_id in self.reservations


def _require_sound(limits: RiskLimits) -> None:
    for field in dataclasses.fields(limits):
        value = getattr(limits, field.name)
        if isinstance(value, Decimal) and not (value.is_finite() and value >= 0):
            raise LimitsError(f"risk.{field.name} = {value}: a limit is a number of at least 0")
