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
from strategies.signals import StatedSignal
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


def test_the_signals_of_a_strategy_are_told_and_kept_with_the_orders_they_led_to(
    bars: dict[str, BarSeries],
) -> None:
    told: list[StatedSignal] = []
    spec = replace(SPEC, strategy="momentum", params={"lookback": 10})
    result = assemble(spec, bars, CLOCK, on_signal=told.append).run()
    assert tuple(told) == result.signals
    assert set(result.placed_for) == {order.client_order_id for order in result.orders}
    assert set(result.placed_for.values()) < {signal.signal_id for signal in told}


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


def holed(bars: dict[str, BarSeries], first: int, last: int) -> dict[str, BarSeries]:
    """Return the bars of SPY without positions `first` to `last` - 1."""
    keep = np.r_[0:first, last : len(CLOCK)]
    names = ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    return {"SPY": BarSeries("SPY", Timeframe.DAY, *(getattr(bars["SPY"], name)[keep] for name in names))}


@pytest.mark.parametrize(
    ("strategy", "params", "warmup"),
    [("ma_crossover", {"fast": 3, "slow": 8}, 8), ("momentum", {"lookback": 8}, 9)],
)
def test_no_indicator_runs_over_a_hole(
    strategy: str, params: dict[str, int], warmup: int, bars: dict[str, BarSeries]
) -> None:
    spec = replace(SPEC, instruments=(Instrument("SPY"),), strategy=strategy, params=params)
    after = {"SPY": bars["SPY"].slice(150, len(CLOCK))}
    alone = assemble(spec, after, CLOCK).run()
    for first in (0, 2, 5, 7):  # too few bars before the hole to fill a window
        whole = assemble(spec, holed(bars, first, 150), CLOCK).run()
        assert [fill.timestamp for fill in whole.fills] == [fill.timestamp for fill in alone.fills]
    long_before = assemble(spec, holed(bars, 100, 150), CLOCK).run()
    decided = [order.submitted_at for order in long_before.orders]
    assert decided
    start, ready = int(CLOCK.opens_ns[150]), int(CLOCK.closes_ns[150 + warmup - 1])
    assert not [moment for moment in decided if moment is not None and start <= moment.value < ready]


def test_an_order_does_not_fill_in_a_hole_nor_the_order_for_a_day_after_it(
    bars: dict[str, BarSeries],
) -> None:
    spec = replace(SPEC, instruments=(Instrument("SPY"),))
    whole = assemble(spec, {"SPY": bars["SPY"]}, CLOCK).run()
    entry = next(fill for fill in whole.fills)
    at = int(np.searchsorted(CLOCK.opens_ns, entry.timestamp.value))  # it filled at this session's open
    result = assemble(spec, holed(bars, at, at + 40), CLOCK).run()
    first = result.orders[0]
    assert first.client_order_id == whole.orders[0].client_order_id
    assert first.status is OrderStatus.CANCELLED
    inside = [
        f for f in result.fills if CLOCK.closes_ns[at - 1] < f.timestamp.value < CLOCK.opens_ns[at + 40]
    ]
    assert inside == []
