"""Gateways with faults, and clients of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.faults.engine import FaultEngine
from backtesting.gateway.faults.script import load_preset, parse_script
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

AAA = ibi.Stock("AAA", "SMART", "USD")


@dataclass
class Rig:
    """A gateway with a fault engine, and ways to be its client."""

    server: GatewayServer
    engine: FaultEngine
    clients: list[Any] = field(default_factory=list)

    async def wire(self, client_id: int = 1, *, welcome: bool = True) -> WireClient:
        client = await WireClient.connect(self.server.port, client_id)
        self.clients.append(client)
        if welcome:
            await client.until("4", "2", "-1", "2158")
        return client

    async def ib(self, client_id: int = 7, **options: Any) -> ibi.IB:
        client = ibi.IB()
        client.client.MaxRequests = 0
        self.clients.append(client)
        await client.connectAsync("127.0.0.1", self.server.port, clientId=client_id, timeout=10, **options)
        return client

    async def step(self, ib: ibi.IB, count: int = 1) -> None:
        """Play steps in lockstep; what a step brought has been read when it returns."""
        for _ in range(count):
            await asyncio.wait_for(ib.reqCurrentTimeAsync(), 10)

    async def close(self) -> None:
        for client in self.clients:
            if isinstance(client, ibi.IB):
                client.disconnect()
            else:
                await client.close()


Rigging = Callable[[str], AbstractAsyncContextManager[Rig]]


@pytest.fixture
def rigged(bars: dict[str, BarSeries], sessions: ExchangeClock) -> Rigging:
    """Start a gateway with a script (YAML with a colon) or a preset by its name."""

    @asynccontextmanager
    async def start(script: str) -> AsyncIterator[Rig]:
        async with simulated_gateway(bars, sessions=sessions) as server:
            engine = FaultEngine(server, parse_script(script) if ":" in script else load_preset(script))
            engine.attach()
            rig = Rig(server, engine)
            try:
                yield rig
            finally:
                await rig.close()
                engine.detach()

    return start
