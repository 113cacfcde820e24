"""Where the broker's facts wait until a group of them is made durable, applied and told.

Closing the inbox does, in this order: record each fact, apply it to the blotter, record what it changed,
commit the group, and only then tell the validator and the handlers. If the commit fails nothing is told and
nothing is lost: the next close tries again. A handler that raises is reported, in the log and in the journal,
and told again; see `execution.telling`.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import structlog

from execution.audit import AuditLogger
from execution.blotter import (
    Blotter,
    Change,
    Corrected,
    Entry,
    External,
    Filled,
    Modified,
    StatusChanged,
    merged,
)
from execution.events import OrderEventHandler
from execution.evidence import Evidence, OpenOrderSeen
from execution.models import ZERO, OrderStatus
from execution.telling import HandlerFailure, Receiver, Told
from execution.validators import PreTradeValidator


class Inbox:
    """Groups inbound facts and delivers their consequences.

    Attributes
    ----------
    net
        Signed quantity by symbol that our executions amount to.
    open_references
        Client order ids seen in open orders since the last `forget_open_orders`.
    foreign_references
        Order references seen at the broker that this journal knows nothing of.
    failures
        Number of handler calls that raised.
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
        self.open_references: set[str] = set()
        self.foreign_references: set[str] = set()
        self.failures = 0
        self.fills_since_barrier = False
        self._audit = audit
        self._validator = validator
        self._receivers = [Receiver(handler, self._report) for handler in handlers]
        self._waiting: list[Evidence] = []
        self._untold: list[Change] = []
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
        if isinstance(evidence, OpenOrderSeen) and evidence.order_ref:
            self.open_references.add(evidence.order_ref)
        self._waiting.append(evidence)

    def note_reference(self, order_ref: str) -> None:
        """Remember a reference that is in use at the broker and unknown to this journal."""
        if order_ref and order_ref not in self.blotter.entries:
            self.foreign_references.add(order_ref)

    def forget_open_orders(self) -> None:
        """Start a new listing of open orders."""
        self.open_references = set()

    def close(self, *, barrier: bool = False) -> None:
        """Make the waiting facts durable as one group, apply them and tell their consequences.

        Parameters
        ----------
        barrier
            Mark that the executions so far belong to the step that follows.
        """
        waiting, self._waiting = self._waiting, []
        changes: list[Change] = []
        for evidence in waiting:
            self._audit.log_evidence(evidence, self.blotter.owner_of(evidence))
            changes += self.blotter.apply(evidence)
        self.deliver(merged(changes), commit=bool(waiting), barrier=barrier)
        if barrier:
            self.retry()  # a step begins with as little left over as can be
        if waiting:
            self._audit.maintain()

    def deliver(self, changes: list[Change], *, commit: bool = True, barrier: bool = False) -> None:
        """Record changes, commit, and tell the validator and the handlers."""
        for change in changes:
            self._record(change)
        commit = commit or bool(self._untold)  # a commit that failed before is owed
        self._untold += changes
        if barrier and self.fills_since_barrier:
            self._audit.log_barrier()
            self.fills_since_barrier = False
            commit = True
        if commit:
            self._audit.commit()
        untold, self._untold = self._untold, []
        for change in untold:
            self._tell(change)

    def _record(self, change: Change) -> None:
        if isinstance(change, StatusChanged):
            self._audit.log_order_status_change(change.order, change.old)
        elif isinstance(change, Modified):
            name = change.order.client_order_id or ""
            self._audit.log_modified(name, change.number, change.outcome, change.reason)
        elif isinstance(change, Filled):
            if change.late_commission:
                self._audit.log_late_commission(change.fill, change.exec_id)
            else:
                self._audit.log_fill(change.fill, change.exec_id)
            self.fills_since_barrier = True

    def _tell(self, change: Change) -> None:
        if isinstance(change, External):
            self.note_reference(getattr(change.evidence, "order_ref", ""))
            self._log.warning("not one of our orders", fact=str(change.evidence))
            return
        if isinstance(change, Corrected):
            self._log.error("execution corrected; the book holds the old figures", what=change.reason)
            return
        if isinstance(change, Filled):
            self._tell_fill(change)
            return
        order = change.order
        if isinstance(change, Modified):
            self._tell_modified(change)
            return
        if change.old.is_final and not order.status.is_final and self._validator:
            self._reserve_again(order.client_order_id or "")
        self._release_if_over(order.client_order_id)
        for receiver in self._receivers:
            receiver.tell("on_order_status", order)
            if order.status is OrderStatus.REJECTED:
                receiver.tell("on_order_rejected", order, order.reason or "")

    def _tell_fill(self, change: Filled) -> None:
        fill = change.fill
        if not change.late_commission:
            self.net[fill.symbol] = self.net.get(fill.symbol, ZERO) + fill.side.sign * fill.quantity
        for receiver in self._receivers:
            receiver.tell("on_commission" if change.late_commission else "on_fill", fill)
        if self._validator and not change.late_commission:
            # After the book: in between the size counts twice, never not at all.
            self._validator.on_fill(fill)
            self._release_if_over(fill.client_order_id)

    def _release_if_over(self, client_order_id: str | None) -> None:
        entry = self.blotter.entries.get(client_order_id or "")
        if entry is None or self._validator is None:
            return
        if entry.status.is_final and not entry.awaits_executions:
            self._validator.release(entry.client_order_id)

    def _tell_modified(self, change: Modified) -> None:
        if not change.number:
            self._log.warning("order amended at the broker", order=str(change.order))
        name = change.order.client_order_id or ""
        self._reserve_again(name)
        self._release_if_over(name)
        for receiver in self._receivers:
            receiver.tell("on_order_status", change.order)

    def _reserve_again(self, client_order_id: str) -> None:
        entry = self.blotter.entries[client_order_id]
        if not entry.status.is_final:
            self.reserve(entry)

    def reserve(self, entry: Entry) -> None:
        """Hold what an order may still trade, anew: at the larger of both sizes while a change is open."""
        if self._validator is None:
            return
        self._validator.release(entry.client_order_id)
        self._validator.reserve(entry.larger, entry.held_at)
        for fill in entry.fills():
            self._validator.on_fill(fill)

    def _report(self, failure: HandlerFailure) -> None:
        self.failures += 1
        self._audit.log_handler_failure(failure)
