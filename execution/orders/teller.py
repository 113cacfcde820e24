"""Who is told what changed: the validator, so that reservations follow, and the handlers.

Each handler is a `Receiver` with a line of its own; see `execution.orders.telling`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from execution.audit import AuditLogger
from execution.events import OrderEventHandler
from execution.models import OrderStatus
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
)
from execution.orders.evidence import Evidence
from execution.orders.reserving import Reserving
from execution.orders.telling import HandlerFailure, Receiver, Told
from execution.reconciliation.claims import ClaimPolicy, ExternalOrder, key_of

_MOST_TOLD_OF = 10_000


class Teller:
    """Tells changes that are on record.

    Parameters
    ----------
    blotter
        The orders.
    reservations
        What orders hold of the limits.
    audit
        Where handlers that raise are reported.
    handlers
        Who is told; more may be added.

    Attributes
    ----------
    on_corrected
        Called when an execution was corrected: what stands at the broker has to be asked for.
    failures
        Number of handler calls that raised.
    """

    def __init__(
        self,
        blotter: Blotter,
        reservations: Reserving,
        audit: AuditLogger,
        handlers: Sequence[OrderEventHandler] = (),
    ) -> None:
        self.on_corrected: Callable[[], None] = lambda: None
        self.failures = 0
        self._blotter = blotter
        self._reservations = reservations
        self._audit = audit
        self._receivers = [Receiver(handler, self._report) for handler in handlers]
        self._told_of: dict[str, None] = {}
        self._log = structlog.get_logger("inbox")

    def add(self, handler: OrderEventHandler) -> None:
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

    def tell(self, change: Change) -> None:
        """Tell a change."""
        if isinstance(change, Filled):
            self._fill(change)
        elif isinstance(change, StatusChanged):
            self._status(change)
        elif isinstance(change, Modified):
            self._modified(change)
        elif isinstance(change, Corrected):
            self._corrected(change)
        elif isinstance(change, Adjusted):
            self._all("on_adjusted", change.adjustment)
        elif isinstance(change, ExternalChanged):
            self._external(change)
        else:
            self._stranger(change)

    def _all(self, hook: str, *arguments: object) -> None:
        for receiver in self._receivers:
            receiver.tell(hook, *arguments)

    def _status(self, change: StatusChanged) -> None:
        order = change.order
        self._reservations.on_status(order, change.old)
        for receiver in self._receivers:
            receiver.tell("on_order_status", order)
            if order.status is OrderStatus.REJECTED:
                receiver.tell("on_order_rejected", order, order.reason or "")

    def _fill(self, change: Filled) -> None:
        if change.late_commission:
            self._all("on_commission", change.fill)
            return
        self._reservations.before_fill(change.fill)
        self._all("on_external_fill" if change.external else "on_fill", change.fill)
        # After the book: in between the size counts twice, never not at all.
        self._reservations.after_fill(change.fill)

    def _corrected(self, change: Corrected) -> None:
        self._log.warning("execution corrected", what=change.reason)
        self._all("on_fill_corrected", change.old, change.new)
        if change.order is not None and change.new.quantity != change.old.quantity:
            self._reservations.again(change.order)
        self.on_corrected()

    def _modified(self, change: Modified) -> None:
        if not change.number:
            self._log.warning("order amended at the broker", order=str(change.order))
        self._reservations.again(change.order)
        self._all("on_order_status", change.order)

    # -- of somebody else ---------------------------------------------------------------------------------

    def _external(self, change: ExternalChanged) -> None:
        if change.appeared:
            self._appeared(change.order)
        self._reservations.reserve_external(change.order)
        self._all("on_external_order", change.order)

    def _appeared(self, order: ExternalOrder) -> None:
        entry = self._blotter.twinned(order)
        if entry is not None:
            alarm = f"the broker has a second order under {order.order_ref}, whose own is {entry.perm_id}"
            self._log.error(alarm, what=order.describe())
            self.on_corrected()  # nothing more goes out before this is settled
        elif order.key not in self._told_of:
            claim = self._blotter.claim
            refused = claim is not None and claim.policy is ClaimPolicy.REFUSE
            report = self._log.error if refused else self._log.warning
            report("somebody else trades in this account", what=order.describe(), refused=refused)
        self._note(order.key)

    def _stranger(self, change: External) -> None:
        """Say once of an order that it is none of ours; one that counts is told of when it appears."""
        seen: Evidence = change.evidence
        key = key_of(seen)
        if key not in self._told_of and key not in self._blotter.externals:
            self._note(key)
            self._log.info("an order outside of what is ours here", key=key, fact=str(seen))

    def _note(self, key: str) -> None:
        self._told_of[key] = None
        if len(self._told_of) > _MOST_TOLD_OF:
            del self._told_of[next(iter(self._told_of))]

    def _report(self, failure: HandlerFailure) -> None:
        self.failures += 1
        self._audit.log_handler_failure(failure)
