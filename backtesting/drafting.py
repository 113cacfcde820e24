"""What a request becomes before it is accepted: an order in ticks and lots, with the moment it ends."""

from __future__ import annotations

from decimal import Decimal

from backtesting.errors import (
    FRACTION,
    FRACTION_TEXT,
    SIZE_INCREMENT,
    SIZE_INCREMENT_TEXT,
    TOO_SMALL,
    TOO_SMALL_TEXT,
    BrokerRejection,
)
from backtesting.lives import Sessions, auction, expiry, require_open
from backtesting.orders import WorkingOrder
from execution.errors import NumberFormatError
from execution.models import Instrument, OrderRequest
from execution.numbers import format_decimal, to_lots


def draft(
    request: OrderRequest,
    instrument: Instrument,
    account: str,
    sessions: Sessions,
    *,
    perm_id: int,
    now_ns: int,
) -> WorkingOrder:
    """Return the order that a request makes at trading time `now_ns`; it is not transmitted.

    Raises
    ------
    BrokerRejection
        110: a price off the tick; 10243, 10250 or 388: a size off the lot; 201: the exchange is closed, or
        the order's time is over.
    """
    order = WorkingOrder(
        perm_id=perm_id,
        request=request,
        instrument=instrument,
        placed_ns=now_ns,
        expires_ns=None,
        quantity=request.quantity,
        account=account,
        oca_group=request.oca_group,
        transmitted=False,
        from_ns=now_ns,
    )
    order.price(request)
    try:
        order.remaining_lots = to_lots(request.quantity, instrument.lot)
    except NumberFormatError as error:
        raise _wrong_size(request.quantity, instrument) from error
    order.expires_ns = expiry(sessions, request, now_ns)
    order.opens_ns = auction(sessions, request, now_ns)
    require_open(sessions, request, now_ns)
    return order


def _wrong_size(quantity: Decimal, instrument: Instrument) -> BrokerRejection:
    """Return how TWS refuses a size that is not a whole number of lots."""
    size, lot = format_decimal(quantity), format_decimal(instrument.lot)
    if instrument.security_type == "STK" and quantity % 1:
        return BrokerRejection(FRACTION, FRACTION_TEXT)
    if quantity < instrument.lot:
        return BrokerRejection(TOO_SMALL, TOO_SMALL_TEXT.format(size=size, lot=lot))
    return BrokerRejection(SIZE_INCREMENT, SIZE_INCREMENT_TEXT.format(lot=lot))
