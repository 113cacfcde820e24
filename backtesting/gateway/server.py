"""The gateway as a server: sockets, pace of time, and an orderly way out."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.errors import GatewayPortError
from backtesting.gateway.market.bars import Market
from backtesting.gateway.service import GatewayService
from backtesting.gateway.session import ClientSession
from backtesting.gateway.statement import STATEMENT, statement, write_json
from data.bars import BarSeries
from data.calendars import MarketClock
from execution.clocks import NANOS, MonotonicClock, SystemClock
from execution.models import Instrument

ADDRESS_FILE: Final = "gateway.json"
LOCKSTEP: Final = "lockstep"
FLAT_OUT: Final = "max"


class GatewayServer:
    """A simulated gateway on a TCP port, in the running event loop.

    Parameters
    ----------
    config
        How it is run.
    bars
        Bars by symbol, all of one timeframe.
    sessions
        When the exchange is open.
    instruments
        Contracts offered.
    clock
        Wall time, for the idle exit.
    """

    def __init__(
        self,
        config: GatewayConfig,
        bars: Mapping[str, BarSeries],
        sessions: MarketClock,
        instruments: Sequence[Instrument],
        *,
        clock: MonotonicClock | None = None,
    ) -> None:
        self.config = config
        desk = OrderBook(instruments, config.costs, sessions, config.initial_cash, config.account)
        self.service = GatewayService(desk, Market(bars), lockstep=config.pace() is None)
        self.service.on_idle = self._on_idle
        self._clock = clock or SystemClock()
        self._idle_since: float | None = None
        self._server: asyncio.Server | None = None
        self._stopping = asyncio.Event()
        self._occupied = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.port = config.port

    async def start(self) -> int:
        """Listen, and return the port.

        Raises
        ------
        GatewayPortError
            If the address cannot be listened on.
        """
        loop = asyncio.get_running_loop()
        host, port = self.config.host, self.config.port
        try:
            self._server = await loop.create_server(lambda: ClientSession(self.service), host, port)
        except (OSError, OverflowError) as error:
            raise GatewayPortError(
                f"cannot listen on {host}:{port} ({_reason(error)}): "
                "choose another --port, or 0 for a free one"
            ) from error
        self.port = self._server.sockets[0].getsockname()[1]
        self._on_idle(True)
        pace = self.config.pace()
        if pace is not None:
            self._tasks.append(asyncio.create_task(self._flow(pace)))
        if self.config.idle_exit_seconds is not None:
            self._tasks.append(asyncio.create_task(self._watch_idle(self.config.idle_exit_seconds)))
        return self.port

    def request_stop(self) -> None:
        """Make `serve_until_stopped` return."""
        self._stopping.set()

    async def serve_until_stopped(self) -> None:
        """Serve until asked to stop or idle for too long, then stop."""
        await self._stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Close every connection and write the statement; a second call does nothing."""
        self._stopping.set()
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in tuple(self.service.connections):
            session.close()
        await asyncio.sleep(0)
        for session in tuple(self.service.connections):
            session.abort()
        await asyncio.sleep(0)
        if self.config.state_dir is not None:
            content = statement(self.service.book, self.service.clock.now_ns())
            write_json(self.config.state_dir / STATEMENT, content)

    def _on_idle(self, idle: bool) -> None:
        self._idle_since = self._clock.monotonic() if idle else None
        if idle:
            self._occupied.clear()
        else:
            self._occupied.set()

    async def _watch_idle(self, limit: float) -> None:
        while True:
            await asyncio.sleep(min(1.0, limit / 4))
            if self._idle_since is not None and self._clock.monotonic() - self._idle_since >= limit:
                self.request_stop()
                return

    async def _flow(self, pace: float) -> None:
        """Let time pass by itself while somebody is connected."""
        service = self.service
        while True:
            await self._occupied.wait()
            before = service.clock.now_ns()
            if not service.play_step():
                return
            await asyncio.sleep((service.clock.now_ns() - before) / NANOS / pace)


async def run_gateway(server: GatewayServer, announce: Callable[[str], None]) -> None:
    """Run a gateway as a process does: announce the address, obey SIGTERM and SIGINT, leave in order.

    Parameters
    ----------
    server
        The gateway, not started yet.
    announce
        Is told ``listening on H:P`` once clients can connect.

    Raises
    ------
    GatewayPortError
        If the address cannot be listened on.
    """
    port = await server.start()
    loop = asyncio.get_running_loop()
    signals = (signal.SIGTERM, signal.SIGINT)
    for number in signals:
        loop.add_signal_handler(number, server.request_stop)
    try:
        state_dir = server.config.state_dir
        if state_dir is not None:
            address = {"host": server.config.host, "port": port, "pid": os.getpid()}
            write_json(state_dir / ADDRESS_FILE, address)
        announce(f"listening on {server.config.host}:{port}")
        await server.serve_until_stopped()
    finally:
        for number in signals:
            loop.remove_signal_handler(number)
        await server.stop()


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return os.strerror(error.errno)
    return str(error)
