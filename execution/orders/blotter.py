"""The order state machine: applies evidence to orders and says what changed.

Its only inputs are the journal's own records (an order submitted, released, a cancel asked for) and facts
from the broker, so folding the journal rebuilds it exactly. The rules:

1. A fact finds its order by orderRef, else by permId, else by the order id of the current session; the last
   only if our own client sent it and no other permId is known, because every client counts its order ids
   from 1. What fits no order of ours is external: counted and reported, never mixed in. So is a second order
   under one of our references, which a change that TWS took for a new order becomes: its permId tells.
2. The filled size is the sum of the executions, one per execution id without its correction suffix, the
   highest suffix winning; a bust is a correction to nothing. A status that claims more than the executions
   show leaves the order open until they arrive. What a correction takes away does not put an order to work
   again of which the broker said that it ended; one that was filled by its executions alone is open again.
3. An error code is evidence. It rejects an order only if its class says so and nobody acknowledged the order
   before; a code of unknown meaning makes a working order UNKNOWN, to be asked about.
4. A final state is left only by proof: a late execution still counts, a release needs reconciliation. An
   order that was taken as rejected or never sent, and is then seen working, is open again.
5. A change that was sent is open until the broker shows the new terms, refuses it, or the order ends; while
   it is, the order is full at the larger of both sizes, and a rejecting code means the change. Terms that
   nobody here asked for are the broker's (an OCA group reduced the order, a person changed it) and are taken;
   an order that they leave no larger than its executions is filled when the broker says so, not before.
6. What a person settled stands until the broker says otherwise: its executions take the place of entered
   ones, and an order that it shows at work is open again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from decimal import Decimal

from execution.book.adjustments import Adjustment
from execution.models import ZERO, Fill, OrderStatus
from execution.orders.changes import (
    Adjusted,
    Change,
    Corrected,
    External,
    ExternalChanged,
    Filled,
    Modified,
    StatusChanged,
    merged,
)
from execution.orders.codes import CodeClass, classify
from execution.orders.entries import Entries
from execution.orders.entry import Entry, Execution, parts_of
from execution.orders.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.orders.terms import ChangeOutcome, Modification, as_shown, higher_of, shows
from execution.reconciliation.claims import Claim, ClaimPolicy, ExternalOrder, Externals

__all__ = [
    "Adjusted",
    "Blotter",
    "Change",
    "Corrected",
    "Entry",
    "Execution",
    "External",
    "ExternalChanged",
    "Filled",
    "Modified",
    "StatusChanged",
    "merged",
]

_LIVE = {
    "PendingSubmit": OrderStatus.PENDING,
    "ApiPending": OrderStatus.PENDING,
    "PreSubmitted": OrderStatus.SUBMITTED,
    "Submitted": OrderStatus.SUBMITTED,
    "PendingCancel": OrderStatus.PENDING_CANCEL,
}
KEEP_ENDED = 2_000
"""Orders that have ended and stay in memory; the others are brought back when somebody asks for them."""
_MOST_EARLY_COMMISSIONS = 10_000
_CANCELLED = ("Cancelled", "ApiCancelled")
_CHANGE_CUT_OFF = "a change of it was under way when the session ended"
_AMENDED = "the broker shows terms that nobody here asked for"
_SHOWN = "the broker shows the new terms"
_ASSUMED_DEAD = (OrderStatus.REJECTED, OrderStatus.NOT_SENT)


class Blotter:
    """All orders of this journal, by client order id.

    Parameters
    ----------
    classify_code
        Meaning of a TWS code; replace it to teach the library a code that a new build sends.
    client_id
        The session's TWS client id; None takes order ids of any client as ours.
    keep_ended
        How many orders that have ended stay in memory; see `execution.orders.entries`.
    """

    def __init__(
        self,
        classify_code: Callable[[int], CodeClass] = classify,
        *,
        client_id: int | None = None,
        keep_ended: int = KEEP_ENDED,
    ) -> None:
        self.client_id = client_id
        self.entries = Entries(keep_ended)
        self.entries.is_addressable = self.is_addressable
        self.entries.dismissed, self.entries.recalled = self._dismissed, self._recalled
        self.classify = classify_code
        self._by_perm: dict[int, Entry] = {}
        self._by_session_id: dict[int, Entry] = {}
        self._by_execution: dict[str, tuple[Entry | ExternalOrder, Execution, int]] = {}
        self._early_commissions: dict[str, CommissionSeen] = {}
        self.last_order_id = 0
        self.ids_before_session = 0
        """The last order id that was used before this session."""
        self.claim: Claim | None = None
        """What of the account is ours; None, before it is said, takes only our own orders."""
        self.book_open = False
        """Whether the opening book is adopted: what was executed before is in it."""
        self.externals = Externals()
        self.actions: set[str] = set()
        """Corporate actions that are booked."""

    # -- our own acts ------------------------------------------------------------------------------

    def submitted(self, entry: Entry) -> None:
        """Take an order whose intent is durable; a new attempt replaces the one proven never sent."""
        before = self.entries.get(entry.client_order_id)
        if before is not None:
            self._by_session_id.pop(before.order_id, None)
        self.entries[entry.client_order_id] = entry
        parent = self.entries.get(entry.parent)
        if parent is not None:
            parent.exits = (*parent.exits, entry)
        if not entry.dry_run:
            self._by_session_id[entry.order_id] = entry
        self.last_order_id = max(self.last_order_id, entry.order_id)

    def released(self, client_order_id: str, reason: str) -> list[Change]:
        """Take the proof that an order never reached the broker."""
        return self._move(self.entries[client_order_id], OrderStatus.NOT_SENT, reason)

    def doubted(self, client_order_id: str, reason: str) -> list[Change]:
        """Take note that an order's fate is not known."""
        return self._move(self.entries[client_order_id], OrderStatus.UNKNOWN, reason)

    def resolved(
        self, client_order_id: str, status: OrderStatus, reason: str, entered: Iterable[Execution] = ()
    ) -> list[Change]:
        """Take what a person settled: the state the order ended in, and executions entered by hand."""
        entry = self.entries[client_order_id]
        entry.reported_filled = ZERO  # what its executions are has been said
        entry.resolved = True
        changes: list[Change] = []
        for execution in entered:
            entry.executions[execution.exec_id] = execution
            changes.append(Filled(entry.fill(execution), execution.exec_id))
        changes += self._move(entry, status, reason)
        self.entries.note(entry)
        return changes

    def adjusted(self, adjustment: Adjustment) -> list[Change]:
        """Take an adjustment of the book; a corporate action that is booked already changes nothing."""
        if adjustment.action and adjustment.action in self.actions:
            return []
        if adjustment.action:
            self.actions.add(adjustment.action)
        return [Adjusted(adjustment)]

    def externals_listed(self, keys: Iterable[str]) -> list[Change]:
        """Take a complete list of the open orders of others: those that are not in it have ended."""
        return [ExternalChanged(order) for order in self.externals.listed(set(keys))]

    def modifying(self, client_order_id: str, change: Modification) -> None:
        """Take a change whose intent is durable."""
        entry = self.entries[client_order_id]
        entry.modification, entry.modifications, entry.shown = change, change.number, None

    def modified(self, client_order_id: str, number: int, outcome: ChangeOutcome, why: str) -> list[Change]:
        """Take the end of a change; one that has ended before is left as it is."""
        entry = self.entries[client_order_id]
        if entry.modification is None or entry.modification.number != number:
            return []
        return self._end_change(entry, outcome, why)

    def is_addressable(self, entry: Entry) -> bool:
        """Return whether the order's id is known to name it in this session."""
        return self._by_session_id.get(entry.order_id) is entry

    def new_session(self) -> list[Change]:
        """Forget the order ids of the session before: they may be given to other orders.

        An order with a change under way is UNKNOWN from here on: whether it arrived must be asked for.
        """
        self._by_session_id = {}
        self.entries.session += 1
        self.ids_before_session = self.last_order_id
        changes: list[Change] = []
        for entry in self.entries.open():
            if entry.modification is not None and not entry.status.is_final:
                entry.shown = None
                changes += self._move(entry, OrderStatus.UNKNOWN, _CHANGE_CUT_OFF)
        return changes

    def find(self, order_id: str) -> Entry | None:
        """Find an order by client order id, permanent id, or session id."""
        entry = self.entries.get(order_id)
        if entry is None and order_id.isascii() and order_id.isdigit():
            entry = self._of_perm(int(order_id)) or self._of_session(int(order_id))
        return entry

    def owner_of(self, evidence: Evidence) -> str | None:
        """Return the client order id of the order that a fact concerns, as far as it is known by now."""
        if isinstance(evidence, CommissionSeen):
            found = self._of_execution(evidence.exec_id)
            return found[0].client_order_id if found and isinstance(found[0], Entry) else None
        entry = self._entry_of(evidence)
        return entry.client_order_id if entry else None

    def knows(self, evidence: Evidence) -> bool:
        """Return whether a fact is an execution or commission on record already, with the same figures.

        Every reconciliation asks for all executions of the day; taking one of these again changes nothing.
        """
        if not isinstance(evidence, ExecutionSeen | CommissionSeen):
            return False
        found = self._of_execution(evidence.exec_id)
        if found is None:
            return False
        holder, execution, correction = found
        if isinstance(evidence, CommissionSeen):
            return execution.commission == evidence.commission and execution.charged_by >= correction
        return (
            execution.exec_id == evidence.exec_id
            and execution.quantity == evidence.quantity
            and execution.price == evidence.price
            and execution.time == evidence.time
            and (
                not isinstance(holder, Entry) or (holder.acknowledged and holder.perm_id == evidence.perm_id)
            )
        )

    def twinned(self, order: ExternalOrder) -> Entry | None:
        """Return the order of ours under whose reference the broker holds this one beside it."""
        return self.entries.get(order.order_ref)

    def identities(self, client_order_id: str) -> dict[str, int | str | None]:
        """Return what else an order is known by: strategy, id within the session, permanent id."""
        entry = self.entries.get(client_order_id)
        if entry is None:
            return {}
        return {
            "strategy": entry.request.strategy,
            "session_order_id": entry.order_id,
            "perm_id": entry.perm_id or None,
        }

    def open_entries(self) -> list[Entry]:
        """Return the orders that are not final, in order of submission."""
        return self.entries.open()

    # -- what has left memory --------------------------------------------------------------------------

    def _dismissed(self, entry: Entry) -> None:
        """Drop what an order that leaves memory is found by; the archive knows it by the same."""
        if self._by_perm.get(entry.perm_id) is entry:
            del self._by_perm[entry.perm_id]
        if self.is_addressable(entry):
            del self._by_session_id[entry.order_id]
        for execution in entry.executions.values():
            found = self._by_execution.get(execution.exec_id)
            if found is not None and found[0] is entry:
                del self._by_execution[execution.exec_id]

    def _recalled(self, entry: Entry, addressable: bool) -> None:
        """Find an order again that comes back."""
        if entry.perm_id:
            self._by_perm[entry.perm_id] = entry
        if addressable:
            self._by_session_id.setdefault(entry.order_id, entry)
        for execution in entry.executions.values():
            if not execution.entered:
                self._by_execution[execution.exec_id] = (entry, execution, execution.correction)

    def _of_perm(self, perm_id: int) -> Entry | None:
        return self._by_perm.get(perm_id) or self.entries.recall("perm_id", perm_id)

    def _of_session(self, order_id: int) -> Entry | None:
        return self._by_session_id.get(order_id) or self.entries.recall_by_order_id(order_id)

    def _of_execution(self, exec_id: str) -> tuple[Entry | ExternalOrder, Execution, int] | None:
        if exec_id not in self._by_execution:
            self.entries.recall("exec_id", exec_id)
        return self._by_execution.get(exec_id)

    # -- what the broker said ------------------------------------------------------------------------

    def apply(self, evidence: Evidence) -> list[Change]:
        """Apply one fact; return what it changed, in order."""
        if isinstance(evidence, CommissionSeen):
            return self._commission(evidence)
        entry = self._entry_of(evidence)
        if entry is None:
            return [] if isinstance(evidence, ErrorSeen) else self._external(evidence)
        changes = self._applied(entry, evidence)
        self.entries.note(entry)
        return changes

    def _applied(
        self,
        entry: Entry,
        evidence: OpenOrderSeen | OrderStatusSeen | ExecutionSeen | CompletedOrderSeen | ErrorSeen,
    ) -> list[Change]:
        if isinstance(evidence, ErrorSeen):
            return self._error(entry, evidence)
        self._bind(entry, evidence)
        if isinstance(evidence, ExecutionSeen):
            return self._execution(entry, evidence)
        if isinstance(evidence, OrderStatusSeen):
            return self._status(entry, evidence.status, evidence.filled)
        if isinstance(evidence, CompletedOrderSeen):
            return self._status(entry, evidence.status, evidence.filled, evidence.detail)
        changes: list[Change] = []
        if entry.resolved or entry.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN, OrderStatus.NOT_SENT):
            entry.resolved = False
            changes = self._move(entry, self._working(entry))
        return changes + self._terms(entry, evidence)

    def _terms(self, entry: Entry, seen: OpenOrderSeen) -> list[Change]:
        """Compare the terms that the broker shows with those we know of."""
        if entry.status.is_final:
            return []
        change = entry.modification
        if change is not None:
            entry.shown = seen
            return (
                self._end_change(entry, ChangeOutcome.ACCEPTED, _SHOWN) if shows(seen, change.request) else []
            )
        if shows(seen, entry.request) or seen.quantity <= 0:
            return []
        entry.request = as_shown(seen, entry.request)
        if entry.reserved_price is not None:
            entry.reserved_price = higher_of(entry.reserved_price, entry.request.limit_price)
        # At a size that is executed already it is not taken as filled: the broker shows it at work, so
        # a correction of an execution may be on its way, after which the rest trades. Its own word ends it.
        return [Modified(entry.order(), 0, ChangeOutcome.ACCEPTED, _AMENDED)]

    def _end_change(self, entry: Entry, outcome: ChangeOutcome, why: str) -> list[Change]:
        change, entry.modification, entry.shown = entry.modification, None, None
        if change is None:
            return []
        entry.outcomes[change.number] = (outcome, why)
        if outcome is ChangeOutcome.ACCEPTED:
            entry.request, entry.reserved_price = change.request, change.reserved_price
        return [Modified(entry.order(), change.number, outcome, why), *self._full(entry)]

    def _full(self, entry: Entry) -> list[Change]:
        if entry.executions and entry.filled >= entry.larger.quantity and not entry.status.is_final:
            return self._move(entry, OrderStatus.FILLED)
        return []

    def _entry_of(self, evidence: Evidence) -> Entry | None:
        if isinstance(evidence, ErrorSeen):
            return self._of_session(evidence.request_id)
        reference = getattr(evidence, "order_ref", "")
        perm_id = getattr(evidence, "perm_id", 0)
        if reference:
            entry = self.entries.get(reference)
            twin = entry is not None and 0 != perm_id != entry.perm_id != 0
            return None if twin else entry
        if perm_id:
            entry = self._of_perm(perm_id)
            if entry is not None:
                return entry
        if self.client_id is not None and getattr(evidence, "client_id", None) != self.client_id:
            return None
        entry = self._of_session(getattr(evidence, "order_id", 0))
        return None if entry is not None and perm_id and entry.perm_id else entry

    def _bind(
        self, entry: Entry, seen: OpenOrderSeen | OrderStatusSeen | ExecutionSeen | CompletedOrderSeen
    ) -> None:
        entry.acknowledged = True
        if seen.perm_id and not entry.perm_id:
            entry.perm_id = seen.perm_id
            self._by_perm[seen.perm_id] = entry
        own = self.client_id is None or getattr(seen, "client_id", None) == self.client_id
        if isinstance(seen, OpenOrderSeen) and seen.order_id > 0 and own:
            self._by_session_id[seen.order_id] = entry

    def _status(self, entry: Entry, status: str, filled: Decimal, detail: str = "") -> list[Change]:
        entry.reported_filled = max(entry.reported_filled, filled)
        entry.inactive = status == "Inactive"
        entry.told_filled |= status == "Filled"
        if status in _CANCELLED:
            if entry.filled >= entry.request.quantity or entry.status is OrderStatus.REJECTED:
                return []
            return self._move(entry, OrderStatus.CANCELLED, entry.reason or detail or None)
        target = _LIVE.get(status)
        if target is OrderStatus.SUBMITTED:
            entry.survived_cancels += entry.refused_cancels
            entry.refused_cancels = 0
        assumed = entry.resolved or entry.status in _ASSUMED_DEAD
        if assumed and target in (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL):
            entry.resolved = False
            return self._move(entry, self._working(entry))
        if status == "Filled" or entry.status.is_final:
            # executions decide; what the broker ended is not reopened by a late status
            return self._told_filled(entry, filled) if status == "Filled" else []
        if entry.inactive:
            if entry.refusal is not None and not entry.executions:
                return self._move(entry, OrderStatus.REJECTED, entry.refusal)
            return self._move(entry, OrderStatus.UNKNOWN, "Inactive at the broker, no reason given yet")
        if target is OrderStatus.PENDING:
            return []  # on its way: it says no more than that TWS took it
        if target is None:
            return self._move(entry, OrderStatus.UNKNOWN, f"the broker reported status {status!r}")
        return self._move(entry, self._working(entry) if target is OrderStatus.SUBMITTED else target)

    def _told_filled(self, entry: Entry, filled: Decimal) -> list[Change]:
        """Tell by the size at which the broker calls an order filled which terms it had."""
        if entry.modification is None:
            if not entry.awaits_executions and entry.withdrawn and not entry.status.is_final:
                return self._move(entry, OrderStatus.FILLED)  # what corrections took does not trade again
            return [] if entry.awaits_executions else self._full(entry)
        if filled == entry.request.quantity:
            return self._end_change(entry, ChangeOutcome.OVERTAKEN, "it was filled before")
        if filled == entry.modification.request.quantity:
            return self._end_change(entry, ChangeOutcome.ACCEPTED, "it is filled at the new size")
        return []

    def _working(self, entry: Entry) -> OrderStatus:
        return OrderStatus.PARTIALLY_FILLED if entry.filled else OrderStatus.SUBMITTED

    def _execution(self, entry: Entry, seen: ExecutionSeen) -> list[Change]:
        base, correction = parts_of(seen.exec_id)
        known = entry.executions.get(base)
        if known is not None:
            return self._correction(entry, known, seen, correction)
        if correction > 1:
            entry.reported_filled = ZERO  # the reports before this counted figures that were never seen
        changes = self._replace_entered(entry, seen)
        execution = self._first_seen(entry, seen, base, correction)
        if not execution.quantity:
            return changes  # busted before it was ever seen
        changes.append(Filled(entry.fill(execution), seen.exec_id))
        if entry.modification is not None and entry.filled > entry.request.quantity:
            changes += self._end_change(entry, ChangeOutcome.ACCEPTED, "it is filled beyond the old size")
        return changes + self._counted(entry)

    def _counted(self, entry: Entry) -> list[Change]:
        """Move an order to where its executions put it."""
        if entry.filled >= entry.larger.quantity:
            return self._move(entry, OrderStatus.FILLED)
        if not entry.status.is_final or entry.status in _ASSUMED_DEAD:
            return self._move(entry, OrderStatus.PARTIALLY_FILLED)
        return []

    def _first_seen(
        self, holder: Entry | ExternalOrder, seen: ExecutionSeen, base: str, correction: int
    ) -> Execution:
        number = len(holder.executions) + 1
        execution = Execution(number, seen.exec_id, correction, seen.quantity, seen.price, seen.time)
        holder.executions[base] = execution
        self._by_execution[seen.exec_id] = (holder, execution, correction)
        early = self._early_commissions.pop(seen.exec_id, None)
        if early is not None:
            execution.charge(early.commission, correction)
        return execution

    def _correction(
        self, holder: Entry | ExternalOrder, known: Execution, seen: ExecutionSeen, correction: int
    ) -> list[Change]:
        """Take the newer figures of an execution; an older correction is out of date."""
        if known.correction >= correction:
            return []
        old = holder.fill(known)
        known.revise(seen, correction)
        self._by_execution[seen.exec_id] = (holder, known, correction)
        early = self._early_commissions.pop(seen.exec_id, None)
        if early is not None:
            known.charge(early.commission, correction)
        if isinstance(holder, Entry):
            holder.withdrawn += max(ZERO, old.quantity - known.quantity)
        what = "busted" if not known.quantity else f"corrected to {known.quantity} at {known.price}"
        reason = f"execution {seen.exec_id} of {old.quantity} at {old.price} {what}"
        changes = self._corrected(holder, known, old, reason)
        if isinstance(holder, Entry):
            if not known.quantity and holder.status is OrderStatus.PARTIALLY_FILLED:
                changes += self._move(holder, self._working(holder))
            elif known.quantity > old.quantity:
                changes += self._counted(holder)
            elif self._only_seemed_filled(holder):
                changes += self._move(holder, self._working(holder))
        return changes

    def _only_seemed_filled(self, entry: Entry) -> bool:
        """Return whether an order was filled by executions alone that now amount to less than its size.

        The broker may still work it: until it says that the order ended, the rest is open and reserved.
        """
        return (
            entry.status is OrderStatus.FILLED
            and not (entry.told_filled or entry.resolved)
            and entry.filled < entry.request.quantity
        )

    def _corrected(
        self, holder: Entry | ExternalOrder, execution: Execution, old: Fill, reason: str
    ) -> list[Change]:
        order = holder.order() if isinstance(holder, Entry) else None
        return [Corrected(old, holder.fill(execution), execution.exec_id, reason, order)]

    def _replace_entered(self, entry: Entry, seen: ExecutionSeen) -> list[Change]:
        """Take from the executions that a person entered what the broker now tells itself."""
        told, changes = seen.quantity, []
        for execution in entry.executions.values():
            if not execution.entered or not told or not execution.quantity:
                continue
            old, taken = entry.fill(execution), min(told, execution.quantity)
            told -= taken
            execution.quantity -= taken
            reason = f"execution {seen.exec_id} of the broker takes the place of what was entered by hand"
            changes += self._corrected(entry, execution, old, reason)
        return changes

    def _commission(self, seen: CommissionSeen) -> list[Change]:
        found = self._of_execution(seen.exec_id)
        if found is None:
            self._early_commissions[seen.exec_id] = seen
            if len(self._early_commissions) > _MOST_EARLY_COMMISSIONS:  # those of other clients' executions
                del self._early_commissions[next(iter(self._early_commissions))]
            return []
        holder, execution, correction = found
        old = None if execution.commission is None else holder.fill(execution)
        if not execution.charge(seen.commission, correction):
            return []
        if old is not None:
            reason = f"commission of {seen.exec_id} corrected from {old.commission} to {seen.commission}"
            return self._corrected(holder, execution, old, reason)
        external = isinstance(holder, ExternalOrder)
        return [Filled(holder.fill(execution), seen.exec_id, late_commission=True, external=external)]

    def _external(self, seen: Evidence) -> list[Change]:
        """Take a fact of somebody else's order, as far as the account is claimed."""
        changes: list[Change] = [External(seen)]
        claim = self.claim
        if claim is None:
            return changes
        if isinstance(seen, OrderStatusSeen):
            order = self.externals.take_status(seen)
            return changes if order is None else [*changes, ExternalChanged(order)]
        if not isinstance(seen, OpenOrderSeen | ExecutionSeen) or not claim.counts(
            seen.account, seen.symbol, seen.security_type
        ):
            return changes
        if isinstance(seen, OpenOrderSeen):
            return [*changes, ExternalChanged(*self.externals.take_open(seen))]
        if claim.policy is ClaimPolicy.REFUSE:
            return changes
        return changes + self._external_execution(seen)

    def _external_execution(self, seen: ExecutionSeen) -> list[Change]:
        order = self.externals.of(seen)
        base, correction = parts_of(seen.exec_id)
        known = order.executions.get(base)
        if known is not None:
            changes = self._correction(order, known, seen, correction)
            return [*changes, ExternalChanged(order)] if changes and order.is_open else changes
        execution = self._first_seen(order, seen, base, correction)
        if not execution.quantity or not self.book_open:
            return []
        changes = [Filled(order.fill(execution), seen.exec_id, external=True)]
        return [*changes, ExternalChanged(order)] if order.is_open else changes

    def _error(self, entry: Entry, seen: ErrorSeen) -> list[Change]:
        meaning = self.classify(seen.code)
        text = f"{seen.code}: {seen.text}"
        if entry.modification is not None and meaning in (CodeClass.REJECTS_NEW, CodeClass.MODIFY_REJECTED):
            return self._end_change(entry, ChangeOutcome.REFUSED, text)
        if meaning is CodeClass.CANCEL_REJECTED:
            entry.refused_cancels += 1
        if meaning is CodeClass.REJECTS_NEW:
            if entry.status.is_final:
                return []
            entry.reason = entry.refusal = text
            if not entry.acknowledged or (entry.inactive and not entry.executions):
                return self._move(entry, OrderStatus.REJECTED, text)
        elif meaning is CodeClass.UNKNOWN and not entry.status.is_final:
            return self._move(entry, OrderStatus.UNKNOWN, text)
        return []

    def _move(self, entry: Entry, status: OrderStatus, reason: str | None = None) -> list[Change]:
        if entry.status is status:
            return []
        old, entry.status = entry.status, status
        self.entries.note(entry)
        if reason is not None:
            entry.reason = reason
        changes: list[Change] = [StatusChanged(entry.order(), old)]
        if status.is_final and entry.modification is not None:
            changes += self._end_change(entry, ChangeOutcome.OVERTAKEN, f"the order is {status}")
        return changes
