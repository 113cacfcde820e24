"""What may stand at TWS and should not: second orders, legs of a bracket cut off, orders nobody answered.

They are cancelled when a reconciliation has shown them. A cancel is on record before it is written, and
proves nothing: what is in doubt stays so until TWS answers it. The answer to a number of an earlier session
is that order's: the record of the cancel binds it. What follows from it `lapses` says.

* A twin: TWS made two orders of one of ours. It is ours to end where the claim books what others do here, and
  this client sent it. Elsewhere it stays reported, with a next step for a person.
* A leg: the last part of a bracket transmits all of it. Where the session ended before that was written, TWS
  holds the others back: they are in no list, do not trade, and whoever sits before TWS could transmit them.
* An unanswered order: written in an earlier session, acknowledged by nobody, in no list. Where the policy
  says so, the cancel of its number ends it wherever it is at TWS, or finds that it is nowhere.
"""

from __future__ import annotations

from collections.abc import Iterator

import structlog

from execution.desk.desk import Desk
from execution.errors import NotConnectedError
from execution.models import OrderStatus
from execution.orders.entry import Entry
from execution.reconciliation.claims import Claim, ClaimPolicy, ExternalOrder
from execution.reconciliation.policies import Unanswered
from execution.reconciliation.reconcile import Reconciliation

_UNANSWERED = "nobody has answered it, and it is in no list: TWS is asked for it by its number"
_CUT = "its bracket was cut off before the last part, which transmits all, was seen at the broker"


class Leftovers:
    """Asks for the end of what a reconciliation found and should not be there.

    Parameters
    ----------
    desk
        Parts of the executor.
    claim
        What of the account is ours.
    unanswered
        What becomes of orders that nobody answered.
    """

    def __init__(self, desk: Desk, claim: Claim, unanswered: Unanswered = Unanswered.DOUBT) -> None:
        self._unanswered = unanswered
        self._desk = desk
        self._claim = claim
        self._last_before = 0
        self._asked: set[int] = set()
        self._log = structlog.get_logger("leftovers")

    def new_session(self) -> None:
        """Take note that whatever was written so far was written in a session that is over."""
        self._last_before = self._desk.blotter.last_order_id
        self._asked.clear()

    def end(self, result: Reconciliation) -> bool:
        """Record and write the cancels; what finds no room now is asked for by the next reconciliation.

        Returns
        -------
        bool
            Whether any was written, so that another look may find out more.

        Raises
        ------
        JournalError
            If they cannot be recorded; nothing was written then.
        """
        desk = self._desk
        if desk.dry_run or desk.manager.readonly or desk.gate.is_frozen:
            return False
        numbers = [self._twin(order, entry) for order, entry in self._twins(result)]
        numbers += [self._leg(entry) for entry in self._legs(result)]
        if not numbers:
            return False
        desk.audit.commit()
        for number in numbers:
            try:
                desk.manager.session.require_open_lane(reserve=0)
            except NotConnectedError as error:
                self._log.warning(
                    "a cancel waits for the next reconciliation", order_id=number, why=str(error)
                )
                break
            desk.manager.session.cancel(number)
            self._asked.add(number)
        return not self._asked.isdisjoint(numbers)

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
        unseen = [entry for entry in unseen if entry.client_id in (None, blotter.client_id)]  # else no number
        if not unseen:
            return
        taken = {
            order.order_id for order in blotter.externals.open()
        }  # by another journal under our client id
        for entry in reversed(unseen):  # the exits before what they hang on
            exits = self._exits_beside(entry)
            torn = any(one.status is OrderStatus.NOT_SENT for one in exits)
            cut_off = entry.order_id <= self._last_before or torn  # else its answer may just be late
            cancels = self._unanswered is Unanswered.CANCEL and not entry.status.is_final
            if (exits or cancels) and cut_off and entry.order_id not in taken:
                yield entry

    def _exits_beside(self, entry: Entry) -> list[Entry]:
        """Return the exits of the bracket that an order belongs to; none if it belongs to none."""
        entries = self._desk.blotter.entries
        head = entries.get(entry.parent, entry)
        exits = [one for one in head.exits if entries.get(one.client_order_id) is one]
        return exits or ([entry] if entry.parent else [])

    def _leg(self, entry: Entry) -> int:
        name = entry.client_order_id
        earlier = not (entry.status.is_final or self._desk.blotter.is_addressable(entry))
        why = _CUT if self._exits_beside(entry) else _UNANSWERED
        self._desk.audit.note("order_cancelled", client_order_id=name, reason=why, earlier_session=earlier)
        if earlier:  # what TWS answers to this number is about this order
            self._desk.blotter.addressed(name)
        return entry.order_id
