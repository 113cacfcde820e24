"""Structured audit of every execution event, on the journal.

Each method appends one event; `commit` makes a group durable. An order's submission is committed before its
first byte is sent. Every record carries the client order id, which correlates the strategy's request, the
risk decision, the broker's ids and the executions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog

from execution.clocks import TradingClock, utc_ns
from execution.errors import JournalError
from execution.events import KillSwitchEvent, RiskDecision
from execution.journal import Journal
from execution.models import Fill, Order, OrderRequest, OrderStatus, PortfolioSnapshot
from execution.orders.blotter import Entry
from execution.orders.evidence import Evidence, to_body
from execution.orders.fill_body import fill_to_body
from execution.orders.request_body import request_to_body
from execution.orders.telling import HandlerFailure
from execution.orders.terms import Modification

_LONGEST_ERROR = 300
_BEFORE_ITS_IDS = ("order_submitted", "order_refused")
"""Records that say for themselves what an order is known by; the ids before are of another attempt."""


class AuditLogger:
    """Writes execution events to the journal for compliance, recovery and explanation.

    Parameters
    ----------
    journal
        Where events are kept.
    clock
        Trading time, recorded with each decision.

    Attributes
    ----------
    identities
        Gives what else an order is known by, by its client order id; every record of an order carries it.
    """

    def __init__(self, journal: Journal, clock: TradingClock) -> None:
        self.journal = journal
        self.identities: Callable[[str], Mapping[str, Any]] = lambda _: {}
        self._clock = clock
        self._log = structlog.get_logger("audit")

    # -- the methods every user knows ---------------------------------------------------------------

    def log_order_submitted(self, request: OrderRequest, order: Order) -> None:
        """Record that an order is about to be sent under the id it carries."""
        self._append(
            "order_submitted",
            **request_to_body(request),
            order_id=int(order.order_id),
            attempt=1,
            trading_time=utc_ns(order.submitted_at),
            decision=RiskDecision(approved=True).as_dict(),
            dry_run=False,
        )

    def log_order_status_change(self, order: Order, old_status: OrderStatus) -> None:
        """Record a transition of an order."""
        self._append(
            "order_status",
            client_order_id=order.client_order_id,
            order_id=order.order_id,
            old=old_status.value,
            new=order.status.value,
            filled=format(order.filled_quantity, "f"),
            average_price=None if order.average_fill_price is None else format(order.average_fill_price, "f"),
            reason=order.reason,
            trading_time=self._clock.now_ns(),
        )

    def log_fill(self, fill: Fill, *, exec_id: str = "") -> None:
        """Record an execution."""
        body = {
            **self.identities(fill.client_order_id or ""),
            "client_order_id": fill.client_order_id,
            "exec_id": exec_id,
            **fill_to_body(fill),
        }
        self.journal.append("fill", body)

    def log_order_cancelled(self, order_id: str, reason: str) -> None:
        """Record that a cancellation was asked for."""
        self._append("order_cancelled", client_order_id=order_id, reason=reason)

    def log_connection_event(self, event: str, details: dict[str, Any]) -> None:
        """Record a change of the connection, durably."""
        self._append("connection", event=event, details=details)
        self.journal.commit()

    def log_interaction(self, kind: str, facts: dict[str, Any]) -> None:
        """Record an exchange with TWS that concerns orders or the connection, for the next commit."""
        self._append(kind, **facts)

    # -- what the executor and the loop add -----------------------------------------------------------

    def log_intent(self, entry: Entry, decision: RiskDecision) -> None:
        """Record an order with its risk decision and session id, durably, before it is sent."""
        self.log_intents((entry,), decision)

    def log_intents(self, entries: Sequence[Entry], decision: RiskDecision) -> None:
        """Record orders that are sent as a whole, in one commit, before the first of them is sent."""
        for entry in entries:
            body = request_to_body(entry.request)
            held_at = entry.reserved_price
            body["order_id"] = entry.order_id
            body["attempt"] = entry.attempt
            body["trading_time"] = entry.submitted_ns
            body["decision"] = decision.as_dict()
            body["dry_run"] = entry.dry_run
            body["reserved_price"] = None if held_at is None else format(held_at, "f")
            if entry.parent:
                body["parent"] = entry.parent
            self.journal.append("order_submitted", body)
        self.journal.commit()

    def log_modifying(self, entry: Entry, change: Modification, decision: RiskDecision) -> None:
        """Record a change with its risk decision, durably, before it is sent."""
        held_at = change.reserved_price
        self._append(
            "order_modifying",
            client_order_id=entry.client_order_id,
            number=change.number,
            order_id=entry.order_id,
            request=request_to_body(change.request),
            decision=decision.as_dict(),
            reserved_price=None if held_at is None else format(held_at, "f"),
            trading_time=self._clock.now_ns(),
        )
        self.journal.commit()

    def log_modify_refused(self, entry: Entry, request: OrderRequest, decision: RiskDecision) -> None:
        """Record a change that a rule refused, durably."""
        self._append(
            "order_modify_refused",
            client_order_id=entry.client_order_id,
            request=request_to_body(request),
            decision=decision.as_dict(),
            trading_time=self._clock.now_ns(),
        )
        self.journal.commit()

    def log_modified(self, client_order_id: str, number: int, outcome: str, reason: str) -> None:
        """Record what became of a change; number 0 is one that was not asked for here."""
        self._append(
            "order_modified",
            client_order_id=client_order_id,
            number=number,
            outcome=str(outcome),
            reason=reason,
        )

    def log_refusal(self, request: OrderRequest, decision: RiskDecision) -> None:
        """Record an order that a rule refused, durably."""
        self._append(
            "order_refused",
            **request_to_body(request),
            trading_time=self._clock.now_ns(),
            decision=decision.as_dict(),
        )
        self.journal.commit()

    def log_evidence(self, evidence: Evidence, entry: Entry | None = None) -> None:
        """Record a fact from the broker as it came, with the order it concerns where that is known."""
        body = to_body(evidence)
        if entry is not None:  # what the broker said of its ids stands above what we know of them
            body = {**entry.identities(), "client_order_id": entry.client_order_id, **body}
        self.journal.append("broker_message", body)

    def log_handler_failure(self, failure: HandlerFailure) -> None:
        """Report a handler that raised, in the log and durably in the journal."""
        subject = failure.told.arguments[0] if failure.told.arguments else None
        facts = {
            "handler": failure.handler,
            "hook": failure.told.hook,
            "attempt": failure.told.attempts,
            "gave_up": failure.gave_up,
            "error": f"{type(failure.error).__name__}: {failure.error}"[:_LONGEST_ERROR],
        }
        self._log.error("handler raised", exc_info=failure.error, **facts)
        order = getattr(subject, "client_order_id", None)
        self._append("handler_failed", **({"client_order_id": order} if order else {}), **facts)
        try:
            self.journal.commit()
        except JournalError as error:  # held by the journal, it follows with the next commit
            self._log.error("the report is not on record yet", why=str(error))

    def log_late_commission(self, fill: Fill, exec_id: str) -> None:
        """Record a commission that came later than its execution."""
        self._append(
            "commission",
            client_order_id=fill.client_order_id,
            fill_id=fill.fill_id,
            exec_id=exec_id,
            commission=None if fill.commission is None else format(fill.commission, "f"),
        )

    def log_release(self, client_order_id: str, evidence: str) -> None:
        """Record the proof that an order never reached the broker."""
        self._append("order_released", client_order_id=client_order_id, evidence=evidence)

    def log_doubt(self, client_order_id: str, reason: str) -> None:
        """Record that an order's fate is not known; no fact of the broker says so, hence its own record."""
        self._append("order_doubted", client_order_id=client_order_id, reason=reason)

    def log_reconciling(self) -> None:
        """Mark the start of a new session: order ids of the one before mean nothing after this."""
        self._append("reconciling")

    def log_reconciled(self, **facts: Any) -> None:
        """Record the outcome of a reconciliation, durably."""
        self._append("reconciled", **facts)
        self.journal.commit()

    def now_ns(self) -> int:
        """Return the trading time that records are stamped with."""
        return self._clock.now_ns()

    def log_barrier(self) -> None:
        """Mark that everything before this belongs to the step at the trading clock's time."""
        self._append("barrier", trading_time=self._clock.now_ns())

    def log_snapshot(self, snapshot: PortfolioSnapshot) -> None:
        """Record the book at a step; durable with the next commit, and rebuilt by replay if that is lost."""
        self._append("snapshot", **snapshot_to_body(snapshot))

    def log_kill_switch(self, event: KillSwitchEvent) -> None:
        """Record that the daily-loss limit was reached, durably."""
        self._append(
            "kill_switch",
            trading_time=utc_ns(event.timestamp),
            loss=format(event.loss, "f"),
            limit=format(event.limit, "f"),
        )
        self.journal.commit()

    def log(self, kind: str, **body: Any) -> None:
        """Record an event of the run itself, durably."""
        self._append(kind, **body)
        self.journal.commit()

    def note(self, kind: str, **body: Any) -> None:
        """Record an event; it is durable with the next commit."""
        self._append(kind, **body)

    def commit(self) -> None:
        """Make every recorded event durable."""
        self.journal.commit()

    def maintain(self) -> None:
        """Rotate and anchor the journal where that is due; not to be called on the way of an order."""
        self.journal.maintain()

    def _append(self, kind: str, **body: Any) -> None:
        name = body.get("client_order_id")
        if name and kind not in _BEFORE_ITS_IDS:
            body = {**self.identities(name), **body}
        self.journal.append(kind, body)


def snapshot_to_body(snapshot: PortfolioSnapshot) -> dict[str, Any]:
    """Return a snapshot as plain values for the journal."""
    return {
        "trading_time": utc_ns(snapshot.timestamp),
        "cash": format(snapshot.cash, "f"),
        "equity": format(snapshot.equity, "f"),
        "unrealized_pnl": format(snapshot.unrealized_pnl, "f"),
        "realized_pnl": format(snapshot.realized_pnl, "f"),
        "fees": format(snapshot.fees, "f"),
        "gross_exposure": format(snapshot.gross_exposure, "f"),
        "positions": [
            {
                "symbol": position.symbol,
                "quantity": format(position.quantity, "f"),
                "average_cost": format(position.average_cost, "f"),
                "market_value": format(position.value, "f"),
                "unrealized_pnl": format(position.gain, "f"),
            }
            for position in snapshot.positions
        ],
    }
