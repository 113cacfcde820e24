"""Risk of the book at one moment, for the record: exposure, drawdown, concentration, and loss in the tail.

Drawdown is the loss since the highest equity that was seen, as a share of it: (peak - equity) / peak; see
Magdon-Ismail and Atiya, "Maximum drawdown", Risk Magazine 17 (2004). Cash paid in or out counts as gain or
loss.

Value at risk and expected shortfall are those of historical simulation (`tail_risk`): each past day's returns
are applied to the positions as they stand now. What cannot be known is said to be unknown, with the reason.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from execution.clocks import NANOS, utc_ns
from execution.models import ZERO, PortfolioSnapshot, Position
from execution.numbers import reckoned
from risk.greeks import BookGreeks, OptionGreeks, book_greeks

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    from execution.lazily import np, npt

MINIMUM_RETURNS = 60
"""Fewest days from which the tail is estimated; with less it is not known."""
WINDOW = 500
"""Most days that are used: the newest, about two years."""
_DAY_NS = 86_400 * NANOS


class MetricsEvery(enum.StrEnum):
    """When risk is put on record: at the close of each session, at each step, or never."""

    SESSION = "session"
    STEP = "step"
    NEVER = "never"


@dataclass(frozen=True, slots=True, eq=False)
class DailyReturns:
    """Simple returns of one symbol from session to session, oldest first.

    Attributes
    ----------
    end_ns
        When each was complete, UTC nanoseconds, ascending; its UTC date says which day it belongs to.
    values
        The returns as fractions, of the same length.
    """

    end_ns: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class TailRisk:
    """Loss of the book over one day that is exceeded rarely, in account currency; a loss is positive.

    `volatility` is the standard deviation of the book's profit over one day. `returns` counts the days it
    rests on. Where the figures are None, `unknown` says why.
    """

    value_at_risk_95: float | None = None
    expected_shortfall_95: float | None = None
    value_at_risk_99: float | None = None
    expected_shortfall_99: float | None = None
    returns: int = 0
    unknown: str | None = None
    volatility: float | None = None


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
    tail: TailRisk = field(default_factory=TailRisk)
    greeks: BookGreeks = field(default_factory=BookGreeks)

    def to_body(self) -> dict[str, Any]:
        """Return it as plain values for the journal."""
        return {
            "trading_time": self.time_ns,
            "scope": "book",
            "gross_exposure": format(self.gross_exposure, "f"),
            "net_exposure": format(self.net_exposure, "f"),
            "drawdown": self.drawdown,
            "value_at_risk_95": self.tail.value_at_risk_95,
            "expected_shortfall_95": self.tail.expected_shortfall_95,
            "value_at_risk_99": self.tail.value_at_risk_99,
            "expected_shortfall_99": self.tail.expected_shortfall_99,
            "tail_returns": self.tail.returns,
            "tail_unknown": self.tail.unknown,
            "volatility": self.tail.volatility,
            "delta": self.greeks.delta,
            "gamma": self.greeks.gamma,
            "vega": self.greeks.vega,
            "theta": self.greeks.theta,
            "details": {
                "equity": format(self.equity, "f"),
                "peak_equity": format(self.peak_equity, "f"),
                "leverage": self.leverage,
                "largest": self.largest,
                "largest_share": self.largest_share,
                "greeks_unknown": self.greeks.unknown,
            },
        }


class RiskMeter:
    """Follows the book from snapshot to snapshot.

    Parameters
    ----------
    returns
        Daily returns by symbol, for the tail; those of days after a snapshot do not count for it.
    minimum
        Fewest days from which the tail is estimated.
    greeks
        Newest Greeks on record by option.

    Both mappings are read at each measurement: what is added to them counts from then on.
    """

    def __init__(
        self,
        returns: Mapping[str, DailyReturns] | None = None,
        minimum: int = MINIMUM_RETURNS,
        greeks: Mapping[str, OptionGreeks] | None = None,
    ) -> None:
        self._returns = {} if returns is None else returns
        self._greeks = {} if greeks is None else greeks
        self._minimum = minimum
        self._peak: Decimal | None = None

    def restore(self, body: dict[str, Any]) -> None:
        """Take the highest equity from the last metrics on record."""
        self._see(Decimal(body["details"]["peak_equity"]))

    def see(self, snapshot: PortfolioSnapshot) -> None:
        """Take note of the book; every step is seen, whether it is put on record or not."""
        self._see(snapshot.equity)

    @reckoned
    def measure(self, snapshot: PortfolioSnapshot) -> RiskMetrics:
        """Return the risk of the book as it stands."""
        peak = self._see(snapshot.equity)
        gross, equity = snapshot.gross_exposure, snapshot.equity
        largest = max(snapshot.positions, key=lambda held: abs(held.value), default=None)
        share = None if largest is None or not gross else float(abs(largest.value) / gross)
        time_ns = utc_ns(snapshot.timestamp)
        return RiskMetrics(
            time_ns,
            gross,
            sum((held.value for held in snapshot.positions), ZERO),
            equity,
            peak,
            drawdown=float((peak - equity) / peak) if peak > 0 else 0.0,
            leverage=float(gross / equity) if equity > 0 else None,
            largest=None if largest is None else largest.symbol,
            largest_share=share,
            tail=tail_risk(snapshot.positions, self._returns, time_ns, self._minimum),
            greeks=book_greeks(snapshot.positions, self._greeks, time_ns),
        )

    def _see(self, equity: Decimal) -> Decimal:
        self._peak = equity if self._peak is None else max(self._peak, equity)
        return self._peak


def tail_risk(
    positions: Sequence[Position],
    returns: Mapping[str, DailyReturns],
    now_ns: int,
    minimum: int = MINIMUM_RETURNS,
) -> TailRisk:
    """Return value at risk and expected shortfall of positions over one day, by historical simulation.

    1. Of each symbol held, the returns that were complete at `now_ns` count; of all of them the newest
       `WINDOW` days on which every symbol has one.
    2. The profit of a day is the sum over the positions of market value times that day's return: the book as
       it stands, in the markets of that day. A derivative counts by its own prices, not by its underlying's.
    3. `value_at_risk` and `expected_shortfall` of the losses at 95 and 99 per cent.

    Source: Hull, "Options, Futures, and Other Derivatives", 9th ed. (2015), section 22.2; Barone-Adesi et
    al., "Backtesting derivative portfolios with FHS", European Financial Management 8 (2002), for its limits:
    every day weighs the same, and no loss is larger than the worst day of the window made it.

    A book that holds nothing risks nothing. A symbol without returns, or fewer days than `minimum` that all
    symbols share, leave it unknown.
    """
    held = sorted((one for one in positions if one.value), key=lambda one: one.symbol)
    if not held:
        return TailRisk(0.0, 0.0, 0.0, 0.0, volatility=0.0)
    days: npt.NDArray[np.int64] | None = None
    known: list[tuple[float, npt.NDArray[np.int64], npt.NDArray[np.float64]]] = []
    for one in held:
        history = returns.get(one.symbol)
        count = 0 if history is None else int(np.searchsorted(history.end_ns, now_ns, side="right"))
        if history is None or count < minimum:
            return TailRisk(unknown=f"{one.symbol} has {count} daily returns, {minimum} are needed")
        own = history.end_ns[:count] // _DAY_NS
        known.append((float(one.value), own, history.values[:count]))
        days = own if days is None else np.intersect1d(days, own)
    assert days is not None  # noqa: S101  # something is held
    if len(days) < minimum:
        names = ", ".join(one.symbol for one in held)
        return TailRisk(unknown=f"{names} share {len(days)} days of returns, {minimum} are needed")
    days = days[-WINDOW:]
    losses = np.zeros(len(days))
    for value, own, values in known:
        losses -= value * values[np.searchsorted(own, days)]
    return TailRisk(
        value_at_risk(losses, 95),
        expected_shortfall(losses, 95),
        value_at_risk(losses, 99),
        expected_shortfall(losses, 99),
        len(days),
        volatility=float(losses.std(ddof=1)) if len(days) > 1 else None,
    )


def value_at_risk(losses: npt.NDArray[np.float64], percent: int) -> float:
    """Return the smallest loss that at least `percent` of the losses do not exceed.

    That is the ``ceil(n * percent / 100)``-th smallest of n, the inverse of their distribution function:
    McNeil, Frey and Embrechts, "Quantitative Risk Management", revised ed. (2015), definition 2.8.
    """
    rank = -(-len(losses) * percent // 100)
    return float(np.sort(losses)[rank - 1])


def expected_shortfall(losses: npt.NDArray[np.float64], percent: int) -> float:
    """Return the mean of the worst ``100 - percent`` per cent of the losses, the last of them in part.

    With n losses and a tail of m = n (100 - percent) / 100, the sum of the floor(m) largest and the fraction
    m - floor(m) of the next, over m: Acerbi and Tasche, "On the coherence of expected shortfall", Journal of
    Banking & Finance 26 (2002), definition 2.6. It is never below `value_at_risk`.
    """
    worst = np.sort(losses)[::-1]
    whole, part = divmod(len(losses) * (100 - percent), 100)
    beyond = float(worst[whole]) * part / 100 if part else 0.0
    return (float(worst[:whole].sum()) + beyond) / (whole + part / 100)
