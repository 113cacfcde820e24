"""Changes of orders at work: checked and recorded before a byte is written, and the original never lost.

1. The state is checked here, because TWS takes a change of an order that it does not know as a new order,
   where its ids count from lower again: an order of an earlier session with an id that TWS may give anew is
   not changed at all.
2. The larger of old and new is evaluated and reserved; the old reservation is given back in the same breath.
3. The intent is durable; then one message is written, under the order's own id.
4. The broker's open order with the new terms accepts it. A code that rejects leaves the original at work.
   An unknown code, silence, or a lost session make the order UNKNOWN, and the broker is asked: if its list
   then shows the old terms, the change is over.
"""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

from execution.desk.desk import Desk
from execution.errors import (
    AcknowledgementTimeoutError,
    InvalidOrderError,
    JournalError,
    ModificationRejectedError,
    NotConnectedError,
    NotModifiableError,
    RiskCheckError,
)
from execution.events import RiskDecision
from execution.ibkr import translate
from execution.models import Order, OrderRequest, OrderStatus, OrderType
from execution.numbers import format_decimal, reckoned
from execution.orders.blotter import Entry
from execution.orders.terms import ChangeOutcome, Modification, higher_of, larger_of, shows

_AT_WORK = (OrderStatus.SUBMITTED, OrderStatus.PARTIALLY_FILLED)
_OLD_TERMS = "the broker's list of open orders shows the terms before"


class Modifying:
    """Changes orders that are at work."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    @reckoned
    def write(self, entry: Entry, changes: dict[str, Any]) -> Modification | None:
        """Check, evaluate, record and write a change; None if it changes nothing.

        Raises
        ------
        NotModifiableError, InvalidOrderError, RiskCheckError, NotConnectedError, JournalError
            In each case nothing was sent and the order is as it was.
        """
        desk = self._desk
        self._require_at_work(entry)
        request = self._changed(entry, changes)
        if request == entry.request:
            return None
        desk.gate.require_open()
        self._require_addressable(entry)
        instrument = desk.instrument(request.symbol)
        translate.to_wire_order(request, instrument, entry.order_id)
        desk.manager.contracts.check(request, desk.clock.now_ns())
        desk.manager.session.require_open_lane()
        decision, held_at = self._hold(entry, request)
        change = Modification(entry.modifications + 1, request, held_at)
        try:
            desk.audit.log_modifying(entry, change, decision)
        except JournalError:
            self._abandon(entry, change, "the journal could not be written; nothing was sent", durable=False)
            raise
        desk.blotter.modifying(entry.client_order_id, change)
        parent = desk.blotter.entries.get(entry.parent)
        try:
            desk.manager.session.place(
                entry.order_id, instrument, request, parent_id=0 if parent is None else parent.order_id
            )
        except NotConnectedError:
            self._abandon(entry, change, "the session was gone before the write")
            raise
        except Exception:  # how much of it left is not known
            desk.doubt(entry, "the write of its change stumbled")
            raise
        desk.gate.wrote(entry.client_order_id)
        return change

    async def answered(self, entry: Entry, change: Modification) -> Order:
        """Wait for what becomes of a change.

        Raises
        ------
        ModificationRejectedError
            If the broker refused it; the original is at work.
        AcknowledgementTimeoutError
            If it is not known; the order is UNKNOWN.
        """
        desk = self._desk
        try:
            await desk.until(lambda: entry.modification is not change, desk.timeout)
        except TimeoutError:
            why = f"no answer to its change within {desk.timeout:g} s"
            desk.doubt(entry, why)
            raise AcknowledgementTimeoutError(
                f"order {entry.client_order_id}: {why}; its state is UNKNOWN, do not change it again before "
                "it is reconciled",
                entry.order(),
            ) from None
        outcome, reason = entry.outcomes[change.number]
        if outcome is not ChangeOutcome.ACCEPTED:
            raise ModificationRejectedError(
                f"order {entry.client_order_id}: the change was not made ({outcome}): {reason}. The order is "
                f"{entry.status}",
                order=entry.order(),
            )
        return entry.order()

    def settle(self) -> None:
        """End the changes that a complete list of the broker's open orders has shown not to be made."""
        for entry in self._desk.blotter.open_entries():
            change, seen = entry.modification, entry.shown
            if entry.status is OrderStatus.UNKNOWN or change is None or seen is None:
                continue
            if shows(seen, entry.request):
                self._end(entry, change, ChangeOutcome.REFUSED, _OLD_TERMS)

    # -- parts --------------------------------------------------------------------------------------------

    def _require_at_work(self, entry: Entry) -> None:
        name = entry.client_order_id
        if entry.modification is not None:
            raise NotModifiableError(f"order {name}: a change of it is under way; nothing was sent")
        if entry.status not in _AT_WORK or entry.awaits_executions:
            raise NotModifiableError(
                f"order {name} is {entry.status}; only an order at work can be changed. Nothing was sent"
            )
        if self._desk.gate.may_be_ending(entry):
            # If it has ended and TWS counts its ids from lower again, the change would be a new order.
            raise NotModifiableError(
                f"order {name}: a cancel that ends it was asked for over this connection; nothing was sent. "
                "Wait for its end; if the broker refused the cancel, reconcile: when that shows the order at "
                "work, it can be changed"
            )

    def _require_addressable(self, entry: Entry) -> None:
        """Refuse a change that TWS could take for a new order should the old one have ended by then."""
        desk, name = self._desk, entry.client_order_id
        if not desk.blotter.is_addressable(entry):
            raise NotModifiableError(
                f"order {name} was not seen under its id in this session; reconcile first. Nothing was sent"
            )
        offered = desk.manager.session.offered_order_id
        if offered <= entry.order_id <= desk.blotter.ids_before_session:
            raise NotModifiableError(
                f"order {name}: TWS counts its order ids from {offered} again, below this order's "
                f"{entry.order_id}; if the order ended meanwhile, TWS would take the change for a new order. "
                "Nothing was sent. Cancel it, wait for its end, and send it anew under another id"
            )

    def _changed(self, entry: Entry, changes: dict[str, Any]) -> OrderRequest:
        old = entry.request
        wanted = {name: value for name, value in changes.items() if value is not None}
        kind = wanted.get("order_type", old.order_type)
        if kind is OrderType.MARKET and old.order_type is not kind:
            wanted |= {"limit_price": None, "stop_price": None}
        request = replace(old, **wanted)
        if request.quantity <= entry.filled:
            raise InvalidOrderError(
                f"quantity: {format_decimal(entry.filled)} of order {entry.client_order_id} are filled; give "
                "more, or cancel the rest. Nothing was sent"
            )
        return request

    def _hold(self, entry: Entry, request: OrderRequest) -> tuple[RiskDecision, Decimal | None]:
        """Swap the reservation for that of the larger of old and new; on a refusal leave it as it was."""
        if self._desk.validator is None:
            return RiskDecision(approved=True), None
        reservations = self._desk.inbox.reservations
        larger = larger_of(entry.request, request)
        decision = RiskDecision(approved=True)
        if not _only_shrinks(entry.request, request):
            decision = reservations.judge_change(entry, larger)
        if not decision.approved:
            self._desk.audit.log_modify_refused(entry, request, decision)
            raise RiskCheckError(decision.reason, rule=decision.rule)
        held_at = higher_of(entry.reserved_price, reservations.hold(entry, larger, None))
        reservations.hold(entry, larger, held_at)
        return decision, held_at

    def _abandon(self, entry: Entry, change: Modification, why: str, *, durable: bool = True) -> None:
        if durable:
            self._end(entry, change, ChangeOutcome.NOT_SENT, why)
            return
        # The intent stays held by the journal; its end follows there, so the record stays true.
        self._desk.audit.log_modified(entry.client_order_id, change.number, ChangeOutcome.NOT_SENT, why)
        self._desk.blotter.modifying(entry.client_order_id, change)
        self._desk.blotter.modified(entry.client_order_id, change.number, ChangeOutcome.NOT_SENT, why)
        self._desk.inbox.reservations.reserve(entry)

    def _end(self, entry: Entry, change: Modification, outcome: ChangeOutcome, why: str) -> None:
        changes = self._desk.blotter.modified(entry.client_order_id, change.number, outcome, why)
        self._desk.inbox.deliver(changes)


def _only_shrinks(old: OrderRequest, new: OrderRequest) -> bool:
    return new.quantity <= old.quantity and replace(new, quantity=old.quantity) == old
