"""From a strategy's wish to a well-formed order: whole lots, prices on the tick.

A strategy says *buy*, *sell*, *enter* or *exit* on a bar; `OrderFactory` knows the instruments and the run's
sizing, and makes the order. It reads the bar and nothing else, so the same bar always gives the same order.
Identity (client order id, strategy name) is given later by the step.

A limit lies at the bar's close, moved by the sizing's offset toward being filled, and is then rounded to the
tick on the side that never crosses further than asked: down for a buy, up for a sell.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from execution.models import ZERO, Bar, Instrument, OrderRequest, OrderType, Side
from execution.numbers import reckoned, round_to_tick
from strategies.errors import SizingError
from strategies.spec import SizingSpec

_BASIS_POINTS = Decimal(10_000)


class OrderFactory:
    """Sizes and shapes the orders of one run.

    Parameters
    ----------
    spec
        Value of one position, order type and limit offset.
    instruments
        Tick, lot and multiplier by symbol.

    Raises
    ------
    SizingError
        If the position's value is not positive, or the order type needs more than a bar to be priced.
    """

    def __init__(self, spec: SizingSpec, instruments: Mapping[str, Instrument]) -> None:
        if not spec.position_notional.is_finite() or spec.position_notional <= 0:
            raise SizingError(
                f"position_notional {spec.position_notional} must be positive: set the value of one position"
            )
        if spec.order_type not in (OrderType.MARKET, OrderType.LIMIT):
            raise SizingError(f"order_type {spec.order_type}: strategies size MARKET or LIMIT orders")
        if not spec.limit_offset_bps.is_finite() or abs(spec.limit_offset_bps) >= _BASIS_POINTS:
            raise SizingError(f"limit_offset_bps {spec.limit_offset_bps} must lie between -10000 and 10000")
        self.spec = spec
        self._instruments = instruments

    @reckoned
    def quantity_for(self, bar: Bar) -> Decimal:
        """Return the size of one position at the bar's close, in whole lots; zero if less than a lot."""
        instrument = self._instrument(bar.symbol)
        unit_value = Decimal(repr(bar.close)) * instrument.multiplier
        return self._whole_lots(instrument, self.spec.position_notional / unit_value)

    def buy(self, bar: Bar, quantity: Decimal) -> OrderRequest | None:
        """Return an order to buy, or None if `quantity` is less than a lot."""
        return self._order(bar, Side.BUY, quantity)

    def sell(self, bar: Bar, quantity: Decimal) -> OrderRequest | None:
        """Return an order to sell, or None if `quantity` is less than a lot."""
        return self._order(bar, Side.SELL, quantity)

    def enter_long(self, bar: Bar) -> OrderRequest | None:
        """Return an order to buy one position, or None if its value does not reach a lot."""
        return self.buy(bar, self.quantity_for(bar))

    def exit_long(self, bar: Bar, held: Decimal) -> OrderRequest | None:
        """Return an order to sell all that is held, or None if nothing is held long."""
        return self.sell(bar, held)

    @reckoned
    def _order(self, bar: Bar, side: Side, quantity: Decimal) -> OrderRequest | None:
        instrument = self._instrument(bar.symbol)
        size = self._whole_lots(instrument, quantity)
        if size <= 0:
            return None
        limit_price = None
        if self.spec.order_type is OrderType.LIMIT:
            limit_price = self._limit_price(bar, side, instrument)
            if limit_price <= 0:
                return None
        return OrderRequest(bar.symbol, size, self.spec.order_type, side, limit_price)

    def _limit_price(self, bar: Bar, side: Side, instrument: Instrument) -> Decimal:
        offset = side.sign * self.spec.limit_offset_bps / _BASIS_POINTS
        price = Decimal(repr(bar.close)) * (1 + offset)
        return round_to_tick(price, instrument.tick, ROUND_FLOOR if side is Side.BUY else ROUND_CEILING)

    def _instrument(self, symbol: str) -> Instrument:
        instrument = self._instruments.get(symbol)
        if instrument is None:
            listed = ", ".join(sorted(self._instruments)) or "none"
            raise SizingError(f"{symbol} is not an instrument of this run; listed: {listed}")
        return instrument

    @staticmethod
    def _whole_lots(instrument: Instrument, quantity: Decimal) -> Decimal:
        if quantity <= 0:
            return ZERO
        return (quantity / instrument.lot).to_integral_value(ROUND_FLOOR) * instrument.lot
