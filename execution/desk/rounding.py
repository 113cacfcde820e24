"""Fit an order to its contract's increments, where that is asked for.

Nothing is rounded unless it is asked for: an order that does not fit is refused. Where it is, sizes go down
to whole lots; a limit never becomes worse than asked (buy down, sell up); a stop never triggers earlier than
asked (buy up, sell down).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from execution.errors import InvalidOrderError
from execution.models import ZERO, Instrument, OrderRequest, OrderType, Side
from execution.numbers import format_decimal, round_to_tick

_TOUCHED = (OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)


def rounded(
    request: OrderRequest,
    instrument: Instrument,
    increment_at: Callable[[str, Decimal], Decimal] = lambda _symbol, _price: ZERO,
) -> OrderRequest:
    """Return the order in whole lots and ticks.

    Parameters
    ----------
    request, instrument
        What to trade.
    increment_at
        The broker's increment for a symbol at a price, where it is coarser than the tick; zero if unknown.

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

    def fitted(name: str, price: Decimal | None, rounding: str) -> Decimal | None:
        if price is None:
            return None
        tick = max(instrument.tick, increment_at(request.symbol, price))
        return _fitted(f"{request.symbol} {name}", price, tick, rounding)

    return replace(
        request,
        quantity=quantity,
        limit_price=fitted("limit price", request.limit_price, down),
        stop_price=fitted("stop price", request.stop_price, later),
        trail_stop=fitted("trail stop", request.trail_stop, up),
        trail_amount=fitted("trail amount", request.trail_amount, ROUND_CEILING),
        limit_offset=None
        if request.limit_offset is None
        else round_to_tick(request.limit_offset, instrument.tick, ROUND_FLOOR),
    )


def _fitted(name: str, price: Decimal, tick: Decimal, rounding: str) -> Decimal:
    fitted = round_to_tick(price, tick, rounding)
    if fitted <= 0:
        raise InvalidOrderError(
            f"{name}: {format_decimal(price)} is less than a tick of {format_decimal(tick)}; nothing was sent"
        )
    return fitted
