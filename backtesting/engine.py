"""The event engine: completed bars in time order through the simulated broker and the trading step.

For each step, that is all bars with the same end:

1. The trading clock moves to that end; splits and dividends whose ex date has begun are booked.
2. The broker matches the orders placed before, at the bars' opens and within them, and expires DAY orders.
3. What it reports is applied: reservations, the book, the strategy's `on_fill`.
4. The trading step, the same one that trades live, shows the strategy the bars and submits its orders, which
   fill no earlier than the next bar.

A kill switch that trips ends the run after that step, as it ends the loop over the wire: working orders are
cancelled, and the run says ``halted``. At the end the book is held against the broker's ledger.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from backtesting.broker import SimulatedBroker
from backtesting.errors import BacktestError
from backtesting.ex_dates import ExDates
from backtesting.execution import SimulatedExecution
from execution.book.adjustments import Adjustment
from execution.book.ledger import Ledger
from execution.clocks import SteppedClock, timestamp
from execution.events import StepProgress
from execution.models import Bar, Fill, Order, PortfolioSnapshot
from execution.numbers import reckoned
from strategies.signals import StatedSignal
from strategies.step import TradingStep

RunStatus = Literal["completed", "halted"]


@dataclass(frozen=True, slots=True)
class BacktestResult:
    """What a run did: orders in order of submission, fills and one snapshot a step in order of time.

    `refused` holds (client order id, code of the rule) of orders that were never placed; `signals` what the
    strategy stated, and `placed_for` the signal by client order id of the orders that one led to.
    """

    orders: tuple[Order, ...]
    fills: tuple[Fill, ...]
    snapshots: tuple[PortfolioSnapshot, ...]
    refused: tuple[tuple[str, str], ...]
    status: RunStatus
    steps: int
    signals: tuple[StatedSignal, ...] = ()
    placed_for: Mapping[str, str] = field(default_factory=dict)
    adjustments: tuple[Adjustment, ...] = ()
    """What splits and dividends did to the book."""


class BacktestEngine:
    """Runs one strategy over one set of bars, once.

    Parameters
    ----------
    steps
        (end in UTC nanoseconds, bars with that end) in strictly ascending order of time.
    broker, execution
        Where orders go, and the way to it.
    step
        The trading step, already listening to `execution`.
    clock
        The trading clock that the parts share.
    total
        Number of steps, if known.
    signals
        Where the step puts the signals of its strategy.
    ex_dates
        Splits and dividends to be booked.
    """

    def __init__(
        self,
        steps: Iterable[tuple[int, list[Bar]]],
        broker: SimulatedBroker,
        execution: SimulatedExecution,
        step: TradingStep,
        clock: SteppedClock,
        *,
        total: int | None = None,
        signals: Sequence[StatedSignal] = (),
        ex_dates: ExDates | None = None,
    ) -> None:
        self._steps = steps
        self._signals = signals
        self._ex_dates = ex_dates
        self.broker = broker
        self.execution = execution
        self.step = step
        self.clock = clock
        self.total = total

    @reckoned
    def run(self, progress: Callable[[StepProgress], None] | None = None) -> BacktestResult:
        """Run every step and return what happened.

        Parameters
        ----------
        progress
            Called after each step.

        Raises
        ------
        BacktestError
            If steps are not in order of time, a step could not be finished, or the book and the broker's
            ledger differ at the end (a handler failed; see the log).
        """
        snapshots: list[PortfolioSnapshot] = []
        halted = False
        previous_ns = -1
        for end_ns, bars in self._steps:
            if end_ns <= previous_ns:
                raise BacktestError(
                    f"the step at {timestamp(end_ns)} does not follow {timestamp(previous_ns)}: sort the bars"
                )
            previous_ns = end_ns
            self.clock.advance_to(end_ns)
            if self._ex_dates is not None:
                self._ex_dates.apply_before(end_ns)
            self.execution.apply(self.broker.advance(end_ns, bars))
            result = self.step.run(end_ns, bars)
            if not result.done:
                raise BacktestError(f"the step at {timestamp(end_ns)} was not finished: see the log")
            snapshots.append(result.progress.snapshot)
            if progress is not None:
                progress(result.progress)
            if result.halted:
                halted = True
                self.execution.cancel_open()
                break
        _require_equal(self.step.portfolio.ledger, self.broker.ledger)
        return BacktestResult(
            orders=tuple(self.execution.orders()),
            fills=tuple(self.execution.fills()),
            snapshots=tuple(snapshots),
            refused=tuple(self.execution.refusals()),
            status="halted" if halted else "completed",
            steps=len(snapshots),
            signals=tuple(self._signals),
            placed_for=self.execution.placed_for(),
            adjustments=() if self._ex_dates is None else tuple(self._ex_dates.booked),
        )


def _require_equal(book: Ledger, broker: Ledger) -> None:
    figures = [("cash", book.cash, broker.cash), ("fees", book.fees, broker.fees)]
    for symbol in sorted(book.holdings.keys() | broker.holdings.keys()):
        figures.append((f"position {symbol}", book.position(symbol), broker.position(symbol)))
    for name, ours, theirs in figures:
        if ours != theirs:
            raise BacktestError(
                f"{name}: the book says {ours}, the broker {theirs}; see the log for a failed handler"
            )
