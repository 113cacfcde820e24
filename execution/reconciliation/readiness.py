"""Whether orders may go out: takes what the broker says, and asks it where that leaves something open.

What arrives goes to the inbox. A code that leaves open what stands at the broker, a corrected execution and a
new session close the gate; a reconciliation that agrees opens it. One runs at a time. What closes it within a
session is asked about without anybody's call (`execution.reconciliation.inquiry`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import structlog

from execution.desk.desk import Desk
from execution.desk.gate import GateState
from execution.errors import BrokerUnavailableError, JournalError, NotReadyError, OrderInDoubtError
from execution.numbers import own_arithmetic
from execution.orders.codes import CodeClass
from execution.orders.evidence import ErrorSeen, Evidence
from execution.reconciliation.inquiry import Inquiry
from execution.reconciliation.leftovers import Leftovers
from execution.reconciliation.reconcile import Reconciler, Reconciliation

_FREEZING_CODES = (1100, 1300, 2110)
_THAWING_CODES = (1101, 1102)
_LOOKS = 3
"""Reconciliations in a row when something new turned up in each."""


class Readiness:
    """Keeps the gate true to what is known.

    Parameters
    ----------
    desk
        Parts of the executor; the connection's facts are taken from here on.
    reconciler
        Compares the journal with the broker.
    settle
        Ends the changes of orders that a complete list has shown not to be made.
    grouped
        Whether what arrives waits for the inbox to be closed.
    leftovers
        Ends what a reconciliation found and should not be at the broker.
    restore
        Makes sure that what is on record is known; called before anything else that a session brings.
    """

    def __init__(
        self,
        desk: Desk,
        reconciler: Reconciler,
        settle: Callable[[], None],
        grouped: Callable[[], bool],
        leftovers: Leftovers,
        restore: Callable[[], None] = lambda: None,
    ) -> None:
        self._desk = desk
        self._reconciler = reconciler
        self._settle = settle
        self._grouped = grouped
        self._leftovers = leftovers
        self._restore = restore
        self._asked = False
        """Whether the last reconciliation asked TWS for what may stand there: the next one has the answer."""
        self._link_changes = 0
        self._reconciling = asyncio.Lock()
        self._log = structlog.get_logger("readiness")
        self._inquiry = Inquiry(desk, self.reconcile, self.check)
        desk.inbox.add_handler(self._inquiry)
        desk.gate.on_written = self._inquiry.watch
        desk.manager.add_handler(self._inquiry)
        desk.inbox.on_corrected = self._close_and_ask
        desk.manager.on_evidence = self._take
        desk.manager.on_data = self._on_data
        desk.manager.on_session = self._on_session

    async def ensure(self) -> None:
        """Connect and reconcile if that is needed; see `IBKROrderExecutor.ensure_ready`."""
        gate = self._desk.gate
        await self._desk.manager.ensure_connected()
        if gate.is_frozen:
            raise NotReadyError("TWS has lost its connection to the broker; it says when that is back")
        for look in range(1, _LOOKS + 1):
            if gate.state in (GateState.OPEN, GateState.FROZEN):
                return
            result = await self.reconcile()
            if not result.agrees and (look == _LOOKS or not self._asked):
                raise OrderInDoubtError(
                    f"broker and journal do not agree: {result.describe()}. Nothing is sent until this is "
                    "resolved; `trade orders doubt` shows the evidence and a next step"
                )

    async def ensure_for_cancels(self) -> None:
        """Do the same for the sake of cancels, which go out whatever broker and journal disagree about."""
        try:
            await self.ensure()
        except (OrderInDoubtError, BrokerUnavailableError, JournalError) as error:
            self._log.warning("cancelling all the same", why=str(error))

    async def reconcile(self) -> Reconciliation:
        """Compare with the broker; open the gate if they agree, close it if not."""
        async with self._reconciling:
            self._restore()
            return await self._reconciled()

    async def _reconciled(self) -> Reconciliation:
        with own_arithmetic():
            manager, gate = self._desk.manager, self._desk.gate
            session = manager.session
            epoch, interruptions, session.undecodable = manager.epoch, gate.interruptions, 0
            unanswered = gate.unanswered
            await manager.learn_contracts()
            result = await self._reconciler.run(session, undisturbed=self._undisturbed())
            self._inquiry.answered()
            gate.forget(unanswered)  # what became of these was asked
            self._settle()
            if session.is_open:
                self._asked = self._leftovers.end(result)
            if not result.agrees:
                self._close(result)
            elif interruptions == gate.interruptions:  # else what was asked before it may be out of date
                gate.open(epoch)
            return result

    async def check(self) -> Reconciliation:
        """Compare while orders go on; close the gate only if there is a difference."""
        async with self._reconciling:
            with own_arithmetic():
                return await self._checked()

    async def _checked(self) -> Reconciliation:
        epoch, session = self._desk.manager.epoch, self._desk.manager.session
        try:
            result = await self._reconciler.run(session, undisturbed=self._undisturbed())
        except JournalError:
            self._desk.gate.close()  # an order may be in doubt by now
            raise
        self._inquiry.answered()
        if not result.agrees and epoch == self._desk.manager.epoch:
            self._close(result)
        return result

    def _close(self, result: Reconciliation) -> None:
        self._desk.gate.close()
        self._log.error("broker and journal do not agree", what=result.describe())

    def _take(self, evidence: Evidence) -> None:
        self._desk.inbox.take(evidence)
        if isinstance(evidence, ErrorSeen):
            self._weigh(evidence)

    def _weigh(self, evidence: ErrorSeen) -> None:
        """Make a reconciliation due where an error leaves open what stands at the broker."""
        self._weigh_link(evidence)
        if evidence.code in _THAWING_CODES:
            self._inquiry.due()
        name = self._desk.blotter.owner_of(evidence)
        entry = self._desk.blotter.entries.get(name or "")
        if entry is None or entry.status.is_final:
            return
        self._reconciler.lapses.hear(evidence, entry)
        meaning = self._desk.blotter.classify(evidence.code)
        if meaning in (CodeClass.UNKNOWN, CodeClass.CANCEL_REJECTED) or (
            meaning is CodeClass.REJECTS_NEW and entry.acknowledged and entry.modification is None
        ):
            self._close_and_ask()
        elif meaning is CodeClass.CANCELLED:
            self._inquiry.told_ended(entry)

    def _weigh_link(self, evidence: ErrorSeen) -> None:
        if evidence.code in (*_FREEZING_CODES, *_THAWING_CODES):
            # After 1101 or 1102 the link stands again, but what happened meanwhile must be asked for first.
            self._desk.gate.interrupt(frozen=evidence.code in _FREEZING_CODES)
            self._link_changes += 1

    def _undisturbed(self) -> Callable[[], bool]:
        """Return what tells later whether TWS had the broker from now on until then."""
        before, gate = self._link_changes, self._desk.gate
        return lambda: before == self._link_changes and not gate.is_frozen

    def _close_and_ask(self) -> None:
        self._desk.gate.close()
        self._inquiry.due()

    def _on_session(self) -> None:
        for seen in self._desk.manager.said_at_login:  # it is about this session, not the one before
            self._weigh_link(seen)
        with suppress(JournalError):  # said when the session is to be used
            self._restore()
        self._leftovers.new_session()
        self._desk.audit.log_reconciling()
        changes = self._desk.blotter.new_session()
        if not changes:
            return
        try:
            self._desk.inbox.deliver(changes)
        except JournalError as error:
            # The session stands all the same, and must be watched; its reconciliation needs the journal.
            self._log.error("orders with a change under way are not on record yet", why=str(error))

    def _on_data(self) -> None:
        if self._grouped():
            return
        try:
            self._desk.inbox.close()
        except JournalError as error:
            # Nothing is lost: the facts are kept, and nothing is submitted until a commit succeeds.
            self._desk.gate.close()
            self._log.error("what the broker said could not be made durable", why=str(error))
        except Exception:
            self._desk.gate.close()  # a fact cannot be applied: nothing goes out on half of what is known
            raise
