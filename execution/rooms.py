"""The rooms in which the executor's work is done, built over one desk.

What is done with orders is in `execution.desk`, over the parts in `execution.desk.desk`; what has to agree
with the broker in `execution.reconciliation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from execution.book.adjustments import CorporateActionSource
from execution.desk.acknowledgement import Acknowledgement
from execution.desk.cancellation import Cancellation
from execution.desk.desk import Desk
from execution.desk.flattening import Flattening
from execution.desk.margin import Margins
from execution.desk.modification import Modifying
from execution.desk.submission import Submission
from execution.desk.unfilled import UnfilledLimits
from execution.desk.unfilled_policy import UnfilledPolicy
from execution.numbers import reckoned
from execution.orders.recovery import Recovered, recover
from execution.reconciliation.claims import Claim, ClaimPolicy
from execution.reconciliation.leftovers import Leftovers
from execution.reconciliation.lifetimes import TradingDays
from execution.reconciliation.policies import ExpiredDay, Unanswered
from execution.reconciliation.positions import Positions
from execution.reconciliation.readiness import Readiness
from execution.reconciliation.reconcile import Reconciler
from execution.reconciliation.settlement import Settlement


@dataclass(frozen=True, slots=True)
class Agreement:
    """How broker and journal are brought to agree; the parameters of `IBKROrderExecutor` by these names."""

    claim: ClaimPolicy
    claim_symbols: Iterable[str] | None
    corporate_actions: CorporateActionSource | None
    release_absent: bool
    quarantine: float
    days: TradingDays | None
    expired_day: ExpiredDay
    unanswered: Unanswered


class Rooms:
    """Everything that is done over one desk.

    Parameters
    ----------
    desk
        Parts of the executor.
    agreement
        How broker and journal are brought to agree.
    unfilled
        What becomes of limit orders that do not fill; None leaves them.
    grouped
        Whether what arrives waits for the inbox to be closed.
    """

    def __init__(
        self,
        desk: Desk,
        agreement: Agreement,
        unfilled: UnfilledPolicy | None,
        grouped: Callable[[], bool],
    ) -> None:
        self.desk = desk
        self.submission = Submission(desk)
        self.acknowledgement = Acknowledgement(desk)
        self.cancellation = Cancellation(desk)
        self.modifying = Modifying(desk)
        self.margins = Margins(desk)
        self.unfilled = (
            None if unfilled is None else UnfilledLimits(desk, unfilled, self.cancellation, self.modifying)
        )
        owned = Claim(
            agreement.claim,
            desk.account,
            frozenset(agreement.claim_symbols or desk.instruments),
            {name: i.security_type for name, i in desk.instruments.items() if i.security_type != "STK"},
        )
        self.positions = Positions(desk.inbox, desk.audit, owned, agreement.corporate_actions)
        self.flattening = Flattening(desk, self.cancellation, self.submission, self.positions.ours)
        reconciler = Reconciler(
            desk.inbox,
            desk.audit,
            self.positions,
            owned,
            release_absent=agreement.release_absent or desk.dry_run,
            quarantine=agreement.quarantine,
            days=agreement.days,
            expired_day=agreement.expired_day,
            contracts=desk.manager.contracts,
        )
        self._restored = False
        leftovers = Leftovers(desk, owned, agreement.unanswered)
        self.readiness = Readiness(
            desk, reconciler, self.modifying.settle, grouped, leftovers, self._restore_once
        )
        self.settlement = Settlement(
            desk, self.positions, self.readiness.reconcile, lambda: reconciler.outcome
        )
        desk.inbox.add_handler(desk.answers)
        desk.manager.contracts.offer(desk.instruments.values())
        desk.manager.first_id = lambda: desk.blotter.last_order_id + 1

    @reckoned
    def restore(self) -> Recovered:
        """Rebuild orders, refusals and reservations from the journal; see `IBKROrderExecutor.restore`."""
        desk = self.desk
        recovered = recover(desk.audit.journal.events(), desk.blotter)
        desk.blotter.client_id = desk.manager.client_id
        desk.refusals = recovered.refusals
        self.positions.opening = recovered.opening
        desk.inbox.net = recovered.net()
        desk.inbox.cash = recovered.cash
        desk.inbox.fills_since_barrier = bool(recovered.loose)
        for entry in desk.blotter.open_entries():
            desk.inbox.reservations.reserve(entry)
        for order in desk.blotter.externals.open():
            desk.inbox.reservations.reserve_external(order)
        self._restored = True
        return recovered

    def _restore_once(self) -> None:
        """Restore what nobody restored: an order of before would be sent again under its id otherwise."""
        if not self._restored:
            self.restore()
