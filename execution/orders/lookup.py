"""Whose a fact is: orders by permanent id, and by order id as far as it means something.

A fact finds its order by orderRef, else by permId, else by the order id of the current session; the last only
if our own client sent it and no other permId is known, because every client counts its order ids from 1. A
second order under one of our references, which a change that TWS took for a new order becomes, is not ours:
its permId tells. Nor is one that another client wrote under a reference of ours: its client id tells.
"""

from __future__ import annotations

from typing import TypeGuard

from execution.errors import UnknownOrderError
from execution.orders.entries import Entries
from execution.orders.entry import Entry
from execution.orders.evidence import (
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)

_MOST_DIGITS = 18


class Lookup:
    """The orders of a blotter by what the broker calls them.

    Parameters
    ----------
    entries
        The orders, by client order id.
    client_id
        The session's TWS client id; None takes order ids of any client as ours.
    """

    def __init__(self, entries: Entries, client_id: int | None) -> None:
        self.client_id = client_id
        self._entries = entries
        self._by_perm: dict[int, Entry] = {}
        self._by_session_id: dict[int, Entry] = {}

    def __len__(self) -> int:
        return max(len(self._by_perm), len(self._by_session_id))

    def of(self, evidence: Evidence) -> Entry | None:
        """Return the order of ours that a fact concerns; a commission names none."""
        if isinstance(evidence, ErrorSeen):
            return self.of_session_id(evidence.request_id)
        reference = getattr(evidence, "order_ref", "")
        perm_id = getattr(evidence, "perm_id", 0)
        if reference:
            entry = self._entries.get(reference)
            if entry is None or (perm_id and perm_id == entry.perm_id):
                return entry
            if perm_id and entry.perm_id:
                return None
            writer, teller = entry.client_id, getattr(evidence, "client_id", None)
            return entry if None in (writer, teller) or writer == teller else None
        if perm_id:
            entry = self.of_perm_id(perm_id)
            if entry is not None:
                return entry
        if self.client_id is not None and getattr(evidence, "client_id", None) != self.client_id:
            return None
        entry = self.of_session_id(getattr(evidence, "order_id", 0))
        return None if entry is not None and perm_id and entry.perm_id else entry

    def of_perm_id(self, perm_id: int) -> Entry | None:
        """Return an order by its permanent id."""
        return self._by_perm.get(perm_id) or self._entries.recall("perm_id", perm_id)

    def of_session_id(self, order_id: int) -> Entry | None:
        """Return an order by its id in the session under way."""
        return self._by_session_id.get(order_id) or self._entries.recall_by_order_id(order_id)

    def named(self, order_id: str) -> Entry | None:
        """Return an order by any of its ids; see `Blotter.find`."""
        found = [self._entries.get(order_id)]
        if order_id.isascii() and order_id.isdecimal() and len(order_id) <= _MOST_DIGITS:
            number = int(order_id)
            found += [self.of_perm_id(number), self.of_session_id(number)]
        orders = {entry.client_order_id: entry for entry in found if entry is not None}
        if len(orders) > 1:
            raise UnknownOrderError(
                f"{order_id} names two orders: {' and '.join(orders)}, one by its client order id and one by "
                "a number of the broker. Nothing was done. Use an id that only one of them has"
            )
        return next(iter(orders.values()), None)

    def is_addressable(self, entry: Entry) -> bool:
        """Return whether the order's id is known to name it in this session."""
        return self._by_session_id.get(entry.order_id) is entry

    # -- keeping ------------------------------------------------------------------------------------------

    def submitted(self, entry: Entry, before: Entry | None) -> None:
        """Take an order about to be written, in place of an attempt that was proven never sent."""
        entry.client_id = self.client_id
        if before is not None:
            self._by_session_id.pop(before.order_id, None)
        if not entry.dry_run:
            self._by_session_id[entry.order_id] = entry

    def address(self, entry: Entry) -> None:
        """Let an order's id of an earlier session name it in this one, unless it names another here."""
        self._by_session_id.setdefault(entry.order_id, entry)

    def bind(
        self, entry: Entry, seen: OpenOrderSeen | OrderStatusSeen | ExecutionSeen | CompletedOrderSeen
    ) -> None:
        """Learn from a fact of an order what the broker calls it."""
        entry.acknowledged = True
        if seen.perm_id and not entry.perm_id:
            entry.perm_id = seen.perm_id
            self._by_perm[seen.perm_id] = entry
        if self._gives_id(seen):
            self._by_session_id[seen.order_id] = entry

    def is_bound(self, entry: Entry, seen: OpenOrderSeen | OrderStatusSeen | CompletedOrderSeen) -> bool:
        """Return whether a fact of an order calls it by what it is known by already."""
        if not entry.acknowledged or (seen.perm_id and not entry.perm_id):
            return False
        return not self._gives_id(seen) or self._by_session_id.get(seen.order_id) is entry

    def _gives_id(self, seen: Evidence) -> TypeGuard[OpenOrderSeen]:
        """Return whether a fact tells an id by which this session may name an order."""
        return (
            isinstance(seen, OpenOrderSeen)
            and seen.order_id > 0
            and (self.client_id is None or seen.client_id == self.client_id)
        )

    def new_session(self) -> None:
        """Forget the order ids of the session before: they may be given to other orders."""
        self._by_session_id = {}

    def forget(self, entry: Entry) -> None:
        """Drop what an order that leaves memory is found by; the archive knows it by the same."""
        if self._by_perm.get(entry.perm_id) is entry:
            del self._by_perm[entry.perm_id]
        if self.is_addressable(entry):
            del self._by_session_id[entry.order_id]

    def remember(self, entry: Entry, addressable: bool) -> None:
        """Find an order again that comes back."""
        if entry.perm_id:
            self._by_perm[entry.perm_id] = entry
        if addressable:
            self._by_session_id.setdefault(entry.order_id, entry)
