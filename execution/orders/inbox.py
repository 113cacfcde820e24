"""Where the broker's facts wait until a group of them is made durable, applied and told.

Closing the inbox does, in this order: record each fact, apply it to the blotter, record what it changed,
commit the group, and only then tell the validator and the handlers. If the commit fails nothing is told and
nothing is lost: the next close tries again. A handler that raises is reported, in the log and in the journal,
and told again; see `execution.orders.telling`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import structlog

from execution.audit import AuditLogger
from execution.book.cash import Cash
from execution.clocks import utc_ns
from execution.events import OrderEventHandler
from execution.models import ZERO, Fill, OrderStatus
from execution.numbers import reckoned
from execution.orders.blotter import Blotter
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
from execution.orders.evidence import Evidence, ExecutionSeen, OpenOrderSeen
from execution.orders.reserving import Reserving
from execution.orders.telling import HandlerFailure, Receiver, Told
from execution.reconciliation.claims import ClaimPolicy, ExternalOrder, key_of
from execution.validators import PreTradeValidator


class Inbox:
    """Groups inbound facts and delivers their consequences.

    Attributes
    ----------
    net
        Signed quantity by symbol that our executions amount to.
    cash
        What the account should hold by what is on record.
    open_references
        Client order ids seen in open orders since the last `forget_open_orders`.
    open_keys
        The same for orders of somebody else, by `execution.reconciliation.claims.key_of`.
    on_corrected
        Called when an execution was corrected: what stands at the broker has to be asked for.
    foreign_references
        Order references seen at the broker that this journal knows nothing of.
    failures
        Number of handler calls that raised.
    known_again
        Executions and commissions told again that are on record already: counted, and not recorded anew.
    repeated
        The same of reports of orders, where they come in a listing and say only what is known.
    """

    def __init__(
        self,
        blotter: Blotter,
        audit: AuditLogger,
        validator: PreTradeValidator | None,
        handlers: Sequence[OrderEventHandler] = (),
    ) -> None:
        self.blotter = blotter
        self.net: dict[str, Decimal] = {}
        self.cash = Cash()
        self.open_references: set[str] = set()
        self.open_keys: set[str] = set()
        self.on_corrected: Callable[[], None] = lambda: None
        self.foreign_references: set[str] = set()
        self._listed_references: set[str] = set()
        self._listing = True
        self.failures = 0
        self.known_again = 0
        self.repeated = 0
        self.fills_since_barrier = False
        self._audit = audit
        self.reservations = Reserving(blotter, validator)
        self._receivers = [Receiver(handler, self._report) for handler in handlers]
        self._waiting: list[Evidence] = []
        self._recorded: Evidence | None = None
        self._untold: list[Change] = []
        self._due: deque[Change] = deque()
        self._told_of: set[str] = set()
        self._log = structlog.get_logger("inbox")
        audit.identities = blotter.identities

    def add_handler(self, handler: OrderEventHandler) -> None:
        """Tell another receiver of order events."""
        self._receivers.append(Receiver(handler, self._report))

    @property
    def undelivered(self) -> list[tuple[str, Told]]:
        """What handlers did not take: their names, with what is tried again and what was given up."""
        return [
            (type(receiver.handler).__name__, told)
            for receiver in self._receivers
            for told in (*receiver.undelivered, *receiver.line)
        ]

    def retry(self) -> None:
        """Tell the handlers again what they did not take."""
        for receiver in self._receivers:
            receiver.retry()

    def take(self, evidence: Evidence) -> None:
        """Hold a fact until the inbox is closed."""
        if isinstance(evidence, OpenOrderSeen):
            if self._listing:
                self.open_keys.add(key_of(evidence))
            if evidence.order_ref:
                self.open_references.add(evidence.order_ref)
        self._waiting.append(evidence)

    def note_reference(self, order_ref: str) -> None:
        """Remember a reference that is in use at the broker and unknown to this journal."""
        if order_ref and order_ref not in self.blotter.entries:
            self.foreign_references.add(order_ref)
            self._listed_references.add(order_ref)

    def forget_open_orders(self) -> None:
        """Start a new listing of what the broker has."""
        self._listing = True
        self.open_references, self.open_keys = set(), set()
        self._listed_references = set()

    def keep_listed_references(self) -> None:
        """Take the listing as complete: what it did not name is not in use at the broker any more."""
        self._listing = False
        self.foreign_references = set(self._listed_references)

    @reckoned
    def close(self, *, barrier: bool = False) -> None:
        """Make the waiting facts durable as one group, apply them and tell their consequences.

        Parameters
        ----------
        barrier
            Mark that the executions so far belong to the step that follows.
        """
        if not (self._waiting or self._untold or self._due or barrier):
            return  # a piece of a message that is not whole yet
        waiting, self._waiting = self._waiting, []
        changes: list[Change] = []
        recorded = done = 0
        try:
            for evidence in waiting:
                if self.blotter.knows(evidence):
                    self.known_again += 1
                    if isinstance(evidence, ExecutionSeen):
                        self.note_reference(evidence.order_ref)
                elif self._listing and self.blotter.repeats(evidence):
                    self.repeated += 1
                    self._note_listed(evidence, self.blotter.owner_of(evidence))
                else:
                    recorded += 1
                    changes += self._applied(evidence)
                done += 1
        finally:
            if done < len(waiting):  # what stumbled is tried again, with all that came behind it
                self._waiting[:0] = waiting[done:]
                self._hold(merged(changes))
        self.deliver(merged(changes), commit=bool(recorded), barrier=barrier)
        if barrier:
            self.retry()  # a step begins with as little left over as can be
        if recorded:
            self._audit.maintain()

    def _applied(self, evidence: Evidence) -> list[Change]:
        """Record a fact and apply it; return what it changed."""
        owner = self.blotter.owner_of(evidence)
        if evidence is not self._recorded:
            self._audit.log_evidence(evidence, owner)
        self._recorded = evidence  # should it stumble now, it is not recorded again
        self._note_listed(evidence, owner)
        changes = self.blotter.apply(evidence)
        self._recorded = None
        return changes

    def _note_listed(self, evidence: Evidence, owner: str | None) -> None:
        if owner is not None and isinstance(evidence, OpenOrderSeen):
            self.open_references.add(owner)  # it may be shown without its reference

    def _hold(self, changes: list[Change]) -> None:
        """Record changes and keep them until they may be told."""
        for change in changes:
            self._record(change)
        self._untold += changes
        self.reservations.expect(changes)

    @reckoned
    def deliver(self, changes: list[Change], *, commit: bool = True, barrier: bool = False) -> None:
        """Record changes, commit, and tell the validator and the handlers."""
        commit = commit or bool(self._untold)  # a commit that failed before is owed
        self._hold(changes)
        if barrier and self.fills_since_barrier:
            self._audit.log_barrier()
            self.fills_since_barrier = False
            commit = True
        if commit:
            self._audit.commit()
        self._due += self._untold
        self._untold = []
        while self._due:  # a handler that delivers in turn goes on with these first
            self._tell(self._due.popleft())

    def _record(self, change: Change) -> None:
        if isinstance(change, StatusChanged):
            self._audit.log_order_status_change(change.order, change.old)
        elif isinstance(change, Modified):
            name = change.order.client_order_id or ""
            self._audit.log_modified(name, change.number, change.outcome, change.reason)
        elif isinstance(change, Filled):
            if change.external:
                kind = "external_commission" if change.late_commission else "external_fill"
                self._audit.note(kind, exec_id=change.exec_id, **fill_to_body(change.fill))
            elif change.late_commission:
                self._audit.log_late_commission(change.fill, change.exec_id)
            else:
                self._audit.log_fill(change.fill, exec_id=change.exec_id)
            self.fills_since_barrier = True
        elif isinstance(change, Corrected):
            self._audit.note("fill_corrected", **correction_to_body(change))
            self.fills_since_barrier = True
        elif isinstance(change, ExternalChanged) and change.appeared:
            self._audit.note("external_order", **change.order.as_body())
            entry = self.blotter.twinned(change.order)
            if entry is not None:
                self._audit.note(
                    "order_twinned", client_order_id=entry.client_order_id, twin=change.order.as_body()
                )
        elif isinstance(change, ExternalChanged) and not change.order.is_open:
            self._audit.note(
                "external_order_ended", filled=format(change.order.filled, "f"), **change.order.as_body()
            )
        elif isinstance(change, Adjusted):
            self._audit.note("adjustment", **change.adjustment.to_body())
            self.fills_since_barrier = True

    def _tell(self, change: Change) -> None:
        if isinstance(change, External):
            self.note_reference(getattr(change.evidence, "order_ref", ""))
            self._note_foreign(change.evidence)
        elif isinstance(change, ExternalChanged):
            self._tell_external(change)
        elif isinstance(change, Corrected):
            self._tell_corrected(change)
        elif isinstance(change, Adjusted):
            self._tell_adjusted(change)
        elif isinstance(change, Filled):
            self._tell_fill(change)
        elif isinstance(change, Modified):
            self._tell_modified(change)
        else:
            self._tell_status(change)

    def _tell_status(self, change: StatusChanged) -> None:
        order = change.order
        if order.status.is_final and not self._listing:  # a listing is told as it came
            self.open_references.discard(order.client_order_id or "")
        self.reservations.on_status(order, change.old)
        for receiver in self._receivers:
            receiver.tell("on_order_status", order)
            if order.status is OrderStatus.REJECTED:
                receiver.tell("on_order_rejected", order, order.reason or "")

    def _tell_fill(self, change: Filled) -> None:
        fill = change.fill
        if change.late_commission:
            self.cash.charge(fill)
        else:
            self.net[fill.symbol] = self.net.get(fill.symbol, ZERO) + fill.side.sign * fill.quantity
            self.cash.trade(fill)
            self.reservations.before_fill(fill)
        hook = "on_external_fill" if change.external else "on_fill"
        for receiver in self._receivers:
            receiver.tell("on_commission" if change.late_commission else hook, fill)
        if not change.late_commission:
            # After the book: in between the size counts twice, never not at all.
            self.reservations.after_fill(fill)

    def _tell_corrected(self, change: Corrected) -> None:
        old, new = change.old, change.new
        moved = new.side.sign * (new.quantity - old.quantity)
        self.cash.revise(old, new)
        if moved:
            self.net[new.symbol] = self.net.get(new.symbol, ZERO) + moved
        self._log.warning("execution corrected", what=change.reason)
        for receiver in self._receivers:
            receiver.tell("on_fill_corrected", old, new)
        if change.order is not None and moved:
            self.reservations.again(change.order)
        self.on_corrected()

    def _tell_adjusted(self, change: Adjusted) -> None:
        self.cash.adjust(change.adjustment)
        for symbol, moved in change.adjustment.changes.items():
            if moved:
                self.net[symbol] = self.net.get(symbol, ZERO) + moved
        for receiver in self._receivers:
            receiver.tell("on_adjusted", change.adjustment)

    def _tell_external(self, change: ExternalChanged) -> None:
        order = change.order
        if change.appeared:
            self._tell_appeared(order)
        self.reservations.reserve_external(order)
        for receiver in self._receivers:
            receiver.tell("on_external_order", order)

    def _tell_appeared(self, order: ExternalOrder) -> None:
        entry = self.blotter.twinned(order)
        if entry is not None:
            alarm = f"the broker has a second order under {order.order_ref}, whose own is {entry.perm_id}"
            self._log.error(alarm, what=order.describe())
            self.on_corrected()  # nothing more goes out before this is settled
        elif order.key not in self._told_of:
            claim = self.blotter.claim
            refused = claim is not None and claim.policy is ClaimPolicy.REFUSE
            report = self._log.error if refused else self._log.warning
            report("somebody else trades in this account", what=order.describe(), refused=refused)
        self._told_of.add(order.key)

    def _note_foreign(self, seen: Evidence) -> None:
        """Say once of an order that it is none of ours; one that counts is told of when it appears."""
        key = key_of(seen)
        if key not in self._told_of and key not in self.blotter.externals:
            self._told_of.add(key)
            self._log.info("an order outside of what is ours here", key=key, fact=str(seen))

    def _tell_modified(self, change: Modified) -> None:
        if not change.number:
            self._log.warning("order amended at the broker", order=str(change.order))
        self.reservations.again(change.order)
        for receiver in self._receivers:
            receiver.tell("on_order_status", change.order)

    def _report(self, failure: HandlerFailure) -> None:
        self.failures += 1
        self._audit.log_handler_failure(failure)


def fill_to_body(fill: Fill) -> dict[str, Any]:
    """Return an execution as plain values for the journal."""
    owner = {"client_order_id": fill.client_order_id} if fill.client_order_id else {}
    return {
        **owner,
        "fill_id": fill.fill_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": format(fill.quantity, "f"),
        "price": format(fill.price, "f"),
        "time": utc_ns(fill.timestamp),
        "commission": _text(fill.commission),
        "account": fill.account,
    }


def correction_to_body(change: Corrected) -> dict[str, Any]:
    """Return a correction as plain values for the journal: the execution as it is now, and as it was."""
    order, old = change.order, change.old
    return {
        **fill_to_body(change.new),
        "exec_id": change.exec_id,
        "old": {
            "quantity": format(old.quantity, "f"),
            "price": format(old.price, "f"),
            "commission": _text(old.commission),
        },
        "reason": change.reason,
        "external": order is None,
        "filled": None if order is None else format(order.filled_quantity, "f"),
        "average_price": None if order is None else _text(order.average_fill_price),
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
