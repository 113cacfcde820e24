"""What of an order may change while it is at work, and how a change that is not answered yet is carried.

Until the broker has shown which terms it holds, an order counts with the larger of both sizes and is held at
the higher of both prices: a limit that would be broken by either of them is broken.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace
from decimal import Decimal

from execution.models import OrderRequest
from execution.orders.evidence import OpenOrderSeen


class ChangeOutcome(enum.StrEnum):
    """What became of a change.

    ACCEPTED: the broker shows the new terms. REFUSED: the order goes on as it was. NOT_SENT: nothing was
    written. OVERTAKEN: the order ended first.
    """

    ACCEPTED = "accepted"
    REFUSED = "refused"
    NOT_SENT = "not-sent"
    OVERTAKEN = "overtaken"


@dataclass(frozen=True, slots=True)
class Modification:
    """A change that was asked for: the order as it would be, and the price it is held at meanwhile."""

    number: int
    request: OrderRequest
    reserved_price: Decimal | None = None


def larger_of(old: OrderRequest, new: OrderRequest) -> OrderRequest:
    """Return the new order at the larger of both sizes."""
    return new if new.quantity >= old.quantity else replace(new, quantity=old.quantity)


def higher_of(old: Decimal | None, new: Decimal | None) -> Decimal | None:
    """Return the higher of two prices, either of which may not be known."""
    return max((price for price in (old, new) if price is not None), default=None)


def auxiliary_price(request: OrderRequest) -> Decimal | None:
    """Return what stands in the auxiliary price on the wire: the stop, or the distance it trails by."""
    return request.trail_amount if request.order_type.trails else request.stop_price


def shows(seen: OpenOrderSeen, request: OrderRequest) -> bool:
    """Return whether the broker's order has the terms of a request, as far as it tells them.

    The limit of a trailing order moves with the market and is left out.
    """
    if seen.quantity != request.quantity:
        return False
    if seen.order_type and seen.order_type != request.order_type.value:
        return False
    pairs = [(seen.aux_price, auxiliary_price(request))]
    if not request.order_type.trails:
        pairs.append((seen.limit_price, request.limit_price))
    return all(shown is None or wanted is None or shown == wanted for shown, wanted in pairs)


def as_shown(seen: OpenOrderSeen, request: OrderRequest) -> OrderRequest:
    """Return a request with the size and prices of the broker's order, where its type is the same."""
    if seen.order_type not in ("", request.order_type.value):
        return replace(request, quantity=seen.quantity)
    limit, stop = request.limit_price, request.stop_price
    if limit is not None and not request.order_type.trails:
        limit = seen.limit_price or limit
    if stop is not None:
        stop = seen.aux_price or stop
    return replace(request, quantity=seen.quantity, limit_price=limit, stop_price=stop)
