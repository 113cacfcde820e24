"""The gate that orders pass: open while broker and journal are known to agree."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from execution.connection import IBKRConnectionManager
from execution.errors import NotConnectedError, NotReadyError
from execution.models import OrderStatus
from execution.orders.blotter import Blotter, Entry

_SWEEP_AT: Final = 256
"""Cancels of a session that are remembered before it is looked which of them still matter."""


class GateState(enum.StrEnum):
    """Whether orders may be sent, and what stands in their way.

    OPEN: connected, reconciled, and nothing questionable since. NOT_RECONCILED: there is a session, and the
    broker has to be asked first, or its answer did not agree. FROZEN: TWS has lost the broker. DISCONNECTED:
    there is no session.
    """

    OPEN = "open"
    NOT_RECONCILED = "not-reconciled"
    FROZEN = "frozen"
    DISCONNECTED = "disconnected"


@dataclass(slots=True)
class _Cancelling:
    """Cancels of one order that were written in one session."""

    entry: Entry
    epoch: int
    survivable: int
    """How many refused cancels the order has survived when all of these were refused."""

    def is_over(self) -> bool:
        """Return whether each was refused, and the broker showed the order at work after that."""
        return self.entry.survived_cancels >= self.survivable


class Gate:
    """Whether orders may be sent: connected, reconciled, and nothing questionable since.

    Parameters
    ----------
    manager, blotter
        The connection, and the orders.
    deadline
        Seconds after which an order or change without an answer closes the gate.

    Attributes
    ----------
    interruptions
        How often it was closed.
    on_written
        Called when something was written about an order.
    """

    def __init__(self, manager: IBKRConnectionManager, blotter: Blotter, deadline: float) -> None:
        self._manager = manager
        self._blotter = blotter
        self._deadline = deadline
        self._ready_epoch = 0
        self._opened_epoch = 0
        self._frozen_epoch = 0
        self.interruptions = 0
        self.on_written: Callable[[], None] = lambda: None
        self._unanswered: dict[str, tuple[Entry, float]] = {}
        self._cancels: dict[str, _Cancelling] = {}
        self._sweep_at = _SWEEP_AT

    @property
    def state(self) -> GateState:
        """What stands in the way of orders, if anything does."""
        if not self._manager.is_connected():
            return GateState.DISCONNECTED
        if self.is_frozen:
            return GateState.FROZEN
        return GateState.OPEN if self.is_open else GateState.NOT_RECONCILED

    @property
    def is_open(self) -> bool:
        """Whether orders may be sent."""
        return (
            not self.is_frozen
            and self._manager.is_connected()
            and self._ready_epoch == self._manager.epoch
            and self._manager.session.undecodable == 0
            and not self._overdue()
        )

    @property
    def is_frozen(self) -> bool:
        """Whether TWS said that it lost the broker; what it tells of orders may be out of date."""
        return self._frozen_epoch > 0 and self._frozen_epoch == self._manager.epoch

    @property
    def was_open(self) -> bool:
        """Whether orders could be sent at some time in this session."""
        return self._opened_epoch > 0 and self._opened_epoch == self._manager.epoch

    def require_open(self) -> None:
        """Raise unless orders may be sent.

        Raises
        ------
        NotConnectedError
            If there is no session.
        NotReadyError
            If there is one that is not reconciled, or TWS has lost the broker.
        """
        if not self.is_open:
            if not self._manager.is_connected():
                raise NotConnectedError("there is no session with the broker; nothing was sent")
            raise NotReadyError("orders and positions are not reconciled yet; nothing was sent")

    def open(self, epoch: int) -> None:
        """Let orders through on the session of this epoch."""
        self._ready_epoch = self._opened_epoch = epoch
        self._manager.reconciled()

    def close(self) -> None:
        """Let nothing through until a reconciliation that begins after this agrees."""
        self._ready_epoch = 0
        self.interruptions += 1

    def interrupt(self, *, frozen: bool) -> None:
        """Take note that TWS lost the broker, or is back: in either case orders must be asked for first."""
        self.close()
        self._frozen_epoch = self._manager.epoch if frozen else 0

    def wrote(self, client_order_id: str) -> None:
        """Start the deadline for the answer to what was just written about an order."""
        entry = self._blotter.entries[client_order_id]
        self._unanswered[client_order_id] = entry, asyncio.get_running_loop().time()
        self.on_written()

    @property
    def unanswered(self) -> dict[str, tuple[Entry, float]]:
        """The orders that have a deadline, by client order id, and when something was written about them."""
        return dict(self._unanswered)

    def forget(self, asked: Mapping[str, tuple[Entry, float]]) -> None:
        """Drop these deadlines: what became of the orders was asked. What was written since keeps its own."""
        for name, written in asked.items():
            if self._unanswered.get(name) == written:
                del self._unanswered[name]

    def cancelling(self, client_order_id: str) -> None:
        """Take note that an order's cancel is about to be written in this session."""
        epoch, entry = self._manager.epoch, self._blotter.entries[client_order_id]
        before = self._cancels.get(client_order_id)
        if before is not None and before.epoch == epoch and not before.is_over():
            before.survivable += 1
        else:
            if len(self._cancels) >= self._sweep_at:
                self._sweep()
            refused = entry.survived_cancels + entry.refused_cancels
            self._cancels[client_order_id] = _Cancelling(entry, epoch, refused + 1)

    def may_be_ending(self, entry: Entry) -> bool:
        """Return whether a cancel written in this session may have ended an order, whatever was told so far.

        A cancel ends the exits of an order and the mates of its group with it. One that the broker refused
        does not, once the broker has shown the order at work after that.
        """
        self._cancels = {
            name: one
            for name, one in self._cancels.items()
            if one.epoch == self._manager.epoch and not one.is_over()
        }
        return any(_ends_with(entry, one.entry) for one in self._cancels.values())

    def _sweep(self) -> None:
        """Forget the cancels of orders that the broker said are over and that can end no other either."""
        standing = self._blotter.open_entries()
        heads = {entry.parent for entry in standing if entry.parent}
        groups = {entry.request.oca_group for entry in standing if entry.request.oca_group is not None}
        self._cancels = {
            name: one
            for name, one in self._cancels.items()
            if not _is_over(one.entry)
            or not heads.isdisjoint((name, one.entry.parent))
            or one.entry.request.oca_group in groups
        }
        self._sweep_at = 2 * len(self._cancels) + _SWEEP_AT

    def _overdue(self) -> bool:
        for name in [name for name, (entry, _) in self._unanswered.items() if _is_answered(entry)]:
            del self._unanswered[name]
        if not self._unanswered:
            return False
        first = min(since for _, since in self._unanswered.values())
        return asyncio.get_running_loop().time() - first > self._deadline


def _is_answered(entry: Entry) -> bool:
    return entry.status is not OrderStatus.PENDING and entry.modification is None


def _is_over(entry: Entry) -> bool:
    """Return whether an order ended by the broker's own word, which nothing takes back."""
    cancelled = entry.status is OrderStatus.CANCELLED and not entry.resolved
    return cancelled or (entry.status is OrderStatus.FILLED and entry.told_filled)


def _ends_with(entry: Entry, cancelled: Entry) -> bool:
    group, parent = entry.request.oca_group, entry.parent
    return (
        entry is cancelled
        or (bool(parent) and parent in (cancelled.client_order_id, cancelled.parent))
        or (group is not None and group == cancelled.request.oca_group)
    )
