"""The order state machine: applies evidence to orders and says what changed.

Its only inputs are the journal's own records (an order submitted, released, a cancel asked for) and facts
from the broker, so folding the journal rebuilds it exactly. The rules:

1. A fact finds its order by orderRef, else by permId, else by the order id of the current session; the last
   only if our own client sent it and no other permId is known, because every client counts its order ids
   from 1. What fits no order of ours is external: counted and reported, never mixed in.
2. The filled size is the sum of the executions, one per execution id without its correction suffix, the
   highest suffix winning. A status that claims more than the executions show leaves the order open until
   they arrive.
3. An error code is evidence. It rejects an order only if its class says so and nobody acknowledged the order
   before; a code of unknown meaning makes a working order UNKNOWN, to be asked about.
4. A final state is left only by proof: a late execution still counts, a release needs reconciliation. An
   order that was taken as rejected or never sent, and is then seen working, is open again.
5. A change that was sent is open until the broker shows the new terms, refuses it, or the order ends; while
   it is, the order is full at the larger of both sizes, and a rejecting code means the change. Terms that
   nobody here asked for are the broker's (an OCA group reduced the order, a person changed it) and are taken.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from execution.clocks import timestamp
from execution.codes import CodeClass, classify
from execution.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.models import ZERO, Fill, Order, OrderRequest, OrderStatus
from execution.numbers import round_money
from execution.terms import ChangeOutcome, Modification, as_shown, higher_of, larger_of, shows

_LIVE = {
    "PendingSubmit": OrderStatus.PENDING,
    "ApiPending": OrderStatus.PENDING,
    "PreSubmitted": OrderStatus.SUBMITTED,
    "Submitted": OrderStatus.SUBMITTED,
    "PendingCancel": OrderStatus.PENDING_CANCEL,
}
_MOST_EARLY_COMMISSIONS = 10_000
_CANCELLED = ("Cancelled", "ApiCancelled")
_CHANGE_CUT_OFF = "a change of it was under way when the session ended"
_AMENDED = "the broker shows terms that nobody here asked for"
_SHOWN = "the broker shows the new terms"
_ASSUMED_DEAD = (OrderStatus.REJECTED, OrderStatus.NOT_SENT)


@dataclass(frozen=True, slots=True)
class StatusChanged:
    """An order went from `old` to its status now."""

    order: Order
    old: OrderStatus


@dataclass(frozen=True, slots=True)
class Filled:
    """An execution of one of our orders; `late_commission` marks a commission that joined a told fill."""

    fill: Fill
    exec_id: str
    late_commission: bool = False


@dataclass(frozen=True, slots=True)
class External:
    """A fact that belongs to no order of ours."""

    evidence: Evidence


@dataclass(frozen=True, slots=True)
class Corrected:
    """The broker corrected an execution that is already booked."""

    order: Order
    reason: str


@dataclass(frozen=True, slots=True)
class Modified:
    """A change of an order found its end; number 0 is one that was not asked for here."""

    order: Order
    number: int
    outcome: ChangeOutcome
    reason: str


Change = StatusChanged | Filled | External | Corrected | Modified


@dataclass(slots=True)
class _Execution:
    number: int
    exec_id: str
    correction: int
    quantity: Decimal
    price: Decimal
    time: int
    commission: Decimal | None = None


@dataclass(slots=True)
class Entry:
    """What is known of one order."""

    request: OrderRequest
    order_id: int
    submitted_ns: int
    attempt: int = 1
    dry_run: bool = False
    reserved_price: Decimal | None = None
    perm_id: int = 0
    status: OrderStatus = OrderStatus.PENDING
    reason: str | None = None
    acknowledged: bool = False
    inactive: bool = False
    reported_filled: Decimal = ZERO
    executions: dict[str, _Execution] = field(default_factory=dict)
    parent: str = ""
    """Client order id of the bracket's entry whose exit this is."""
    modification: Modification | None = None
    modifications: int = 0
    outcomes: dict[int, tuple[ChangeOutcome, str]] = field(default_factory=dict)
    shown: OpenOrderSeen | None = None
    """The broker's last word on the terms while a change is open."""
    asked: OrderRequest = field(init=False)
    """The request as it was first made; `request` has the terms now."""

    def __post_init__(self) -> None:
        self.asked = self.request

    @property
    def larger(self) -> OrderRequest:
        """The order at the size it counts with: the larger one while a change is open."""
        return (
            self.request if self.modification is None else larger_of(self.request, self.modification.request)
        )

    @property
    def held_at(self) -> Decimal | None:
        """The price it is reserved at."""
        return self.reserved_price if self.modification is None else self.modification.reserved_price

    @property
    def client_order_id(self) -> str:
        """The order's identity on our side."""
        return self.request.client_order_id or ""

    @property
    def filled(self) -> Decimal:
        """Size executed, by the executions."""
        return sum((e.quantity for e in self.executions.values()), ZERO)

    @property
    def awaits_executions(self) -> bool:
        """Whether the broker reported more filled than the executions show."""
        return self.reported_filled > self.filled

    def fills(self) -> list[Fill]:
        """Return the executions as domain objects, in order of arrival."""
        return [self.fill(execution) for execution in self.executions.values()]

    def fill(self, execution: _Execution) -> Fill:
        """Return one execution as a domain object; its id counts the order's executions."""
        return Fill(
            fill_id=f"{self.client_order_id}-{execution.number}",
            order_id=str(self.perm_id or self.order_id),
            symbol=self.request.symbol,
            quantity=execution.quantity,
            price=execution.price,
            side=self.request.side,
            timestamp=timestamp(execution.time),
            commission=execution.commission,
            client_order_id=self.client_order_id,
            account=self.request.account,
        )

    def order(self) -> Order:
        """Return the order as a domain object."""
        filled, request = self.filled, self.request
        average = None
        if filled:
            average = round_money(
                sum((e.quantity * e.price for e in self.executions.values()), ZERO) / filled
            )
        return Order(
            order_id=str(self.perm_id or self.order_id),
            client_order_id=request.client_order_id,
            symbol=request.symbol,
            quantity=request.quantity,
            order_type=request.order_type,
            side=request.side,
            limit_price=request.limit_price,
            stop_price=request.stop_price,
            status=self.status,
            submitted_at=timestamp(self.submitted_ns),
            filled_quantity=filled,
            average_fill_price=average,
            time_in_force=request.time_in_force,
            account=request.account,
            strategy=request.strategy,
            reason=self.reason,
        )


class Blotter:
    """All orders of this journal, by client order id.

    Parameters
    ----------
    classify_code
        Meaning of a TWS code; replace it to teach the library a code that a new build sends.
    client_id
        The session's TWS client id; None takes order ids of any client as ours.
    """

    def __init__(
        self, classify_code: Callable[[int], CodeClass] = classify, *, client_id: int | None = None
    ) -> None:
        self.client_id = client_id
        self.entries: dict[str, Entry] = {}
        self.classify = classify_code
        self._by_perm: dict[int, Entry] = {}
        self._by_session_id: dict[int, Entry] = {}
        self._by_execution: dict[str, tuple[Entry, _Execution]] = {}
        self._early_commissions: dict[str, CommissionSeen] = {}
        self.corrected: dict[str, str] = {}
        """Orders whose booked executions the broker has corrected, with what it changed."""
        self.last_order_id = 0

    # -- our own acts ------------------------------------------------------------------------------

    def submitted(self, entry: Entry) -> None:
        """Take an order whose intent is durable; a new attempt replaces the one proven never sent."""
        before = self.entries.get(entry.client_order_id)
        if before is not None:
            self._by_session_id.pop(before.order_id, None)
        self.entries[entry.client_order_id] = entry
        if not entry.dry_run:
            self._by_session_id[entry.order_id] = entry
        self.last_order_id = max(self.last_order_id, entry.order_id)

    def released(self, client_order_id: str, reason: str) -> list[Change]:
        """Take the proof that an order never reached the broker."""
        return self._move(self.entries[client_order_id], OrderStatus.NOT_SENT, reason)

    def doubted(self, client_order_id: str, reason: str) -> list[Change]:
        """Take note that an order's fate is not known."""
        return self._move(self.entries[client_order_id], OrderStatus.UNKNOWN, reason)

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
        changes: list[Change] = []
        for entry in self.entries.values():
            if entry.modification is not None and not entry.status.is_final:
                entry.shown = None
                changes += self._move(entry, OrderStatus.UNKNOWN, _CHANGE_CUT_OFF)
        return changes

    def find(self, order_id: str) -> Entry | None:
        """Find an order by client order id, permanent id, or session id."""
        entry = self.entries.get(order_id)
        if entry is None and order_id.isascii() and order_id.isdigit():
            entry = self._by_perm.get(int(order_id)) or self._by_session_id.get(int(order_id))
        return entry

    def owner_of(self, evidence: Evidence) -> str | None:
        """Return the client order id of the order that a fact concerns, as far as it is known by now."""
        if isinstance(evidence, CommissionSeen):
            found = self._by_execution.get(evidence.exec_id)
            return found[0].client_order_id if found else None
        entry = self._entry_of(evidence)
        return entry.client_order_id if entry else None

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
        return [e for e in self.entries.values() if not e.status.is_final or e.awaits_executions]

    # -- what the broker said ------------------------------------------------------------------------

    def apply(self, evidence: Evidence) -> list[Change]:
        """Apply one fact; return what it changed, in order."""
        if isinstance(evidence, CommissionSeen):
            return self._commission(evidence)
        entry = self._entry_of(evidence)
        if entry is None:
            return [] if isinstance(evidence, ErrorSeen) else [External(evidence)]
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
        if entry.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN, OrderStatus.NOT_SENT):
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
        return [Modified(entry.order(), 0, ChangeOutcome.ACCEPTED, _AMENDED), *self._full(entry)]

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
            return self._by_session_id.get(evidence.request_id)
        reference = getattr(evidence, "order_ref", "")
        if reference:
            return self.entries.get(reference)
        perm_id = getattr(evidence, "perm_id", 0)
        if perm_id:
            entry = self._by_perm.get(perm_id)
            if entry is not None:
                return entry
        if self.client_id is not None and getattr(evidence, "client_id", None) != self.client_id:
            return None
        entry = self._by_session_id.get(getattr(evidence, "order_id", 0))
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
        if status in _CANCELLED:
            if entry.filled >= entry.request.quantity or entry.status is OrderStatus.REJECTED:
                return []
            return self._move(entry, OrderStatus.CANCELLED, entry.reason or detail or None)
        target = _LIVE.get(status)
        if entry.status in _ASSUMED_DEAD and target in (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL):
            return self._move(entry, self._working(entry))
        if status == "Filled" or entry.status.is_final:
            # executions decide; what the broker ended is not reopened by a late status
            return self._filled_amid_change(entry, filled) if status == "Filled" else []
        if entry.inactive:
            if entry.reason is not None and not entry.executions:
                return self._move(entry, OrderStatus.REJECTED, entry.reason)
            return self._move(entry, OrderStatus.UNKNOWN, "Inactive at the broker, no reason given yet")
        if target is OrderStatus.PENDING:
            return []  # on its way: it says no more than that TWS took it
        if target is None:
            return self._move(entry, OrderStatus.UNKNOWN, f"the broker reported status {status!r}")
        return self._move(entry, self._working(entry) if target is OrderStatus.SUBMITTED else target)

    def _filled_amid_change(self, entry: Entry, filled: Decimal) -> list[Change]:
        """Tell by the size at which the broker calls an order filled which terms it had."""
        if entry.modification is None:
            return []
        if filled == entry.request.quantity:
            return self._end_change(entry, ChangeOutcome.OVERTAKEN, "it was filled before")
        if filled == entry.modification.request.quantity:
            return self._end_change(entry, ChangeOutcome.ACCEPTED, "it is filled at the new size")
        return []

    def _working(self, entry: Entry) -> OrderStatus:
        return OrderStatus.PARTIALLY_FILLED if entry.executions else OrderStatus.SUBMITTED

    def _execution(self, entry: Entry, seen: ExecutionSeen) -> list[Change]:
        base, _, suffix = seen.exec_id.rpartition(".")
        numbered = bool(base) and suffix.isascii() and suffix.isdigit()
        base, correction = (base, int(suffix)) if numbered else (seen.exec_id, 0)
        known = entry.executions.get(base)
        if known is not None and known.correction >= correction:
            return []
        if known is not None:
            return self._correction(entry, known, correction, seen)
        execution = _Execution(
            len(entry.executions) + 1, seen.exec_id, correction, seen.quantity, seen.price, seen.time
        )
        entry.executions[base] = execution
        self._by_execution[seen.exec_id] = (entry, execution)
        early = self._early_commissions.pop(seen.exec_id, None)
        if early is not None:
            execution.commission = early.commission
        changes: list[Change] = [Filled(entry.fill(execution), seen.exec_id)]
        if entry.modification is not None and entry.filled > entry.request.quantity:
            changes += self._end_change(entry, ChangeOutcome.ACCEPTED, "it is filled beyond the old size")
        if entry.filled >= entry.larger.quantity:
            changes += self._move(entry, OrderStatus.FILLED)
        elif not entry.status.is_final or entry.status in _ASSUMED_DEAD:
            changes += self._move(entry, OrderStatus.PARTIALLY_FILLED)
        return changes

    def _correction(
        self, entry: Entry, known: _Execution, correction: int, seen: ExecutionSeen
    ) -> list[Change]:
        """Take a correction; what is already booked differs from now on, which a person has to settle."""
        reason = (
            f"execution {seen.exec_id} corrected from {known.quantity} at {known.price} "
            f"to {seen.quantity} at {seen.price}"
        )
        known.correction, known.quantity, known.price = correction, seen.quantity, seen.price
        self.corrected[entry.client_order_id] = reason
        return [Corrected(entry.order(), reason)]

    def _commission(self, seen: CommissionSeen) -> list[Change]:
        found = self._by_execution.get(seen.exec_id)
        if found is None:
            self._early_commissions[seen.exec_id] = seen
            if len(self._early_commissions) > _MOST_EARLY_COMMISSIONS:  # those of other clients' executions
                del self._early_commissions[next(iter(self._early_commissions))]
            return []
        entry, execution = found
        if execution.commission is not None:
            return []
        execution.commission = seen.commission
        return [Filled(entry.fill(execution), seen.exec_id, late_commission=True)]

    def _error(self, entry: Entry, seen: ErrorSeen) -> list[Change]:
        meaning = self.classify(seen.code)
        text = f"{seen.code}: {seen.text}"
        if entry.modification is not None and meaning in (CodeClass.REJECTS_NEW, CodeClass.MODIFY_REJECTED):
            return self._end_change(entry, ChangeOutcome.REFUSED, text)
        if meaning is CodeClass.REJECTS_NEW:
            if entry.status.is_final:
                return []
            entry.reason = text
            if not entry.acknowledged or (entry.inactive and not entry.executions):
                return self._move(entry, OrderStatus.REJECTED, text)
        elif meaning is CodeClass.UNKNOWN and not entry.status.is_final:
            return self._move(entry, OrderStatus.UNKNOWN, text)
        return []

    def _move(self, entry: Entry, status: OrderStatus, reason: str | None = None) -> list[Change]:
        if entry.status is status:
            return []
        old, entry.status = entry.status, status
        if reason is not None:
            entry.reason = reason
        changes: list[Change] = [StatusChanged(entry.order(), old)]
        if status.is_final and entry.modification is not None:
            changes += self._end_change(entry, ChangeOutcome.OVERTAKEN, f"the order is {status}")
        return changes


def merged(changes: list[Change]) -> list[Change]:
    """Join commissions that arrived in the same group as their fill, so that each fill is told once."""
    told: dict[str, int] = {}
    result: list[Change] = []
    for change in changes:
        if isinstance(change, Filled):
            if change.late_commission and change.fill.fill_id in told:
                first = told[change.fill.fill_id]
                result[first] = replace(change, late_commission=False)
                continue
            told[change.fill.fill_id] = len(result)
        result.append(change)
    return result
