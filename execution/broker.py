"""The two faces a strategy's step needs of whoever executes: submit an order, and know what stands."""

from __future__ import annotations

from abc import ABC, abstractmethod

from execution.models import Order, OrderRequest, Position


class ExecutionEngine(ABC):
    """Takes approved orders. Nothing is awaited: acknowledgements and fills arrive as events."""

    @abstractmethod
    def submit(self, order: OrderRequest) -> Order:
        """Evaluate, reserve, record and send one order.

        The same client order id with the same body returns the stored order and sends nothing.

        Raises
        ------
        RiskCheckError
            A rule refused it; nothing was sent.
        NotConnectedError
            There is no reconciled session; nothing was sent.
        OrderInDoubtError
            It may have been sent; the caller must not go on as if the bar were done.
        """

    def known(self, client_order_id: str) -> Order | None:  # noqa: ARG002 - the default knows nothing
        """Return the order that was recorded under this id and may have been sent; None if there is none."""
        return None


class BrokerAdapter(ABC):
    """A broker, seen without its wire."""

    @abstractmethod
    async def open_orders(self) -> list[Order]:
        """Return the orders that can still trade."""

    @abstractmethod
    async def positions(self) -> list[Position]:
        """Return the broker's positions; raise `BrokerUnavailableError` rather than return a guess."""

    @abstractmethod
    async def cancel(self, order_id: str) -> None:
        """Ask for the cancellation of an open order."""
