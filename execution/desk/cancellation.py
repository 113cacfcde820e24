"""Cancels: one order or all, and the wait until the broker has confirmed each end.

A cancel is a request. An order is over when the broker says so; what it does not say in time is reported. It
goes out also where other orders are in doubt, positions differ or the journal cannot be written: none of that
may keep an order at work that somebody wants ended.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from execution.desk.desk import Desk
from execution.desk.gate import GateState
from execution.errors import JournalError, NotConnectedError, UnknownOrderError
from execution.models import OrderStatus
from execution.orders.blotter import Entry


class Cancellation:
    """Asks for the end of orders and waits for it."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def cancel(self, entry: Entry, why: str = "asked for") -> None:
        """Record and write the cancellation of one order; the broker's answer arrives as an event.

        Raises
        ------
        UnknownOrderError
            If the order is final.
        NotConnectedError
            If there is no session, TWS has lost the broker, or the order's number does not name it there;
            nothing was sent.
        """
        if entry.status.is_final:
            raise UnknownOrderError(
                f"order {entry.client_order_id} is {entry.status}; there is nothing to cancel"
            )
        self._require_way(entry)
        self._desk.manager.session.require_open_lane(reserve=0)
        self._desk.audit.log_order_cancelled(entry.client_order_id, why)
        try:
            self._desk.audit.commit()
        except JournalError as error:
            # It can only lessen what may trade, so it waits for no disk: its record is held and follows.
            self._desk.not_durable(error)
        self._desk.gate.cancelling(entry.client_order_id)
        self._desk.manager.session.cancel(entry.order_id)

    def _require_way(self, entry: Entry) -> None:
        """Raise unless a cancel can reach the order; other orders need not be settled for that."""
        desk = self._desk
        if entry.client_id not in (None, desk.manager.client_id):
            raise NotConnectedError(
                f"order {entry.client_order_id} was sent under client id {entry.client_id}, and this "
                f"connection has {desk.manager.client_id}; nothing was sent. Connect under that id"
            )
        seen_here = desk.blotter.is_addressable(entry)
        if not (seen_here and desk.gate.state is GateState.NOT_RECONCILED):
            desk.gate.require_open()

    def cancel_each(self, entries: Iterable[Entry], why: str) -> dict[str, str]:
        """Write the cancellation of orders; return those that could not be asked for, with the reason."""
        left: dict[str, str] = {}
        for entry in entries:
            if entry.status.is_final or entry.status is OrderStatus.PENDING_CANCEL:
                continue
            try:
                self.cancel(entry, why)
            except NotConnectedError as error:
                left[entry.client_order_id] = str(error)
        return left

    async def cancel_all(self, entries: list[Entry], why: str, timeout: float) -> dict[str, str]:  # noqa: ASYNC109 - the answers are awaited within it, not this call
        """Cancel orders and wait for their ends; return those that are not confirmed, with the reason."""
        loop_time = self._desk.loop_time
        deadline = loop_time() + timeout
        left = self.cancel_each(entries, why)
        while left and self._desk.manager.is_connected() and loop_time() < deadline:
            # Only the pace held these back: the lane is open again within a second.
            await self._desk.answers.pause(min(0.1, max(0.0, deadline - loop_time())))
            left = self.cancel_each([entry for entry in entries if entry.client_order_id in left], why)
        with suppress(TimeoutError):  # what is not confirmed is what this returns
            await self._desk.until(
                lambda: all(entry.status.is_final for entry in entries), max(0.0, deadline - loop_time())
            )
        return {
            entry.client_order_id: left.get(
                entry.client_order_id, f"its end is not confirmed: it is {entry.status}"
            )
            for entry in entries
            if not entry.status.is_final or entry.awaits_executions
        }
