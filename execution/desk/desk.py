"""What the rooms of the executor share: its parts, and who waits for an answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache

import structlog

from execution.audit import AuditLogger
from execution.clocks import IdFactory, TradingClock
from execution.connection import IBKRConnectionManager
from execution.desk.gate import Gate
from execution.errors import (
    InvalidOrderError,
    JournalError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.models import Fill, Instrument, Order, OrderRequest
from execution.orders.blotter import Blotter
from execution.orders.changes import Change
from execution.orders.entry import Entry
from execution.orders.inbox import Inbox
from execution.orders.refusals import Refusals
from execution.validators import PreTradeValidator

READ_ONLY = "READ_ONLY"
_BETWEEN_LOOKS = 0.1
_log = structlog.get_logger("desk")


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


@lru_cache(maxsize=1024)
def _us_stock(symbol: str) -> Instrument:
    return Instrument(symbol)


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
    refusals: Refusals = field(default_factory=Refusals)

    def instrument(self, symbol: str) -> Instrument:
        """Return the contract of a symbol; one that was not given is taken as a US stock."""
        return self.instruments.get(symbol) or _us_stock(symbol)

    def loop_time(self) -> float:
        """Return the event loop's seconds, which deadlines are counted in."""
        return asyncio.get_running_loop().time()

    async def until(self, condition: Callable[[], bool], timeout: float) -> None:  # noqa: ASYNC109 - asyncio.timeout would cancel the waiter from outside
        """Wait until the condition holds, and apply what arrives meanwhile even if nobody else does.

        What cannot be made durable now is applied by a later look.

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
            try:
                self.inbox.close()
            except JournalError as error:
                # It was sent before: its fate is what the caller asks for, not the journal.
                self.not_durable(error)

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
        if request.account in accounts:
            return
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
        self._deliver(self.blotter.doubted(entry.client_order_id, why))

    def release(self, entry: Entry, why: str) -> None:
        """Record the proof that an order never reached the broker."""
        self.audit.log_release(entry.client_order_id, why)
        self._deliver(self.blotter.released(entry.client_order_id, why))

    def _deliver(self, changes: list[Change]) -> None:
        """Tell changes; what cannot be made durable now is held by journal and inbox, and follows."""
        try:
            self.inbox.deliver(changes)
        except JournalError as error:
            self.not_durable(error)

    def not_durable(self, error: JournalError) -> None:
        """Take note that a record is only held: nothing new is sent before a commit succeeds."""
        self.gate.close()
        _log.error("not durable yet; it follows with the next commit", why=str(error))
