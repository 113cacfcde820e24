"""An execution engine that records, a clock that stands, a handler that remembers, bars made of closes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import pandas as pd

from execution.broker import ExecutionEngine
from execution.clocks import NANOS, timestamp
from execution.errors import DuplicateOrderError, RiskCheckError
from execution.models import Bar, Fill, Order, OrderRequest, OrderStatus

MINUTE_NS = 60 * NANOS
START = pd.Timestamp("2018-01-02 14:30", tz="UTC")


class FixedClock:
    """A trading and wall clock that shows what it is set to."""

    def __init__(self, now: pd.Timestamp = START) -> None:
        self.ns = int(now.as_unit("ns").value)

    def now_ns(self) -> int:
        """Return the set time in UTC nanoseconds."""
        return self.ns

    def monotonic(self) -> float:
        """Return the set time in seconds."""
        return self.ns / NANOS

    def advance(self, seconds: float) -> None:
        """Move forward."""
        self.ns += int(seconds * NANOS)


class RecordingExecutionEngine(ExecutionEngine):
    """Accepts every order, keeps it, and sends nothing.

    Attributes
    ----------
    orders
        What was accepted, by client order id in order of submission.
    failure
        Raised by the next `submit`, once, if it is set.
    """

    def __init__(self, clock: FixedClock | None = None) -> None:
        self.orders: dict[str, Order] = {}
        self.requests: dict[str, OrderRequest] = {}
        self.failure: Exception | None = None
        self._clock = clock or FixedClock()
        self._numbers = count(1)

    def submit(self, order: OrderRequest) -> Order:
        """Keep an order; the same id with the same body returns the stored one."""
        if self.failure is not None:
            failure, self.failure = self.failure, None
            raise failure
        number = next(self._numbers)
        request = replace(order, client_order_id=order.client_order_id or f"order-{number}")
        name = request.client_order_id or ""
        if name in self.requests:
            if self.requests[name] != request:
                raise DuplicateOrderError(f"client order id {name} was used for another order")
            return self.orders[name]
        self.requests[name] = request
        self.orders[name] = Order(
            order_id=str(number),
            client_order_id=name,
            symbol=request.symbol,
            quantity=request.quantity,
            order_type=request.order_type,
            side=request.side,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            status=OrderStatus.PENDING,
            submitted_at=timestamp(self._clock.now_ns()),
            time_in_force=request.time_in_force,
            account=request.account,
            strategy=request.strategy,
        )
        return self.orders[name]

    def refuse_next(self, rule: str = "TEST") -> None:
        """Refuse the next order as a risk rule would."""
        self.failure = RiskCheckError(f"refused by rule {rule}", rule=rule)


class RecordingHandler:
    """Takes order and connection events and remembers them as (hook, subject)."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Order | Fill | str | None]] = []

    def on_order_status(self, order: Order) -> None:
        """Remember a status."""
        self.events.append(("status", order))

    def on_fill(self, fill: Fill) -> None:
        """Remember an execution."""
        self.events.append(("fill", fill))

    def on_commission(self, fill: Fill) -> None:
        """Remember a commission that came late."""
        self.events.append(("commission", fill))

    def on_order_rejected(self, order: Order, reason: str) -> None:  # noqa: ARG002 - the reason is kept
        """Remember why the broker refused."""
        self.events.append(("rejected", reason))

    def on_connected(self) -> None:
        """Remember a connection."""
        self.events.append(("connected", None))

    def on_disconnected(self) -> None:
        """Remember its loss."""
        self.events.append(("disconnected", None))

    def names(self) -> list[str]:
        """Return the hooks in the order of their calls."""
        return [name for name, _ in self.events]


def bars_from_closes(
    closes: Sequence[float],
    symbol: str = "AAA",
    *,
    start: pd.Timestamp = START,
    span_ns: int = MINUTE_NS,
    volume: float = 1000.0,
) -> list[Bar]:
    """Return flat bars, one after the other: each opens, trades and closes at its close.

    Parameters
    ----------
    closes
        Prices.
    symbol
        Symbol of every bar.
    start
        Open of the first bar.
    span_ns
        Length of a bar in nanoseconds.
    volume
        Volume of every bar.
    """
    first = int(start.as_unit("ns").value)
    return [
        Bar(symbol, first + i * span_ns, first + (i + 1) * span_ns, close, close, close, close, volume)
        for i, close in enumerate(closes)
    ]
