"""What the durable record alone must show: I5, I8, I9, and the state it rebuilds, for I12.

The journal is folded as it grows, once, by the same function that recovery uses, into a blotter that no
process owns. Each look sees the events that became durable since the one before, whole commits at a time:

* I5: the chain fits and counts on; whatever an order's state was moved by stands with it in the same commit.
* I8: an order's recorded states follow each other; it ends once, but for proof; what is filled stays filled,
  but for a correction.
* I9: an order or a change is recorded only while the way was open: after the session's reconciliation, not
  while TWS is without the broker, not after the kill switch.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any, Final

from backtesting.simulation.outcome import Violation
from backtesting.simulation.view import WorldView
from execution.book.adjustments import AdjustmentKind
from execution.journal import JournalEvent
from execution.journal.chain import GENESIS, canonical, chain_hash
from execution.models import ZERO, OrderStatus
from execution.orders.blotter import Blotter, Entry
from execution.orders.codes import LINK_LOST, LINK_RESTORED
from execution.orders.recovery import fold

_ASSUMED_DEAD: Final = (OrderStatus.REJECTED, OrderStatus.NOT_SENT)
_MANIFOLD: Final = ("broker_message", "api_request")
"""Most of what is on record. Of all the others it is looked at whether what was told is what was written: the
bodies of these are kept by nobody."""

_MUTE: Final = frozenset(("api_request", "api_contract", "connection"))
"""Records that change no order: what stands after a commit of nothing else is looked at with the next one."""

_ACTS: Final = {
    "order_submitted": OrderStatus.PENDING,
    "order_released": OrderStatus.NOT_SENT,
    "order_doubted": OrderStatus.UNKNOWN,
}
"""Records that are themselves the change of an order's state."""


def base_of(exec_id: str) -> tuple[str, int]:
    """Return an execution's id without its correction, and the number of the correction."""
    base, _, suffix = exec_id.rpartition(".")
    return (base, int(suffix)) if base and suffix.isascii() and suffix.isdigit() else (exec_id, 0)


class RecordChecks:
    """Reads a world's journal as it grows.

    Attributes
    ----------
    blotter
        The orders as the durable record has them.
    attempts
        How often each order was recorded for sending.
    released
        How often it was recorded as proven never sent.
    corrected
        Orders of which an execution came with a correction.
    executions
        Executions on record, our own and others', by their ids without corrections.
    last_reconciled
        The last reconciliation on record.
    killed
        Whether the kill switch has tripped.
    accepted
        Whether a person took over a position from the broker.
    """

    def __init__(self, world: WorldView) -> None:
        self.blotter = Blotter()
        self.attempts: dict[str, int] = {}
        self.released: dict[str, int] = {}
        self.corrected: set[str] = set()
        self.executions: set[str] = set()
        self.last_reconciled: dict[str, Any] | None = None
        self.killed = False
        self.accepted = False
        self._world = world
        self._seen = 0
        self._head = GENESIS
        self._statuses: dict[str, OrderStatus] = {}
        self._recorded: dict[str, OrderStatus] = {}
        self._filled: dict[str, Decimal] = {}
        self._told: dict[str, set[str]] = {}
        self._is_open = False
        self._is_frozen = False

    def check(self) -> list[Violation]:
        """Read what became durable since the last look."""
        events = self._world.disk.events
        if len(events) == self._seen:
            return []
        fresh, texts = events[self._seen :], self._world.disk.texts[self._seen :]
        found: list[Violation] = []
        said: dict[str, OrderStatus] = {}
        for event, text in zip(fresh, texts, strict=True):
            self._chain(event, text, found)
            self._read(event, said, found)
            fold(event.kind, event.body, self.blotter)
        self._seen = len(events)
        if not _MUTE.issuperset(event.kind for event in fresh):
            self._explained(said, fresh, found)
        return found

    # -- I5 -------------------------------------------------------------------------------------------

    def _chain(self, event: JournalEvent, text: str, found: list[Violation]) -> None:
        self._seen += 1
        digest = chain_hash(self._head, event.seq, event.time_ns, event.kind, text)
        as_told = event.kind in _MANIFOLD or canonical(event.body) == text
        if not as_told or (event.seq, event.prev_hash, event.hash) != (self._seen, self._head, digest):
            found.append(
                Violation("I5", f"event {event.seq} ({event.kind}) does not follow {self._seen - 1}")
            )
        self._head = event.hash

    def _explained(
        self, said: dict[str, OrderStatus], fresh: Sequence[JournalEvent], found: list[Violation]
    ) -> None:
        for name, entry in self.blotter.entries.items():
            if self._statuses.get(name) is not entry.status:
                if said.get(name) is not entry.status:
                    kinds = ", ".join(dict.fromkeys(event.kind for event in fresh))
                    found.append(
                        Violation("I5", f"order {name} became {entry.status}; its commit only has {kinds}")
                    )
                self._statuses[name] = entry.status
            told = self._told.get(name, set())
            for base, execution in entry.executions.items():
                if base not in told and execution.quantity and not execution.entered:
                    found.append(Violation("I5", f"execution {base} of {name} has no fill in its commit"))
                    self._told.setdefault(name, set()).add(base)

    # -- I8, I9 ---------------------------------------------------------------------------------------

    def _read(self, event: JournalEvent, said: dict[str, OrderStatus], found: list[Violation]) -> None:
        body = event.body
        match event.kind:
            case "broker_message":
                self._message(body)
            case "order_status":
                self._status(body, said, found)
            case "order_submitted" | "order_released" | "order_doubted":
                self._act(event, said, found)
            case "order_resolved":
                said[body["client_order_id"]] = OrderStatus(body["status"])
            case "order_modifying":
                self._require_open(event, found)
            case "reconciling":
                self._is_open = self._is_frozen = False
            case "reconciled":
                self.last_reconciled = body
                self._is_open = not body["in_doubt"] and not body["breaks"]
            case "kill_switch":
                self.killed = True
            case "kill_switch_reset":
                self.killed = False
            case _:
                self._read_book(event)

    def _read_book(self, event: JournalEvent) -> None:
        body = event.body
        match event.kind:
            case "fill" | "external_fill" | "fill_corrected":
                base = base_of(body["exec_id"])[0]
                self._told.setdefault(body.get("client_order_id", ""), set()).add(base)
                self.executions.add(base)
            case "adjustment":
                self.accepted |= body["what"] == AdjustmentKind.ACCEPTED
            case _:
                pass

    def _message(self, body: dict[str, Any]) -> None:
        if body["message"] == "error":
            code = body["code"]
            if code in LINK_LOST or code in LINK_RESTORED:
                self._is_open, self._is_frozen = False, code in LINK_LOST
        elif body["message"] == "execution" and base_of(body["exec_id"])[1] > 1:
            self.corrected.add(body.get("client_order_id") or body["order_ref"])

    def _act(self, event: JournalEvent, said: dict[str, OrderStatus], found: list[Violation]) -> None:
        name = event.body["client_order_id"]
        said[name] = _ACTS[event.kind]
        self._recorded[name] = said[name]
        if event.kind == "order_submitted":
            self.attempts[name] = self.attempts.get(name, 0) + 1
            self._statuses.pop(name, None)
            self._require_open(event, found)
        elif event.kind == "order_released":
            self.released[name] = self.released.get(name, 0) + 1

    def _require_open(self, event: JournalEvent, found: list[Violation]) -> None:
        name = event.body["client_order_id"]
        if not self._is_open or self._is_frozen:
            why = "TWS was without the broker" if self._is_frozen else "the session was not reconciled"
            found.append(Violation("I9", f"{event.kind} {name} while {why}"))
        if self.killed:
            found.append(Violation("I9", f"{event.kind} {name} after the kill switch"))

    def _status(self, body: dict[str, Any], said: dict[str, OrderStatus], found: list[Violation]) -> None:
        name = body["client_order_id"]
        old, new = OrderStatus(body["old"]), OrderStatus(body["new"])
        said[name] = new
        before = self._recorded.get(name)
        if before not in (old, new):
            found.append(Violation("I8", f"order {name}: {old} to {new} on record, it was {before}"))
        self._recorded[name] = new
        if why := self._forbidden(name, old, new):
            found.append(Violation("I8", f"order {name} went from {old} to {new}: {why}"))
        filled = Decimal(body["filled"])
        if filled < self._filled.get(name, ZERO) and name not in self.corrected:
            found.append(Violation("I8", f"order {name}: filled fell from {self._filled[name]} to {filled}"))
        self._filled[name] = filled

    def _forbidden(self, name: str, old: OrderStatus, new: OrderStatus) -> str:
        if old.is_final and name not in self.corrected:
            late_fill = old is OrderStatus.CANCELLED and new is OrderStatus.FILLED
            if not late_fill and old not in _ASSUMED_DEAD:
                return "it had ended"
        if new is OrderStatus.PENDING:
            return "it was already sent"
        back = new is OrderStatus.SUBMITTED and old is OrderStatus.PARTIALLY_FILLED
        return "it was filled in part" if back and name not in self.corrected else ""


def differences(durable: Entry, live: Entry) -> list[str]:
    """Return the fields in which two entries of an order differ."""
    names = (
        "status",
        "order_id",
        "perm_id",
        "attempt",
        "request",
        "filled",
        "reported_filled",
        "acknowledged",
    )
    found = [name for name in names if getattr(durable, name) != getattr(live, name)]
    if {k: (e.quantity, e.price, e.commission) for k, e in durable.executions.items()} != {
        k: (e.quantity, e.price, e.commission) for k, e in live.executions.items()
    }:
        found.append("executions")
    return found
