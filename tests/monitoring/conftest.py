"""Builders of the events that monitoring consumes, and a clock that is told the time."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from execution.events import StepProgress
from execution.models import Fill, Order, OrderStatus, OrderType, PortfolioSnapshot, Position, Side

START = pd.Timestamp("2020-01-01 21:00", tz="UTC")


class ToldClock:
    """Wall clock for tests."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0

    def monotonic(self) -> float:
        self.asked += 1
        return self.now


@pytest.fixture
def clock() -> ToldClock:
    return ToldClock()


@pytest.fixture
def step() -> Callable[..., StepProgress]:
    def make(
        index: int, *, equity: str = "1000000", held: tuple[str, ...] = (), **changes: Any
    ) -> StepProgress:
        end = START + pd.Timedelta(days=index - 1)
        snapshot = PortfolioSnapshot(
            timestamp=end,
            cash=Decimal(1000),
            equity=Decimal(equity),
            unrealized_pnl=Decimal(0),
            realized_pnl=Decimal(0),
            positions=tuple(
                Position(symbol, Decimal(10), Decimal("12.5"), Decimal(130), Decimal(5), end)
                for symbol in held
            ),
        )
        counts = dict.fromkeys(("bars", "proposed", "approved", "submitted", "refused", "failed", "fills"), 0)
        fields: dict[str, Any] = {"total": None, **counts, **changes}
        return StepProgress(end=end, index=index, snapshot=snapshot, **fields)

    return make


@pytest.fixture
def order() -> Callable[..., Order]:
    def make(client_order_id: str | None, status: OrderStatus = OrderStatus.SUBMITTED) -> Order:
        return Order(
            "7", client_order_id, "SPY", Decimal(10), OrderType.MARKET, Side.BUY, None, None, status, START
        )

    return make


@pytest.fixture
def fill() -> Callable[..., Fill]:
    def make(fill_id: str = "a-1") -> Fill:
        return Fill(fill_id, "7", "SPY", Decimal(10), Decimal("101.50"), Side.BUY, START, Decimal(1))

    return make
