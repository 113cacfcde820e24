"""A few days of bars that are easy to reason about, and gateways over them."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ib_insync as ibi
import numpy as np
import pytest

from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.timeframes import Timeframe

MINUTE_NS = 60_000_000_000


@pytest.fixture(scope="session")
def sessions() -> ExchangeClock:
    """January 2018, New York."""
    return ExchangeClock("XNYS", dt.date(2018, 1, 2), dt.date(2018, 1, 31))


@pytest.fixture(scope="session")
def bars(sessions: ExchangeClock) -> dict[str, BarSeries]:
    """Ten daily bars of two symbols: AAA opens at 100, 101, …; BBB at 50, 51, …; range 2 either side."""
    count = 10
    steps = np.arange(count, dtype=np.float64)

    def series(symbol: str, first: float) -> BarSeries:
        opens = first + steps
        return BarSeries(
            symbol,
            Timeframe.DAY,
            sessions.opens_ns[:count],
            sessions.closes_ns[:count],
            opens,
            opens + 2,
            opens - 2,
            opens + 0.5,
            np.full(count, 1000.0),
        )

    return {"AAA": series("AAA", 100.0), "BBB": series("BBB", 50.0)}


@pytest.fixture(scope="session")
def minute_bars(sessions: ExchangeClock) -> dict[str, BarSeries]:
    """Five minute bars on each of two days."""
    starts = np.array([sessions.opens_ns[day] + i * MINUTE_NS for day in (0, 1) for i in range(5)])
    opens = 100.0 + np.arange(10.0)
    columns = (opens, opens + 1, opens - 1, opens + 0.25, np.full(10, 10.5))
    return {"AAA": BarSeries("AAA", Timeframe.MINUTE, starts, starts + MINUTE_NS, *columns)}


@pytest.fixture
async def gateway(bars: dict[str, BarSeries], sessions: ExchangeClock) -> AsyncIterator[GatewayServer]:
    """A gateway over the daily bars."""
    async with simulated_gateway(bars, sessions=sessions) as server:
        yield server


@pytest.fixture
async def wire(gateway: GatewayServer) -> AsyncIterator[WireClient]:
    """A welcomed client on the bare wire, client id 1."""
    client = await WireClient.connect(gateway.port)
    await client.until("4", "2", "-1", "2158")
    yield client
    await client.close()


@pytest.fixture
async def ib(gateway: GatewayServer) -> AsyncIterator[ibi.IB]:
    """A connected ib_insync without its throttle, client id 7."""
    client = ibi.IB()
    client.client.MaxRequests = 0
    await client.connectAsync("127.0.0.1", gateway.port, clientId=7, timeout=10)
    yield client
    client.disconnect()


@pytest.fixture
def placed() -> Callable[..., list[str]]:
    """The fields ib_insync sends for placeOrder at a server version."""

    def fields(contract: ibi.Contract, order: ibi.Order, order_id: int = 1, version: int = 176) -> list[str]:
        with sent_by_ib_insync(version) as (client, sent):
            client.placeOrder(order_id, contract, order)
        return sent[0]

    return fields


@contextmanager
def sent_by_ib_insync(version: int) -> Iterator[tuple[Any, list[list[str]]]]:
    """Give an ib_insync client that is told it is connected, and the messages it sends."""
    sent: list[list[str]] = []
    client: Any = ibi.IB().client
    client.connState = client.CONNECTED
    client._serverVersion = version
    client.sendMsg = lambda text: sent.append(text[:-1].split("\0"))
    yield client, sent
    client.connState = client.DISCONNECTED


@pytest.fixture(scope="session")
def recorded_frames() -> list[dict[str, Any]]:
    """Frames recorded from real gateways, where the collection is at hand."""
    path = Path(__file__).parents[4] / "shared" / "data" / "tws" / "frames.jsonl"
    if not path.is_file():
        pytest.skip(f"no recorded frames at {path}")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
