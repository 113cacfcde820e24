"""An order at the broker in memory, and the price at which it trades."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from execution.book import matching
from execution.models import ZERO, Instrument, OrderRequest, OrderType
from execution.numbers import to_ticks

_RULES = {
    OrderType.MARKET: matching.MARKET,
    OrderType.LIMIT: matching.LIMIT,
    OrderType.STOP: matching.STOP,
    OrderType.STOP_LIMIT: matching.STOP_LIMIT,
    OrderType.MARKET_IF_TOUCHED: matching.MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED: matching.LIMIT_IF_TOUCHED,
}
_SPENT = ("Filled", "Cancelled", "Inactive")


@dataclass(slots=True)
class BrokerOrder:
    """An order as the broker holds it; `parent` is the order whose fill sets it to work."""

    order_id: int
    perm_id: int
    account: str
    instrument: Instrument
    request: OrderRequest
    client_id: int
    parent: BrokerOrder | None
    status: str = "Submitted"
    told: bool = False
    held: bool = False
    """On its way: the broker does not have it yet."""
    mute: bool = False
    """Taken without a word, and at rest until somebody asks."""
    filled: Decimal = ZERO
    most: Decimal | None = None
    """What trades by itself at the most; None sets no bound."""
    triggered: bool = False
    trail_stop: int = 0

    @property
    def remaining(self) -> Decimal:
        """Size that has not been executed."""
        return self.request.quantity - self.filled

    @property
    def over(self) -> bool:
        """Whether it can no longer trade."""
        return self.status in _SPENT

    @property
    def waits(self) -> bool:
        """Whether its parent has not filled yet."""
        return self.parent is not None and self.parent.status != "Filled"

    def is_exit_beside(self, other: BrokerOrder) -> bool:
        """Return whether both are exits of one bracket."""
        return self.parent is not None and self.parent is other.parent and self is not other

    def is_grouped_with(self, other: BrokerOrder) -> bool:
        """Return whether both are in one OCA group."""
        group = self.request.oca_group
        return group is not None and (group, self.account) == (other.request.oca_group, other.account)


def price_of(order: BrokerOrder, at: int) -> int:
    """Return the ticks at which an order trades while the market is at `at` ticks; 0 if it does not."""
    request, instrument = order.request, order.instrument
    sign, limit = request.side.sign, in_ticks(instrument, request.limit_price)
    if not request.order_type.trails:
        match = matching.match_touched if "TOUCHED" in request.order_type else matching.match
        rule, stop = _RULES[request.order_type], in_ticks(instrument, request.stop_price)
        found, _, order.triggered = match(rule, sign, limit, stop, order.triggered, at, at, at, 0)
        return found
    if not order.triggered:
        amount = in_ticks(instrument, request.trail_amount)
        ppm = int((request.trail_percent or ZERO) * 10_000)
        found, when, order.trail_stop = matching.trigger_trail(
            sign, order.trail_stop, amount, ppm, at, at, at, at
        )
        if when == matching.NO_FILL:
            return 0
        order.triggered = True
    if request.order_type is OrderType.TRAIL:
        return at
    offset = in_ticks(instrument, request.limit_offset)
    limit = limit or order.trail_stop + sign * offset
    return at if sign * (at - limit) <= 0 else 0


def in_ticks(instrument: Instrument, price: Decimal | None) -> int:
    """Return a price in ticks of its contract, 0 for none."""
    return 0 if price is None else to_ticks(price, instrument.tick, name=f"{instrument.symbol} price")
