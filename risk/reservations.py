"""Exposure promised to orders that can still trade.

Each order holds its remaining quantity at a reference price under its client order id. The exits of a bracket
end each other and undo what its entry has built: together they hold the largest of what each may still trade,
and at most what is built and not undone yet.

Sums by symbol and side are kept as orders come, shrink and go, so that asking costs the same however many are
open; they are exact Decimals and equal a recomputation over all orders at any time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
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
    entry: str = ""
    """Client order id of the bracket's entry whose exit this is."""


@dataclass(slots=True)
class _Exits:
    """The exits of one bracket, and what of them is in the sums."""

    built: Decimal
    undone: Decimal
    orders: dict[str, Reservation] = field(default_factory=dict)
    quantity: Decimal = ZERO
    price: Decimal = ZERO

    def count(self) -> None:
        """Take anew what they may trade, valued at the highest of their prices."""
        largest = max((one.remaining for one in self.orders.values()), default=ZERO)
        self.quantity = max(ZERO, min(largest, _EXACT.subtract(self.built, self.undone)))
        self.price = max((one.price for one in self.orders.values()), default=ZERO)


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
        self._exits: dict[str, _Exits] = {}
        self._watchers: list[Callable[[str], None]] = []

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

    def watch(self, heard: Callable[[str], None]) -> None:
        """Tell somebody each symbol whose sums change from now on."""
        self._watchers.append(heard)

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
        held = self._enter(request, price, "")
        self._add(held, held.remaining, price)

    def hold_exit(
        self, request: OrderRequest, price: Decimal, *, entry: str, built: Decimal, undone: Decimal
    ) -> None:
        """Reserve an exit of a bracket.

        Parameters
        ----------
        request, price
            As for `hold`.
        entry
            Client order id of the bracket's entry.
        built
            What the exits may trade by now: as a rule what the entry has traded.
        undone
            What of it the exits have traded.

        Raises
        ------
        ReservationError
            As for `hold`.
        """
        held = self._enter(request, price, entry)
        exits = self._exits.setdefault(entry, _Exits(built, undone))
        self._add(held, -exits.quantity, exits.price)
        exits.built, exits.undone = built, undone
        exits.orders[request.client_order_id or ""] = held
        exits.count()
        self._add(held, exits.quantity, exits.price)

    def build(self, entry: str, built: Decimal) -> None:
        """Take what the exits of a bracket may trade by now; without exits nothing is done."""
        exits = self._exits.get(entry)
        if exits is not None:
            with self._counting(exits) as counted:
                counted.built = built

    def shrink(self, client_order_id: str, quantity: Decimal) -> None:
        """Give back an executed part; an unknown id is ignored, more than is left gives back what is left."""
        held = self._orders.get(client_order_id)
        if held is None:
            return
        exits = self._exits.get(held.entry)
        if exits is not None:
            with self._counting(exits) as counted:
                counted.undone = _EXACT.add(counted.undone, quantity)
                held.remaining = max(ZERO, _EXACT.subtract(held.remaining, quantity))
        elif quantity < held.remaining:
            held.remaining = _EXACT.subtract(held.remaining, quantity)
            self._add(held, -quantity, held.price)
            return
        if exits is None or not held.remaining:
            self.release(client_order_id)

    def release(self, client_order_id: str) -> None:
        """Give back all that is left of an order; an unknown id is ignored."""
        held = self._orders.pop(client_order_id, None)
        if held is None:
            return
        exits = self._exits.get(held.entry)
        if exits is None:
            self._add(held, -held.remaining, held.price)
        else:
            with self._counting(exits) as counted:
                del counted.orders[client_order_id]
            if not exits.orders:
                del self._exits[held.entry]
        side = self._sides[held.symbol, held.side]
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

    def _enter(self, request: OrderRequest, price: Decimal, entry: str) -> Reservation:
        key = request.client_order_id
        if key is None:
            raise ReservationError(f"an order for {request.symbol} has no client order id: give it one")
        if key in self._orders:
            raise ReservationError(f"order {key} is reserved already: use a new client order id")
        held = Reservation(request.symbol, request.side, request.quantity, price, entry)
        self._orders[key] = held
        self._sides.setdefault((request.symbol, request.side), OpenSide()).orders += 1
        return held

    def _add(self, held: Reservation, quantity: Decimal, price: Decimal) -> None:
        side = self._sides[held.symbol, held.side]
        side.quantity = _EXACT.add(side.quantity, quantity)
        side.value = _EXACT.fma(quantity, price, side.value)
        for heard in self._watchers:
            heard(held.symbol)

    @contextmanager
    def _counting(self, exits: _Exits) -> Iterator[_Exits]:
        """Count the exits of a bracket anew after what is done to them."""
        one = next(iter(exits.orders.values()))
        self._add(one, -exits.quantity, exits.price)
        yield exits
        exits.count()
        self._add(one, exits.quantity, exits.price)
