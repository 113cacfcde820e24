"""What a person settles: orders whose fate the broker cannot tell, positions, corporate actions.

Nothing is settled that the broker can still tell: it is asked again first, and only what stays in doubt may
be resolved. Each act needs a name and a reason, is journalled before it takes effect, and is replayed with
the rest. It opens no way by itself: orders go out again when the next reconciliation agrees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

from execution.book.adjustments import (
    Adjustment,
    AdjustmentKind,
    CorporateAction,
    adjustment_of,
)
from execution.desk.desk import Desk
from execution.errors import InvalidOrderError, SettlementError
from execution.models import ZERO, Order
from execution.numbers import format_decimal
from execution.orders.entry import Entry, Execution
from execution.reconciliation.doubts import Doubt, Resolution, doubts_of, in_doubt, story_of
from execution.reconciliation.positions import Positions
from execution.reconciliation.reconcile import Reconciliation

_LONGEST_TEXT = 300


class Settlement:
    """Settles what is in doubt.

    Parameters
    ----------
    desk, positions
        Parts of the executor.
    reconcile
        Asks the broker, and opens the way if all agrees.
    outcome
        The last outcome of it.
    """

    def __init__(
        self,
        desk: Desk,
        positions: Positions,
        reconcile: Callable[[], Awaitable[Reconciliation]],
        outcome: Callable[[], Reconciliation | None],
    ) -> None:
        self._desk = desk
        self._positions = positions
        self._reconcile = reconcile
        self._outcome = outcome

    def doubts(self) -> list[Doubt]:
        """Return what stands in doubt; see `IBKROrderExecutor.doubts`."""
        desk, outcome = self._desk, self._outcome()
        story = story_of(in_doubt(desk.blotter, outcome), desk.audit.journal.events())
        return doubts_of(desk.blotter, outcome, story)

    async def read_doubts(self) -> list[Doubt]:
        """Return what stands in doubt; see `IBKROrderExecutor.read_doubts`."""
        desk = self._desk
        names = in_doubt(desk.blotter, self._outcome())
        story = await asyncio.to_thread(story_of, names, desk.audit.journal.events())
        return doubts_of(desk.blotter, self._outcome(), story)  # as it stands by now

    async def resolve(
        self,
        order_id: str,
        resolution: Resolution,
        by: str,
        reason: str,
        quantity: Decimal | None,
        price: Decimal | None,
    ) -> Order:
        """Settle an order; see `IBKROrderExecutor.resolve`."""
        note = signed(by, reason, f"settled as {resolution}")
        name = self._desk.find(order_id).client_order_id
        result = await self._reconcile()
        entry = self._desk.blotter.entries[name]
        if name not in result.in_doubt:
            raise SettlementError(
                f"order {name}: the broker was asked again and the order is {entry.status}; there is nothing "
                "to settle"
            )
        if name in self._desk.inbox.open_references:
            raise SettlementError(
                f"order {name}: the broker lists it as open ({entry.reason}); cancel it in TWS, then `trade "
                "orders reconcile`. Nothing was settled"
            )
        entered = self._entered(entry, resolution, quantity, price)
        self._desk.audit.note(
            "order_resolved",
            client_order_id=name,
            status=resolution.status.value,
            by=by,
            reason=reason,
            note=note,
            entered=[_to_body(execution) for execution in entered],
            trading_time=self._desk.clock.now_ns(),
        )
        self._desk.inbox.deliver(self._desk.blotter.resolved(name, resolution.status, note, entered))
        await self._reconcile()
        return entry.order()

    async def accept_position(
        self, symbol: str, by: str, reason: str, price: Decimal | None, cash: Decimal
    ) -> Adjustment:
        """Take the broker's position over; see `IBKROrderExecutor.adjust_position`."""
        signed(by, reason, "")
        result = await self._reconcile()
        pair = result.breaks.get(symbol)
        if pair is None:
            raise SettlementError(f"{symbol}: journal and broker hold the same; there is nothing to accept")
        doubtful = [n for n in result.in_doubt if self._desk.find(n).request.symbol == symbol]
        if doubtful:
            raise SettlementError(
                f"{symbol}: order {', '.join(doubtful)} in it is in doubt and may explain the difference; "
                "settle that first with `trade orders resolve`. Nothing was adjusted"
            )
        ours, theirs = pair
        if price is None and abs(theirs) > abs(ours):
            price = self._positions.prices.get(symbol)
        adjustment = Adjustment(
            AdjustmentKind.ACCEPTED,
            symbol,
            self._desk.clock.now_ns(),
            theirs - ours,
            price=price,
            cash=cash,
            by=by,
            reason=reason,
        )
        self._positions.book(adjustment)
        await self._reconcile()
        return adjustment

    async def apply_action(self, action: CorporateAction, by: str, reason: str) -> Adjustment:
        """Book a corporate action that a person knows of; see `IBKROrderExecutor.apply_action`."""
        signed(by, reason, "")
        result = await self._reconcile()
        held = self._positions.held_for(action)
        theirs = result.breaks[action.symbol][1] if action.symbol in result.breaks else held
        if not held:
            raise SettlementError(
                f"{action.symbol}: the journal holds none for it; there is nothing to adjust"
            )
        adjustment = adjustment_of(action, held, theirs, by=by, reason=reason)
        if adjustment is None:
            raise SettlementError(
                f"{action.describe()}: from {format_decimal(held)} it does not lead to the "
                f"{format_decimal(theirs)} that the broker holds; nothing was adjusted"
            )
        if not self._positions.book(adjustment):
            raise SettlementError(f"{action.describe()}: it is booked already; nothing was adjusted")
        await self._reconcile()
        return adjustment

    def _entered(
        self, entry: Entry, resolution: Resolution, quantity: Decimal | None, price: Decimal | None
    ) -> list[Execution]:
        """Return what a person enters as executed; check that it fits the order."""
        name, left = entry.client_order_id, entry.request.quantity - entry.filled
        missing = max(ZERO, entry.reported_filled - entry.filled - entry.withdrawn)
        if resolution is Resolution.NOT_SENT and entry.acknowledged:
            raise SettlementError(
                f"order {name}: the broker had it, so it was sent; sent again it could trade twice. "
                "Settle it as what it became: cancelled, filled or rejected"
            )
        if not resolution.takes_executions and (entry.executions or missing):
            raise SettlementError(
                f"order {name}: it has executions, so it was not {resolution}; settle it as cancelled or "
                "filled"
            )
        if not resolution.takes_executions and (quantity is not None or price is not None):
            raise InvalidOrderError(f"quantity, price: an order that is {resolution} has no executions")
        if resolution is Resolution.FILLED:
            quantity = left if quantity is None else quantity
            if quantity != left:
                raise InvalidOrderError(
                    f"quantity: {format_decimal(left)} of order {name} are not executed on record; filled "
                    f"means all of them. For {format_decimal(quantity)} use cancelled with quantity and price"
                )
        if (quantity or ZERO) < missing:
            raise InvalidOrderError(
                f"quantity: the broker reports {format_decimal(missing)} more executed than is on record of "
                f"order {name}; give at least that, with its price"
            )
        if not quantity:
            return []
        if price is None or price <= 0 or not 0 < quantity <= left:
            raise InvalidOrderError(
                f"quantity, price: give a positive price, and at most the {format_decimal(left)} of order "
                f"{name} that are not executed on record"
            )
        number = len(entry.executions) + 1
        moment = self._desk.clock.now_ns()
        return [Execution(number, f"entered-{number}-{name}"[:64], 0, quantity, price, moment, entered=True)]


def signed(by: str, reason: str, what: str) -> str:
    """Return one line that says who did what and why; raise `SettlementError` where one is missing."""
    if not by.strip() or not reason.strip():
        raise SettlementError("by, reason: say who settles it and why; nothing was settled")
    if len(by) > _LONGEST_TEXT or len(reason) > _LONGEST_TEXT:
        raise SettlementError(f"by, reason: use at most {_LONGEST_TEXT} characters; nothing was settled")
    if not (by + reason).isprintable():
        raise SettlementError("by, reason: use one line of plain text; nothing was settled")
    return f"{what} by {by}: {reason}"


def _to_body(execution: Execution) -> dict[str, object]:
    return {
        "number": execution.number,
        "exec_id": execution.exec_id,
        "quantity": format(execution.quantity, "f"),
        "price": format(execution.price, "f"),
        "time": execution.time,
    }
