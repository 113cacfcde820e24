"""What the broker's reports do to an order: its statuses, the terms it shows, and its error codes.

Functions on one order, by rules 2 to 6 of `execution.orders.blotter`; executions are in
`execution.orders.executions`.
"""

from __future__ import annotations

from decimal import Decimal

from execution.models import ZERO, OrderStatus
from execution.orders.changes import Change, Modified
from execution.orders.codes import CodeClass
from execution.orders.entry import Entry
from execution.orders.evidence import CompletedOrderSeen, ErrorSeen, OpenOrderSeen, OrderStatusSeen
from execution.orders.moves import ASSUMED_DEAD, at_work, end_change, filled_if_full, move
from execution.orders.terms import ChangeOutcome, as_shown, higher_of, shows

_LIVE = {
    "PendingSubmit": OrderStatus.PENDING,
    "ApiPending": OrderStatus.PENDING,
    "PreSubmitted": OrderStatus.SUBMITTED,
    "Submitted": OrderStatus.SUBMITTED,
    "PendingCancel": OrderStatus.PENDING_CANCEL,
}
_CANCELLED = ("Cancelled", "ApiCancelled")
_AT_WORK = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED, OrderStatus.PENDING_CANCEL)
_OVER = {
    "Filled": OrderStatus.FILLED,
    "Cancelled": OrderStatus.CANCELLED,
    "ApiCancelled": OrderStatus.CANCELLED,
}
_AMENDED = "the broker shows terms that nobody here asked for"
_SHOWN = "the broker shows the new terms"


def take_open(entry: Entry, seen: OpenOrderSeen) -> list[Change]:
    """Take an order that the broker shows as open, and the terms that it shows."""
    changes: list[Change] = []
    if entry.resolved or entry.status in (OrderStatus.PENDING, OrderStatus.UNKNOWN, OrderStatus.NOT_SENT):
        entry.resolved = False
        changes = at_work(entry)
    return changes + _terms(entry, seen)


def _terms(entry: Entry, seen: OpenOrderSeen) -> list[Change]:
    """Compare the terms that the broker shows with those we know of."""
    if entry.status.is_final:
        return []
    change = entry.modification
    if change is not None:
        entry.shown = seen
        return end_change(entry, ChangeOutcome.ACCEPTED, _SHOWN) if shows(seen, change.request) else []
    if shows(seen, entry.request) or seen.quantity <= 0:
        return []
    entry.request = as_shown(seen, entry.request)
    if entry.reserved_price is not None:
        entry.reserved_price = higher_of(entry.reserved_price, entry.request.limit_price)
    # At a size that is executed already it is not taken as filled: the broker shows it at work, so
    # a correction of an execution may be on its way, after which the rest trades. Its own word ends it.
    return [Modified(entry.order(), 0, ChangeOutcome.ACCEPTED, _AMENDED)]


def take_status(entry: Entry, seen: OrderStatusSeen | CompletedOrderSeen) -> list[Change]:
    """Take the state that the broker reports, now or of an order that is over."""
    status, filled = seen.status, seen.filled
    _count(entry, filled)
    entry.inactive = status == "Inactive"
    entry.told_filled |= status == "Filled"
    if status in _CANCELLED:
        detail = seen.detail if isinstance(seen, CompletedOrderSeen) else ""
        return _cancelled(entry, detail)
    target = _LIVE.get(status)
    if target is OrderStatus.SUBMITTED:
        entry.survived_cancels += entry.refused_cancels
        entry.refused_cancels = 0
    assumed = entry.resolved or entry.status in ASSUMED_DEAD
    if assumed and target in (OrderStatus.SUBMITTED, OrderStatus.PENDING_CANCEL):
        entry.resolved = False
        return at_work(entry)
    if status == "Filled" or entry.status.is_final:
        # executions decide; what the broker ended is not reopened by a late status
        return _told_filled(entry, filled) if status == "Filled" else []
    if entry.inactive:
        return _inactive(entry)
    if target is OrderStatus.PENDING:
        return []  # on its way: it says no more than that TWS took it
    if target is None:
        return move(entry, OrderStatus.UNKNOWN, f"the broker reported status {status!r}")
    return at_work(entry) if target is OrderStatus.SUBMITTED else move(entry, target)


def _falls(entry: Entry, filled: Decimal) -> bool:
    """Return whether a lower figure is no old one: the broker has taken out what corrections took."""
    corrected = entry.recounted or entry.withdrawn > 0
    return corrected and filled < entry.reported_filled and not (entry.told_filled or entry.status.is_final)


def _count(entry: Entry, filled: Decimal) -> None:
    """Take the size that the broker reports as executed."""
    if _falls(entry, filled):
        entry.recounted, entry.withdrawn, entry.reported_filled = True, ZERO, filled
    else:
        entry.reported_filled = filled if entry.counts_anew else max(entry.reported_filled, filled)
    entry.counts_anew = False


def _cancelled(entry: Entry, detail: str) -> list[Change]:
    if entry.filled >= entry.request.quantity or entry.status is OrderStatus.REJECTED:
        return []
    return move(entry, OrderStatus.CANCELLED, entry.reason or detail or None)


def _inactive(entry: Entry) -> list[Change]:
    if entry.refusal is not None and not entry.executions:
        return move(entry, OrderStatus.REJECTED, entry.refusal)
    return move(entry, OrderStatus.UNKNOWN, "Inactive at the broker, no reason given yet")


def _told_filled(entry: Entry, filled: Decimal) -> list[Change]:
    """Tell by the size at which the broker calls an order filled which terms it had."""
    if entry.modification is None:
        if not entry.awaits_executions and entry.withdrawn and not entry.status.is_final:
            return move(entry, OrderStatus.FILLED)  # what corrections took does not trade again
        return [] if entry.awaits_executions else filled_if_full(entry)
    if filled == entry.request.quantity:
        return end_change(entry, ChangeOutcome.OVERTAKEN, "it was filled before")
    if filled == entry.modification.request.quantity:
        return end_change(entry, ChangeOutcome.ACCEPTED, "it is filled at the new size")
    return []


def says_nothing_new(entry: Entry, seen: OpenOrderSeen | OrderStatusSeen | CompletedOrderSeen) -> bool:
    """Return whether a report repeats what is known of an order, so that taking it would change nothing.

    Only what is plain counts as repeated: a report of an order that is in question, under change or settled
    by a person is taken as any other.
    """
    if entry.resolved or entry.modification is not None or entry.counts_anew:
        return False
    if isinstance(seen, OpenOrderSeen):
        return entry.status in _AT_WORK and shows(seen, entry.request)
    if seen.filled > entry.reported_filled or entry.inactive or _falls(entry, seen.filled):
        return False
    if isinstance(seen, CompletedOrderSeen):
        return entry.status is _OVER.get(seen.status) and entry.told_filled == (seen.status == "Filled")
    if seen.why_held or entry.refused_cancels:
        return False
    partly = OrderStatus.PARTIALLY_FILLED if entry.filled else OrderStatus.SUBMITTED
    return _LIVE.get(seen.status) is OrderStatus.SUBMITTED and entry.status is partly


def take_error(entry: Entry, seen: ErrorSeen, meaning: CodeClass) -> list[Change]:
    """Take an error code that names the order, by what its class says."""
    text = f"{seen.code}: {seen.text}"
    if entry.modification is not None and meaning in (CodeClass.REJECTS_NEW, CodeClass.MODIFY_REJECTED):
        return end_change(entry, ChangeOutcome.REFUSED, text)
    if meaning is CodeClass.CANCEL_REJECTED:
        entry.refused_cancels += 1
    if meaning is CodeClass.REJECTS_NEW:
        if entry.status.is_final:
            return []
        entry.reason = entry.refusal = text
        if not entry.acknowledged or (entry.inactive and not entry.executions):
            return move(entry, OrderStatus.REJECTED, text)
    elif meaning is CodeClass.UNKNOWN and not entry.status.is_final:
        return move(entry, OrderStatus.UNKNOWN, text)
    return []
