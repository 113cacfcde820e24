"""What an order would do to its account's margin, asked of the broker without placing it."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from execution.desk.desk import Desk
from execution.ibkr import translate
from execution.models import OrderRequest


@dataclass(frozen=True, slots=True)
class MarginImpact:
    """Margins and equity before, by and after an order, in account currency; None where unknown."""

    initial_before: Decimal | None
    initial_change: Decimal | None
    initial_after: Decimal | None
    maintenance_before: Decimal | None
    maintenance_change: Decimal | None
    maintenance_after: Decimal | None
    equity_before: Decimal | None
    equity_change: Decimal | None
    equity_after: Decimal | None
    commission: Decimal | None
    warning: str = ""


class Margins:
    """Asks what orders would do."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    async def what_if(self, request: OrderRequest) -> MarginImpact:
        """Ask the broker; see `IBKROrderExecutor.what_if`."""
        desk = self._desk
        desk.require_account(request)
        instrument = desk.instrument(request.symbol)
        translate.to_wire_order(request, instrument, 1)
        desk.manager.contracts.check(request, desk.clock.now_ns())
        desk.audit.log("margin_asked", symbol=request.symbol, quantity=str(request.quantity))
        figures, warning = await desk.manager.session.what_if(
            instrument, request, least_id=desk.blotter.last_order_id + 1
        )
        told = {name: None if figure is None else format(figure, "f") for name, figure in figures.items()}
        desk.audit.log("margin_answered", symbol=request.symbol, figures=told, warning=warning)
        return MarginImpact(**figures, warning=warning)
