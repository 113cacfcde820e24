"""Everything that decides the outcome of a run, whatever executes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

from execution.models import Instrument, OrderType
from execution.timeframes import Timeframe
from risk.limits import RiskLimits

CUSTOM: Final = "custom"
IBKR_FIXED: Final = "ibkr_fixed"
IBKR_TIERED: Final = "ibkr_tiered"
PLANS: Final = (CUSTOM, IBKR_FIXED, IBKR_TIERED)
"""Commission schedules."""


@dataclass(frozen=True, slots=True)
class CostSpec:
    """Trading costs: slippage in basis points; commission = max(minimum, fixed + per_share x quantity).

    That formula is the `plan` ``custom``. With ``ibkr_fixed`` or ``ibkr_tiered`` the broker's published
    schedule is charged instead, and the three commission fields are not used.
    """

    slippage_bps: Decimal = Decimal(1)
    commission_fixed: Decimal = Decimal(0)
    commission_per_share: Decimal = Decimal("0.005")
    commission_minimum: Decimal = Decimal(1)
    participation: Decimal | None = None
    """Largest share of a bar's volume that fills in it (0.1 is 10 %); None fills any size."""
    plan: str = "custom"
    """Which commission schedule is charged: ``custom``, ``ibkr_fixed`` or ``ibkr_tiered``."""

    def __post_init__(self) -> None:
        if self.plan not in PLANS:
            raise ValueError(f"commission plan {self.plan!r}: use one of {', '.join(PLANS)}")


@dataclass(frozen=True, slots=True)
class SizingSpec:
    """How a strategy's wish becomes an order: value of one position, and the order type used."""

    position_notional: Decimal = Decimal(25_000)
    order_type: OrderType = OrderType.MARKET
    limit_offset_bps: Decimal = Decimal(0)
    """For limit orders: how far beyond the close the limit lies, in the order's favour of being filled."""


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One run: the same specification gives the same orders in a backtest and over the wire."""

    instruments: tuple[Instrument, ...]
    timeframe: Timeframe
    strategy: str
    params: Mapping[str, Any] = field(default_factory=dict)
    limits: RiskLimits = field(default_factory=RiskLimits)
    costs: CostSpec = field(default_factory=CostSpec)
    sizing: SizingSpec = field(default_factory=SizingSpec)
    initial_cash: Decimal = Decimal(1_000_000)
    calendar: str = "XNYS"

    @property
    def symbols(self) -> tuple[str, ...]:
        """Symbols in sorted order, as every step visits them."""
        return tuple(sorted(instrument.symbol for instrument in self.instruments))
