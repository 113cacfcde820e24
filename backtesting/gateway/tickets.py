"""An order and an execution with the identities of the wire and what has been told of them."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from backtesting.broker import WorkingOrder
from execution.models import ZERO, Instrument
from execution.numbers import round_money


@dataclass(slots=True)
class Ticket:
    """One order with its identities and what has been told of it."""

    client_id: int
    order_id: int
    perm_id: int
    order: WorkingOrder
    order_ref: str
    order_type: str
    status: str
    filled: Decimal = ZERO
    filled_value: Decimal = ZERO
    commission: Decimal | None = None
    last_price: Decimal = ZERO
    completed_ns: int | None = None
    """When it ended, if it has."""
    booked_ns: int = 0
    """End of the step in which that became known."""
    reason: str = ""

    @property
    def instrument(self) -> Instrument:
        """The contract traded."""
        return self.order.instrument

    @property
    def remaining(self) -> Decimal:
        """Size not executed yet."""
        return self.order.request.quantity - self.filled

    @property
    def average_price(self) -> Decimal:
        """Mean price of what has been executed, rounded like money; zero before the first execution."""
        return round_money(self.filled_value / self.filled) if self.filled else ZERO


@dataclass(frozen=True, slots=True)
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
