"""For tests: a gateway in the running event loop or in a thread of its own, and a client on the bare wire.

`simulated_gateway` is for tests that are coroutines; `GatewayThread` is for those that block, such as tests
of a program that uses the synchronous calls of its client library. `pytest_plugin` has fixtures of it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.equipment import equipped
from backtesting.gateway.faults.rule import Script
from backtesting.gateway.market.bars import BarSource
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.wire.codec import message, split
from backtesting.gateway.wire.frames import GREETING, frame
from data.bars import BarSeries
from data.calendars import ExchangeClock, MarketClock
from execution.clocks import MonotonicClock
from execution.models import Instrument

_T = TypeVar("_T")
_LONGEST_START = 60.0
"""Seconds that a gateway may take to listen."""


@asynccontextmanager
async def simulated_gateway(
    bars: BarSource,
    *,
    config: GatewayConfig | None = None,
    instruments: Sequence[Instrument] | None = None,
    sessions: MarketClock | None = None,
    clock: MonotonicClock | None = None,
    faults: Script | None = None,
) -> AsyncIterator[GatewayServer]:
    """Serve bars on a free port of the loopback while the block runs.

    Parameters
    ----------
    bars
        Bars by symbol, of one size each or of several.
    config
        How it is run; by default lockstep, standard costs, a million of cash.
    instruments
        Contracts offered; by default one stock for each symbol.
    sessions
        By default the New York Stock Exchange over the range of the bars and ten days more.
    clock
        Wall time, for the idle exit.
    faults
        What goes wrong; see `faults.script`.
    """
    if sessions is None:
        from datetime import timedelta  # noqa: PLC0415  only this default needs it

        from execution.clocks import timestamp  # noqa: PLC0415  only this default needs it

        given = ([own] if isinstance(own, BarSeries) else own for own in bars.values())
        series = [one for several in given for one in several if len(one)]
        first = min(int(one.start_ns[0]) for one in series)
        last = max(int(one.end_ns[-1]) for one in series)
        margin = timedelta(days=10)
        sessions = ExchangeClock("XNYS", timestamp(first).date(), timestamp(last).date() + margin)
    offered = [Instrument(symbol) for symbol in sorted(bars)] if instruments is None else instruments
    server = GatewayServer(config or GatewayConfig(), bars, sessions, offered, clock=clock)
    async with equipped(server, faults):
        await server.start()
        try:
            yield server
        finally:
            await server.stop()


class GatewayThread:
    """A gateway in a thread with an event loop of its own, for code that blocks.

    It is a context manager; clients connect to `host` and `port` while the block runs. Time stands unless
    `config` says otherwise, so that a test decides when it passes: `step` plays the next bars.

    Parameters
    ----------
    bars
        Bars by symbol.
    config
        How it is run; by default as a running market whose time stands.
    instruments, sessions, faults
        As for `simulated_gateway`.

    Examples
    --------
    ::

        with GatewayThread(sample_bars()) as gateway:
            ib.connect(gateway.host, gateway.port, clientId=1)
            trade = ib.placeOrder(contract, MarketOrder("BUY", 100))
            gateway.step()
    """

    def __init__(
        self,
        bars: BarSource,
        *,
        config: GatewayConfig | None = None,
        instruments: Sequence[Instrument] | None = None,
        sessions: MarketClock | None = None,
        faults: Script | None = None,
    ) -> None:
        self.config = config or GatewayConfig(speed="1", paused=True)
        self._bars = bars
        self._instruments = instruments
        self._sessions = sessions
        self._faults = faults
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._server: GatewayServer | None = None
        self._error: BaseException | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="simulated-gateway", daemon=True)

    @property
    def host(self) -> str:
        """Where it listens."""
        return self.config.host

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.server.port

    @property
    def server(self) -> GatewayServer:
        """The gateway itself; touch it inside `call` only.

        Raises
        ------
        RuntimeError
            If it does not run.
        """
        if self._server is None:
            raise RuntimeError("the gateway does not run: use it inside 'with GatewayThread(...)'")
        return self._server

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._ready.wait(_LONGEST_START):
            raise TimeoutError(f"the gateway did not listen within {_LONGEST_START:.0f} s")
        if self._error is not None:
            self._thread.join()
            raise self._error
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._loop is not None and self._leave is not None:
            self._loop.call_soon_threadsafe(self._leave.set)
        self._thread.join()
        if self._error is not None and error is None:
            raise self._error

    def call(self, function: Callable[[GatewayServer], _T]) -> _T:
        """Run a function on the server inside the gateway's thread and return what it returns.

        Parameters
        ----------
        function
            Is given the server; it must not wait.
        """
        server, loop = self.server, self._loop
        assert loop is not None  # noqa: S101  there is a loop where there is a server

        async def inside() -> _T:
            return function(server)

        return asyncio.run_coroutine_threadsafe(inside(), loop).result(_LONGEST_START)

    def step(self, count: int = 1) -> None:
        """Play the next `count` ends of bars and tell the clients."""
        self.call(lambda server: server.service.step(count))

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001  # the thread's outermost boundary: the test gets it
            self._error = error
        finally:
            self._server = None
            self._ready.set()

    async def _serve(self) -> None:
        self._leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with simulated_gateway(
            self._bars,
            config=self.config,
            instruments=self._instruments,
            sessions=self._sessions,
            faults=self._faults,
        ) as server:
            self._server = server
            self._ready.set()
            await self._leave.wait()


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
