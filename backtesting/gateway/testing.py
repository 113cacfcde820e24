"""For tests: a gateway in the running event loop, and a client on the bare wire."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Self

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.wire.codec import message, split
from backtesting.gateway.wire.frames import GREETING, frame
from data.bars import BarSeries
from data.calendars import ExchangeClock, MarketClock
from execution.clocks import MonotonicClock
from execution.models import Instrument


@asynccontextmanager
async def simulated_gateway(
    bars: Mapping[str, BarSeries],
    *,
    config: GatewayConfig | None = None,
    instruments: Sequence[Instrument] | None = None,
    sessions: MarketClock | None = None,
    clock: MonotonicClock | None = None,
) -> AsyncIterator[GatewayServer]:
    """Serve bars on a free port of the loopback while the block runs.

    Parameters
    ----------
    bars
        Bars by symbol.
    config
        How it is run; by default lockstep, standard costs, a million of cash.
    instruments
        Contracts offered; by default one stock for each symbol.
    sessions
        By default the New York Stock Exchange over the range of the bars and ten days more.
    clock
        Wall time, for the idle exit.
    """
    if sessions is None:
        from datetime import timedelta  # noqa: PLC0415  only this default needs it

        from execution.clocks import timestamp  # noqa: PLC0415  only this default needs it

        first = min(int(series.start_ns[0]) for series in bars.values() if len(series))
        last = max(int(series.end_ns[-1]) for series in bars.values() if len(series))
        margin = timedelta(days=10)
        sessions = ExchangeClock("XNYS", timestamp(first).date(), timestamp(last).date() + margin)
    offered = [Instrument(symbol) for symbol in sorted(bars)] if instruments is None else instruments
    server = GatewayServer(config or GatewayConfig(), bars, sessions, offered, clock=clock)
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class WireClient:
    """A client that sends and receives bare fields.

    Use `connect` and, at the end, `close`; every wait is bounded by `timeout` seconds.
    """

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout: float = 10.0
    ) -> None:
        self.reader = reader
        self.writer = writer
        self.timeout = timeout
        self.version = 0
        self.greeting: list[str] = []

    @classmethod
    async def open(cls, port: int, host: str = "127.0.0.1") -> Self:
        """Open a connection without a handshake."""
        return cls(*await asyncio.open_connection(host, port))

    @classmethod
    async def connect(cls, port: int, client_id: int = 1, *, offer: bytes = b"v157..176") -> Self:
        """Open a connection, shake hands and name the client; its welcome is left to be received."""
        client = await cls.open(port)
        client.write(GREETING + frame(offer))
        client.greeting = await client.receive()
        client.version = int(client.greeting[0])
        client.send(71, 2, client_id, "")
        return client

    def write(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)

    def send(self, *fields: object) -> None:
        """Send one message."""
        self.writer.write(message(*fields))

    async def receive(self) -> list[str]:
        """Return the fields of the next message; raise EOFError when the gateway has closed."""
        async with asyncio.timeout(self.timeout):
            try:
                size = int.from_bytes(await self.reader.readexactly(4), "big")
                return split(await self.reader.readexactly(size))
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise EOFError("the gateway closed the connection") from error

    async def until(self, *starts: str) -> list[list[str]]:
        """Return the messages up to and including the next one that starts with these fields."""
        messages = []
        while True:
            fields = await self.receive()
            messages.append(fields)
            if fields[: len(starts)] == list(starts):
                return messages

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return  # the gateway closed first
