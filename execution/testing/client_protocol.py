"""What code that trades may ask of a client, real or mock: type a parameter with it and inject either.

`execution.executor.IBKROrderExecutor` and `execution.testing.MockIBKRClient` both have these methods; their
docstrings say what they raise.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Protocol

from execution.desk.flattening import Flattened
from execution.desk.margin import MarginImpact
from execution.models import Order, OrderRequest, OrderType, Position


class IBKRClientProtocol(Protocol):
    """Submit, change, cancel and query orders; ask for positions, margins and the account."""

    @property
    def is_ready(self) -> bool:
        """Whether orders may be sent: connected, reconciled, and nothing questionable since."""

    async def ensure_ready(self) -> None:
        """Connect if needed and reconcile."""

    def submit(self, order: OrderRequest) -> Order:
        """Send one order and return it as PENDING without waiting."""

    def bracket(
        self, entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest
    ) -> tuple[Order, Order, Order]:
        """Send an entry with its two exits and return them as PENDING without waiting."""

    async def submit_order(self, request: OrderRequest) -> Order:
        """Send one order and wait for the broker's first answer."""

    async def submit_bracket(
        self, entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest
    ) -> tuple[Order, Order, Order]:
        """Send an entry with its two exits, all or none, and wait for the first answers."""

    async def modify_order(
        self,
        order_id: str,
        *,
        quantity: Decimal | None = None,
        limit_price: Decimal | None = None,
        stop_price: Decimal | None = None,
        trail_amount: Decimal | None = None,
        order_type: OrderType | None = None,
    ) -> Order:
        """Change an order at work and wait until the broker shows the new terms."""

    async def cancel_order(self, order_id: str) -> None:
        """Ask for the cancellation of an open order."""

    async def cancel_all(self) -> dict[str, str]:
        """Cancel every open order and wait for the confirmed ends."""

    async def flatten(self, account: str | None = None) -> Flattened:
        """Cancel every open order and close every position by market orders."""

    async def what_if(self, request: OrderRequest) -> MarginImpact:
        """Ask what an order would do to its account's margins."""

    async def get_order_status(self, order_id: str) -> Order:
        """Return an order, by any of its ids."""

    async def get_open_orders(self) -> list[Order]:
        """Return the orders that can still trade, UNKNOWN ones included."""

    async def get_positions(self) -> list[Position]:
        """Ask the broker for its positions."""

    async def get_account_summary(self, account: str | None = None) -> dict[str, Decimal]:
        """Return the broker's net liquidation value and cash, by TWS tag."""

    def orders(self) -> list[Order]:
        """Return every order, in order of submission."""
