"""Fit an order to its contract's increments, where that is asked for.

Nothing is rounded unless it is asked for: an order that does not fit is refused. Where it is, sizes go down
to whole lots; a limit never becomes worse than asked (buy down, sell up); a stop never triggers earlier than
asked (buy up, sell down).
"""

from __future__ import annotations

from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from execution.errors import InvalidOrderError
from execution.models import Instrument, OrderRequest, OrderType, Side
from execution.numbers import format_decimal, round_to_tick

_TOUCHED = (OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)


def rounded(request: OrderRequest, instrument: Instrument) -> OrderRequest:
    """Return the order in whole lots and ticks.

    Raises
    ------
    InvalidOrderError
        If nothing is left of a size or price.
    """
    buying = request.side is Side.BUY
    down, up = (ROUND_FLOOR, ROUND_CEILING) if buying else (ROUND_CEILING, ROUND_FLOOR)
    # An order if touched waits on the other side of the market: earlier is the other way round.
    later = down if request.order_type in _TOUCHED else up
    quantity = (request.quantity / instrument.lot).to_integral_value(ROUND_FLOOR) * instrument.lot
    if quantity <= 0:
        raise InvalidOrderError(
            f"{request.symbol} quantity: {format_decimal(request.quantity)} is less than a lot of "
            f"{format_decimal(instrument.lot)}; nothing was sent"
        )
    return replace(
        request,
        quantity=quantity,
        limit_price=_fitted("limit price", request, request.limit_price, instrument, down),
        stop_price=_fitted("stop price", request, request.stop_price, instrument, later),
        trail_stop=_fitted("trail stop", request, request.trail_stop, instrument, up),
        trail_amount=_fitted("trail amount", request, request.trail_amount, instrument, ROUND_CEILING),
        limit_offset=None
        if request.limit_offset is None
        else round_to_tick(request.limit_offset, instrument.tick, ROUND_FLOOR),
    )


def _fitted(
    name: str, request: OrderRequest, price: Decimal | None, instrument: Instrument, rounding: str
) -> Decimal | None:
    if price is None:
        return None
    fitted = round_to_tick(price, instrument.tick, rounding)
    if fitted <= 0:
        raise InvalidOrderError(
            f"{request.symbol} {name}: {format_decimal(price)} is less than a tick of "
            f"{format_decimal(instrument.tick)}; nothing was sent"
        )
    return fitted
