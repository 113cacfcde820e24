"""Executions and their costs: one per execution id without its correction suffix, the highest suffix winning.

An execution finds its order before it comes here; a commission names only the execution. One that comes
before its execution waits for it, the newest ten thousand of them: most are of other clients.
"""

from __future__ import annotations

from typing import Final

from execution.models import ZERO, Fill, OrderStatus
from execution.orders.changes import Change, Corrected, Filled
from execution.orders.entries import Entries
from execution.orders.entry import Entry, Execution, parts_of
from execution.orders.evidence import CommissionSeen, ExecutionSeen
from execution.orders.externals import Externals
from execution.orders.moves import at_work, counted, end_change
from execution.orders.terms import ChangeOutcome
from execution.reconciliation.claims import ExternalOrder

_MOST_EARLY: Final = 10_000
Holder = Entry | ExternalOrder
"""Whose execution it is."""
Found = tuple[Holder, Execution, int]
"""Whose an execution is, the execution, and the number of the correction of the id it was asked for by."""


class Executions:
    """The executions of all orders in memory, by execution id; the others come back with their orders.

    Parameters
    ----------
    entries, externals
        The orders, ours and those of others.
    """

    def __init__(self, entries: Entries, externals: Externals) -> None:
        self._entries = entries
        self._externals = externals
        self._known: dict[str, Found] = {}
        self._early: dict[str, CommissionSeen] = {}

    def __len__(self) -> int:
        return len(self._known)

    def of(self, exec_id: str) -> Found | None:
        """Return an execution with whose it is; None while it is not on record."""
        found = self._known.get(exec_id)
        if found is None and (self._entries.recall("exec_id", exec_id) or self._externals.recall(exec_id)):
            found = self._known.get(exec_id)
        return found

    def knows(self, seen: ExecutionSeen | CommissionSeen, found: Found | None) -> bool:
        """Return whether what was `found` of an execution or commission has the same figures."""
        if found is None:
            return False
        holder, execution, correction = found
        if isinstance(seen, CommissionSeen):
            told = execution.commission  # a Decimal takes long to differ from None
            return told is not None and told == seen.commission and execution.charged_by >= correction
        return (
            execution.exec_id == seen.exec_id
            and execution.quantity == seen.quantity
            and execution.price == seen.price
            and execution.time == seen.time
            and (not isinstance(holder, Entry) or (holder.acknowledged and holder.perm_id == seen.perm_id))
        )

    def forget(self, holder: Holder) -> None:
        """Drop the executions of an order that leaves memory."""
        for execution in holder.executions.values():
            for exec_id in execution.ids:
                found = self._known.get(exec_id)
                if found is not None and found[0] is holder:
                    del self._known[exec_id]

    def remember(self, holder: Holder) -> None:
        """Find the executions of an order that comes back."""
        for execution in holder.executions.values():
            if not execution.entered:
                for exec_id in execution.ids:
                    self._known[exec_id] = (holder, execution, parts_of(exec_id)[1])

    # -- what the broker said -----------------------------------------------------------------------------

    def take(self, entry: Entry, seen: ExecutionSeen) -> list[Change]:
        """Take an execution of one of our orders."""
        base, correction = parts_of(seen.exec_id)
        known = entry.executions.get(base)
        if known is not None:
            return self._correct(entry, known, seen, correction)
        if correction > 1:
            entry.counts_anew = True  # the next report is the first that counts what is seen now
        changes = _replace_entered(entry, seen)
        execution = self._first_seen(entry, seen, base, correction)
        if not execution.quantity:
            return changes  # busted before it was ever seen
        changes.append(Filled(entry.fill(execution), seen.exec_id))
        if entry.modification is not None and entry.filled > entry.request.quantity:
            changes += end_change(entry, ChangeOutcome.ACCEPTED, "it is filled beyond the old size")
        return changes + counted(entry)

    def take_external(self, order: ExternalOrder, seen: ExecutionSeen, *, booked: bool) -> list[Change]:
        """Take an execution of somebody else's order; what is in the opening book is not booked again."""
        base, correction = parts_of(seen.exec_id)
        known = order.executions.get(base)
        if known is not None:
            return self._correct(order, known, seen, correction)
        execution = self._first_seen(order, seen, base, correction)
        if not execution.quantity or not booked:
            return []
        return [Filled(order.fill(execution), seen.exec_id, external=True)]

    def charge(self, seen: CommissionSeen, found: Found | None) -> list[Change]:
        """Take what an execution cost, as far as that one was found."""
        if found is None:
            self._early[seen.exec_id] = seen
            if len(self._early) > _MOST_EARLY:
                del self._early[next(iter(self._early))]
            return []
        holder, execution, correction = found
        old = None if execution.commission is None else holder.fill(execution)
        if not execution.charge(seen.commission, correction):
            return []
        if old is not None:
            reason = f"commission of {seen.exec_id} corrected from {old.commission} to {seen.commission}"
            return [_corrected(holder, execution, old, reason)]
        external = isinstance(holder, ExternalOrder)
        return [Filled(holder.fill(execution), seen.exec_id, late_commission=True, external=external)]

    # -- parts --------------------------------------------------------------------------------------------

    def _first_seen(self, holder: Holder, seen: ExecutionSeen, base: str, correction: int) -> Execution:
        number = len(holder.executions) + 1
        execution = Execution(number, seen.exec_id, correction, seen.quantity, seen.price, seen.time)
        holder.executions[base] = execution
        self._join(holder, execution, correction)
        return execution

    def _join(self, holder: Holder, execution: Execution, correction: int) -> None:
        """Find an execution by the id that it has now, and charge what was told of it before."""
        self._known[execution.exec_id] = (holder, execution, correction)
        early = self._early.pop(execution.exec_id, None)
        if early is not None:
            execution.charge(early.commission, correction)

    def _correct(
        self, holder: Holder, known: Execution, seen: ExecutionSeen, correction: int
    ) -> list[Change]:
        """Take the newer figures of an execution; an older correction is out of date."""
        if known.correction >= correction:
            return []
        old = holder.fill(known)
        known.revise(seen, correction)
        self._join(holder, known, correction)
        holder.withdrawn += max(ZERO, old.quantity - known.quantity)
        what = "busted" if not known.quantity else f"corrected to {known.quantity} at {known.price}"
        reason = f"execution {seen.exec_id} of {old.quantity} at {old.price} {what}"
        changes: list[Change] = [_corrected(holder, known, old, reason)]
        if isinstance(holder, Entry):
            if not known.quantity and holder.status is OrderStatus.PARTIALLY_FILLED:
                changes += at_work(holder)
            elif known.quantity > old.quantity:
                changes += counted(holder)
            elif _only_seemed_filled(holder):
                changes += at_work(holder)
        return changes


def _only_seemed_filled(entry: Entry) -> bool:
    """Return whether an order was filled by executions alone that now amount to less than its size.

    The broker may still work it: until it says that the order ended, the rest is open and reserved.
    """
    return (
        entry.status is OrderStatus.FILLED
        and not (entry.told_filled or entry.resolved)
        and entry.filled < entry.request.quantity
    )


def _replace_entered(entry: Entry, seen: ExecutionSeen) -> list[Change]:
    """Take from the executions that a person entered what the broker now tells itself."""
    told = seen.quantity
    changes: list[Change] = []
    for execution in entry.executions.values():
        if not execution.entered or not told or not execution.quantity:
            continue
        old, taken = entry.fill(execution), min(told, execution.quantity)
        told -= taken
        execution.quantity -= taken
        reason = f"execution {seen.exec_id} of the broker takes the place of what was entered by hand"
        changes.append(_corrected(entry, execution, old, reason))
    return changes


def _corrected(holder: Holder, execution: Execution, old: Fill, reason: str) -> Corrected:
    order = holder.order() if isinstance(holder, Entry) else None
    return Corrected(old, holder.fill(execution), execution.exec_id, reason, order)
