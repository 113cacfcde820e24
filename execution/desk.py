"""What the rooms of the executor share: its parts, the gate that orders pass, and who waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from execution.audit import AuditLogger
from execution.blotter import Blotter, Entry
from execution.clocks import IdFactory, TradingClock
from execution.connection import IBKRConnectionManager
from execution.errors import (
    InvalidOrderError,
    NotConnectedError,
    NotReadyError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.events import RiskDecision
from execution.inbox import Inbox
from execution.models import Fill, Instrument, Order, OrderRequest, OrderStatus
from execution.validators import PreTradeValidator

READ_ONLY = "READ_ONLY"
_BETWEEN_LOOKS = 0.1


class Gate:
    """Whether orders may be sent: connected, reconciled, and nothing questionable since.

    Parameters
    ----------
    manager, blotter
        The connection, and the orders.
    deadline
        Seconds after which an order or change without an answer closes the gate.
    """

    def __init__(self, manager: IBKRConnectionManager, blotter: Blotter, deadline: float) -> None:
        self._manager = manager
        self._blotter = blotter
        self._deadline = deadline
        self._ready_epoch = 0
        self._frozen_epoch = 0
        self.interruptions = 0
        self._unanswered: dict[str, float] = {}

    @property
    def is_open(self) -> bool:
        """Whether orders may be sent."""
        return (
            not self.is_frozen
            and self._manager.is_connected()
            and self._ready_epoch == self._manager.epoch
            and self._manager.session.undecodable == 0
            and not self._blotter.corrected
            and not self._overdue()
        )

    @property
    def is_frozen(self) -> bool:
        """Whether TWS said that it lost the broker; what it tells of orders may be out of date."""
        return self._frozen_epoch > 0 and self._frozen_epoch == self._manager.epoch

    def require_open(self) -> None:
        """Raise unless orders may be sent.

        Raises
        ------
        NotConnectedError
            If there is no session.
        NotReadyError
            If there is one that is not reconciled, or TWS has lost the broker.
        """
        if not self._manager.is_connected():
            raise NotConnectedError("there is no session with the broker; nothing was sent")
        if not self.is_open:
            raise NotReadyError("orders and positions are not reconciled yet; nothing was sent")

    def open(self, epoch: int) -> None:
        """Let orders through on the session of this epoch."""
        self._ready_epoch = epoch
        self._manager.reconciled()

    def close(self) -> None:
        """Let nothing through until the next reconciliation."""
        self._ready_epoch = 0

    def interrupt(self, *, frozen: bool) -> None:
        """Take note that TWS lost the broker, or is back: in either case orders must be asked for first."""
        self.close()
        self.interruptions += 1
        self._frozen_epoch = self._manager.epoch if frozen else 0

    def wrote(self, client_order_id: str) -> None:
        """Start the deadline for the answer to what was just written about an order."""
        self._unanswered[client_order_id] = asyncio.get_running_loop().time()

    def forget(self) -> None:
        """Drop the deadlines: what is open is being asked for."""
        self._unanswered.clear()

    def _overdue(self) -> bool:
        for name in [name for name in self._unanswered if self._answered(name)]:
            del self._unanswered[name]
        if not self._unanswered:
            return False
        waited = asyncio.get_running_loop().time() - min(self._unanswered.values())
        return waited > self._deadline

    def _answered(self, client_order_id: str) -> bool:
        entry = self._blotter.entries[client_order_id]
        return entry.status is not OrderStatus.PENDING and entry.modification is None


class Answers:
    """Wakes those who wait until something is true of an order; told each change as an order handler."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], bool], asyncio.Future[None]]] = []

    async def until(self, condition: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - asyncio.timeout would cancel the waiter from outside
        """Wait until the condition holds; it is asked now and after each change of an order.

        Raises
        ------
        TimeoutError
            If it does not hold in time.
        """
        if condition():
            return
        waiter = (condition, asyncio.get_running_loop().create_future())
        self._waiting.append(waiter)
        try:
            await asyncio.wait_for(waiter[1], timeout)
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    async def pause(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def on_order_status(self, order: Order) -> None:  # noqa: ARG002 - whose order it is the conditions know
        """Take a change of an order."""
        if not self._waiting:
            return
        for condition, future in tuple(self._waiting):
            if not future.done() and condition():
                future.set_result(None)

    def on_fill(self, fill: Fill) -> None:
        """Leave it to the change of status that goes with it."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Leave it to the change of status that goes with it."""


@dataclass(slots=True)
class Desk:
    """The executor's parts, as its rooms use them."""

    manager: IBKRConnectionManager
    audit: AuditLogger
    blotter: Blotter
    inbox: Inbox
    gate: Gate
    clock: TradingClock
    validator: PreTradeValidator | None
    instruments: dict[str, Instrument]
    new_id: IdFactory
    account: str | None
    timeout: float
    dry_run: bool
    round_orders: bool
    answers: Answers = field(default_factory=Answers)
    refusals: dict[str, tuple[OrderRequest, RiskDecision]] = field(default_factory=dict)

    def instrument(self, symbol: str) -> Instrument:
        """Return the contract of a symbol; one that was not given is taken as a US stock."""
        return self.instruments.get(symbol) or Instrument(symbol)

    def loop_time(self) -> float:
        """Return the event loop's seconds, which deadlines are counted in."""
        return asyncio.get_running_loop().time()

    async def until(self, condition: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - asyncio.timeout would cancel the waiter from outside
        """Wait until the condition holds, and apply what arrives meanwhile even if nobody else does.

        Raises
        ------
        TimeoutError
            If it does not hold in time.
        """
        deadline = self.loop_time() + timeout
        while not condition():
            left = deadline - self.loop_time()
            if left <= 0:
                raise TimeoutError
            with suppress(TimeoutError):
                await self.answers.until(condition, min(_BETWEEN_LOOKS, left))
            self.inbox.close()

    def find(self, order_id: str) -> Entry:
        """Return an order by any of its ids; raise `UnknownOrderError` if there is none."""
        entry = self.blotter.find(order_id)
        if entry is None:
            raise UnknownOrderError(
                f"no order {order_id!r} is known; `trade orders list` shows those that are"
            )
        return entry

    def require_writable(self, what: str) -> None:
        """Raise `RiskCheckError` if the connection is read-only."""
        if self.manager.readonly:
            raise RiskCheckError(f"the connection is read-only; nothing was {what}", rule=READ_ONLY)

    def require_account(self, request: OrderRequest) -> None:
        """Raise `InvalidOrderError` unless the order names an account of this login, or there is only one."""
        accounts = self.manager.session.accounts
        known = ", ".join(accounts)
        if request.account is None and len(accounts) > 1:
            raise InvalidOrderError(f"account: this login has several ({known}); name one. Nothing was sent")
        if request.account is not None and accounts and request.account not in accounts:
            raise InvalidOrderError(
                f"account {request.account}: this login has {known}; name one of them. Nothing was sent"
            )

    def doubt(self, entry: Entry, why: str) -> None:
        """Record that an order's fate is not known; nothing is sent until the broker was asked."""
        self.gate.close()
        self.audit.log_doubt(entry.client_order_id, why)
        self.inbox.deliver(self.blotter.doubted(entry.client_order_id, why))

    def release(self, entry: Entry, why: str) -> None:
        """Record the proof that an order never reached the broker."""
        self.audit.log_release(entry.client_order_id, why)
        self.inbox.deliver(self.blotter.released(entry.client_order_id, why))
