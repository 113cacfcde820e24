"""Asks the broker by itself where something about an order was left open, and goes on until it is settled.

An unknown code, an order that became UNKNOWN or has no answer in time, a cancel told by its code alone: each
is asked about half a second later, whether or not anybody calls. A question that settles nothing is followed
by another after a pause that doubles, up to five minutes; one that somebody else asked meanwhile counts as
well. While there is no session, or TWS has lost the broker, there is nobody to ask: the next session begins
with a reconciliation anyhow, and 1101 and 1102 make one due.

The first reconciliation of a session is left to whoever uses the connection: it may have to prepare for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from execution.desk.desk import Desk
from execution.desk.gate import GateState
from execution.errors import ExecutionError
from execution.models import Fill, Order, OrderStatus
from execution.orders.entry import Entry

FIRST_PAUSE = 0.5
"""Seconds before the first question: what explains the rest is mostly right behind."""
LONGEST_PAUSE = 300.0
_CALM_SECONDS = 60.0
"""Without a question for so long the pauses begin anew."""


class Inquiry:
    """Makes sure that what is open about orders is asked for.

    Parameters
    ----------
    desk
        Parts of the executor.
    reconcile
        Asks with the way closed, and opens it if all agrees.
    check
        Asks while the way is open.
    """

    def __init__(
        self,
        desk: Desk,
        reconcile: Callable[[], Awaitable[object]],
        check: Callable[[], Awaitable[object]],
    ) -> None:
        self._desk = desk
        self._reconcile = reconcile
        self._check = check
        self._unknown: dict[str, Entry] = {}
        self._ended: dict[str, Entry] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._watching: asyncio.AbstractEventLoop | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._pause = FIRST_PAUSE
        self._asked_at = 0.0
        self._answers = 0
        self._answers_before = 0
        self._log = structlog.get_logger("inquiry")

    def due(self) -> None:
        """Ask soon, unless it is settled by then."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return  # nothing runs over which a broker could be asked
        if loop is self._loop and (self._timer is not None or self._task is not None):
            return
        if loop is not self._loop or loop.time() - self._asked_at > _CALM_SECONDS:
            self._loop, self._pause = loop, FIRST_PAUSE  # the connection may have been used in another loop
        self._wait(loop)

    def told_ended(self, entry: Entry) -> None:
        """Take a code by which an order has ended; its status may follow, or be lost."""
        self._ended[entry.client_order_id] = entry
        self.due()

    def watch(self) -> None:
        """Ask about what was just written to the broker, should it have no answer in time."""
        loop = asyncio.get_running_loop()
        if loop is not self._watching:
            self._watching = loop
            loop.call_later(self._desk.timeout + FIRST_PAUSE, self._look)

    def _look(self) -> None:
        self._watching = None
        gate = self._desk.gate
        if not gate.is_open:
            self.due()
        elif gate.unanswered:
            self.watch()

    def answered(self) -> None:
        """Take note that the broker was asked, by whomever."""
        self._answers += 1

    def on_order_status(self, order: Order) -> None:
        """Take an order whose state is not known any more."""
        if order.status is OrderStatus.UNKNOWN:
            entry = self._desk.blotter.entries.get(order.client_order_id or "")
            if entry is not None:
                self._unknown[entry.client_order_id] = entry
                self.due()

    def on_fill(self, fill: Fill) -> None:
        """Leave it to the change of status that goes with it."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Leave it to the change of status that goes with it."""

    def on_connected(self) -> None:
        """Leave the first question of a session to whoever uses it."""

    def on_disconnected(self) -> None:
        """Ask nothing more in this session."""
        self._unknown, self._ended = {}, {}
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        self._answers_before = self._answers
        self._timer = loop.call_later(self._pause, self._ring, loop)
        self._pause = min(LONGEST_PAUSE, 2 * self._pause)

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        if not self._is_due():
            return
        if self._answers != self._answers_before:
            self._wait(loop)  # somebody else looks after it
        else:
            self._task = loop.create_task(self._ask(loop), name="inquiry")

    async def _ask(self, loop: asyncio.AbstractEventLoop) -> None:
        unknown, ended = self._unknown, self._ended
        self._unknown, self._ended = {}, {}
        try:
            await (self._check if self._desk.gate.is_open else self._reconcile)()
        except ExecutionError as error:
            self._unknown, self._ended = unknown | self._unknown, ended | self._ended
            self._log.warning("not answered this time", code=error.code, why=str(error))
        finally:
            self._task, self._asked_at = None, loop.time()
        if self._is_due():
            self._wait(loop)

    def _is_due(self) -> bool:
        gate = self._desk.gate
        if gate.state is GateState.NOT_RECONCILED:
            return gate.was_open
        self._unknown = {n: e for n, e in self._unknown.items() if e.status is OrderStatus.UNKNOWN}
        self._ended = {name: entry for name, entry in self._ended.items() if not entry.status.is_final}
        return gate.is_open and bool(self._unknown or self._ended)
