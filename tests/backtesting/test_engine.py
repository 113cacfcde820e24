"""The event engine over real parts: a scripted strategy, real sessions, the real step, risk and ledger."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

import pytest

from backtesting.broker import SimulatedBroker
from backtesting.engine import BacktestEngine
from backtesting.errors import BacktestError
from backtesting.execution import SimulatedExecution
from data.calendars import ExchangeClock
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import SteppedClock, SystemClock
from execution.errors import NotConnectedError
from execution.events import StepProgress
from execution.models import Bar, Fill, Instrument, Order, OrderRequest, OrderStatus, OrderType, Side
from risk.engine import RiskEngine
from risk.kill_switch import KillSwitch, session_day_of
from risk.limits import RiskLimits
from risk.manager import ShapingRiskManager
from strategies.base import Proposal, Strategy, StrategyContext, StrategyParams
from strategies.sizing import OrderFactory
from strategies.spec import CostSpec, SizingSpec
from strategies.step import TradingStep

CLOCK = ExchangeClock("XNYS", dt.date(2024, 1, 2), dt.date(2024, 1, 12))
SESSIONS = CLOCK.sessions(dt.date(2024, 1, 2), dt.date(2024, 1, 12))
SPY = {"SPY": Instrument("SPY")}
CASH = Decimal(100_000)
NO_LIMITS = RiskLimits()


class Scripted(Strategy):
    """Buys (positive) or sells (negative) at the close of the days it is told."""

    script: Mapping[int, int] = {}

    def on_bar(self, bar: Bar) -> Proposal:
        number = next(i for i, session in enumerate(SESSIONS) if session.close_ns == bar.end_ns)
        size = self.script.get(number, 0)
        if not size:
            return None
        side = Side.BUY if size > 0 else Side.SELL
        return OrderRequest(bar.symbol, Decimal(abs(size)), OrderType.MARKET, side)


class Offline(SimulatedExecution):
    """Has no session with its broker."""

    def submit(self, order: OrderRequest) -> Order:
        raise NotConnectedError("no session")


class Forgetful(TradingStep):
    """Does not book what it is told."""

    def on_fill(self, fill: Fill) -> None:
        raise RuntimeError("a bug")


def day(number: int, open_: float, close: float) -> tuple[int, list[Bar]]:
    session = SESSIONS[number]
    high, low = max(open_, close), min(open_, close)
    return session.close_ns, [Bar("SPY", session.open_ns, session.close_ns, open_, high, low, close, 1e6)]


PATH = [
    day(0, 100.0, 100.0),
    day(1, 101.0, 102.0),
    day(2, 103.0, 90.0),
    day(3, 91.0, 92.0),
    day(4, 95.0, 95.0),
]


def build(
    script: Mapping[int, int],
    path: list[tuple[int, list[Bar]]],
    limits: RiskLimits = NO_LIMITS,
    execution_class: type[SimulatedExecution] = SimulatedExecution,
    step_class: type[TradingStep] = TradingStep,
) -> BacktestEngine:
    clock = SteppedClock()
    broker = SimulatedBroker(list(SPY.values()), CostSpec(slippage_bps=Decimal(0)), CLOCK, CASH)
    portfolio = LedgerPortfolio(Ledger(cash=CASH))
    switch = KillSwitch(limits.max_daily_loss, session_day_of(CLOCK), initial_equity=CASH)
    rules = RiskEngine(limits, portfolio, CLOCK, clock, switch)
    execution = execution_class(broker, rules, clock)
    strategy = Scripted(StrategyParams(), StrategyContext(portfolio, OrderFactory(SizingSpec(), SPY)))
    strategy.script = script
    step = step_class(
        strategy=strategy,
        strategy_name="scripted",
        portfolio=portfolio,
        risk_manager=ShapingRiskManager(rules, SPY, on_refused=execution.record_refusal),
        execution=execution,
        clock=SystemClock(),
        kill_switch=switch,
    )
    execution.add_handler(step)
    return BacktestEngine(path, broker, execution, step, clock, total=len(path))


def test_a_decision_at_the_close_fills_at_the_next_open_and_the_book_follows() -> None:
    result = build({0: 100, 2: -100}, PATH).run()
    assert [(f.price, f.timestamp.value) for f in result.fills] == [
        (Decimal(101), SESSIONS[1].open_ns),
        (Decimal(91), SESSIONS[3].open_ns),
    ]
    assert [order.status for order in result.orders] == [OrderStatus.FILLED] * 2
    assert [snapshot.equity for snapshot in result.snapshots] == [
        CASH,
        CASH + 100 - 1,
        CASH - 1_100 - 1,
        CASH - 1_000 - 2,
        CASH - 1_000 - 2,
    ]
    assert (result.status, result.steps, result.refused) == ("completed", 5, ())


def test_the_clock_ends_at_the_last_bar_and_an_order_of_the_last_bar_stays_open() -> None:
    engine = build({4: 1}, PATH)
    result = engine.run()
    assert engine.clock.now_ns() == SESSIONS[4].close_ns
    assert [order.status for order in result.orders] == [OrderStatus.SUBMITTED]


def test_a_tripped_kill_switch_refuses_new_risk_and_ends_the_run_after_that_step() -> None:
    result = build({0: 100, 2: 50, 3: -100}, PATH, RiskLimits(max_daily_loss=Decimal(500))).run()
    assert result.status == "halted"
    assert result.steps == 3
    assert [rule for _, rule in result.refused] == ["KILL_SWITCH"]
    assert [p.quantity for p in result.snapshots[-1].positions] == [100]


def test_progress_is_told_after_each_step() -> None:
    told: list[StepProgress] = []
    build({0: 100}, PATH).run(told.append)
    assert [progress.fills for progress in told] == [0, 1, 0, 0, 0]
    assert [progress.index for progress in told] == [1, 2, 3, 4, 5]


def test_the_same_run_twice_gives_the_same_result() -> None:
    assert build({0: 100, 2: -100}, PATH).run() == build({0: 100, 2: -100}, PATH).run()


@pytest.mark.parametrize("path", [[PATH[1], PATH[0]], [PATH[0], PATH[0]]])
def test_steps_out_of_order_are_refused(path: list[tuple[int, list[Bar]]]) -> None:
    with pytest.raises(BacktestError, match="sort the bars"):
        build({}, path).run()


def test_a_step_that_cannot_be_finished_ends_the_run() -> None:
    with pytest.raises(BacktestError, match="not finished"):
        build({0: 1}, PATH, execution_class=Offline).run()


def test_a_book_that_differs_from_the_brokers_ledger_is_never_reported() -> None:
    with pytest.raises(BacktestError, match="cash: the book says"):
        build({0: 1}, PATH, step_class=Forgetful).run()
