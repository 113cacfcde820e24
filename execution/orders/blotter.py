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
   before, in the session that wrote it: later it answers the cancel by which the order was asked for. A code
   of unknown meaning makes a working order UNKNOWN, to be asked about.
4. A final state is left only by proof: a late execution still counts, a release needs reconciliation. An
   order that was taken as rejected or never sent, and is then seen working, is open again.
5. A change that was sent is open until the broker shows the new terms, refuses it, or the order ends; while
   it is, the order is full at the larger of both sizes, and a rejecting code means the change. Terms that
   nobody here asked for are the broker's (an OCA group reduced the order, a person changed it) and are taken;
   an order that they leave no larger than its executions is filled when the broker says so, not before.
6. What a person settled stands until the broker says otherwise: its executions take the place of entered
   ones, and an order that it shows at work is open again.

The parts: `lookup` says whose a fact is, `reports` and `executions` what it does to its order, `moves` how an
order goes from one state to another; `entries` keeps the orders.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from execution.book.adjustments import Adjustment
from execution.models import ZERO, OrderStatus
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
from execution.orders.entry import Entry, Execution
from execution.orders.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.orders.executions import Executions, Found
from execution.orders.externals import Externals
from execution.orders.lookup import Lookup
from execution.orders.moves import end_change, move
from execution.orders.reports import says_nothing_new, take_error, take_open, take_status
from execution.orders.terms import ChangeOutcome, Modification
from execution.reconciliation.claims import Claim, ClaimPolicy, ExternalOrder

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

_EXECUTED = (ExecutionSeen, CommissionSeen)
_REPORTS = (OpenOrderSeen, OrderStatusSeen, CompletedOrderSeen)

KEEP_ENDED = 2_000
"""Orders that have ended and stay in memory; the others are brought back when somebody asks for them."""
_CHANGE_CUT_OFF = "a change of it was under way when the session ended"


class Subject(NamedTuple):
    """What a fact is about: the order of ours, and of an execution or its commission what is on record."""

    entry: Entry | None
    found: Found | None = None

    @property
    def owner(self) -> str | None:
        """The client order id of the order of ours."""
        return None if self.entry is None else self.entry.client_order_id


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
        self.entries = Entries(keep_ended)
        self._lookup = Lookup(self.entries, client_id)
        self.externals = Externals(keep_ended)
        self._executions = Executions(self.entries, self.externals)
        self.entries.is_addressable = self._lookup.is_addressable
        self.entries.dismissed, self.entries.recalled = self._dismissed, self._recalled
        self.externals.dismissed = self._executions.forget
        self.externals.recalled = self._executions.remember
        self.classify = classify_code
        self.last_order_id = 0
        self.ids_before_session = 0
        """The last order id that was used before this session."""
        self.claim: Claim | None = None
        """What of the account is ours; None, before it is said, takes only our own orders."""
        self.book_open = False
        """Whether the opening book is adopted: what was executed before is in it."""
        self.actions: set[str] = set()
        """Corporate actions that are booked."""

    @property
    def client_id(self) -> int | None:
        """The session's TWS client id; None takes order ids of any client as ours."""
        return self._lookup.client_id

    @client_id.setter
    def client_id(self, client_id: int | None) -> None:
        self._lookup.client_id = client_id

    # -- our own acts ------------------------------------------------------------------------------

    def submitted(self, entry: Entry) -> None:
        """Take an order whose intent is durable; a new attempt replaces the one proven never sent."""
        before = self.entries.get(entry.client_order_id)
        self.entries[entry.client_order_id] = entry
        parent = self.entries.get(entry.parent) if entry.parent else None
        if parent is not None:
            parent.exits = (*parent.exits, entry)
        self._lookup.submitted(entry, before)
        self.last_order_id = max(self.last_order_id, entry.order_id)

    def released(self, client_order_id: str, reason: str) -> list[Change]:
        """Take the proof that an order never reached the broker."""
        return self._put(client_order_id, OrderStatus.NOT_SENT, reason)

    def doubted(self, client_order_id: str, reason: str) -> list[Change]:
        """Take note that an order's fate is not known."""
        return self._put(client_order_id, OrderStatus.UNKNOWN, reason)

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
        changes += move(entry, status, reason)
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
        changes = end_change(entry, outcome, why)
        self.entries.note(entry)
        return changes

    def addressed(self, client_order_id: str) -> None:
        """Let an order be named by its id of an earlier session: it is about to be asked for by that."""
        self._lookup.address(self.entries[client_order_id])

    def is_addressable(self, entry: Entry) -> bool:
        """Return whether the order's id is known to name it in this session."""
        return self._lookup.is_addressable(entry)

    def new_session(self) -> list[Change]:
        """Forget the order ids of the session before: they may be given to other orders.

        An order with a change under way is UNKNOWN from here on: whether it arrived must be asked for.
        """
        self._lookup.new_session()
        self.entries.session += 1
        self.ids_before_session = self.last_order_id
        changes: list[Change] = []
        for entry in self.entries.open():
            if entry.modification is not None and not entry.status.is_final:
                entry.shown = None
                changes += move(entry, OrderStatus.UNKNOWN, _CHANGE_CUT_OFF)
        return changes

    def find(self, order_id: str) -> Entry | None:
        """Find an order by client order id, permanent id, or session id.

        Raises
        ------
        UnknownOrderError
            If it is the one id of one order and another id of another.
        """
        return self._lookup.named(order_id)

    def subject_of(self, evidence: Evidence) -> Subject:
        """Return what a fact is about, looked up once for all that is asked and done about it."""
        if isinstance(evidence, CommissionSeen):
            found = self._executions.of(evidence.exec_id)
            return Subject(found[0] if found and isinstance(found[0], Entry) else None, found)
        if isinstance(evidence, ExecutionSeen):
            found = self._executions.of(evidence.exec_id)
            return Subject(self._lookup.of(evidence), found)
        return Subject(self._lookup.of(evidence))

    def owner_of(self, evidence: Evidence) -> str | None:
        """Return the client order id of the order that a fact concerns, as far as it is known by now."""
        return self.subject_of(evidence).owner

    def knows(self, evidence: Evidence, about: Subject | None = None) -> bool:
        """Return whether a fact is an execution or commission on record already, with the same figures.

        Every reconciliation asks for all executions of the day; taking one of these again changes nothing.
        """
        found = (about or self.subject_of(evidence)).found
        return isinstance(evidence, _EXECUTED) and self._executions.knows(evidence, found)

    def repeats(self, evidence: Evidence, about: Subject | None = None) -> bool:
        """Return whether a report of an order says only what is known: taking it again changes nothing."""
        if not isinstance(evidence, _REPORTS):
            return False
        entry = (about or self.subject_of(evidence)).entry
        return (
            entry is not None and self._lookup.is_bound(entry, evidence) and says_nothing_new(entry, evidence)
        )

    def twinned(self, order: ExternalOrder) -> Entry | None:
        """Return the order of ours under whose reference the broker holds this one beside it."""
        return self.entries.get(order.order_ref)

    def identities(self, client_order_id: str) -> dict[str, int | str | None]:
        """Return what else an order is known by: strategy, id within the session, permanent id."""
        entry = self.entries.get(client_order_id)
        return {} if entry is None else entry.identities()

    def open_entries(self) -> list[Entry]:
        """Return the orders that are not final, in order of submission."""
        return self.entries.open()

    # -- what the broker said -----------------------------------------------------------------------------

    def apply(self, evidence: Evidence, about: Subject | None = None) -> list[Change]:
        """Apply one fact; return what it changed, in order."""
        entry, found = about or self.subject_of(evidence)
        if isinstance(evidence, CommissionSeen):
            return self._executions.charge(evidence, found)
        if entry is None:
            return [] if isinstance(evidence, ErrorSeen) else self._external(evidence)
        if isinstance(evidence, ErrorSeen):
            changes = take_error(entry, evidence, self._meaning_for(entry, evidence.code))
        else:
            self._lookup.bind(entry, evidence)
            if isinstance(evidence, ExecutionSeen):
                changes = self._executions.take(entry, evidence)
            elif isinstance(evidence, OpenOrderSeen):
                changes = take_open(entry, evidence)
            else:
                changes = take_status(entry, evidence)
        self.entries.note(entry)
        return changes

    def _meaning_for(self, entry: Entry, code: int) -> CodeClass:
        """Return what a code means for an order: of an earlier session, it answers a cancel and no order."""
        meaning = self.classify(code)
        asked_for = entry.order_id <= self.ids_before_session and not entry.acknowledged
        return CodeClass.UNKNOWN if asked_for and meaning is CodeClass.REJECTS_NEW else meaning

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
        order = self.externals.of(seen)
        executed = self._executions.take_external(order, seen, booked=self.book_open)
        self.externals.note(order)
        changes += executed
        return [*changes, ExternalChanged(order)] if executed and order.is_open else changes

    # -- parts --------------------------------------------------------------------------------------------

    def _put(self, client_order_id: str, status: OrderStatus, reason: str) -> list[Change]:
        entry = self.entries[client_order_id]
        changes = move(entry, status, reason)
        self.entries.note(entry)
        return changes

    def _dismissed(self, entry: Entry) -> None:
        self._lookup.forget(entry)
        self._executions.forget(entry)

    def _recalled(self, entry: Entry, addressable: bool) -> None:
        self._lookup.remember(entry, addressable)
        self._executions.remember(entry)
