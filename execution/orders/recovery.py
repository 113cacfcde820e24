"""Rebuild the state of orders from the journal, and the executions in the groups in which they were told."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from execution.book.adjustments import Adjustment
from execution.book.cash import Cash
from execution.events import RiskDecision
from execution.journal import JournalEvent
from execution.models import ZERO, Fill, OrderStatus
from execution.orders.blotter import Blotter
from execution.orders.changes import Adjusted, Change, Corrected, Filled, merged
from execution.orders.entry import Entry, Execution
from execution.orders.evidence import from_body
from execution.orders.refusals import Refusals
from execution.orders.request_body import request_from_body
from execution.orders.terms import ChangeOutcome, Modification
from execution.reconciliation.claims import Claim


@dataclass(frozen=True, slots=True)
class BookedFill:
    """An execution, or with `late_commission` the commission of one told before."""

    fill: Fill
    late_commission: bool
    external: bool = False


@dataclass(frozen=True, slots=True)
class BookedCorrection:
    """An execution told before that has other figures from then on."""

    old: Fill
    new: Fill


@dataclass(frozen=True, slots=True)
class BookedAdjustment:
    """A change of the book that was no trade."""

    adjustment: Adjustment


Booked = BookedFill | BookedCorrection | BookedAdjustment
"""What moved the book."""


@dataclass(slots=True)
class Recovered:
    """What a journal knows.

    `groups` holds (trading time of the barrier, what was booked in it); `loose` what was booked after the
    last barrier. `opening` is the book that was adopted when the journal began. `last_signals` are the ids of
    the signals of `last_signal_ns`, the newest moment that has any; `risk_metrics` the last ones on record;
    `cash` what the account should hold, from the broker's figure of the opening or of a session's end.
    """

    groups: list[tuple[int, list[Booked]]] = field(default_factory=list)
    loose: list[Booked] = field(default_factory=list)
    refusals: Refusals = field(default_factory=Refusals)
    opening: dict[str, Any] | None = None
    started: dict[str, Any] | None = None
    kill_switch: dict[str, Any] | None = None
    kill_switch_reset: dict[str, Any] | None = None
    session_closed: dict[str, Any] | None = None
    last_snapshot_ns: int = 0
    last_signal_ns: int = 0
    last_signals: set[str] = field(default_factory=set)
    risk_metrics: dict[str, Any] | None = None
    cash: Cash = field(default_factory=Cash)
    events: int = 0

    def net(self) -> dict[str, Decimal]:
        """Return the signed quantity by symbol that the executions amount to."""
        total: dict[str, Decimal] = {}
        for _, group in [*self.groups, (0, self.loose)]:
            for booked in group:
                for symbol, moved in _moves(booked):
                    total[symbol] = total.get(symbol, ZERO) + moved
        return total


def recover(events: Iterable[JournalEvent], blotter: Blotter) -> Recovered:
    """Fold a journal into a blotter; return what else it knows."""
    recovered = Recovered()
    changes: list[Change] = []
    for event in events:
        recovered.events += 1
        found = fold(event.kind, event.body, blotter)
        _move_cash(found, recovered.cash)
        _agree_on_cash(event.kind, event.body, recovered.cash)
        changes += found
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
        case "order_cancelled" if body.get("earlier_session"):
            blotter.addressed(body["client_order_id"])
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
            blotter.book_open = body["opening"] is not None
        case _:
            return _fold_settled(kind, body, blotter)
    return []


def _fold_settled(kind: str, body: dict[str, Any], blotter: Blotter) -> list[Change]:
    """Apply what was settled about orders, positions and the account rather than told by an order."""
    match kind:
        case "order_resolved":
            return blotter.resolved(
                body["client_order_id"],
                OrderStatus(body["status"]),
                body["note"],
                [_entered(one) for one in body["entered"]],
            )
        case "order_lapsed":
            return blotter.resolved(body["client_order_id"], OrderStatus.CANCELLED, body["note"])
        case "adjustment":
            return blotter.adjusted(Adjustment.from_body(body))
        case "claims":
            blotter.claim = Claim.from_body(body)
        case "opening":
            blotter.book_open = True
        case "reconciled":
            blotter.externals_listed(body.get("external_open", ()))
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
        case "signal":
            if body["trading_time"] > recovered.last_signal_ns:
                recovered.last_signal_ns, recovered.last_signals = body["trading_time"], set()
            recovered.last_signals.add(body["signal_id"])
        case "risk_metrics":
            recovered.risk_metrics = body
        case "opening":
            recovered.opening = body
        case "run_started":
            recovered.started = body
        case "kill_switch":
            recovered.kill_switch = body
        case "kill_switch_reset":
            recovered.kill_switch, recovered.kill_switch_reset = None, body
        case "checkpoint":
            recovered.opening, recovered.kill_switch = body["opening"], body["kill_switch"]
        case "session_closed":
            recovered.session_closed = body
        case _:
            pass


def _move_cash(changes: list[Change], cash: Cash) -> None:
    for change in changes:
        if isinstance(change, Filled):
            (cash.charge if change.late_commission else cash.trade)(change.fill)
        elif isinstance(change, Corrected):
            cash.revise(change.old, change.new)
        elif isinstance(change, Adjusted):
            cash.adjust(change.adjustment)


def _agree_on_cash(kind: str, body: dict[str, Any], cash: Cash) -> None:
    """Take the broker's own figure where an event has one."""
    if kind == "checkpoint" and body["opening"] is not None:
        body = body["opening"]
    if kind in ("opening", "session_closed", "checkpoint") and "cash" in body:
        cash.agree(Decimal(body["cash"]))


def _booked(changes: list[Change]) -> list[Booked]:
    booked: list[Booked] = []
    for change in merged(changes):
        if isinstance(change, Filled):
            booked.append(BookedFill(change.fill, change.late_commission, change.external))
        elif isinstance(change, Corrected):
            booked.append(BookedCorrection(change.old, change.new))
        elif isinstance(change, Adjusted):
            booked.append(BookedAdjustment(change.adjustment))
    return booked


def _moves(booked: Booked) -> list[tuple[str, Decimal]]:
    """Return how a booking moves positions."""
    if isinstance(booked, BookedAdjustment):
        return list(booked.adjustment.changes.items())
    if isinstance(booked, BookedCorrection):
        old, new = booked.old, booked.new
        return [(new.symbol, new.side.sign * (new.quantity - old.quantity))]
    fill = booked.fill
    return [] if booked.late_commission else [(fill.symbol, fill.side.sign * fill.quantity)]


def _entered(body: dict[str, Any]) -> Execution:
    return Execution(
        body["number"],
        body["exec_id"],
        0,
        Decimal(body["quantity"]),
        Decimal(body["price"]),
        body["time"],
        entered=True,
    )


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
