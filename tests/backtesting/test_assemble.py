"""A run specification becomes an engine: the examples run, and what does not fit is named."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

from backtesting.assemble import assemble
from backtesting.errors import BacktestError
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.models import Instrument, OrderStatus, PortfolioSnapshot
from execution.timeframes import Timeframe
from risk.limits import RiskLimits
from strategies.errors import StrategyError
from strategies.spec import CostSpec, RunSpec

CLOCK = ExchangeClock("XNYS", dt.date(2023, 1, 3), dt.date(2023, 12, 29))
SPEC = RunSpec(
    instruments=(Instrument("SPY"), Instrument("IWM")),
    timeframe=Timeframe.DAY,
    strategy="ma_crossover",
    params={"fast": 3, "slow": 8},
)


@pytest.fixture
def bars() -> dict[str, BarSeries]:
    """A year of waves, in whole cents, one symbol against the other."""

    def series(symbol: str, phase: float) -> BarSeries:
        wave = np.rint(10_000 + 800 * np.sin(np.arange(len(CLOCK)) / 9 + phase)) / 100
        opens = np.roll(wave, 1)
        high, low = np.maximum(opens, wave), np.minimum(opens, wave)
        volume = np.full(len(wave), 5_000.0)
        return BarSeries(
            symbol, Timeframe.DAY, CLOCK.opens_ns, CLOCK.closes_ns, opens, high, low, wave, volume
        )

    return {"SPY": series("SPY", 0.0), "IWM": series("IWM", 2.0), "QQQ": series("QQQ", 1.0)}


def test_a_specification_and_bars_become_a_run(bars: dict[str, BarSeries]) -> None:
    snapshots: list[PortfolioSnapshot] = []
    engine = assemble(SPEC, bars, CLOCK, on_snapshot=snapshots.append)
    result = engine.run()
    assert engine.total == result.steps == len(CLOCK) == len(snapshots)
    assert {order.symbol for order in result.orders} == {"SPY", "IWM"}
    assert {order.status for order in result.orders} == {OrderStatus.FILLED}
    last, fees = result.snapshots[-1], sum((fill.commission or 0 for fill in result.fills), Decimal(0))
    assert last.fees == fees > 0
    assert last.equity == SPEC.initial_cash + last.realized_pnl + last.unrealized_pnl - fees
    assert tuple(snapshots) == result.snapshots


@pytest.mark.parametrize("strategy", ["ma_crossover", "momentum"])
def test_the_same_specification_gives_the_same_run(bars: dict[str, BarSeries], strategy: str) -> None:
    spec = replace(SPEC, strategy=strategy, params={} if strategy == "ma_crossover" else {"lookback": 10})
    runs = [assemble(spec, bars, CLOCK).run() for _ in range(2)]
    assert runs[0] == runs[1]
    assert runs[0].fills


def test_a_participation_cap_spreads_orders_over_fills_and_cancels_the_rest_at_the_close(
    bars: dict[str, BarSeries],
) -> None:
    result = assemble(replace(SPEC, costs=CostSpec(participation=Decimal("0.01"))), bars, CLOCK).run()
    assert {order.status for order in result.orders} == {OrderStatus.CANCELLED, OrderStatus.FILLED}
    assert max(fill.quantity for fill in result.fills) == 50


def test_limits_hold_and_refusals_are_counted(bars: dict[str, BarSeries]) -> None:
    limits = RiskLimits(max_gross_exposure=Decimal(30_000))
    result = assemble(replace(SPEC, limits=limits), bars, CLOCK).run()
    assert {rule for _, rule in result.refused} == {"MAX_GROSS_EXPOSURE"}
    assert result.orders


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda spec: replace(spec, instruments=(Instrument("DIA"),)), "DIA has no bars"),
        (lambda spec: replace(spec, timeframe=Timeframe.HOUR), "the run wants 1h"),
        (lambda spec: replace(spec, costs=CostSpec(slippage_bps=Decimal(-1))), "costs.slippage_bps"),
    ],
)
def test_what_does_not_fit_is_named(
    bars: dict[str, BarSeries], change: Callable[[RunSpec], Any], message: str
) -> None:
    with pytest.raises(BacktestError, match=message):
        assemble(change(SPEC), bars, CLOCK)


def test_an_unknown_strategy_is_refused(bars: dict[str, BarSeries]) -> None:
    with pytest.raises(StrategyError, match="ma_crosover"):
        assemble(replace(SPEC, strategy="ma_crosover"), bars, CLOCK)


def test_a_run_of_no_symbols_has_no_steps() -> None:
    result = assemble(replace(SPEC, instruments=()), {}, CLOCK).run()
    assert (result.steps, result.status) == (0, "completed")
