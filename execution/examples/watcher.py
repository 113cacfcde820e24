"""An order event handler that prints, and lets a program wait for what the broker says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from execution.models import Fill, Order

PATIENCE_SECONDS = 30.0


class Watcher:
    """Prints what happens to orders; `until` waits for a change."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def on_order_status(self, order: Order) -> None:
        """Take a change of status; what is told here is already durable in the journal."""
        print(
            f"  {order.client_order_id}: {order.status}, {order.filled_quantity} of {order.quantity} filled"
        )
        self._changed.set()

    def on_fill(self, fill: Fill) -> None:
        """Take an execution."""
        print(f"  {fill.client_order_id}: filled {fill.quantity} at {fill.price}")

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Take a refusal of the broker."""
        print(f"  {order.client_order_id}: rejected, {reason}")

    async def until(self, true: Callable[[], bool]) -> bool:
        """Wait until something is true; return False if it is not within `PATIENCE_SECONDS`."""
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not true():
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return False
        return True
