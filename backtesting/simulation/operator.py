"""The person at the desk: looks at the broker's own screens and settles what no reconciliation can.

Nothing is settled at once. What has stood in doubt for a while is looked up in the broker's book, which is
the truth here, and entered as a person would: with a name, a reason, and never more than what is seen there.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from backtesting.gateway.errors import GatewayError
from backtesting.gateway.tickets import Ticket
from execution.book.adjustments import AdjustmentKind, CorporateAction
from execution.errors import ExecutionError, SettlementError, UnknownOrderError
from execution.reconciliation.doubts import Doubt, DoubtKind, Resolution

if TYPE_CHECKING:
    from backtesting.simulation.trader import Trader

_NAME: Final = "operator"
_LOOK_SECONDS: Final = 60.0
_HURRIED_SECONDS: Final = 10.0


class KnownActions:
    """The corporate actions that a source tells of; a `CorporateActionSource`."""

    def __init__(self) -> None:
        self.told: list[CorporateAction] = []
        self.untold: list[CorporateAction] = []
        """Those that only the operator knows of."""

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> Sequence[CorporateAction]:
        """Return the actions of a symbol within a time."""
        return [each for each in self.told if each.symbol == symbol and since_ns < each.time <= until_ns]


class Operator:
    """Settles doubts in one process."""

    def __init__(self, trader: Trader) -> None:
        self._trader = trader
        self._world = trader.world
        rng = random.Random(f"{trader.world.seed}/operator/{trader.number}")  # noqa: S311  # nosec B311  # repeatable
        self._patience = rng.choice((0.0, 60.0, 150.0))

    async def run(self) -> None:
        """Look at what stands in doubt, again and again."""
        world = self._world
        while True:
            await asyncio.sleep(_LOOK_SECONDS if world.phase == "safety" else _HURRIED_SECONDS)
            executor = self._trader.executor
            if executor.is_ready or executor.is_frozen or not self._trader.manager.is_connected():
                continue
            if world.injector.incidents.broker_is_away:
                continue  # an order that TWS holds back is in no list, and may come to life
            now = world.loop.time()
            doubts = executor.doubts()
            since = world.doubted_since
            world.doubted_since = {doubt.name: since.get(doubt.name, now) for doubt in doubts}
            patience = self._patience if world.phase == "safety" else 0.0
            for doubt in doubts:
                if now - world.doubted_since[doubt.name] >= patience:
                    await self._settle(doubt)

    async def _settle(self, doubt: Doubt) -> None:
        try:
            match doubt.kind:
                case DoubtKind.ORDER:
                    what = await self._order(doubt)
                case DoubtKind.EXTERNAL:
                    what = self._end_all(
                        [
                            each
                            for each in self._world.book.open_tickets()
                            if doubt.name == f"external-{each.perm_id}"
                        ]
                    )
                case _:
                    what = await self._position(doubt)
        except ExecutionError as error:
            what = f"{type(error).__name__}: {error}"
        self._world.note(f"operator: {doubt.kind} {doubt.name}: {what}")

    async def _order(self, doubt: Doubt) -> str:
        executor = self._trader.executor
        entry = executor.blotter.entries.get(doubt.name)
        if entry is None:
            raise UnknownOrderError(f"{doubt.name} is not known")
        placed = self._world.invariants.broker.by_ref.get(doubt.name, [])
        there = [each.ticket for each in placed if not each.lost]  # also what the gateway shows no more
        if any(ticket.completed_ns is None for ticket in there):
            return self._end_all(there)
        filled = sum((ticket.filled for ticket in there), Decimal(0))
        missing = filled - entry.filled
        if not there:
            how = Resolution.NOT_SENT if not entry.filled else Resolution.CANCELLED
        elif filled and filled >= entry.request.quantity:
            how = Resolution.FILLED
        else:
            how = Resolution.CANCELLED
        known = missing > 0
        await executor.resolve(
            doubt.name,
            how,
            by=_NAME,
            reason="as the broker's own record has it",
            quantity=missing if known and how is Resolution.CANCELLED else None,
            price=there[0].average_price if known else None,
        )
        return f"settled as {how}"

    def _end_all(self, there: list[Ticket]) -> str:
        service = self._world.server.service
        for ticket in there:
            if ticket.completed_ns is None:
                try:
                    service.book.manual_cancel(ticket.perm_id, service.clock.now_ns())
                except GatewayError as error:
                    return str(error)
        for session in service.sessions.values():
            session.flush()
        return "cancelled in TWS"

    async def _position(self, doubt: Doubt) -> str:
        executor = self._trader.executor
        for action in self._world.known_actions.untold:
            splits = action.symbol == doubt.name and action.kind is AdjustmentKind.SPLIT
            if splits and action.identity not in executor.blotter.actions:
                try:
                    await executor.apply_action(action, by=_NAME, reason="the exchange's notice")
                except SettlementError:
                    break  # it is not all that differs: the broker's figure is taken over as it is
                return "split booked"
        await executor.adjust_position(doubt.name, by=_NAME, reason="as the broker's own record has it")
        return "taken over"
