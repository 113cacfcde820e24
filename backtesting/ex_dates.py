"""Splits and dividends of a backtest: booked when their ex date begins, before anything trades on it.

1. Dividends come before splits of the same date: they are paid on shares of before.
2. The broker applies an action by the rules of `backtesting.corporate_actions`, those of the simulated
   gateway: a split ends the symbol's open orders, a dividend is paid in full on its ex date.
3. What it did to the broker's ledger is booked as an adjustment, as a live trader books it.
4. The trading step asks here, too, and tells the strategy of a split before the first bar after it. Nobody
   learns of an action before its ex date.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from backtesting.broker import SimulatedBroker
from backtesting.corporate_actions import split_adjustment
from backtesting.errors import BacktestError
from backtesting.execution import SimulatedExecution
from execution.book.adjustments import Adjustment, AdjustmentKind, CorporateAction
from execution.book.portfolio import LedgerPortfolio


class ExDates:
    """Applies the corporate actions of a run, and tells its step of splits.

    Parameters
    ----------
    actions
        Splits and dividends of the run's symbols.
    broker, execution, portfolio
        The broker, the way of its reports, and the book.

    Raises
    ------
    BacktestError
        If an action is a change of symbol, which a run cannot follow, or of a symbol that it does not trade.
    """

    def __init__(
        self,
        actions: Iterable[CorporateAction],
        broker: SimulatedBroker,
        execution: SimulatedExecution,
        portfolio: LedgerPortfolio,
    ) -> None:
        self.booked: list[Adjustment] = []
        """What moved the book, in order of time."""
        self._actions = sorted(
            actions, key=lambda one: (one.time, one.kind is AdjustmentKind.SPLIT, one.symbol)
        )
        self._splits: dict[str, list[CorporateAction]] = {}
        self._next = 0
        self._broker = broker
        self._execution = execution
        self._portfolio = portfolio
        for action in self._actions:
            if action.kind is AdjustmentKind.SPLIT:
                self._splits.setdefault(action.symbol, []).append(action)
            if action.symbol not in broker.instruments or action.kind is AdjustmentKind.SYMBOL_CHANGE:
                raise BacktestError(
                    f"{action.describe()}: a run books splits and dividends of its own symbols"
                )

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> Sequence[CorporateAction]:
        """Return the splits of a symbol that took hold after `since_ns` and up to `until_ns`, in order."""
        return [one for one in self._splits.get(symbol, ()) if since_ns < one.time <= until_ns]

    def apply_before(self, end_ns: int) -> None:
        """Apply what takes hold before the end of a step; call it before anything of the step is matched."""
        while self._next < len(self._actions) and self._actions[self._next].time < end_ns:
            action = self._actions[self._next]
            self._next += 1
            if action.kind is AdjustmentKind.SPLIT:
                self._split(action)
            else:
                self._pay(action)

    def _split(self, action: CorporateAction) -> None:
        ledger, symbol, ratio = self._broker.ledger, action.symbol, action.ratio
        assert ratio is not None  # noqa: S101 - a split has one
        held = ledger.position(symbol)
        events = self._broker.apply_split(symbol, ratio, action.time)
        mark = self._broker.mark(symbol)
        if held and mark is not None:  # what is held was bought at a price
            instrument = self._broker.instruments[symbol]
            self._book(split_adjustment(instrument, held, ratio, mark, action.time, action.describe()))
        if mark is not None:
            self._portfolio.set_mark(symbol, float(mark))
        self._execution.apply(events)

    def _pay(self, action: CorporateAction) -> None:
        ledger, amount = self._broker.ledger, action.amount
        assert amount is not None  # noqa: S101 - a dividend has one
        before = ledger.cash
        self._broker.apply_dividend(action.symbol, amount, action.time)
        paid = ledger.cash - before
        if paid:
            what, time = action.describe(), action.time
            self._book(Adjustment(action.kind, action.symbol, time, cash=paid, reason=what))

    def _book(self, adjustment: Adjustment) -> None:
        self._portfolio.adjust(adjustment)
        self.booked.append(adjustment)
