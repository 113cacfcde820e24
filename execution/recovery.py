"""Rebuild the state of orders from the journal, and the executions in the groups in which they were told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution.blotter import Blotter, Change, Entry, Filled, merged
from execution.events import RiskDecision
from execution.evidence import from_body
from execution.journal import JournalEvent
from execution.models import ZERO, Fill, OrderRequest
from execution.request_body import request_from_body
from execution.terms import ChangeOutcome, Modification


@dataclass(frozen=True, slots=True)
class BookedFill:
    """An execution, or with `late_commission` the commission of one told before."""

    fill: Fill
    late_commission: bool


@dataclass(slots=True)
class Recovered:
    """What a journal knows.

    `groups` holds (trading time of the barrier, executions told in it); `loose` the executions after the last
    barrier. `opening` is the book that was adopted when the journal began.
    """

    groups: list[tuple[int, list[BookedFill]]] = field(default_factory=list)
    loose: list[BookedFill] = field(default_factory=list)
    refusals: dict[str, tuple[OrderRequest, RiskDecision]] = field(default_factory=dict)
    opening: dict[str, Any] | None = None
    started: dict[str, Any] | None = None
    kill_switch: dict[str, Any] | None = None
    session_closed: dict[str, Any] | None = None
    last_snapshot_ns: int = 0
    events: int = 0

    def net(self) -> dict[str, Decimal]:
        """Return the signed quantity by symbol that the executions amount to."""
        total: dict[str, Decimal] = {}
        for _, group in [*self.groups, (0, self.loose)]:
            for booked in group:
                if not booked.late_commission:
                    fill = booked.fill
                    total[fill.symbol] = total.get(fill.symbol, ZERO) + fill.side.sign * fill.quantity
        return total


def recover(events: Iterable[JournalEvent], blotter: Blotter) -> Recovered:
    """Fold a journal into a blotter; return what else it knows."""
    recovered = Recovered()
    changes: list[Change] = []
    for event in events:
        recovered.events += 1
        changes += fold(event.kind, event.body, blotter)
        if event.kind == "barrier":
            recovered.groups.append((event.body["trading_time"], _booked(changes)))
            changes = []
        else:
            _note(event.kind, event.body, recovered)
    recovered.loose += _booked(changes)
    return recovered


def fold(kind: str, body: dict[str, Any], blotter: Blotter) -> list[Change]:
    """Apply one event of the journal to a blotter; return what it changed."""
    match kind:
        case "broker_message":
            return blotter.apply(from_body(body))
        case "order_submitted":
            blotter.submitted(_entry(body))
        case "order_released":
            blotter.released(body["client_order_id"], body["evidence"])
        case "order_doubted":
            blotter.doubted(body["client_order_id"], body["reason"])
        case "order_modifying":
            blotter.modifying(body["client_order_id"], _modification(body))
        case "order_modified" if body["number"]:
            blotter.modified(
                body["client_order_id"], body["number"], ChangeOutcome(body["outcome"]), body["reason"]
            )
        case "reconciling":
            blotter.new_session()
        case "connection" if body["event"] == "connected":
            blotter.client_id = body["details"].get("client_id", blotter.client_id)
        case "checkpoint":  # stands for the events that were pruned
            blotter.last_order_id = max(blotter.last_order_id, body["last_order_id"])
        case _:
            pass
    return []


def _note(kind: str, body: dict[str, Any], recovered: Recovered) -> None:
    match kind:
        case "order_refused":
            request = request_from_body(body)
            recovered.refusals[body["client_order_id"]] = (request, _decision(body["decision"]))
        case "snapshot":
            recovered.last_snapshot_ns = body["trading_time"]
        case "opening":
            recovered.opening = body
        case "run_started":
            recovered.started = body
        case "kill_switch":
            recovered.kill_switch = body
        case "checkpoint":
            recovered.opening, recovered.kill_switch = body["opening"], body["kill_switch"]
        case "session_closed":
            recovered.session_closed = body
        case _:
            pass


def _booked(changes: list[Change]) -> list[BookedFill]:
    return [
        BookedFill(change.fill, change.late_commission)
        for change in merged(changes)
        if isinstance(change, Filled)
    ]


def _entry(body: dict[str, Any]) -> Entry:
    return Entry(
        request=request_from_body(body),
        order_id=body["order_id"],
        submitted_ns=body["trading_time"],
        attempt=body["attempt"],
        dry_run=body["dry_run"],
        reserved_price=_price(body.get("reserved_price")),
        parent=body.get("parent", ""),
    )


def _modification(body: dict[str, Any]) -> Modification:
    request = request_from_body(body["request"])
    return Modification(body["number"], request, _price(body["reserved_price"]))


def _price(text: str | None) -> Decimal | None:
    return None if text is None else Decimal(text)


def _decision(body: dict[str, Any]) -> RiskDecision:
    return RiskDecision(
        approved=body["approved"],
        rule=body["rule"],
        reason=body["reason"],
        checks=tuple((code, limit, actual) for code, limit, actual in body["checks"]),
    )
