"""The contract of a strategy: bars in, order requests out.

A strategy sees completed bars in time order and the book as it stands after every fill before them. It keeps
no clock, draws no random numbers and sends nothing itself, so the same class runs in a backtest, against the
simulated gateway, on paper and live, and a restart that replays history rebuilds the same state.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from pydantic import BaseModel, ConfigDict

from execution.book.portfolio import Portfolio
from execution.models import Bar, Fill, OrderRequest
from strategies.signals import Signal
from strategies.sizing import OrderFactory

Proposal = OrderRequest | Signal | Iterable[OrderRequest | Signal] | None
"""What `Strategy.on_bar` returns: nothing, an order, a signal with the orders it leads to, or several."""


class StrategyParams(BaseModel):
    """Base of a strategy's parameters: unknown names and wrong types are refused with a clear message."""

    model_config = ConfigDict(extra="forbid", frozen=True)


@dataclass(frozen=True, slots=True)
class StrategyContext:
    """What a strategy may ask: the book, and a factory that sizes and shapes its orders."""

    portfolio: Portfolio
    orders: OrderFactory


@dataclass(frozen=True, slots=True)
class Gap:
    """Whole sessions of the calendar in which a symbol has no bar, although it has bars before and after."""

    symbol: str
    after_ns: int
    """End of the last bar before it, UTC nanoseconds."""
    until_ns: int
    """Start of the first bar after it, UTC nanoseconds."""
    sessions: int


@dataclass(frozen=True, slots=True)
class Split:
    """A split between two bars of a symbol: each share before it is `ratio` shares after it."""

    symbol: str
    ratio: Fraction
    after_ns: int
    """End of the last bar before it, UTC nanoseconds."""
    until_ns: int
    """Start of the first bar after it, UTC nanoseconds."""

    @property
    def price_factor(self) -> float:
        """What prices of before it are multiplied by to be prices of shares of after it."""
        return float(1 / self.ratio)


class Strategy(ABC):
    """Base class of every strategy.

    Subclasses set `Params` to their parameter model, keep state per symbol, and implement `on_bar`.
    """

    name: ClassVar[str] = ""
    Params: ClassVar[type[StrategyParams]] = StrategyParams

    def __init__(self, params: StrategyParams, context: StrategyContext) -> None:
        self.params = params
        self.context = context

    @property
    def portfolio(self) -> Portfolio:
        """The book after every fill before the current bar."""
        return self.context.portfolio

    @abstractmethod
    def on_bar(self, bar: Bar) -> Proposal:
        """Take a completed bar; return the orders to place, which fill no earlier than the next bar.

        A `Signal` puts on record what was seen in the bar, and may have orders of its own.
        """

    def on_gap(self, gap: Gap) -> None:  # noqa: B027 - optional to implement
        """Learn that sessions are missing before the next bar of a symbol; `on_bar` follows with that bar.

        Averages and returns that run over a gap compare prices that have nothing to do with each other, so
        drop what you keep of the symbol, as the examples do. The default does nothing.
        """

    def on_split(self, split: Split) -> None:
        """Learn that the next bar of a symbol is in shares of after a split; `on_bar` follows with that bar.

        The book has the new number of shares already, and open orders of the symbol have ended. Multiply the
        prices that you keep by `Split.price_factor`, as the examples do; indicators have `scale`. The default
        takes it for a gap, so that what is kept of the symbol is dropped.
        """
        self.on_gap(Gap(split.symbol, split.after_ns, split.until_ns, 0))

    def on_fill(self, fill: Fill) -> None:  # noqa: B027 - optional to implement
        """Take an execution of one of this strategy's orders; the default does nothing."""
