"""An order and an execution with the identities of the wire and what has been told of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from backtesting.gateway.wire.requests import PlaceOrder
from backtesting.orders import WorkingOrder
from execution.models import ZERO, Instrument
from execution.numbers import round_money


@dataclass(slots=True, eq=False)
class Ticket:
    """One order with its identities and what has been told of it.

    The broker's order may already know of later events of the same step; what is kept here is as far as the
    messages have come.
    """

    client_id: int
    """Its owner; 0 for an order of TWS itself."""
    order_id: int
    """The owner's number of it; 0 for an order of TWS itself, negative once client 0 has bound it."""
    perm_id: int
    order: WorkingOrder
    order_ref: str
    order_type: str
    status: str
    wish: PlaceOrder
    """What the client sent last: what the order is echoed from."""
    account: str
    quantity: Decimal
    """Its size as told; a mate's fill may have reduced it."""
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    commission: Decimal | None = None
    last_price: Decimal = ZERO
    completed_ns: int | None = None
    """When it ended, if it has."""
    booked_ns: int = 0
    """End of the step in which that became known."""
    reason: str = ""
    modifications: int = 0
    """How often it was changed: the N of ``permId.N`` in the shares allocation."""
    parent_order_id: int = 0
    """The parent's order id; 0 without a parent."""
    parent_perm_id: int = 0
    """The parent's permanent id; 0 without a parent."""
    why_held: str = ""
    """``child``, ``trigger``, both with a comma between, or empty."""
    oca_group: str = ""
    """As told: a child's group is its parent's permanent id."""
    oca_type: int = 3
    """As told: TWS says 3 where the client says nothing."""
    told: bool = True
    """Whether its owner has heard of it: not before it is transmitted."""

    @property
    def instrument(self) -> Instrument:
        """The contract traded."""
        return self.order.instrument

    @property
    def remaining(self) -> Decimal:
        """Size not executed yet."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """Mean price of what has been executed, rounded like money; zero before the first execution."""
        return round_money(self.filled_value / self.filled) if self.filled else ZERO


@dataclass(frozen=True, slots=True, eq=False)
class Execution:
    """One execution with the order's totals at that moment."""

    ticket: Ticket
    exec_id: str
    quantity: Decimal
    price: Decimal
    time_ns: int
    booked_ns: int
    commission: Decimal
    realized_pnl: Decimal | None
    cumulative: Decimal
    average_price: Decimal
    charged_before: Decimal | None
    """Commission of the order before this execution."""
    number: int = 1
    """Which execution of its order it is, from 1."""

    @property
    def account(self) -> str:
        """The account it was booked to."""
        return self.ticket.account
