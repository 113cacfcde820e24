"""Defects put into the core on purpose, one at a time: the simulation has to find each of them.

A mutant is a function that patches the core in this process; its docstring is the defect, in a sentence. Each
is a mistake that real systems have made. `run.py` says after how many seeds each is found, and by what.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from execution.audit import AuditLogger
from execution.connection import IBKRConnectionManager
from execution.desk.acknowledgement import Acknowledgement
from execution.desk.gate import Gate
from execution.desk.submission import Submission
from execution.errors import (
    AcknowledgementTimeoutError,
    BrokerUnavailableError,
    JournalError,
    NotConnectedError,
)
from execution.executor import IBKROrderExecutor
from execution.ibkr.lane import Lane
from execution.ibkr.requests import Requests
from execution.ibkr.session import IBSession
from execution.models import ZERO, OrderRequest, OrderStatus
from execution.orders.blotter import Blotter, Change, Entry
from execution.orders.codes import CodeClass, CodeTable
from execution.orders.evidence import (
    CommissionSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OrderStatusSeen,
)
from execution.orders.inbox import Inbox
from execution.reconciliation.lapses import Lapse, Lapses
from execution.reconciliation.positions import Positions
from execution.reconciliation.reconcile import Reconciler, Reconciliation
from risk.engine import RiskEngine

Patch = Callable[["Patches"], None]
MUTANTS: dict[str, Patch] = {}


class Patches:
    """Replaced attributes, to be put back."""

    def __init__(self) -> None:
        self._kept: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> Any:
        """Replace an attribute of a class, where it is defined; return what was there."""
        owner = next(each for each in owner.__mro__ if name in vars(each))
        old = vars(owner)[name]
        self._kept.append((owner, name, old))
        setattr(owner, name, value)
        return old

    def undo(self) -> None:
        """Put everything back."""
        for owner, name, old in reversed(self._kept):
            setattr(owner, name, old)
        self._kept.clear()


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """Run the block with one mutant in place."""
    patches = Patches()
    MUTANTS[name](patches)
    try:
        yield
    finally:
        patches.undo()


def mutant(function: Patch) -> Patch:
    MUTANTS[function.__name__] = function
    return function


def _apply(patches: Patches, change: Callable[[Blotter, Evidence], Evidence | None]) -> None:
    """Let evidence reach the blotter changed; None does not reach it."""

    def apply(self: Blotter, evidence: Evidence, *_: Any) -> list[Change]:
        changed = change(self, evidence)
        return [] if changed is None else old(self, changed)

    old = patches.set(Blotter, "apply", apply)


def _owner(blotter: Blotter, evidence: Evidence) -> Entry | None:
    name = blotter.owner_of(evidence)
    return blotter.entries.get(name) if name else None


def _cancelled(blotter: Blotter, entry: Entry) -> OrderStatusSeen:
    return OrderStatusSeen(
        order_id=entry.order_id,
        client_id=blotter.client_id or 1,
        perm_id=entry.perm_id,
        status="Cancelled",
        filled=entry.filled,
        remaining=ZERO,
    )


# -- what the broker says --------------------------------------------------------------------------------


@mutant
def corrections_added(patches: Patches) -> None:
    """A corrected execution is added to the one that it replaces."""

    def change(_blotter: Blotter, seen: Evidence) -> Evidence:
        if isinstance(seen, ExecutionSeen) and not seen.exec_id.endswith(".01"):
            base, _, number = seen.exec_id.rpartition(".")
            return replace(seen, exec_id=f"{base}x{number}.01")
        return seen

    _apply(patches, change)


@mutant
def executions_not_deduplicated(patches: Patches) -> None:
    """An execution that is told twice is counted twice."""

    def change(blotter: Blotter, seen: Evidence) -> Evidence:
        if isinstance(seen, ExecutionSeen):
            told = vars(blotter).setdefault("told", {})
            told[seen.exec_id] = told.get(seen.exec_id, 0) + 1
            if told[seen.exec_id] > 1:
                base, _, number = seen.exec_id.rpartition(".")
                return replace(seen, exec_id=f"{base}d{told[seen.exec_id]}.{number}")
        return seen

    patches.set(Blotter, "knows", lambda self, evidence, *_: False)
    _apply(patches, change)


@mutant
def fills_after_the_end_dropped(patches: Patches) -> None:
    """An execution of an order that has ended is dropped."""

    def change(blotter: Blotter, seen: Evidence) -> Evidence | None:
        entry = _owner(blotter, seen) if isinstance(seen, ExecutionSeen) else None
        return None if entry is not None and entry.status.is_final else seen

    _apply(patches, change)


@mutant
def error_taken_as_cancel(patches: Patches) -> None:
    """Any error with the number of an order ends it, as in the client library underneath."""

    def change(blotter: Blotter, seen: Evidence) -> Evidence:
        if not isinstance(seen, ErrorSeen):
            return seen
        entry = _owner(blotter, seen)
        if entry is not None and not entry.status.is_final and seen.code not in (165, 399, 404):
            return _cancelled(blotter, entry)
        return seen

    _apply(patches, change)


@mutant
def refused_cancel_taken_as_cancel(patches: Patches) -> None:
    """A cancellation that the broker refuses is taken as one that it made."""

    def change(blotter: Blotter, seen: Evidence) -> Evidence:
        if not isinstance(seen, ErrorSeen):
            return seen
        entry = _owner(blotter, seen)
        if entry is not None and not entry.status.is_final and seen.code in (135, 136, 161, 10147, 10148):
            return _cancelled(blotter, entry)
        return seen

    _apply(patches, change)


@mutant
def filled_of_the_status_ignored(patches: Patches) -> None:
    """What a status says of the filled size is ignored; only executions count."""

    def change(_: Blotter, seen: Evidence) -> Evidence:
        return replace(seen, filled=ZERO) if isinstance(seen, OrderStatusSeen) else seen

    _apply(patches, change)


@mutant
def early_commissions_dropped(patches: Patches) -> None:
    """A commission that comes before its execution is taken as that of somebody else, for good."""

    def change(blotter: Blotter, seen: Evidence) -> Evidence | None:
        if not isinstance(seen, CommissionSeen):
            return seen
        foreign = vars(blotter).setdefault("foreign", set())
        if blotter.owner_of(seen) is None:
            foreign.add(seen.exec_id)
        return None if seen.exec_id in foreign else seen

    _apply(patches, change)


@mutant
def unknown_codes_ignored(patches: Patches) -> None:
    """A code of unknown meaning is passed over."""

    def classify(self: CodeTable, code: int) -> CodeClass:
        meaning = old(self, code)
        return CodeClass.INFORMATIONAL if meaning is CodeClass.UNKNOWN else meaning

    old = patches.set(CodeTable, "classify", classify)


@mutant
def order_ids_outlive_their_session(patches: Patches) -> None:
    """The number of an order counts as its identity in later sessions, and numbers are the gateway's own."""

    def change(blotter: Blotter, seen: Evidence) -> Evidence:
        number = getattr(seen, "order_id", 0)
        entry = blotter._lookup._by_session_id.get(number) if number > 0 else None
        if entry is not None and isinstance(seen, ExecutionSeen | OrderStatusSeen):
            if isinstance(seen, ExecutionSeen):
                seen = replace(seen, order_ref="")
            return replace(seen, perm_id=entry.perm_id)
        return seen

    _apply(patches, change)
    patches.set(Blotter, "new_session", lambda self: [])
    patches.set(Submission, "_next_ids", lambda self, session, count=1: session.next_order_id)

    async def open_session(self: IBSession, *where: Any, first_id: int = 0) -> None:
        await old(self, *where)

    old = patches.set(IBSession, "open", open_session)


# -- reconciliation --------------------------------------------------------------------------------------


@mutant
def executions_not_asked_for(patches: Patches) -> None:
    """After a reconnect nobody asks for the executions of the time between."""

    async def executions(self: IBSession) -> None:
        return None

    patches.set(IBSession, "executions", executions)


@mutant
def resent_when_not_visible(patches: Patches) -> None:
    """After a reconnect an order that the broker does not show is sent again."""

    async def run(self: Reconciler, session: IBSession, **how: Any) -> Reconciliation:
        result: Reconciliation = await old(self, session, **how)
        blotter = self._inbox.blotter
        for name in list(result.in_doubt):
            entry = blotter.entries.get(name)
            if entry is not None and not entry.acknowledged:
                with suppress(NotConnectedError):
                    instrument = _instrument(entry.request)
                    session.place(session.next_order_id, instrument, entry.request)
        return result

    old = patches.set(Reconciler, "run", run)


@mutant
def absent_taken_as_never_sent(patches: Patches) -> None:
    """An order that is in no list of the broker is taken as never sent, and may be sent again."""

    def init(self: Reconciler, *arguments: Any, **options: Any) -> None:
        old(self, *arguments, **{**options, "release_absent": True, "quarantine": 0.0})

    old = patches.set(Reconciler, "__init__", init)


@mutant
def partial_list_taken_as_whole(patches: Patches) -> None:
    """A list whose end mark does not come is taken as complete, and an order that is not in it as ended."""

    async def ask(self: Requests, *arguments: Any, **options: Any) -> list[list[str]]:
        options = {**options, "vital": False}
        try:
            rows: list[list[str]] = await old(self, *arguments, **options)
        except NotConnectedError:
            raise
        except BrokerUnavailableError as error:
            if "no complete answer" not in str(error):
                raise
            return []
        return rows

    def doubted(self: Blotter, client_order_id: str, reason: str) -> list[Change]:
        if not reason.startswith("acknowledged before"):
            changes: list[Change] = doubt(self, client_order_id, reason)
            return changes
        return self._put(client_order_id, OrderStatus.CANCELLED, reason)

    old = patches.set(Requests, "ask", ask)
    doubt = patches.set(Blotter, "doubted", doubted)


@mutant
def positions_not_compared(patches: Patches) -> None:
    """Positions are not compared; a difference stays unseen."""

    async def differing(self: Positions, session: IBSession) -> Any:
        await old(self, session)
        return {}

    old = patches.set(Positions, "differing", differing)


@mutant
def restored_link_not_reconciled(patches: Patches) -> None:
    """After 1101 and 1102 trading goes on without asking what happened."""

    def interrupt(self: Gate, *, frozen: bool) -> None:
        if frozen:
            old(self, frozen=True)
        else:
            self._frozen_epoch = 0
            self._ready_epoch = self._manager.epoch

    old = patches.set(Gate, "interrupt", interrupt)


@mutant
def submitted_without_the_barrier(patches: Patches) -> None:
    """Orders are sent as soon as there is a session, before anything was reconciled."""
    patches.set(Gate, "is_open", property(lambda self: self._manager.is_connected()))


@mutant
def sent_while_frozen(patches: Patches) -> None:
    """1100 is no reason not to send."""
    patches.set(Gate, "interrupt", lambda self, *, frozen: None)


@mutant
def half_open_unnoticed(patches: Patches) -> None:
    """Nothing watches whether the other end of the connection lives."""

    def init(self: IBKRConnectionManager, *arguments: Any, **options: Any) -> None:
        old(self, *arguments, **{**options, "heartbeat": None})

    old = patches.set(IBKRConnectionManager, "__init__", init)


# -- orders that cannot live any more ----------------------------------------------------------------------


@mutant
def lapsed_whatever_the_position(patches: Patches) -> None:
    """An order whose day is over ends as cancelled, whatever position the broker has."""

    def weigh(self: Lapses, entry: Entry, cause: str, *evidence: Any) -> Lapse:
        lapse: Lapse = old(self, entry, cause, *evidence)
        return replace(lapse, proof="its day is over", obstacle="")

    old = patches.set(Lapses, "_weigh", weigh)


@mutant
def lapsed_by_an_equal_position(patches: Patches) -> None:
    """An equal position is taken as proof that an order was not executed, whatever could hide it."""

    def weigh(self: Lapses, entry: Entry, cause: str, *evidence: Any) -> Lapse:
        lapse: Lapse = old(self, entry, cause, *evidence)
        if lapse.ours != lapse.theirs or lapse.proof:
            return lapse
        return replace(lapse, proof="the positions are equal", obstacle="")

    old = patches.set(Lapses, "_weigh", weigh)


@mutant
def lapse_off_the_record(patches: Patches) -> None:
    """That an order has lapsed is known to the process and not to the record."""

    def end(self: Lapses, entry: Entry, lapse: Lapse) -> None:
        note, self._audit.note = self._audit.note, lambda *_, **__: None  # type: ignore[method-assign]
        try:
            old(self, entry, lapse)
        finally:
            self._audit.note = note  # type: ignore[method-assign]

    old = patches.set(Lapses, "end", end)


@mutant
def unanswered_order_ended_unasked(patches: Patches) -> None:
    """An order of an earlier session that nobody answered has ended, without asking TWS."""

    def cause(self: Lapses, entry: Entry) -> tuple[str, str]:
        if not entry.acknowledged and entry.order_id <= self._inbox.blotter.ids_before_session:
            return "nobody answered it", ""
        found: tuple[str, str] = old(self, entry)
        return found

    old = patches.set(Lapses, "_cause", cause)


# -- submission ------------------------------------------------------------------------------------------


@mutant
def written_before_it_is_durable(patches: Patches) -> None:
    """The intent is recorded, the bytes are written, and only then is it made durable."""

    def log_intents(self: AuditLogger, *arguments: Any) -> None:
        commit, self.journal.commit = self.journal.commit, lambda: None  # type: ignore[method-assign]
        try:
            old(self, *arguments)
        finally:
            self.journal.commit = commit  # type: ignore[method-assign]

    old = patches.set(AuditLogger, "log_intents", log_intents)


@mutant
def audited_after_it_was_sent(patches: Patches) -> None:
    """The order is sent first and recorded afterwards."""

    def record(self: Submission, entries: Any, decision: Any) -> None:
        for entry in entries:
            self._desk.blotter.submitted(entry)
        vars(self)["late"] = (entries, decision)

    def write(self: Submission, entries: Any, *wires: Any) -> None:
        write_first(self, entries, *wires)
        asyncio.get_running_loop().call_later(0.2, lambda: self._desk.audit.log_intents(*vars(self)["late"]))

    patches.set(Submission, "_record", record)
    write_first = patches.set(Submission, "_write", write)


@mutant
def failed_commit_swallowed(patches: Patches) -> None:
    """An order is sent although its intent could not be made durable."""

    def log_intents(self: AuditLogger, *arguments: Any) -> None:
        with suppress(JournalError):
            old(self, *arguments)

    old = patches.set(AuditLogger, "log_intents", log_intents)


@mutant
def retried_after_a_timeout(patches: Patches) -> None:
    """An order that is not answered in time is sent again."""

    async def answer(self: Acknowledgement, entry: Entry) -> None:
        try:
            await old(self, entry)
        except AcknowledgementTimeoutError:
            with suppress(NotConnectedError):
                session = self._desk.manager.session
                session.place(session.next_order_id, _instrument(entry.request), entry.request)
            raise

    old = patches.set(Acknowledgement, "_answer_to", answer)


@mutant
def same_id_sent_again(patches: Patches) -> None:
    """A client order id that was used is sent once more."""
    patches.set(Submission, "_stands", lambda self, entry: False)


@mutant
def queued_behind_the_throttle(patches: Patches) -> None:
    """Messages beyond the rate wait in the client library, where a lost connection loses them."""

    def require(self: Lane, **_: Any) -> None:
        if not self._is_open():
            raise NotConnectedError("no session")

    patches.set(Lane, "require", require)


# -- risk ------------------------------------------------------------------------------------------------


@mutant
def nothing_reserved(patches: Patches) -> None:
    """Open orders are not counted: only what is filled."""
    patches.set(RiskEngine, "reserve", lambda self, request, price=None: price)


@mutant
def reservation_released_on_an_error(patches: Patches) -> None:
    """An error with the number of an order gives back what is reserved for it."""

    def take(self: Inbox, evidence: Evidence) -> None:
        old(self, evidence)
        if isinstance(evidence, ErrorSeen):
            name = self.blotter.owner_of(evidence)
            if name:
                self.reservations.release(name)

    old = patches.set(Inbox, "take", take)


@mutant
def reservation_lost_at_restart(patches: Patches) -> None:
    """After a restart open orders hold no reservation."""

    def restore(self: IBKROrderExecutor) -> Any:
        reserve, self.inbox.reservations.reserve = self.inbox.reservations.reserve, lambda entry: None  # type: ignore[method-assign]
        try:
            return old(self)
        finally:
            self.inbox.reservations.reserve = reserve  # type: ignore[method-assign]

    old = patches.set(IBKROrderExecutor, "restore", restore)


@mutant
def journal_not_read_at_restart(patches: Patches) -> None:
    """A process begins with an empty blotter, whatever the journal has."""

    def restore(self: IBKROrderExecutor) -> Any:
        events, self.audit.journal.events = self.audit.journal.events, lambda: iter(())  # type: ignore[method-assign]
        try:
            return old(self)
        finally:
            self.audit.journal.events = events  # type: ignore[method-assign]

    old = patches.set(IBKROrderExecutor, "restore", restore)


# -- the record ------------------------------------------------------------------------------------------


@mutant
def state_changed_off_the_record(patches: Patches) -> None:
    """A change of an order's state is not recorded."""
    patches.set(AuditLogger, "log_order_status_change", lambda self, order, old_status: None)


@mutant
def doubt_kept_in_memory(patches: Patches) -> None:
    """That an order is in doubt is known to the process and not to the record."""
    patches.set(AuditLogger, "log_doubt", lambda self, client_order_id, reason: None)


def _instrument(request: OrderRequest) -> Any:
    from execution.models import Instrument

    return Instrument(request.symbol)
