"""A gateway over minutes of trading, as many clients on the bare wire as a test needs, and what they say."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

Messages = list[list[str]]


class Floor:
    """A gateway and its clients, for one test."""

    def __init__(self, server: GatewayServer) -> None:
        self.server = server
        self.clients: list[WireClient] = []

    @property
    def book(self) -> Any:
        return self.server.service.book

    async def client(self, client_id: int = 1) -> WireClient:
        """Return a welcomed client."""
        client = await WireClient.connect(self.server.port, client_id)
        await client.until("4", "2", "-1", "2158")
        self.clients.append(client)
        return client


@pytest.fixture
def floor(
    minute_bars: dict[str, BarSeries], sessions: ExchangeClock
) -> Callable[..., AbstractAsyncContextManager[Floor]]:
    """Open a floor over five minutes on each of two days: AAA opens at 100, 101, …, one either side."""

    @asynccontextmanager
    async def opened(
        config: GatewayConfig | None = None, bars: dict[str, BarSeries] | None = None, **more: Any
    ) -> AsyncIterator[Floor]:
        async with simulated_gateway(bars or minute_bars, sessions=sessions, config=config, **more) as server:
            opened = Floor(server)
            try:
                yield opened
            finally:
                for client in opened.clients:
                    await client.close()

    return opened


@pytest.fixture
def step() -> Callable[[WireClient], Awaitable[Messages]]:
    """Say that the step is done; return what comes up to the new time, which is left out."""

    async def played(client: WireClient) -> Messages:
        client.send(49, 1)
        return (await client.until("49"))[:-1]

    return played


@pytest.fixture
def told() -> Callable[[WireClient], Awaitable[Messages]]:
    """Return what has been sent to a client so far, by asking something that is answered at once."""

    async def heard(client: WireClient) -> Messages:
        client.send(17, 1)
        return (await client.until("15"))[:-1]

    return heard


@pytest.fixture
def kinds() -> Callable[[Messages], list[str]]:
    """Shorten messages to number, order id, status or code, and why an order is held."""

    def shown(messages: Messages) -> list[str]:
        rows = []
        for fields in messages:
            extra: list[str] = []
            if fields[0] == "3":
                extra = [fields[1], fields[2], *filter(None, [fields[10]])]
            elif fields[0] == "4":
                extra = fields[2:4]
            elif fields[0] == "5":
                states = ("PreSubmitted", "Submitted", "Filled", "Inactive", "Cancelled")
                extra = [fields[1], *(text for text in fields if text in states)]
            rows.append(" ".join([fields[0], *extra]))
        return rows

    return shown
