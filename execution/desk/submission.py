"""How orders go out: one, or a bracket of three as a whole.

1. Form and identity are checked: the same id with the same body returns what is stored, and sends nothing.
2. The validator evaluates and reserves.
3. The intents, with the risk decision and the session's order ids, are made durable in one commit.
4. Only then are bytes written. Nothing is awaited in between, so no other order can take the same room.

Of a bracket the first two are written untransmitted and the last one transmits all three. Its exits end each
other at the broker and only ever undo the entry, so the rules are asked about the entry; the exits hold
together what it has built and they have not undone yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from decimal import localcontext

from execution.clocks import utc_ns
from execution.desk.desk import READ_ONLY, Desk
from execution.desk.rounding import rounded
from execution.errors import (
    DuplicateOrderError,
    InvalidOrderError,
    JournalError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
    RiskCheckError,
)
from execution.events import RiskDecision
from execution.ibkr import translate
from execution.ibkr.session import IBSession
from execution.models import Order, OrderRequest, OrderStatus
from execution.numbers import reckoned
from execution.orders.blotter import Entry
from execution.reconciliation.claims import EXTERNAL
from execution.validators import judge_bracket
from execution.vocabulary import require_reference

_LAST_ORDER_ID = 2**31 - 1
_DRY_RUN = "dry run: everything but the socket write was done"
_JOURNAL_DEAD = "the journal could not be written; nothing was sent"


class Submission:
    """Evaluates, reserves, records and writes new orders."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._judging = False

    @reckoned
    def submit(self, order: OrderRequest) -> Order:
        """Send one order; see `IBKROrderExecutor.submit`."""
        request = self.named(order)
        known = self._stored(request)
        self._require_own(request)
        if known is not None and self._stands(known):
            return known.order()
        require_reference(request.client_order_id)
        session = self._require_way(request)
        order_id = self._next_ids(session)
        wire = self._check(request, order_id)
        session.require_open_lane()
        entry = self._entry(request, order_id, known)
        decision = self._evaluate(request)
        entry.reserved_price = self._desk.inbox.reservations.hold(entry, request, None)
        self._record([entry], decision)
        self._write(session, [entry], [wire])
        return entry.order()

    @reckoned
    def submit_bracket(self, requests: Sequence[OrderRequest]) -> list[Order]:
        """Send an entry and its two exits as a whole; see `IBKROrderExecutor.submit_bracket`."""
        named = [self.named(request) for request in requests]
        known = [self._stored(request) for request in named]
        for request in named:
            self._require_own(request)
        standing = [entry for entry in known if entry is not None and self._stands(entry)]
        if len(standing) == len(named):
            return [entry.order() for entry in standing]
        if standing:
            raise DuplicateOrderError(
                f"client order id {standing[0].client_order_id} stands outside of this bracket; nothing was "
                "sent. Use new ids for all three"
            )
        for request in named:
            require_reference(request.client_order_id)
        session, *_ = [self._require_way(request) for request in named]
        first = self._next_ids(session, len(named))
        entries, wires = [], []
        for number, (request, before) in enumerate(zip(named, known, strict=True)):
            wires.append(self._check(request, first + number))
            entries.append(self._entry(request, first + number, before))
        for child in entries[1:]:
            child.parent = entries[0].client_order_id
        session.require_open_lane(messages=len(entries))
        decision = self._evaluate(named[0], named[1:])
        with ExitStack() as undo:
            for entry in entries:
                entry.reserved_price = self._desk.inbox.reservations.hold(entry, entry.request, None)
                undo.callback(self._desk.inbox.reservations.release, entry.client_order_id)
            undo.pop_all()
        self._record(entries, decision)
        self._write(session, entries, wires)
        return [entry.order() for entry in entries]

    def record_refusal(self, request: OrderRequest, decision: RiskDecision) -> None:
        """Record a denied order; once, however often it is proposed."""
        name = request.client_order_id or ""
        if name not in self._desk.refusals:
            request = replace(request, account=request.account or self._desk.account)
            self._desk.refusals[name] = (request, decision)
            self._desk.audit.log_refusal(request, decision)

    # -- parts --------------------------------------------------------------------------------------------

    def named(self, order: OrderRequest) -> OrderRequest:
        """Return an order with its id and account, rounded where that is wanted."""
        name = order.client_order_id or self._desk.new_id()
        account = order.account or self._desk.account
        request = order
        if (name, account) != (order.client_order_id, order.account):
            request = order.under(name, account)
        if not self._desk.round_orders:
            return request
        contracts = self._desk.manager.contracts
        return rounded(request, self._desk.instrument(request.symbol), contracts.increment_at)

    def _stored(self, request: OrderRequest) -> Entry | None:
        name = request.client_order_id or ""
        refused = self._desk.refusals.find(name)
        entry = self._desk.blotter.entries.get(name)
        stored = refused[0] if refused else entry.asked if entry else None
        if stored is not None and stored != request:
            raise DuplicateOrderError(
                f"client order id {name} was used for another order: {stored.side} {stored.quantity} "
                f"{stored.symbol}; use a new id"
            )
        if refused:
            raise RiskCheckError(refused[1].reason, rule=refused[1].rule)
        return entry

    def _stands(self, entry: Entry) -> bool:
        return entry.status is not OrderStatus.NOT_SENT or self._desk.dry_run

    def _require_own(self, request: OrderRequest) -> None:
        if (request.client_order_id or "").startswith(EXTERNAL):
            raise InvalidOrderError(
                f"client_order_id {request.client_order_id}: {EXTERNAL} is what orders of others begin with "
                "here; nothing was sent. Use another id"
            )
        if request.client_order_id in self._desk.inbox.foreign_references:
            raise OrderInDoubtError(
                f"the broker has an order {request.client_order_id} that this journal knows nothing of; "
                "nothing was sent. Use the journal that sent it, or another id"
            )

    def _require_way(self, request: OrderRequest) -> IBSession:
        """Return the session that an order may go out on."""
        self._desk.gate.require_open()
        if self._desk.manager.readonly and not self._desk.dry_run:
            reason = "the connection is read-only; nothing was sent"
            self.record_refusal(request, RiskDecision(False, READ_ONLY, reason))
            raise RiskCheckError(reason, rule=READ_ONLY)
        session: IBSession = self._desk.manager.session
        self._desk.require_account(request)
        return session

    def _next_ids(self, session: IBSession, count: int = 1) -> int:
        """Return the first of so many order ids in a row; each is larger than any before."""
        first = max(self._desk.blotter.last_order_id + 1, session.next_order_id)
        if first + count - 1 > _LAST_ORDER_ID:
            raise NotReadyError(
                f"the order ids up to {_LAST_ORDER_ID}, the last that TWS can hold, are used up; nothing was "
                "sent. Reset the API order ids in the settings of TWS and begin a new journal"
            )
        return first

    def _check(self, request: OrderRequest, order_id: int) -> translate.WireOrder:
        """Return the order as it will be written; what would be rejected is refused here."""
        now_ns = self._desk.clock.now_ns()
        if request.good_till is not None and utc_ns(request.good_till) <= now_ns:
            raise InvalidOrderError(f"good_till: {request.good_till} has passed; nothing was sent")
        wire = translate.to_wire_order(request, self._desk.instrument(request.symbol), order_id)
        self._desk.manager.contracts.check(request, now_ns)
        return wire

    def _entry(self, request: OrderRequest, order_id: int, before: Entry | None) -> Entry:
        return Entry(
            request=request,
            order_id=order_id,
            submitted_ns=before.submitted_ns if before else self._desk.clock.now_ns(),
            attempt=before.attempt + 1 if before else 1,
            dry_run=self._desk.dry_run,
        )

    def _evaluate(self, request: OrderRequest, exits: Sequence[OrderRequest] = ()) -> RiskDecision:
        validator = self._desk.validator
        if validator is None:
            return RiskDecision(approved=True)
        if self._judging:  # it would be written under the number that the other is about to get
            raise NotReadyError(
                "another order is being judged; nothing was sent. Send this one after it, not from its check"
            )
        self._judging = True
        try:
            with localcontext():  # what a validator sets for its own decimals ends with it
                decision = judge_bracket(validator, request, exits) if exits else validator.evaluate(request)
        finally:
            self._judging = False
        if not decision.approved:
            for refused in (request, *exits):
                self.record_refusal(refused, decision)
            raise RiskCheckError(decision.reason, rule=decision.rule)
        return decision

    def _record(self, entries: Sequence[Entry], decision: RiskDecision) -> None:
        desk = self._desk
        try:
            desk.audit.log_intents(entries, decision)
        except JournalError:
            # The intents stay held by the journal; their release follows there, so the record stays true.
            for entry in entries:
                desk.audit.log_release(entry.client_order_id, _JOURNAL_DEAD)
                desk.blotter.submitted(entry)
                desk.blotter.released(entry.client_order_id, _JOURNAL_DEAD)
                desk.inbox.reservations.release(entry.client_order_id)
            raise
        for entry in entries:
            desk.blotter.submitted(entry)

    def _write(
        self, session: IBSession, entries: Sequence[Entry], wires: Sequence[translate.WireOrder]
    ) -> None:
        desk = self._desk
        if desk.dry_run:
            for entry in entries:
                desk.release(entry, _DRY_RUN)
            return
        parent_id = 0
        for number, entry in enumerate(entries):
            last = number + 1 == len(entries)
            try:
                session.place(
                    entry.order_id,
                    desk.instrument(entry.request.symbol),
                    entry.request,
                    parent_id=parent_id,
                    transmit=last,
                    following=len(entries) - number - 1,
                    wire=wires[number],
                )
            except NotConnectedError:
                for written in entries[:number]:
                    desk.doubt(written, "the session was gone before the rest of its bracket was written")
                for unwritten in entries[number:]:
                    desk.release(unwritten, "the session was gone before the write")
                raise
            except Exception:  # how much of it left is not known
                for written in entries[: number + 1]:
                    desk.doubt(written, "its write, or that of the rest of its bracket, stumbled")
                for unwritten in entries[number + 1 :]:
                    desk.release(unwritten, "the write of its bracket stumbled before")
                raise
            desk.gate.wrote(entry.client_order_id)
            parent_id = entries[0].order_id


def bracket_of(
    entry: OrderRequest, take_profit: OrderRequest, stop_loss: OrderRequest, name: str
) -> list[OrderRequest]:
    """Check that three orders are a bracket and give them ids that belong together.

    Raises
    ------
    InvalidOrderError
        If an exit is for another symbol, account, size or the same side, the take-profit has no limit or the
        stop-loss no stop.
    """
    name = entry.client_order_id or name
    exits = (("take_profit", take_profit, "-tp"), ("stop_loss", stop_loss, "-sl"))
    for title, leg, _ in exits:
        if (leg.symbol, leg.quantity) != (entry.symbol, entry.quantity):
            raise InvalidOrderError(f"{title}: give it the entry's symbol and quantity; nothing was sent")
        if leg.side is entry.side:
            raise InvalidOrderError(f"{title}: give it the side opposite to the entry's; nothing was sent")
        if leg.account not in (None, entry.account):
            raise InvalidOrderError(f"{title}: give it the entry's account; nothing was sent")
        if leg.oca_group is not None:
            raise InvalidOrderError(f"{title}: the exits of a bracket form their own group; give none")
    if not take_profit.order_type.needs_limit:
        raise InvalidOrderError(f"take_profit: a {take_profit.order_type} order has no limit; use LIMIT")
    if not (stop_loss.order_type.needs_stop or stop_loss.order_type.trails):
        raise InvalidOrderError(f"stop_loss: a {stop_loss.order_type} order has no stop; use STOP")
    legs = [
        replace(leg, client_order_id=leg.client_order_id or name + suffix, account=entry.account)
        for _, leg, suffix in exits
    ]
    ids = {name, *(leg.client_order_id for leg in legs)}
    if len(ids) != 1 + len(legs):
        raise InvalidOrderError("the three orders of a bracket need three client order ids; nothing was sent")
    return [replace(entry, client_order_id=name), *legs]
