"""Exposure promised to orders that can still trade.

Each order holds its remaining quantity at a reference price under its client order id. Sums by symbol and
side are kept as orders come, shrink and go, so that asking costs the same however many are open; they are
exact Decimals and equal a recomputation over all orders at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal

from execution.models import ZERO, OrderRequest, Side
from risk.errors import ReservationError

_EXACT = Context(prec=120)
"""Wide enough that no sum or product of order sizes and prices is ever rounded."""


@dataclass(slots=True)
class Reservation:
    """What one open order may still trade, at the price it is valued at (zero if it has none)."""

    symbol: str
    side: Side
    remaining: Decimal
    price: Decimal


@dataclass(slots=True)
class OpenSide:
    """All open orders of one symbol and side: how much, and its value before the multiplier."""

    quantity: Decimal = ZERO
    value: Decimal = ZERO
    orders: int = 0


_NOTHING = OpenSide()


class Reservations:
    """The book of open promises of one account."""

    def __init__(self) -> None:
        self._orders: dict[str, Reservation] = {}
        self._sides: dict[tuple[str, Side], OpenSide] = {}

    def __len__(self) -> int:
        return len(self._orders)

    def __contains__(self, client_order_id: object) -> bool:
        return client_order_id in self._orders

    def __iter__(self) -> Iterator[tuple[str, Reservation]]:
        """Iterate over client order ids and reservations, oldest first."""
        return iter(self._orders.items())

    @property
    def symbols(self) -> set[str]:
        """Symbols with at least one open order."""
        return {symbol for symbol, _ in self._sides}

    def hold(self, request: OrderRequest, price: Decimal) -> None:
        """Reserve an order in full.

        Parameters
        ----------
        request
            The order; its client order id is the key.
        price
            Reference price of one unit.

        Raises
        ------
        ReservationError
            If the order has no client order id, or the id is reserved already.
        """
        key = request.client_order_id
        if key is None:
            raise ReservationError(f"an order for {request.symbol} has no client order id: give it one")
        if key in self._orders:
            raise ReservationError(f"order {key} is reserved already: use a new client order id")
        self._orders[key] = Reservation(request.symbol, request.side, request.quantity, price)
        side = self._sides.setdefault((request.symbol, request.side), OpenSide())
        side.quantity = _EXACT.add(side.quantity, request.quantity)
        side.value = _EXACT.fma(request.quantity, price, side.value)
        side.orders += 1

    def shrink(self, client_order_id: str, quantity: Decimal) -> None:
        """Give back an executed part; an unknown id is ignored, more than is left gives back what is left."""
        held = self._orders.get(client_order_id)
        if held is None:
            return
        if quantity >= held.remaining:
            self.release(client_order_id)
            return
        held.remaining = _EXACT.subtract(held.remaining, quantity)
        self._give_back(held, quantity)

    def release(self, client_order_id: str) -> None:
        """Give back all that is left of an order; an unknown id is ignored."""
        held = self._orders.pop(client_order_id, None)
        if held is None:
            return
        side = self._give_back(held, held.remaining)
        side.orders -= 1
        if not side.orders:
            del self._sides[held.symbol, held.side]

    def open_buys(self, symbol: str) -> Decimal:
        """Return the quantity that open orders may still buy."""
        return self.side(symbol, Side.BUY).quantity

    def open_sells(self, symbol: str) -> Decimal:
        """Return the quantity that open orders may still sell."""
        return self.side(symbol, Side.SELL).quantity

    def side(self, symbol: str, side: Side) -> OpenSide:
        """Return the sums of one symbol and side; treat them as read-only."""
        return self._sides.get((symbol, side), _NOTHING)

    def _give_back(self, held: Reservation, quantity: Decimal) -> OpenSide:
        side = self._sides[held.symbol, held.side]
        side.quantity = _EXACT.subtract(side.quantity, quantity)
        side.value = _EXACT.fma(-quantity, held.price, side.value)
        return side
