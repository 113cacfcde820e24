"""What stands at TWS and should not: second orders under our references, and legs of a bracket cut off.

Both are cancelled when a reconciliation has shown them. A cancel is on record before it is written, and
proves nothing: what is in doubt stays so until the broker or a person says what became of it.

* A twin: TWS made two orders of one of ours. It is ours to end where the claim books what others do here, and
  this client sent it. Elsewhere it stays reported, with a next step for a person.
* A leg: the last part of a bracket transmits all of it. Where the session ended before that was written, TWS
  holds the others back: they are in no list, do not trade, and whoever sits before TWS could transmit them.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from execution.desk.desk import Desk
from execution.errors import NotConnectedError
from execution.models import OrderStatus
from execution.orders.entry import Entry
from execution.reconciliation.claims import Claim, ClaimPolicy, ExternalOrder
from execution.reconciliation.reconcile import Reconciliation

_CUT = "its bracket was cut off before the last part, which transmits all, was seen at the broker"


class Leftovers:
    """Asks for the end of what a reconciliation found and should not be there.

    Parameters
    ----------
    desk
        Parts of the executor.
    claim
        What of the account is ours.
    """

    def __init__(self, desk: Desk, claim: Claim) -> None:
        self._desk = desk
        self._claim = claim
        self._last_before = 0
        self._asked: set[int] = set()
        self._log = structlog.get_logger("leftovers")

    def new_session(self) -> None:
        """Take note that whatever was written so far was written in a session that is over."""
        self._last_before = self._desk.blotter.last_order_id
        self._asked.clear()

    def end(self, result: Reconciliation) -> None:
        """Record and write the cancels; what finds no room now is asked for by the next reconciliation.

        Raises
        ------
        JournalError
            If they cannot be recorded; nothing was written then.
        """
        desk = self._desk
        if desk.dry_run or desk.manager.readonly or desk.gate.is_frozen:
            return
        numbers = [self._twin(order, entry) for order, entry in self._twins(result)]
        numbers += [self._leg(entry) for entry in self._legs(result)]
        if not numbers:
            return
        desk.audit.commit()
        for number in numbers:
            try:
                desk.manager.session.require_open_lane(reserve=0)
            except NotConnectedError as error:
                self._log.warning(
                    "a cancel waits for the next reconciliation", order_id=number, why=str(error)
                )
                return
            desk.manager.session.cancel(number)
            self._asked.add(number)

    def _twins(self, result: Reconciliation) -> Iterator[tuple[ExternalOrder, Entry]]:
        blotter = self._desk.blotter
        if self._claim.policy is ClaimPolicy.REFUSE:
            return
        for order in blotter.externals.open():
            entry = blotter.twinned(order)
            own = order.client_id == blotter.client_id and order.order_id > 0
            if entry is not None and own and order.key in result.twins:
                yield order, entry

    def _twin(self, order: ExternalOrder, entry: Entry) -> int:
        self._log.error("cancelling a second order", of=entry.client_order_id, what=order.describe())
        self._desk.audit.note(
            "twin_cancelled",
            client_order_id=entry.client_order_id,
            twin_perm_id=order.perm_id,
            twin_order_id=order.order_id,
            shared_number=order.order_id == entry.order_id,  # TWS chooses then; the next look shows which
        )
        return order.order_id

    def _legs(self, result: Reconciliation) -> Iterator[Entry]:
        blotter = self._desk.blotter
        unseen = [blotter.entries[name] for name in (*result.in_doubt, *result.released)]
        unseen = [entry for entry in unseen if not entry.acknowledged and entry.order_id not in self._asked]
        if not unseen:
            return
        exits = [entry for entry in blotter.entries.values() if entry.parent]
        heads = {entry.parent for entry in exits}
        torn = {entry.parent for entry in exits if entry.status is OrderStatus.NOT_SENT}
        taken = {
            order.order_id for order in blotter.externals.open()
        }  # by another journal under our client id
        for entry in reversed(unseen):  # the exits before what they hang on
            head = entry.parent or entry.client_order_id
            cut_off = entry.order_id <= self._last_before or head in torn  # else its answer may just be late
            if head in heads and cut_off and entry.order_id not in taken:
                yield entry

    def _leg(self, entry: Entry) -> int:
        self._desk.audit.log_order_cancelled(entry.client_order_id, _CUT)
        return entry.order_id
