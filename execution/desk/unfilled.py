"""The policy for limit orders that do not fill: after a time they are cancelled or become market orders.

The time is trading time, counted from the submission. Each order is acted on once; a change to market that
the broker refuses is followed by a cancel. Nothing is done while the way to the broker is closed: it is due
then, and done once the way is open. The exits of a bracket wait for their price and are left alone.
"""

from __future__ import annotations

import structlog

from execution.clocks import NANOS
from execution.desk.cancellation import Cancellation
from execution.desk.desk import Desk
from execution.desk.modification import Modifying
from execution.desk.unfilled_policy import UnfilledAction, UnfilledPolicy
from execution.errors import ExecutionError, InvalidOrderError, RiskCheckError
from execution.models import OrderStatus, OrderType
from execution.orders.blotter import Entry
from execution.orders.terms import ChangeOutcome

_WORKING = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)


class UnfilledLimits:
    """Acts on limit orders whose time is up."""

    def __init__(
        self, desk: Desk, policy: UnfilledPolicy, cancellation: Cancellation, modifying: Modifying
    ) -> None:
        self._desk = desk
        self._policy = policy
        self._cancellation = cancellation
        self._modifying = modifying
        self._cancelled: set[str] = set()
        self._log = structlog.get_logger("unfilled")

    def sweep(self) -> list[str]:
        """Act on what is due; return the client order ids acted on. The answers arrive as events."""
        if not self._desk.gate.is_open or self._desk.manager.readonly:
            return []
        due_ns = self._desk.clock.now_ns() - int(self._policy.after_seconds * NANOS)
        acted = []
        still_open = self._desk.blotter.open_entries()
        self._cancelled &= {entry.client_order_id for entry in still_open}
        for entry in still_open:
            if entry.submitted_ns > due_ns or not self._applies(entry):
                continue
            try:
                self._act(entry)
            except ExecutionError as error:
                self._log.warning("not acted on", correlation_id=entry.client_order_id, why=str(error))
            else:
                acted.append(entry.client_order_id)
        return acted

    def _applies(self, entry: Entry) -> bool:
        return (
            entry.request.order_type is OrderType.LIMIT
            and entry.status in _WORKING
            and entry.modification is None
            and not entry.parent
            and entry.client_order_id not in self._cancelled
        )

    def _act(self, entry: Entry) -> None:
        why = f"unfilled for {self._policy.after_seconds:g} s"
        refused = any(outcome is not ChangeOutcome.ACCEPTED for outcome, _ in entry.outcomes.values())
        if self._policy.action is UnfilledAction.CANCEL or refused:
            self._cancellation.cancel(entry, why)
            self._cancelled.add(entry.client_order_id)
            return
        try:
            self._modifying.write(entry, {"order_type": OrderType.MARKET})
        except (RiskCheckError, InvalidOrderError):
            self._cancellation.cancel(entry, f"{why}, and it may not become a market order")
            self._cancelled.add(entry.client_order_id)
