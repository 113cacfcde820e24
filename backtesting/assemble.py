"""Puts a backtest together: a `RunSpec` and bars become an engine that is ready to run.

The parts are those of a live trader (step, risk, ledger, sizing, strategy); only the execution engine
differs, and the broker behind it is the one that the simulated gateway serves. Broker and book keep a ledger
each, as they do over the wire, and are held against each other at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from backtesting.broker import Sessions, SimulatedBroker
from backtesting.engine import BacktestEngine
from backtesting.errors import BacktestError
from backtesting.ex_dates import ExDates
from backtesting.execution import SimulatedExecution
from data.bars import BarSeries, steps
from execution.book.adjustments import CorporateAction
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import MonotonicClock, SteppedClock, SystemClock
from execution.events import ProgressHandler
from execution.models import PortfolioSnapshot
from risk.engine import RiskEngine
from risk.kill_switch import KillSwitch, session_day_of
from risk.manager import ShapingRiskManager
from strategies.base import StrategyContext
from strategies.registry import create
from strategies.signals import StatedSignal
from strategies.sizing import OrderFactory
from strategies.spec import RunSpec
from strategies.step import TradingStep


def assemble(
    spec: RunSpec,
    bars: Mapping[str, BarSeries],
    clock: Sessions,
    *,
    on_snapshot: Callable[[PortfolioSnapshot], None] | None = None,
    on_signal: Callable[[StatedSignal], None] | None = None,
    progress: Sequence[ProgressHandler] = (),
    wall: MonotonicClock | None = None,
    corporate_actions: Sequence[CorporateAction] = (),
) -> BacktestEngine:
    """Build the engine of one run.

    Parameters
    ----------
    spec
        Everything that decides the outcome.
    bars
        Bars by symbol; symbols that the specification does not name are left out.
    clock
        The market calendar, covering the bars: a ``data.calendars.ExchangeClock``.
    on_snapshot, on_signal, progress
        Receivers of each step's snapshot, signals and progress; the result holds the signals too.
    wall
        Wall clock that times a step; it has no influence on the outcome.
    corporate_actions
        Splits and dividends in the span of the bars, which are then those that were traded: see
        `backtesting.ex_dates`, and `data.corporate_actions.for_trading` for the way from a source.

    Raises
    ------
    BacktestError
        If a symbol has no bars, or bars of another timeframe, or the costs make no sense; or a corporate
        action cannot be booked.
    StrategyError
        If the strategy or its parameters are not known.
    """
    chosen = _chosen(spec, bars)
    instruments = {instrument.symbol: instrument for instrument in spec.instruments}
    trading_clock = SteppedClock()
    try:
        broker = SimulatedBroker(spec.instruments, spec.costs, clock, spec.initial_cash)
    except ValueError as error:
        raise BacktestError(f"costs.{error}") from error
    portfolio = LedgerPortfolio(Ledger(cash=spec.initial_cash, instruments=dict(instruments)))
    kill_switch = KillSwitch(
        spec.limits.max_daily_loss, session_day_of(clock), initial_equity=spec.initial_cash
    )
    multipliers = {symbol: instrument.multiplier for symbol, instrument in instruments.items()}
    rules = RiskEngine(spec.limits, portfolio, clock, trading_clock, kill_switch, multipliers)
    execution = SimulatedExecution(broker, rules, trading_clock)
    context = StrategyContext(portfolio, OrderFactory(spec.sizing, instruments))
    ex_dates = ExDates(corporate_actions, broker, execution, portfolio) if corporate_actions else None
    ends = [series.end_ns for series in chosen.values()]
    total = len(np.unique(np.concatenate(ends))) if ends else 0
    signals: list[StatedSignal] = []

    def keep(signal: StatedSignal) -> None:
        signals.append(signal)
        if on_signal is not None:
            on_signal(signal)

    step = TradingStep(
        strategy=create(spec.strategy, spec.params, context),
        strategy_name=spec.strategy,
        portfolio=portfolio,
        risk_manager=ShapingRiskManager(rules, instruments, on_refused=execution.record_refusal),
        execution=execution,
        clock=wall or SystemClock(),
        kill_switch=kill_switch,
        on_snapshot=on_snapshot,
        on_signal=keep,
        progress=progress,
        total=total,
        sessions=clock,
        corporate_actions=ex_dates,
    )
    execution.add_handler(step)
    return BacktestEngine(
        steps(chosen),
        broker,
        execution,
        step,
        trading_clock,
        total=total,
        signals=signals,
        ex_dates=ex_dates,
    )


def _chosen(spec: RunSpec, bars: Mapping[str, BarSeries]) -> dict[str, BarSeries]:
    chosen = {}
    for symbol in spec.symbols:
        series = bars.get(symbol)
        if series is None or not len(series):
            listed = ", ".join(sorted(bars)) or "none"
            raise BacktestError(
                f"{symbol} has no bars (there are bars of: {listed}): correct symbols or bars"
            )
        if series.timeframe is not spec.timeframe:
            raise BacktestError(
                f"{symbol} has {series.timeframe} bars, the run wants {spec.timeframe}: make them agree"
            )
        chosen[symbol] = series
    return chosen
