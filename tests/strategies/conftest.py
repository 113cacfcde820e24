from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import NANOS, timestamp
from execution.models import Bar, Fill, Instrument, OrderRequest, Side
from strategies.base import Strategy, StrategyContext
from strategies.registry import create
from strategies.signals import Signal
from strategies.sizing import OrderFactory
from strategies.spec import SizingSpec

DAY = 86_400 * NANOS


def bar(close: float, day: int = 1, symbol: str = "AAA") -> Bar:
    return Bar(symbol, day * DAY, (day + 1) * DAY - 1, close, close, close, close)


@dataclass
class Stage:
    """A strategy over a real ledger; its orders fill in full at the next bar's price; signals are kept."""

    strategy: Strategy
    ledger: Ledger
    signals: list[Signal] = field(default_factory=list)

    def play(self, bars: Iterable[Bar], held: Sequence[Decimal] | None = None) -> list[OrderRequest | None]:
        """Return the proposal at each bar; `held` dictates the position at each bar instead of fills."""
        proposals: list[OrderRequest | None] = []
        pending: OrderRequest | None = None
        for i, b in enumerate(bars):
            if held is not None:
                self._carry(b, held[i] - self.ledger.position(b.symbol))
            elif pending is not None:
                self._carry(b, pending.quantity * pending.side.sign)
            answer = self.strategy.on_bar(b)
            if isinstance(answer, Signal):
                self.signals.append(answer)
                answer = answer.orders[0] if answer.orders else None
            assert answer is None or isinstance(answer, OrderRequest)
            pending = answer
            proposals.append(answer)
        return proposals

    def _carry(self, b: Bar, signed: Decimal) -> None:
        if signed:
            side = Side.BUY if signed > 0 else Side.SELL
            price = Decimal(repr(b.open))
            self.ledger.apply(Fill("f", "1", b.symbol, abs(signed), price, side, timestamp(b.start_ns)))


MakeStage = Callable[..., Stage]


@pytest.fixture
def stage() -> MakeStage:
    def make(name: str, **params: Any) -> Stage:
        instruments = {symbol: Instrument(symbol) for symbol in ("AAA", "BBB")}
        ledger = Ledger(cash=Decimal(1_000_000), instruments=instruments)
        orders = OrderFactory(SizingSpec(), instruments)
        return Stage(create(name, params, StrategyContext(LedgerPortfolio(ledger), orders)), ledger)

    return make


@pytest.fixture
def bars() -> Callable[..., list[Bar]]:
    """Make daily bars from closes."""

    def make(closes: Sequence[float], first_day: int = 1, symbol: str = "AAA") -> list[Bar]:
        return [bar(close, first_day + i, symbol) for i, close in enumerate(closes)]

    return make
