"""What the broker first answers to an order that was written, and what it means that it does not."""

from __future__ import annotations

from execution.desk.desk import Desk
from execution.errors import AcknowledgementTimeoutError, OrderRejectedError
from execution.models import Order, OrderStatus
from execution.orders.entry import Entry


class Acknowledgement:
    """Waits for first answers.

    Parameters
    ----------
    desk
        Parts of the executor.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def of(self, order: Order) -> Order:
        """Return the order as it stands after the broker's first answer.

        Raises
        ------
        OrderRejectedError
            If the broker refused it.
        AcknowledgementTimeoutError
            If there was no answer in time; the order is UNKNOWN then.
        """
        entry: Entry = self._desk.blotter.entries[order.client_order_id or ""]
        if entry.status is OrderStatus.PENDING:
            await self._answer_to(entry)
        order = entry.order()
        if order.status is OrderStatus.REJECTED:
            raise OrderRejectedError(
                f"order {order.client_order_id} was rejected: {order.reason}", order=order
            )
        return order

    async def _answer_to(self, entry: Entry) -> None:
        timeout = self._desk.timeout
        try:
            await self._desk.until(lambda: entry.status is not OrderStatus.PENDING, timeout)
        except TimeoutError:
            why = f"no answer from the broker within {timeout:g} s"
            self._desk.doubt(entry, why)
            raise AcknowledgementTimeoutError(
                f"order {entry.client_order_id}: {why}; its state is UNKNOWN, do not send it again",
                entry.order(),
            ) from None
