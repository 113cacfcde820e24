from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import NANOS, SteppedClock, timestamp
from execution.models import Fill, Instrument, OrderRequest, OrderType, Side
from risk.engine import RiskEngine
from risk.kill_switch import KillSwitch, session_day_of
from risk.limits import RiskLimits

DAY = 86_400 * NANOS
_PLAIN = frozenset(
    (
        "long_only",
        "max_orders_per_minute",
        "max_order_quantity_by_symbol",
        "max_position_quantity_by_symbol",
        "allowed_symbols",
        "restricted_symbols",
    )
)
"""Limits that are no single amount."""


@dataclass(frozen=True)
class Session:
    open_ns: int
    close_ns: int


class DailySessions:
    """A market open from 10 to 16 hours of each of its days, starting at the epoch."""

    def __init__(self, days: int) -> None:
        self._days = days

    def session_closing_after(self, ns: int) -> Session | None:
        day = (ns - 16 * 3600 * NANOS) // DAY + 1
        if day >= self._days:
            return None
        return Session(day * DAY + 10 * 3600 * NANOS, day * DAY + 16 * 3600 * NANOS)


@dataclass
class Desk:
    """A risk engine over a real ledger, and the few moves that tests make."""

    limits: RiskLimits
    days: int = 10
    multiplier: Decimal = Decimal(1)
    ids: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        instruments = {
            symbol: Instrument(symbol, multiplier=self.multiplier) for symbol in ("AAA", "BBB", "CCC")
        }
        self.instruments = instruments
        self.portfolio = LedgerPortfolio(Ledger(cash=Decimal(1_000_000), instruments=instruments))
        self.clock = SteppedClock(12 * 3600 * NANOS)
        self.sessions = DailySessions(self.days)
        self.kill_switch = KillSwitch(self.limits.max_daily_loss, session_day_of(self.sessions))
        self.engine = RiskEngine(
            self.limits,
            self.portfolio,
            self.sessions,
            self.clock,
            self.kill_switch,
            {symbol: instrument.multiplier for symbol, instrument in instruments.items()},
        )

    def mark(self, price: float, symbol: str = "AAA") -> None:
        self.portfolio.set_mark(symbol, price)

    def order(self, signed: int | str, symbol: str = "AAA", **more: Any) -> OrderRequest:
        quantity = Decimal(signed)
        more.setdefault("client_order_id", f"order-{next(self.ids)}")
        more.setdefault("order_type", OrderType.LIMIT if "limit_price" in more else OrderType.MARKET)
        side = Side.BUY if quantity > 0 else Side.SELL
        return OrderRequest(symbol=symbol, quantity=abs(quantity), side=side, **more)

    def fill(self, order: OrderRequest, quantity: Decimal, price: str = "100") -> None:
        """Book an execution, then tell the engine."""
        fill = Fill(
            f"fill-{next(self.ids)}",
            "1",
            order.symbol,
            quantity,
            Decimal(price),
            order.side,
            timestamp(self.clock.now_ns()),
            client_order_id=order.client_order_id,
        )
        self.portfolio.ledger.apply(fill)
        self.engine.on_fill(fill)

    def hold(self, signed: int | str, symbol: str = "AAA", price: str = "100") -> None:
        """Come to a position as if it had been there before."""
        order = self.order(signed, symbol)
        self.fill(order, order.quantity, price)

    def submit(self, order: OrderRequest) -> str:
        """Evaluate and, if approved, reserve; return the refusing rule or an empty text."""
        decision = self.engine.evaluate(order)
        if decision.approved:
            self.engine.reserve(order)
        return decision.rule


MakeDesk = Callable[..., Desk]


@pytest.fixture
def desk() -> MakeDesk:
    def make(days: int = 10, multiplier: str = "1", **limits: Any) -> Desk:
        figures: dict[str, Any] = {
            name: Decimal(value) if name not in _PLAIN and value is not None else value
            for name, value in limits.items()
        }
        made = Desk(RiskLimits(**figures), days, Decimal(multiplier))
        made.mark(100.0)
        return made

    return make
