"""Key figures of a run, as pure functions of its equity curve and its fills.

Conventions, the same for every figure:

1. Times are UTC nanoseconds, ascending; equity is a float64 array in account currency.
2. Statistics of returns use daily simple returns: the last equity of each UTC date over that of the date
   before. A year has 252 such days where figures are annualised, and 365.25 calendar days where time is
   measured.
3. Sums are `math.fsum`, which rounds once whatever the order, so a figure is the same on every machine.
4. What is not defined (an empty curve, one point, no volatility, a lost account) is None, never NaN or
   infinity.
5. Money of fills is exact (`Decimal`) and becomes float at the end.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.models import ZERO, Fill
from execution.numbers import round_money

Floats = npt.NDArray[np.float64]
Times = npt.NDArray[np.int64]

TRADING_DAYS = 252
_DAY_NS = 86_400_000_000_000
_YEAR_NS = 365.25 * _DAY_NS
_FLAT = 1e-12
"""A deviation of daily returns below this is rounding, not volatility."""
_PAIR = 2
"""Points that a change, and returns that a deviation, need at least."""
_EVER_NS = 2**63 - 1
_LOG_LIMIT = 700
"""Exponents from here on overflow a float64."""


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _mean(values: Floats) -> float:
    return math.fsum(values) / len(values)


def total_return(equity: Floats) -> float | None:
    """Return last equity over first, less one; None with fewer than two points or nothing to start from."""
    if len(equity) < _PAIR or equity[0] <= 0:
        return None
    return _finite(float(equity[-1] / equity[0]) - 1.0)


def years(times_ns: Times) -> float:
    """Return the length of the curve in years of 365.25 days; zero with fewer than two points."""
    return float(times_ns[-1] - times_ns[0]) / _YEAR_NS if len(times_ns) > 1 else 0.0


def cagr(times_ns: Times, equity: Floats) -> float | None:
    """Return the compound annual growth rate, ``(last / first) ** (1 / years) - 1``.

    Source: CFA Institute, GIPS Standards Handbook (2020), annualised time-weighted return without flows.
    None with fewer than two points, no time between them, or equity that is not positive at either end.
    """
    span = years(times_ns)
    if span <= 0 or equity[0] <= 0 or equity[-1] <= 0:
        return None
    exponent = (math.log(equity[-1]) - math.log(equity[0])) / span
    return _finite(math.expm1(exponent)) if exponent < _LOG_LIMIT else None


def daily_equity(times_ns: Times, equity: Floats) -> Floats:
    """Return the last equity of each UTC date that has one."""
    if not len(times_ns):
        return np.empty(0, dtype=np.float64)
    days = times_ns // _DAY_NS
    last = np.append(days[1:] != days[:-1], True)
    return np.asarray(equity[last], dtype=np.float64)


def simple_returns(equity: Floats) -> Floats:
    """Return ``equity[i] / equity[i-1] - 1``; the curve ends where equity first stops being positive."""
    broke = np.flatnonzero(equity <= 0)
    alive = equity[: broke[0] + 1] if len(broke) else equity
    if len(alive) < _PAIR:
        return np.empty(0, dtype=np.float64)
    return np.asarray(alive[1:] / alive[:-1] - 1.0, dtype=np.float64)


def volatility(returns: Floats, periods: int = TRADING_DAYS) -> float | None:
    """Return the sample standard deviation (n - 1) of the returns, annualised by ``sqrt(periods)``."""
    deviation = _deviation(returns)
    return None if deviation is None else _finite(deviation * math.sqrt(periods))


def sharpe(returns: Floats, risk_free: float = 0.0, periods: int = TRADING_DAYS) -> float | None:
    """Return the annualised Sharpe ratio: mean over standard deviation of excess returns.

    Source: Sharpe, "The Sharpe Ratio", Journal of Portfolio Management 21(1), 1994, eq. 3-6 (ex post, sample
    deviation), times ``sqrt(periods)`` (ib., p. 54, returns without autocorrelation).

    Parameters
    ----------
    returns
        Simple returns of equal periods.
    risk_free
        Annual risk-free rate as a fraction; ``risk_free / periods`` is taken off each return.
    periods
        Periods in a year.
    """
    deviation = _deviation(returns)
    if deviation is None or deviation <= _FLAT:
        return None
    return _finite((_mean(returns) - risk_free / periods) / deviation * math.sqrt(periods))


def sortino(returns: Floats, risk_free: float = 0.0, periods: int = TRADING_DAYS) -> float | None:
    """Return the annualised Sortino ratio: mean excess return over downside deviation.

    The downside deviation is ``sqrt(mean(min(excess, 0) ** 2))`` over all returns. Source: Sortino & Price,
    "Performance Measurement in a Downside Risk Framework", Journal of Investing 3(3), 1994. Parameters as for
    `sharpe`; None without a loss.
    """
    if len(returns) < _PAIR:
        return None
    excess = returns - risk_free / periods
    downside = math.sqrt(math.fsum(np.minimum(excess, 0.0) ** 2) / len(excess))
    if downside <= _FLAT:
        return None
    return _finite(_mean(excess) / downside * math.sqrt(periods))


def drawdowns(equity: Floats) -> Floats:
    """Return, for each point, how far equity lies below its highest point so far, as a fraction of it.

    Zero while no point has been positive.
    """
    peaks = np.maximum.accumulate(equity) if len(equity) else equity
    safe = np.where(peaks > 0, peaks, 1.0)
    return np.asarray(np.where(peaks > 0, (peaks - equity) / safe, 0.0), dtype=np.float64)


def max_drawdown(equity: Floats) -> float | None:
    """Return the largest of `drawdowns` (0.2 is a fall of 20 %); None for an empty curve."""
    return _finite(float(drawdowns(equity).max())) if len(equity) else None


def calmar(growth: float | None, drawdown: float | None) -> float | None:
    """Return annual growth over maximum drawdown; None without either, or without a drawdown.

    Source: Young, "Calmar Ratio: A Smoother Tool", Futures 20(1), 1991; here over the whole curve.
    """
    return _finite(growth / drawdown) if growth is not None and drawdown else None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """A position from flat to flat, or to its turn to the other side; `profit` is net of commissions.

    `opened_by` is the client order id of the fill that opened it.
    """

    symbol: str
    opened_ns: int
    closed_ns: int
    profit: Decimal
    opened_by: str | None = None


@dataclass(slots=True)
class _Trip:
    opened_ns: int
    opened_by: str | None
    position: Decimal = ZERO
    cash: Decimal = ZERO


def round_trips(
    fills: Iterable[Fill],
    multipliers: Mapping[str, Decimal] | None = None,
    adjustments: Iterable[Adjustment] = (),
) -> list[RoundTrip]:
    """Cut fills, in order of time, into round trips, in the order in which they closed.

    A fill that turns a position to the other side closes one trip and opens the next; its commission is
    split between them by size. A position still open at the end is no round trip. Of the `adjustments`, in
    order of time, a split changes the position of a trip, and a dividend belongs to its profit.
    """
    trips: list[RoundTrip] = []
    running: dict[str, _Trip] = {}
    coming = deque(adjustments)

    def adjust_before(moment: int) -> None:
        while coming and coming[0].time <= moment:
            one = coming.popleft()
            trip = running.get(one.symbol)
            if trip is None or one.kind not in (AdjustmentKind.SPLIT, AdjustmentKind.DIVIDEND):
                continue
            unit = (one.price or ZERO) * (multipliers or {}).get(one.symbol, Decimal(1))
            trip.position += one.quantity
            trip.cash += one.cash + one.fraction * unit
            if not trip.position:  # all of it was a fraction, and paid out
                close(one.symbol, one.time)

    def close(symbol: str, moment: int) -> None:
        trip = running.pop(symbol)
        trips.append(RoundTrip(symbol, trip.opened_ns, moment, round_money(trip.cash), trip.opened_by))

    for fill in fills:
        moment = int(fill.timestamp.value)
        adjust_before(moment)
        value = fill.price * (multipliers or {}).get(fill.symbol, Decimal(1))
        fee = (fill.commission or ZERO) / fill.quantity
        left, sign = fill.quantity, fill.side.sign
        while left:
            trip = running.setdefault(fill.symbol, _Trip(moment, fill.client_order_id))
            against = trip.position * sign < 0
            size = min(left, abs(trip.position)) if against else left
            trip.position += sign * size
            trip.cash -= size * (sign * value + fee)
            left -= size
            if not trip.position:
                close(fill.symbol, moment)
    adjust_before(_EVER_NS)
    return trips


def hit_rate(trips: Sequence[RoundTrip]) -> float | None:
    """Return the share of round trips with a profit; None without any."""
    return sum(trip.profit > 0 for trip in trips) / len(trips) if trips else None


def time_in_market(gross_exposure: Floats) -> float | None:
    """Return the share of points at which anything was held; None for an empty curve."""
    return int(np.count_nonzero(gross_exposure)) / len(gross_exposure) if len(gross_exposure) else None


def mean_exposure(gross_exposure: Floats, equity: Floats) -> float | None:
    """Return gross exposure over equity, averaged over the points with positive equity; None without any."""
    alive = equity > 0
    return _finite(_mean(gross_exposure[alive] / equity[alive])) if alive.any() else None


def traded_value(fills: Iterable[Fill], multipliers: Mapping[str, Decimal] | None = None) -> Decimal:
    """Return the notional that changed hands, buys and sells together."""
    known = multipliers or {}
    return sum((fill.quantity * fill.price * known.get(fill.symbol, Decimal(1)) for fill in fills), ZERO)


def turnover(traded: Decimal, times_ns: Times, equity: Floats) -> float | None:
    """Return the notional traded a year, buys and sells together, over mean equity (2: all of it, both ways).

    None without a span of time or with a mean equity that is not positive.
    """
    span = years(times_ns)
    if span <= 0:
        return None
    mean = _mean(equity)
    return _finite(float(traded) / mean / span) if mean > 0 else None


def summary_metrics(
    times_ns: Times,
    equity: Floats,
    gross_exposure: Floats,
    fills: Sequence[Fill],
    *,
    risk_free: float = 0.0,
    multipliers: Mapping[str, Decimal] | None = None,
    adjustments: Iterable[Adjustment] = (),
) -> dict[str, Any]:
    """Return every key figure by name: fractions and ratios as float or None, counts as int.

    Parameters
    ----------
    times_ns, equity, gross_exposure
        One entry a step, of equal length.
    fills
        Every execution, in order of time.
    risk_free
        Annual risk-free rate as a fraction.
    multipliers
        Contract multiplier by symbol; 1 where it has none.
    adjustments
        What splits and dividends did to the book, in order of time.

    Raises
    ------
    ValueError
        If the arrays differ in length.
    """
    if not len(times_ns) == len(equity) == len(gross_exposure):
        raise ValueError(
            f"times ({len(times_ns)}), equity ({len(equity)}) and exposure ({len(gross_exposure)}) "
            "must have one entry a step each"
        )
    daily = simple_returns(daily_equity(times_ns, equity))
    growth, fall = cagr(times_ns, equity), max_drawdown(equity)
    trips = round_trips(fills, multipliers, adjustments)
    return {
        "initial_equity": float(equity[0]) if len(equity) else None,
        "final_equity": float(equity[-1]) if len(equity) else None,
        "total_return": total_return(equity),
        "cagr": growth,
        "volatility": volatility(daily),
        "sharpe": sharpe(daily, risk_free),
        "sortino": sortino(daily, risk_free),
        "max_drawdown": fall,
        "calmar": calmar(growth, fall),
        "round_trips": len(trips),
        "hit_rate": hit_rate(trips),
        "time_in_market": time_in_market(gross_exposure),
        "exposure": mean_exposure(gross_exposure, equity),
        "turnover": turnover(traded_value(fills, multipliers), times_ns, equity),
        "fills": len(fills),
        "commissions": float(sum((fill.commission or ZERO for fill in fills), ZERO)),
    }


def _deviation(returns: Floats) -> float | None:
    if len(returns) < _PAIR:
        return None
    mean = _mean(returns)
    return math.sqrt(math.fsum((returns - mean) ** 2) / (len(returns) - 1))
