"""Where the broker's facts wait until a group of them is made durable, applied and told.

Closing the inbox does, in this order: record each fact, apply it to the blotter, record what it changed,
commit the group, and only then tell the validator and the handlers. If the commit fails nothing is told and
nothing is lost: the next close tries again. A handler that raises is reported, in the log and in the journal,
and told again; see `execution.orders.telling`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from decimal import Decimal

from execution.audit import AuditLogger
from execution.book.cash import Cash
from execution.events import OrderEventHandler
from execution.models import ZERO
from execution.numbers import reckoned
from execution.orders.blotter import Blotter, Subject
from execution.orders.changes import Adjusted, Change, Corrected, External, Filled, StatusChanged, merged
from execution.orders.evidence import Evidence, ExecutionSeen, OpenOrderSeen
from execution.orders.recording import Recording
from execution.orders.reserving import Reserving
from execution.orders.teller import Teller
from execution.orders.telling import Told
from execution.reconciliation.claims import key_of
from execution.validators import PreTradeValidator

_MOVES_THE_BOOK = (Filled, Corrected, Adjusted)


class Inbox:
    """Groups inbound facts and delivers their consequences.

    Attributes
    ----------
    net
        Signed quantity by symbol that our executions amount to.
    cash
        What the account should hold by what is on record.
    open_references
        Client order ids seen in open orders since the last `forget_open_orders`.
    open_keys
        The same for orders of somebody else, by `execution.reconciliation.claims.key_of`.
    on_corrected
        Called when an execution was corrected: what stands at the broker has to be asked for.
    foreign_references
        Order references seen at the broker that this journal knows nothing of.
    known_again
        Executions and commissions told again that are on record already: counted, and not recorded anew.
    repeated
        The same of reports of orders, where they come in a listing and say only what is known.
    """

    def __init__(
        self,
        blotter: Blotter,
        audit: AuditLogger,
        validator: PreTradeValidator | None,
        handlers: Sequence[OrderEventHandler] = (),
    ) -> None:
        self.blotter = blotter
        self.net: dict[str, Decimal] = {}
        self.cash = Cash()
        self.open_references: set[str] = set()
        self.open_keys: set[str] = set()
        self.on_corrected: Callable[[], None] = lambda: None
        self.foreign_references: set[str] = set()
        self._listed_references: set[str] = set()
        self._listing = True
        self.known_again = 0
        self.repeated = 0
        self.fills_since_barrier = False
        self._audit = audit
        self.reservations = Reserving(blotter, validator)
        self._recording = Recording(audit, blotter)
        self._teller = Teller(blotter, self.reservations, audit, handlers)
        self._teller.on_corrected = self._ask_anew
        self._waiting: list[Evidence] = []
        self._recorded: Evidence | None = None
        self._untold: list[Change] = []
        self._due: deque[Change] = deque()
        audit.identities = blotter.identities

    def add_handler(self, handler: OrderEventHandler) -> None:
        """Tell another receiver of order events."""
        self._teller.add(handler)

    @property
    def failures(self) -> int:
        """Number of handler calls that raised."""
        return self._teller.failures

    @property
    def undelivered(self) -> list[tuple[str, Told]]:
        """What handlers did not take: their names, with what is tried again and what was given up."""
        return self._teller.undelivered

    def retry(self) -> None:
        """Tell the handlers again what they did not take."""
        self._teller.retry()

    def take(self, evidence: Evidence) -> None:
        """Hold a fact until the inbox is closed."""
        if isinstance(evidence, OpenOrderSeen):
            if self._listing:
                self.open_keys.add(key_of(evidence))
            if evidence.order_ref:
                self.open_references.add(evidence.order_ref)
        self._waiting.append(evidence)

    def note_reference(self, order_ref: str) -> None:
        """Remember a reference that is in use at the broker and unknown to this journal."""
        if order_ref and order_ref not in self.blotter.entries:
            self.foreign_references.add(order_ref)
            self._listed_references.add(order_ref)

    def forget_open_orders(self) -> None:
        """Start a new listing of what the broker has."""
        self._listing = True
        self.open_references, self.open_keys = set(), set()
        self._listed_references = set()

    def keep_listed_references(self) -> None:
        """Take the listing as complete: what it did not name is not in use at the broker any more."""
        self._listing = False
        self.foreign_references = set(self._listed_references)

    @reckoned
    def close(self, *, barrier: bool = False) -> None:
        """Make the waiting facts durable as one group, apply them and tell their consequences.

        Parameters
        ----------
        barrier
            Mark that the executions so far belong to the step that follows.
        """
        if not (self._waiting or self._untold or self._due or barrier):
            return  # a piece of a message that is not whole yet
        waiting, self._waiting = self._waiting, []
        changes: list[Change] = []
        recorded = done = 0
        try:
            for evidence in waiting:
                about = self.blotter.subject_of(evidence)
                if about.found is not None and self.blotter.knows(evidence, about):
                    self.known_again += 1
                    if isinstance(evidence, ExecutionSeen):
                        self.note_reference(evidence.order_ref)
                elif self._listing and self.blotter.repeats(evidence, about):
                    self.repeated += 1
                    self._note_listed(evidence, about)
                else:
                    recorded += 1
                    changes += self._applied(evidence, about)
                done += 1
        finally:
            if done < len(waiting):  # what stumbled is tried again, with all that came behind it
                self._waiting[:0] = waiting[done:]
                self._hold(merged(changes))
        self.deliver(merged(changes), commit=bool(recorded), barrier=barrier)
        if barrier:
            self.retry()  # a step begins with as little left over as can be
        if recorded:
            self._audit.maintain()

    def _applied(self, evidence: Evidence, about: Subject) -> list[Change]:
        """Record a fact and apply it; return what it changed."""
        if evidence is not self._recorded:
            self._audit.log_evidence(evidence, about.entry)
        self._recorded = evidence  # should it stumble now, it is not recorded again
        self._note_listed(evidence, about)
        changes = self.blotter.apply(evidence, about)
        self._recorded = None
        return changes

    def _note_listed(self, evidence: Evidence, about: Subject) -> None:
        if about.entry is not None and isinstance(evidence, OpenOrderSeen):
            self.open_references.add(about.entry.client_order_id)  # it may be shown without its reference

    def _hold(self, changes: list[Change]) -> None:
        """Record changes and keep them until they may be told."""
        for change in changes:
            self._recording.record(change)
            if isinstance(change, _MOVES_THE_BOOK):
                self.fills_since_barrier = True
        self._untold += changes
        self.reservations.expect(changes)

    @reckoned
    def deliver(self, changes: list[Change], *, commit: bool = True, barrier: bool = False) -> None:
        """Record changes, commit, and tell the validator and the handlers."""
        commit = commit or bool(self._untold)  # a commit that failed before is owed
        self._hold(changes)
        if barrier and self.fills_since_barrier:
            self._audit.log_barrier()
            self.fills_since_barrier = False
            commit = True
        if commit:
            self._audit.commit()
        self._due += self._untold
        self._untold = []
        while self._due:  # a handler that delivers in turn goes on with these first
            change = self._due.popleft()
            self._count(change)
            self._teller.tell(change)

    def _ask_anew(self) -> None:
        self.on_corrected()  # whoever is to hear of it by now

    def _count(self, change: Change) -> None:
        """Take a change into the figures of the account, before anybody is told."""
        if isinstance(change, Filled):
            if change.late_commission:
                self.cash.charge(change.fill)
            else:
                self.cash.trade(change.fill)
                self._move(change.fill.symbol, change.fill.side.sign * change.fill.quantity)
        elif isinstance(change, StatusChanged):
            if change.order.status.is_final and not self._listing:  # a listing is told as it came
                self.open_references.discard(change.order.client_order_id or "")
        elif isinstance(change, Corrected):
            self.cash.revise(change.old, change.new)
            moved = change.new.quantity - change.old.quantity
            self._move(change.new.symbol, change.new.side.sign * moved)
        elif isinstance(change, Adjusted):
            self.cash.adjust(change.adjustment)
            for symbol, moved in change.adjustment.changes.items():
                self._move(symbol, moved)
        elif isinstance(change, External):
            self.note_reference(getattr(change.evidence, "order_ref", ""))

    def _move(self, symbol: str, moved: Decimal) -> None:
        if moved:
            self.net[symbol] = self.net.get(symbol, ZERO) + moved
