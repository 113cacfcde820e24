"""What stands in doubt, with its evidence and a safe next step, for the person who has to settle it."""

from __future__ import annotations

import enum
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from execution.clocks import timestamp
from execution.journal import JournalEvent
from execution.models import Order, OrderStatus
from execution.numbers import format_decimal
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.reconciliation.lapses import ASKED, Lapse
from execution.reconciliation.positions import Pair
from execution.reconciliation.reconcile import Reconciliation


class DoubtKind(enum.StrEnum):
    """What is in doubt."""

    ORDER = "order"
    POSITION = "position"
    EXTERNAL = "external"


class Resolution(enum.StrEnum):
    """What a person can say became of an order that the broker tells nothing of.

    NOT_SENT: it never reached the broker, and may be sent again. REJECTED: the broker refused it. CANCELLED:
    it ended; what of it was executed is given. FILLED: all of it was executed.
    """

    NOT_SENT = "not-sent"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    FILLED = "filled"

    @property
    def status(self) -> OrderStatus:
        """The state that the order ends in."""
        return _STATES[self]

    @property
    def takes_executions(self) -> bool:
        """Whether executions can be entered with it."""
        return self in (Resolution.CANCELLED, Resolution.FILLED)


_STATES = {
    Resolution.NOT_SENT: OrderStatus.NOT_SENT,
    Resolution.REJECTED: OrderStatus.REJECTED,
    Resolution.CANCELLED: OrderStatus.CANCELLED,
    Resolution.FILLED: OrderStatus.FILLED,
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """One thing that has to be settled before orders go out again.

    Attributes
    ----------
    name
        Client order id, symbol, or the key of an external order.
    reason
        Why it is in doubt.
    evidence
        What the journal holds about it, oldest first, and what the last look found, as lines.
    next_step
        What to do that cannot make it worse.
    order
        The order as far as it is known; None for a position.
    session
        The session it was written in, counted over the journal.
    last_status
        The broker's last word on it; None if there was none.
    asked
        The lists that the broker was asked for and that do not settle it; empty if it was not asked yet.
    """

    kind: DoubtKind
    name: str
    reason: str
    next_step: str
    evidence: tuple[str, ...] = ()
    order: Order | None = None
    session: int | None = None
    last_status: str | None = None
    asked: tuple[str, ...] = field(default=())

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        order = self.order
        return {
            "kind": self.kind.value,
            "name": self.name,
            "reason": self.reason,
            "order": None
            if order is None
            else f"{order.side} {format_decimal(order.quantity)} {order.symbol} {order.order_type}, "
            f"{order.status}, filled {format_decimal(order.filled_quantity)}",
            "written": None if order is None else str(order.submitted_at),
            "session": self.session,
            "last_status": self.last_status,
            "asked": list(self.asked),
            "evidence": list(self.evidence),
            "next_step": self.next_step,
        }


def in_doubt(blotter: Blotter, outcome: Reconciliation | None) -> dict[str, str]:
    """Return the orders in doubt, by client order id, each with the reason."""
    told = {} if outcome is None else outcome.in_doubt
    return {
        entry.client_order_id: told.get(entry.client_order_id) or entry.reason or "its fate is unknown"
        for entry in blotter.open_entries()
        if entry.status is OrderStatus.UNKNOWN or entry.awaits_executions
    }


def story_of(names: Iterable[str], events: Iterable[JournalEvent]) -> Story:
    """Read what a journal says of a few orders; with no order it is not read at all."""
    story = Story(set(names))
    if story.lines:
        for event in events:
            story.take(event)
    return story


def doubts_of(blotter: Blotter, outcome: Reconciliation | None, story: Story) -> list[Doubt]:
    """Return what stands in doubt, orders first.

    Parameters
    ----------
    blotter
        The orders.
    outcome
        Of the last reconciliation; None if there was none yet.
    story
        What the journal says of those in doubt.
    """
    found = outcome or Reconciliation()
    doubtful = in_doubt(blotter, outcome)
    asked = ASKED if outcome else ()
    doubts = [
        _order_doubt(
            blotter.entries[name],
            why,
            (*story.lines.get(name, ()), *_looked(blotter, blotter.entries[name], found.lapses.get(name))),
            story,
            asked if name in found.in_doubt else (),
            found.lapses.get(name),
        )
        for name, why in doubtful.items()
    ]
    doubts += [
        _break_doubt(symbol, pair, asked, found.ended.get(symbol, ""))
        for symbol, pair in found.breaks.items()
    ]
    doubts += [
        Doubt(
            DoubtKind.EXTERNAL,
            key,
            f"{what}, and nobody else may trade here",
            "cancel it where it was placed, or set execution.claim to adopt; then `trade orders reconcile`",
            asked=asked,
        )
        for key, what in found.refused.items()
    ]
    doubts += [
        Doubt(
            DoubtKind.EXTERNAL,
            key,
            what,
            "both may fill. `trade orders reconcile` cancels the second unless execution.claim refuses "
            "to; if it stays, cancel both in TWS, by their permanent ids, and reconcile again",
            asked=asked,
        )
        for key, what in found.twins.items()
    ]
    return doubts


class Story:
    """What a journal says of a few orders."""

    def __init__(self, names: set[str]) -> None:
        self._names = names
        self._sessions = 0
        self.lines: dict[str, list[str]] = {name: [] for name in names}
        self.written_in: dict[str, int] = {}
        self.last_status: dict[str, str] = {}

    def take(self, event: JournalEvent) -> None:
        """Read one event."""
        body = event.body
        if event.kind == "reconciling":
            self._sessions += 1
        name = body.get("client_order_id")
        if name not in self._names:
            return
        if event.kind == "order_submitted":
            self.written_in[name] = self._sessions
        if event.kind == "broker_message" and "status" in body:
            self.last_status[name] = str(body["status"])
        self.lines[name].append(f"{timestamp(event.time_ns)} #{event.seq} {_said(event.kind, body)}")


def _said(kind: str, body: dict[str, Any]) -> str:
    match kind:
        case "broker_message":
            facts = {
                k: v
                for k, v in body.items()
                if k in ("status", "filled", "code", "text", "exec_id", "quantity")
            }
            told = ", ".join(f"{k} {v}" for k, v in facts.items())
            return f"the broker: {body['message']} {told}"
        case "order_submitted":
            return f"recorded before sending, attempt {body['attempt']}, order id {body['order_id']}"
        case "order_status":
            return f"{body['old']} -> {body['new']}" + (f" ({body['reason']})" if body["reason"] else "")
        case "order_lapsed":
            return str(body["note"])
        case "order_doubted" | "order_cancelled":
            return f"{kind.replace('_', ' ')}: {body['reason']}"
        case _:
            return kind.replace("_", " ")


def _looked(blotter: Blotter, entry: Entry, lapse: Lapse | None) -> tuple[str, ...]:
    """Say what the last look found of an order that nobody listed."""
    if lapse is not None:
        return lapse.lines()
    if entry.acknowledged or entry.client_id in (None, blotter.client_id):
        return ()
    return (
        f"it was written under client id {entry.client_id}, whose numbers mean nothing under this session's "
        f"{blotter.client_id}: TWS was not asked for it by its number",
    )


def _order_doubt(
    entry: Entry,
    why: str,
    evidence: tuple[str, ...],
    story: Story,
    asked: Sequence[str],
    lapse: Lapse | None,
) -> Doubt:
    name = entry.client_order_id
    return Doubt(
        DoubtKind.ORDER,
        name,
        why,
        _lapsed_step(entry, lapse) if asked and lapse and lapse.cause else _order_step(entry, bool(asked)),
        evidence,
        entry.order(),
        story.written_in.get(name),
        story.last_status.get(name),
        tuple(asked),
    )


def _order_step(entry: Entry, asked: bool) -> str:
    name = entry.client_order_id
    if not asked:
        return "`trade orders reconcile`: the broker was not asked about it yet"
    if entry.awaits_executions:
        lacking = entry.reported_filled - entry.filled - entry.withdrawn
        missing = format_decimal(lacking)
        ended = "filled" if lacking == entry.request.quantity - entry.filled else "cancelled"
        return (
            f"find the {missing} in the trade log of TWS or the day's statement; then `trade orders resolve "
            f"{name} --as {ended} --quantity {missing} --price PRICE --by NAME --reason TEXT`"
        )
    if not entry.acknowledged:
        return (
            "look for it in TWS under its reference, also among today's trades and cancelled orders; only if "
            f"it is nowhere: `trade orders resolve {name} --as not-sent --by NAME --reason TEXT`"
        )
    return (
        "look in TWS and in the day's statement for what became of it; then `trade orders resolve "
        f"{name} --as cancelled|filled|rejected --by NAME --reason TEXT`. Do not send it again before"
    )


def _lapsed_step(entry: Entry, lapse: Lapse) -> str:
    """Return the commands that settle an order which cannot live any more; a person knows which is true."""
    settle = f"`trade orders resolve {entry.client_order_id} --as"
    signed = "--by NAME --reason TEXT`"
    none = f"{settle} cancelled {signed}"
    left = entry.request.quantity - entry.filled
    if lapse.fits is not None:
        size = format_decimal(lapse.fits)
        ended = "filled" if lapse.fits == left else f"cancelled --quantity {size}"
        return (
            f"look for {entry.request.side} {size} {lapse.symbol} of it in the day's statement. If it is "
            f"there: {settle} {ended} --price PRICE {signed}; if nothing of it was executed: {none}, and "
            "settle the position by what did move it"
        )
    return (
        f"look in the day's statement for executions of it. If there is none: {none}; if there are: {settle} "
        f"cancelled --quantity SIZE --price PRICE {signed}, or --as filled for all {format_decimal(left)}"
    )


def _break_doubt(symbol: str, pair: Pair, asked: Sequence[str], ended: str) -> Doubt:
    ours, theirs = (format_decimal(figure) for figure in pair)
    name = shlex.quote(symbol)
    step = (
        "compare the day's trades in TWS with `trade audit show --kind fill`. After a split: `trade orders "
        f"adjust {name} --split RATIO`. If the broker is right for another reason: `trade orders "
        f"accept-position {name} --by NAME --reason TEXT`"
    )
    if ended:
        step = (
            f"its contract was last traded on {ended}: look in the statement whether it expired, was "
            f"exercised, assigned or settled. Then `trade orders accept-position {name} --cash AMOUNT --by "
            "NAME --reason TEXT` with the cash that moved, 0 for what expired worthless; the same for shares "
            "that came or went with it"
        )
    why = f"the journal amounts to {ours}, the broker holds {theirs}"
    return Doubt(DoubtKind.POSITION, symbol, why, step, asked=tuple(asked))
