"""The numbers that the pre-trade rules hold orders to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple


class BySymbol(NamedTuple):
    """A limit of each symbol: its own where it has one, else that of all; None leaves it out."""

    all: Decimal | None
    own: Mapping[str, Decimal]

    def of(self, symbol: str) -> Decimal | None:
        """Return the limit of a symbol."""
        return self.own.get(symbol, self.all)

    @property
    def is_set(self) -> bool:
        """Whether any symbol has a limit."""
        return self.all is not None or bool(self.own)


@dataclass(frozen=True, slots=True)
class RiskLimits:
    """Limits in account currency and units; None, or an empty list, leaves a rule out.

    `per_symbol_notional_cap`, `max_gross_exposure`, `max_leverage` (times the equity) and
    `max_position_quantity` bound the worst case: what is held plus everything reserved by open orders, each
    side taken alone. `max_order_quantity` and `max_order_notional` bound one order, `max_orders_per_minute`
    how many there are, `max_daily_loss` trips the kill switch. `long_only` refuses orders that could leave a
    short position. What a symbol has of its own in `max_order_quantity_by_symbol` or
    `max_position_quantity_by_symbol` holds for it in place of what holds for all, larger or smaller.
    """

    per_symbol_notional_cap: Decimal | None = None
    max_gross_exposure: Decimal | None = None
    max_order_quantity: Decimal | None = None
    max_order_notional: Decimal | None = None
    max_daily_loss: Decimal | None = None
    long_only: bool = True
    max_leverage: Decimal | None = None
    max_position_quantity: Decimal | None = None
    max_orders_per_minute: int | None = None
    max_order_quantity_by_symbol: Mapping[str, Decimal] = field(default_factory=dict)
    max_position_quantity_by_symbol: Mapping[str, Decimal] = field(default_factory=dict)
    allowed_symbols: tuple[str, ...] = ()
    restricted_symbols: tuple[str, ...] = ()

    @property
    def order_quantities(self) -> BySymbol:
        """The largest size of one order."""
        return BySymbol(self.max_order_quantity, self.max_order_quantity_by_symbol)

    @property
    def position_quantities(self) -> BySymbol:
        """The largest size held, long or short."""
        return BySymbol(self.max_position_quantity, self.max_position_quantity_by_symbol)
