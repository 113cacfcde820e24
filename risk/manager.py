"""The risk manager: shapes or denies what a strategy proposes, before the executor takes it.

`ShapingRiskManager` makes a proposal fit its instrument, then asks the engine. It reserves nothing: the
executor evaluates again and reserves inside its lock, where it counts.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from execution.events import RiskDecision
from execution.models import Instrument, OrderRequest, Side
from execution.numbers import format_decimal, reckoned, round_to_tick
from risk.engine import RiskEngine

UNKNOWN_INSTRUMENT = "UNKNOWN_INSTRUMENT"
LESS_THAN_A_LOT = "LESS_THAN_A_LOT"
LESS_THAN_A_TICK = "LESS_THAN_A_TICK"

_FITS = RiskDecision(approved=True)

OnRefused = Callable[[OrderRequest, RiskDecision], None]


class RiskManager(ABC):
    """Decides what becomes of a proposal."""

    @abstractmethod
    def validate(self, proposed_order: OrderRequest) -> OrderRequest | None:
        """Return the order to submit, possibly reshaped, or None if it is denied."""


class ShapingRiskManager(RiskManager):
    """Fits proposals to their instrument and denies what the engine would refuse.

    The quantity goes down to whole lots; with `shrink` also down to the largest order of its symbol. A limit
    price is rounded so that it never trades worse than asked (buy down, sell up), a stop price so that it
    never triggers earlier than asked (buy up, sell down). An order that the engine holds a reservation for
    was approved before and passes as it is, so that a step which is run again reaches the executor.

    Parameters
    ----------
    engine
        The rules.
    instruments
        Tick and lot by symbol; an order for another symbol is denied.
    shrink
        Cut orders above the largest size of their symbol down to it instead of denying them.
    on_refused
        Told each denial with its decision, for the record.
    """

    def __init__(
        self,
        engine: RiskEngine,
        instruments: Mapping[str, Instrument],
        *,
        shrink: bool = False,
        on_refused: OnRefused | None = None,
    ) -> None:
        self._engine = engine
        self._instruments = instruments
        self._largest = engine.limits.order_quantities if shrink else None
        self._on_refused = on_refused

    @reckoned
    def validate(self, proposed_order: OrderRequest) -> OrderRequest | None:
        """Return the order to submit, or None if it is denied; reserve nothing."""
        shaped, decision = self._shape(proposed_order)
        if decision.approved and not self._engine.is_reserved(shaped.client_order_id):
            decision = self._engine.evaluate(shaped)
        if decision.approved:
            return shaped
        if self._on_refused is not None:
            self._on_refused(shaped, decision)
        return None

    def _shape(self, order: OrderRequest) -> tuple[OrderRequest, RiskDecision]:
        instrument = self._instruments.get(order.symbol)
        if instrument is None:
            reason = f"{order.symbol} is not an instrument of this run: add it to symbols"
            return order, RiskDecision(False, UNKNOWN_INSTRUMENT, reason)
        largest = None if self._largest is None else self._largest.of(order.symbol)
        wanted = order.quantity if largest is None else min(order.quantity, largest)
        quantity = (wanted / instrument.lot).to_integral_value(ROUND_FLOOR) * instrument.lot
        if quantity <= 0:
            reason = f"{wanted} {order.symbol} is less than a lot of {format_decimal(instrument.lot)}"
            return order, RiskDecision(False, LESS_THAN_A_LOT, reason)
        buying = order.side is Side.BUY
        limit_price = _on_tick(order.limit_price, instrument, ROUND_FLOOR if buying else ROUND_CEILING)
        stop_price = _on_tick(order.stop_price, instrument, ROUND_CEILING if buying else ROUND_FLOOR)
        if limit_price == 0 or stop_price == 0:
            reason = f"a price of the order is less than a tick of {format_decimal(instrument.tick)}"
            return order, RiskDecision(False, LESS_THAN_A_TICK, reason)
        if (quantity, limit_price, stop_price) != (order.quantity, order.limit_price, order.stop_price):
            order = replace(order, quantity=quantity, limit_price=limit_price, stop_price=stop_price)
        return order, _FITS


def _on_tick(price: Decimal | None, instrument: Instrument, rounding: str) -> Decimal | None:
    return None if price is None else round_to_tick(price, instrument.tick, rounding)
