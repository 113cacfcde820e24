"""What changes say in the journal, beside the facts that they came from."""

from __future__ import annotations

from execution.audit import AuditLogger
from execution.orders.blotter import Blotter
from execution.orders.changes import (
    Adjusted,
    Change,
    Corrected,
    ExternalChanged,
    Filled,
    Modified,
    StatusChanged,
)
from execution.orders.fill_body import correction_to_body, fill_to_body


class Recording:
    """Writes changes to the journal; they are durable with the next commit.

    Parameters
    ----------
    audit
        The journal's writer.
    blotter
        Says whether an order of somebody else stands beside one of ours.
    """

    def __init__(self, audit: AuditLogger, blotter: Blotter) -> None:
        self._audit = audit
        self._blotter = blotter

    def record(self, change: Change) -> None:
        """Record a change."""
        if isinstance(change, Filled):
            self._fill(change)
        elif isinstance(change, StatusChanged):
            self._audit.log_order_status_change(change.order, change.old)
        elif isinstance(change, Modified):
            name = change.order.client_order_id or ""
            self._audit.log_modified(name, change.number, change.outcome, change.reason)
        elif isinstance(change, Corrected):
            self._audit.note("fill_corrected", **correction_to_body(change))
        elif isinstance(change, ExternalChanged):
            self._external(change)
        elif isinstance(change, Adjusted):
            self._audit.note("adjustment", **change.adjustment.to_body())

    def _fill(self, change: Filled) -> None:
        if change.external:
            kind = "external_commission" if change.late_commission else "external_fill"
            self._audit.note(kind, exec_id=change.exec_id, **fill_to_body(change.fill))
        elif change.late_commission:
            self._audit.log_late_commission(change.fill, change.exec_id)
        else:
            self._audit.log_fill(change.fill, exec_id=change.exec_id)

    def _external(self, change: ExternalChanged) -> None:
        order = change.order
        if change.appeared:
            self._audit.note("external_order", **order.as_body())
            entry = self._blotter.twinned(order)
            if entry is not None:
                self._audit.note("order_twinned", client_order_id=entry.client_order_id, twin=order.as_body())
        elif not order.is_open:
            self._audit.note("external_order_ended", filled=format(order.filled, "f"), **order.as_body())
