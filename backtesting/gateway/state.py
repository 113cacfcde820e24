"""What the desks of one gateway share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.market.market import Market
from backtesting.gateway.session import ClientSession
from data.calendars import MarketClock
from execution.clocks import SteppedClock

Handler = Callable[[ClientSession, Any], None]
"""Answers one kind of request; raises `RequestRefusedError` for what is answered with an error."""

Handlers = Mapping[type[Any], Handler]


@dataclass(slots=True)
class GatewayState:
    """Time, orders, market and who is connected."""

    clock: SteppedClock
    book: OrderBook
    market: Market
    calendar: MarketClock
    sessions: dict[int, ClientSession] = field(default_factory=dict)
    """Connected clients by client id."""
    config: GatewayConfig = field(default_factory=GatewayConfig)
    running: bool = False
    """Whether bars are played in parts as time passes, and not in whole steps."""

    @property
    def now_ns(self) -> int:
        """Simulated time."""
        return self.clock.now_ns()


def send_all(session: ClientSession, messages: Iterable[bytes]) -> None:
    """Put several messages in a client's outbox."""
    for data in messages:
        session.send(data)


def no_answer(_session: ClientSession, _wish: object) -> None:
    """Take a request that TWS does not answer."""
