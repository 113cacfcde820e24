"""What orders hold of the limits: kept true to what was told, through changes, corrections and restarts.

The validator books an execution when it is told, after the book has it. Whatever reserves an order anew in
between therefore counts only the executions that were told: the others shrink it when they are.

The exits of a bracket hold what its entry has built and they have not undone. What it has built counts before
the book has it, what they undid after: in between it counts twice, never not at all.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

from execution.events import RiskDecision
from execution.models import ZERO, Fill, Order, OrderRequest, OrderStatus
from execution.orders.blotter import Blotter
from execution.orders.changes import Change, Filled
from execution.orders.entry import Entry
from execution.reconciliation.claims import ExternalOrder
from execution.validators import BracketValidator, PreTradeValidator


class Reserving:
    """Tells a validator what orders may still trade.

    Parameters
    ----------
    blotter
        The orders.
    validator
        Who keeps reservations; None keeps none.
    """

    def __init__(self, blotter: Blotter, validator: PreTradeValidator | None) -> None:
        self._blotter = blotter
        self._validator = validator
        self._brackets: BracketValidator | None = (
            validator if isinstance(validator, BracketValidator) else None
        )
        self._coming: set[str] = set()

    def expect(self, changes: Iterable[Change]) -> None:
        """Take note of executions that will be told."""
        self._coming |= {c.fill.fill_id for c in changes if isinstance(c, Filled) and not c.late_commission}

    # -- holding ------------------------------------------------------------------------------------------

    def reserve(self, entry: Entry) -> None:
        """Hold what an order may still trade, anew: at the larger of both sizes while a change is open."""
        self.hold(entry, entry.larger, entry.held_at)

    def hold(self, entry: Entry, request: OrderRequest, price: Decimal | None) -> Decimal | None:
        """Hold an order at these terms, in place of what it held; return the price it is held at."""
        if self._validator is None:
            return None
        self._validator.release(entry.client_order_id)
        if self._brackets is None or not entry.parent:
            held_at = self._validator.reserve(request, price)
        else:
            parent = self._blotter.entries.get(entry.parent)
            family = () if parent is None else parent.exits
            held_at = self._brackets.reserve_exit(
                request,
                price,
                entry=entry.parent,
                built=ZERO if parent is None else parent.built,
                undone=sum((fill.quantity for one in family for fill in self._told(one)), ZERO)
                - sum((fill.quantity for fill in self._told(entry)), ZERO),
            )
        if entry.executions:
            for fill in self._told(entry):
                self._validator.on_fill(fill)
        return held_at

    def release(self, client_order_id: str) -> None:
        """Give back what an order holds; one that holds nothing is ignored."""
        if self._validator is not None:
            self._validator.release(client_order_id)

    def reserve_external(self, order: ExternalOrder) -> None:
        """Hold what an order of somebody else may still trade, anew."""
        self.release(order.key)
        request = order.request()
        if request is not None and self._validator is not None:
            self._validator.reserve(request, order.limit_price)

    def judge_change(self, entry: Entry, larger: OrderRequest) -> RiskDecision:
        """Judge what is left of an order at other terms, as if it were not reserved yet; change nothing."""
        if self._validator is None:
            return RiskDecision(approved=True)
        rest = replace(larger, quantity=larger.quantity - entry.filled)
        parent = self._blotter.entries.get(entry.parent)
        if self._brackets is None or parent is None:
            self.release(entry.client_order_id)
            decision = self._validator.evaluate(rest)
            self.reserve(entry)
            return decision
        family = [one for one in (parent, *parent.exits) if one.can_trade]
        for one in family:
            self.release(one.client_order_id)
        coming = parent.larger.quantity - parent.filled
        before = replace(parent.larger, quantity=coming) if parent in family and coming > 0 else None
        decision = self._brackets.evaluate_exit(rest, before)
        for one in family:
            self.reserve(one)
        return decision

    # -- what is told -------------------------------------------------------------------------------------

    def before_fill(self, fill: Fill) -> None:
        """Take an execution that the book is about to have."""
        self._coming.discard(fill.fill_id)
        if self._brackets is not None:
            self._build(self._blotter.entries.get(fill.client_order_id or ""))

    def after_fill(self, fill: Fill) -> None:
        """Take an execution that the book has."""
        if self._validator is None:
            return
        self._validator.on_fill(fill)
        entry = self._blotter.entries.get(fill.client_order_id or "")
        if entry is None or entry.can_trade:
            return
        self.release(entry.client_order_id)
        if entry.parent:
            self._hold_exits(entry)  # an execution that came after the end undid something all the same

    def on_status(self, order: Order, old: OrderStatus) -> None:
        """Take a change of status: an order that has ended holds nothing, one that is open again does."""
        if old.is_final and not order.status.is_final:
            self.again(order)
        self._build(self._blotter.entries.get(order.client_order_id or ""))
        self._release_if_over(order.client_order_id)

    def again(self, order: Order) -> None:
        """Hold an order and the exits of its bracket anew: its terms or its executions are others."""
        entry = self._blotter.entries[order.client_order_id or ""]
        if entry.can_trade:
            self.reserve(entry)
        self._hold_exits(entry)
        self._release_if_over(order.client_order_id)

    def _hold_exits(self, entry: Entry) -> None:
        """Hold anew the exits of the bracket that an order belongs to."""
        parent = self._blotter.entries.get(entry.parent, entry)
        for one in parent.exits:
            if one.can_trade:
                self.reserve(one)

    def _told(self, entry: Entry) -> list[Fill]:
        return [fill for fill in entry.fills() if fill.fill_id not in self._coming]

    def _build(self, entry: Entry | None) -> None:
        if entry is not None and entry.exits and self._brackets is not None:
            self._brackets.on_built(entry.client_order_id, entry.built)

    def _release_if_over(self, client_order_id: str | None) -> None:
        entry = self._blotter.entries.get(client_order_id or "")
        if entry is not None and not entry.can_trade:
            self.release(entry.client_order_id)
