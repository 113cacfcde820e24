"""The orders of somebody else that are known: those that can still trade, those that ended last, the rest.

An account may see very many of them in the life of a process. Of those that have ended the newest stay in
memory, the others lie in a temporary file and come back when a fact names them or one of their executions.
One that may have traded unseen stays: what is in doubt because of it must find it.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any, Final

import structlog

from execution.models import Side
from execution.orders.evidence import ExecutionSeen, OpenOrderSeen, OrderStatusSeen
from execution.orders.scratch import Scratch, Sieve
from execution.reconciliation.claims import OVER, ExternalOrder, key_of

_AT_ONCE: Final = 32
_SCHEMA: Final = """
CREATE TABLE orders (key TEXT PRIMARY KEY, state BLOB);
CREATE TABLE executions (exec_id TEXT PRIMARY KEY, key TEXT) WITHOUT ROWID;
CREATE INDEX keys ON executions (key);
"""
_log = structlog.get_logger("externals")


class Externals:
    """Orders of somebody else by key.

    Parameters
    ----------
    keep_ended
        How many orders that have ended stay in memory.

    Attributes
    ----------
    dismissed, recalled
        Told each order that leaves memory, and each that comes back.
    """

    def __init__(self, keep_ended: int) -> None:
        self.dismissed: Callable[[ExternalOrder], None] = lambda _: None
        self.recalled: Callable[[ExternalOrder], None] = lambda _: None
        self._keep = keep_ended
        self._orders: dict[str, ExternalOrder] = {}
        self._ended: dict[str, None] = {}
        self._file = Scratch(_SCHEMA)
        self._known = Sieve()

    def __iter__(self) -> Iterator[ExternalOrder]:
        """Iterate over the orders in memory, oldest first."""
        return iter(self._orders.values())

    def __contains__(self, key: str) -> bool:
        return key in self._orders or bool(self._stored("SELECT 1 FROM orders WHERE key = ?", "key", key))

    def open(self) -> list[ExternalOrder]:
        """Return those that can still trade."""
        return [order for order in self._orders.values() if order.is_open]

    def of(self, seen: OpenOrderSeen | ExecutionSeen) -> ExternalOrder:
        """Return the order that a fact concerns, a new one if it is not known."""
        key = key_of(seen)
        order = self._get(key)
        if order is None:
            side = Side.BUY if seen.side == Side.BUY else Side.SELL  # a short sale has words of its own
            order = self._orders[key] = ExternalOrder(
                key, seen.perm_id, seen.client_id, seen.order_ref, seen.account, seen.symbol, side
            )
        return order

    def take_open(self, seen: OpenOrderSeen) -> tuple[ExternalOrder, bool]:
        """Take an order that the broker shows as open; return it, and whether it was not open before."""
        order = self.of(seen)
        appeared = not order.is_open
        order.quantity, order.limit_price, order.is_open = seen.quantity, seen.limit_price or None, True
        order.ended_unseen = False
        order.order_id = seen.order_id
        self.note(order)
        return order, appeared

    def take_status(self, seen: OrderStatusSeen) -> ExternalOrder | None:
        """Take a status; None if it concerns no order that is known, or says nothing new."""
        order = self._orders.get(key_of(seen))  # one that is open is in memory
        if order is None or not order.is_open:
            return None
        before = (order.is_open, order.remaining)
        order.count(seen.filled)
        order.is_open = seen.status not in OVER
        self.note(order)
        return None if (order.is_open, order.remaining) == before else order

    def listed(self, keys: set[str]) -> list[ExternalOrder]:
        """Take a complete list of open orders; return those that ended unseen."""
        ended = [order for order in self.open() if order.key not in keys]
        for order in ended:
            order.is_open, order.ended_unseen = False, True
            self.note(order)
        return ended

    # -- keeping ------------------------------------------------------------------------------------------

    def note(self, order: ExternalOrder) -> None:
        """Take note of where an order stands, after anything was done to it."""
        if order.is_open or order.may_have_traded_unseen:
            self._ended.pop(order.key, None)
            return
        self._ended[order.key] = None
        if len(self._ended) >= self._keep + _AT_ONCE:
            self._dismiss()

    def recall(self, exec_id: str) -> ExternalOrder | None:
        """Bring an order back by one of its executions; None if it is not in the file."""
        found = self._stored("SELECT key FROM executions WHERE exec_id = ?", "exec_id", exec_id)
        return self._get(found[0][0]) if found else None

    def _get(self, key: str) -> ExternalOrder | None:
        order = self._orders.get(key)
        if order is not None:
            return order
        found = self._stored("SELECT state FROM orders WHERE key = ?", "key", key)
        if not found:
            return None
        back: ExternalOrder = pickle.loads(found[0][0])  # noqa: S301  # nosec B301  # written by this process
        self._file.rows("DELETE FROM orders WHERE key = ?", key)
        self._file.rows("DELETE FROM executions WHERE key = ?", key)
        self._orders[key] = back
        self._ended[key] = None
        self.recalled(back)
        return back

    def _stored(self, statement: str, kind: str, key: str) -> list[tuple[Any, ...]]:
        return self._file.rows(statement, key) if self._known.may_hold(kind, key) else []

    def _dismiss(self) -> None:
        """Let the orders that ended first leave memory."""
        leaving = [self._orders[key] for key, _ in zip(self._ended, range(_AT_ONCE), strict=False)]
        executions = [
            (exec_id, order.key)
            for order in leaving
            for execution in order.executions.values()
            for exec_id in execution.ids
        ]
        states = [(order.key, pickle.dumps(order, pickle.HIGHEST_PROTOCOL)) for order in leaving]
        try:
            self._file.write(
                [
                    ("INSERT INTO orders VALUES (?, ?)", states),
                    ("INSERT OR REPLACE INTO executions VALUES (?, ?)", executions),
                ]
            )
        except sqlite3.Error as error:
            _log.error("orders of others stay in memory: no temporary file", why=str(error))
            self._keep += _AT_ONCE  # tried again when as many more have ended
            return
        for exec_id, _ in executions:
            self._known.add("exec_id", exec_id)
        for order in leaving:
            self._known.add("key", order.key)
            del self._orders[order.key], self._ended[order.key]
            self.dismissed(order)
