"""How an order goes from one state to another, and what a change of it comes to.

Functions on one order: what they return is what happened to it, in order. Who calls them notes where the
order stands afterwards (`Entries.note`).
"""

from __future__ import annotations

from execution.models import OrderStatus
from execution.orders.changes import Change, Modified, StatusChanged
from execution.orders.entry import Entry
from execution.orders.terms import ChangeOutcome

ASSUMED_DEAD = (OrderStatus.REJECTED, OrderStatus.NOT_SENT)
"""Ends that we concluded; an order that is seen at work all the same is open again."""


def move(entry: Entry, status: OrderStatus, reason: str | None = None) -> list[Change]:
    """Put an order into a state; a final one ends the change that is open."""
    if entry.status is status:
        return []
    old, entry.status = entry.status, status
    if reason is not None:
        entry.reason = reason
    changes: list[Change] = [StatusChanged(entry.order(), old)]
    if status.is_final and entry.modification is not None:
        changes += end_change(entry, ChangeOutcome.OVERTAKEN, f"the order is {status}")
    return changes


def at_work(entry: Entry) -> list[Change]:
    """Put an order to work: with executions it is partially filled."""
    return move(entry, OrderStatus.PARTIALLY_FILLED if entry.filled else OrderStatus.SUBMITTED)


def end_change(entry: Entry, outcome: ChangeOutcome, why: str) -> list[Change]:
    """End the change that is open; accepted, its terms are the order's."""
    change, entry.modification, entry.shown = entry.modification, None, None
    if change is None:
        return []
    entry.outcomes[change.number] = (outcome, why)
    if outcome is ChangeOutcome.ACCEPTED:
        entry.request, entry.reserved_price = change.request, change.reserved_price
    return [Modified(entry.order(), change.number, outcome, why), *filled_if_full(entry)]


def filled_if_full(entry: Entry) -> list[Change]:
    """Take an order as filled whose executions have reached its size."""
    if entry.executions and entry.filled >= entry.larger.quantity and not entry.status.is_final:
        return move(entry, OrderStatus.FILLED)
    return []


def counted(entry: Entry) -> list[Change]:
    """Move an order to where its executions put it."""
    if entry.filled >= entry.larger.quantity:
        return move(entry, OrderStatus.FILLED)
    if not entry.status.is_final or entry.status in ASSUMED_DEAD:
        return move(entry, OrderStatus.PARTIALLY_FILLED)
    return []
