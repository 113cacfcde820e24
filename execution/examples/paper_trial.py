"""What the steps of the paper checklist share: the client, the prices, and how a finding is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

from execution.clocks import TradingClock
from execution.errors import OrderRejectedError
from execution.examples.frame_recorder import FrameRecorder
from execution.executor import IBKROrderExecutor
from execution.models import Fill, Instrument, Order, OrderRequest, OrderStatus, OrderType, Side, TimeInForce

PATIENCE = 15.0
WORKING = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
ONE = Decimal(1)


class Wrong(Exception):  # noqa: N818 - a finding of the checklist, not a fault of it
    """The answer is not what it must be."""


class NotApplicable(Exception):  # noqa: N818
    """Nothing could be learned here; the text says why."""


@dataclass(slots=True)
class Trial:
    """What the steps share.

    `low` is a buy limit far below the market, `high` a price far above it; neither is reached. Orders are of
    one share.
    """

    executor: IBKROrderExecutor
    recorder: FrameRecorder
    clock: TradingClock
    account: str
    instrument: Instrument
    low: Decimal
    high: Decimal
    prefix: str
    patience: float = PATIENCE
    fills: list[Fill] = field(default_factory=list)
    bought: bool = False
    _numbers: count[int] = field(default_factory=lambda: count(1))

    @property
    def symbol(self) -> str:
        """What is traded."""
        return self.instrument.symbol

    def request(self, kind: OrderType, side: Side = Side.BUY, **terms: Any) -> OrderRequest:
        """Return an order of one share under an id of its own."""
        terms.setdefault("time_in_force", TimeInForce.DAY)
        terms.setdefault("symbol", self.symbol)
        name = f"{self.prefix}{next(self._numbers)}"
        return OrderRequest(
            quantity=terms.pop("quantity", ONE),
            order_type=kind,
            side=side,
            account=self.account,
            client_order_id=name,
            **terms,
        )

    async def placed(self, request: OrderRequest) -> str:
        """Submit an order that must be working, and return its id."""
        try:
            order = await self.executor.submit_order(request)
        except OrderRejectedError as refusal:
            raise NotApplicable(f"refused here: {refusal}") from refusal
        require(order.status in WORKING, f"{request.order_type} is {order.status}, not working")
        return order.client_order_id or ""

    async def cancelled(self, name: str) -> None:
        """Cancel an order and wait for its confirmed end."""
        await self.executor.cancel_order(name)
        await self.until(lambda: self.order(name).status.is_final, f"the end of {name}")
        status = self.order(name).status
        require(status is OrderStatus.CANCELLED, f"{name} ended {status}, not cancelled")

    def order(self, name: str) -> Order:
        """Return an order as it stands."""
        return self.executor.blotter.entries[name].order()

    async def until(self, true: Callable[[], bool], what: str) -> None:
        """Wait until something is true; raise `Wrong` if it is not in time."""
        for _ in range(int(self.patience / 0.05)):
            if true():
                return
            await asyncio.sleep(0.05)
        raise Wrong(f"{what} did not come within {self.patience:g} s")

    def on_order_status(self, order: Order) -> None:
        """Leave statuses to the blotter."""

    def on_fill(self, fill: Fill) -> None:
        """Take an execution."""
        self.fills.append(fill)

    def on_commission(self, fill: Fill) -> None:
        """Take a commission that came late."""
        self.fills = [fill if known.fill_id == fill.fill_id else known for known in self.fills]

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Leave refusals to the steps."""


def require(true: bool, otherwise: str) -> None:
    """Raise `Wrong` unless something is true."""
    if not true:
        raise Wrong(otherwise)
