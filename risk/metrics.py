"""Risk of the book at one moment, for the record: exposure, drawdown and concentration.

Drawdown is the loss since the highest equity that was seen, as a share of it: (peak - equity) / peak; see
Magdon-Ismail and Atiya, "Maximum drawdown", Risk Magazine 17 (2004). Cash paid in or out counts as gain or
loss. Value at risk and expected shortfall are not measured.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from execution.clocks import utc_ns
from execution.models import ZERO, PortfolioSnapshot


class MetricsEvery(enum.StrEnum):
    """When risk is put on record: at the close of each session, at each step, or never."""

    SESSION = "session"
    STEP = "step"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class RiskMetrics:
    """Risk of the whole book.

    `time_ns` is UTC nanoseconds; exposures and equity are in account currency; `drawdown`, `leverage` (gross
    exposure over equity, None without equity) and `largest_share` (of gross exposure) are fractions.
    """

    time_ns: int
    gross_exposure: Decimal
    net_exposure: Decimal
    equity: Decimal
    peak_equity: Decimal
    drawdown: float
    leverage: float | None
    largest: str | None
    """The symbol with the largest exposure, None while nothing is held."""
    largest_share: float | None

    def to_body(self) -> dict[str, Any]:
        """Return it as plain values for the journal."""
        return {
            "trading_time": self.time_ns,
            "scope": "book",
            "gross_exposure": format(self.gross_exposure, "f"),
            "net_exposure": format(self.net_exposure, "f"),
            "drawdown": self.drawdown,
            "details": {
                "equity": format(self.equity, "f"),
                "peak_equity": format(self.peak_equity, "f"),
                "leverage": self.leverage,
                "largest": self.largest,
                "largest_share": self.largest_share,
            },
        }


class RiskMeter:
    """Follows the book from snapshot to snapshot."""

    def __init__(self) -> None:
        self._peak: Decimal | None = None

    def restore(self, body: dict[str, Any]) -> None:
        """Take the highest equity from the last metrics on record."""
        self._see(Decimal(body["details"]["peak_equity"]))

    def see(self, snapshot: PortfolioSnapshot) -> None:
        """Take note of the book; every step is seen, whether it is put on record or not."""
        self._see(snapshot.equity)

    def measure(self, snapshot: PortfolioSnapshot) -> RiskMetrics:
        """Return the risk of the book as it stands."""
        peak = self._see(snapshot.equity)
        gross, equity = snapshot.gross_exposure, snapshot.equity
        largest = max(snapshot.positions, key=lambda held: abs(held.market_value), default=None)
        share = None if largest is None or not gross else float(abs(largest.market_value) / gross)
        return RiskMetrics(
            utc_ns(snapshot.timestamp),
            gross,
            sum((held.market_value for held in snapshot.positions), ZERO),
            equity,
            peak,
            drawdown=float((peak - equity) / peak) if peak > 0 else 0.0,
            leverage=float(gross / equity) if equity > 0 else None,
            largest=None if largest is None else largest.symbol,
            largest_share=share,
        )

    def _see(self, equity: Decimal) -> Decimal:
        self._peak = equity if self._peak is None else max(self._peak, equity)
        return self._peak
