"""The gateway as a server: sockets, pace of time, and an orderly way out."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Final, Literal

from backtesting.costs import slippage_centi_bps
from backtesting.gateway.config import FLAT_OUT, LOCKSTEP, GatewayConfig
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.errors import GatewayError, GatewayPortError
from backtesting.gateway.flow import QUANTUM, TimeFlow
from backtesting.gateway.market.bars import BarSource
from backtesting.gateway.market.corporate_action_file import CorporateAction, load_corporate_actions
from backtesting.gateway.market.market import Market
from backtesting.gateway.market.quote_file import load_quotes
from backtesting.gateway.service import GatewayService
from backtesting.gateway.session import ClientSession
from backtesting.gateway.statement import STATEMENT, statement, write_json
from data.calendars import MarketClock
from execution.clocks import MonotonicClock, SystemClock, timestamp, utc_ns
from execution.models import Instrument

ADDRESS_FILE: Final = "gateway.json"

__all__ = ["ADDRESS_FILE", "FLAT_OUT", "LOCKSTEP", "GatewayServer", "run_gateway"]


class GatewayServer:
    """A simulated gateway on a TCP port, in the running event loop.

    Parameters
    ----------
    config
        How it is run.
    bars
        Bars by symbol, of one size each or of several.
    sessions
        When the exchange is open.
    instruments
        Contracts offered.
    clock
        Wall time, for the passing of simulated time, the idle exit and pacing limits.
    quantum
        Wall seconds between two looks at the clock where the market runs.

    Raises
    ------
    GatewayError
        If the bars, the quotes or corporate actions file or the start of simulated time cannot be used.
    """

    def __init__(
        self,
        config: GatewayConfig,
        bars: BarSource,
        sessions: MarketClock,
        instruments: Sequence[Instrument],
        *,
        clock: MonotonicClock | None = None,
        quantum: float = QUANTUM,
    ) -> None:
        self.config = config
        self._bars = bars
        self._calendar = sessions
        self._instruments = tuple(instruments)
        self._clock = clock or SystemClock()
        self._quotes = None if config.quotes is None else load_quotes(config.quotes)
        self._corporate_actions: tuple[CorporateAction, ...] = ()
        if config.corporate_actions is not None:
            self._corporate_actions = load_corporate_actions(
                config.corporate_actions, self._instruments, sessions
            )
        self._flow = TimeFlow(lambda: self.service, self._clock, quantum)
        self.service = self._make_service(config)
        self._require_bars_ahead()
        self._idle_since: float | None = None
        self._server: asyncio.Server | None = None
        self._reopening = False
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self.port = config.port

    def _make_service(self, config: GatewayConfig) -> GatewayService:
        market = Market(
            self._bars,
            self._instruments,
            self._calendar,
            slippage=slippage_centi_bps(config.costs),
            quotes=self._quotes,
        )
        book = OrderBook.of(config, self._instruments, self._calendar)
        service = GatewayService(
            book, market, config, wall=self._clock, corporate_actions=self._corporate_actions
        )
        service.line.newest_version = config.newest_version
        service.on_idle = self._on_idle
        service.on_flow = self._flow.look
        return service

    def _require_bars_ahead(self) -> None:
        last_ns = self.service.market.last_end_ns
        if self.config.start is not None and utc_ns(self.config.start) >= last_ns:
            raise GatewayError(
                f"start {self.config.start}: the last bar ends {timestamp(last_ns)}; start before it"
            )

    async def start(self) -> int:
        """Listen, and return the port.

        Raises
        ------
        GatewayPortError
            If the address cannot be listened on.
        """
        self._server = await self._listener(self.config.port)
        self.port = self._server.sockets[0].getsockname()[1]
        self._on_idle(True)
        self._keep(self._flow.run())
        if self.config.idle_exit_seconds is not None:
            self._keep(self._watch_idle(self.config.idle_exit_seconds))
        return self.port

    def _keep(self, work: Coroutine[None, None, None]) -> None:
        """Run something until the server stops; where a defect ends it, the server stops with it."""
        task = asyncio.create_task(work)
        task.add_done_callback(self._ended)
        self._tasks.append(task)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            self._stopping.set()

    def stop_listening(self) -> None:
        """Let whoever connects from now on be refused by the system; connections live on."""
        if self._server is not None:
            self._server.close()

    def listen_again(self) -> None:
        """Take up connections on the same port again."""
        if self._server is not None and not self._server.is_serving() and not self._reopening:
            self._reopening = True
            self._keep(self._reopen())

    async def _reopen(self) -> None:
        try:
            self._server = await self._listener(self.port)
        finally:
            self._reopening = False

    async def _listener(self, port: int) -> asyncio.Server:
        loop, host = asyncio.get_running_loop(), self.config.host
        try:
            return await loop.create_server(lambda: ClientSession(self.service), host, port)
        except (OSError, OverflowError) as error:
            raise GatewayPortError(
                f"cannot listen on {host}:{port} ({_reason(error)}): "
                "choose another --port, or 0 for a free one"
            ) from error

    def request_stop(self) -> None:
        """Make `serve_until_stopped` return."""
        self._stopping.set()

    async def serve_until_stopped(self) -> None:
        """Serve until asked to stop or idle for too long, then stop."""
        await self._stopping.wait()
        await self.stop()

    async def stop(self) -> None:
        """Close every connection and write the statement; a second call does nothing.

        A defect that ended the passing of time is raised when all that is done.
        """
        self._stopping.set()
        if self._server is None:
            return
        server, self._server = self._server, None
        server.close()
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        for session in tuple(self.service.connections):
            session.close()
        await asyncio.sleep(0)
        for session in tuple(self.service.connections):
            session.abort()
        await asyncio.sleep(0)
        if self.config.state_dir is not None:
            content = statement(self.service.book, self.service.clock.now_ns())
            write_json(self.config.state_dir / STATEMENT, content)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def drop_all(self, how: Literal["fin", "rst"] = "fin") -> None:
        """End every connection: in order, or by a reset that loses what has not been read."""
        for session in tuple(self.service.connections):
            if how == "rst":
                session.reset()
            else:
                session.close()

    def restart(
        self, *, keep_state: bool = True, roll_back_ids: int = 0, how: Literal["fin", "rst"] = "fin"
    ) -> None:
        """End every connection and come up again, on the same port and at the same simulated time.

        Parameters
        ----------
        keep_state
            Whether orders, executions and accounts survive.
        roll_back_ids
            How many of each client's last order ids are forgotten, so that they are given out again.
        how
            How the connections end.
        """
        old = self.service
        self.drop_all(how)
        if not keep_state:
            start = timestamp(old.clock.now_ns())
            speed = LOCKSTEP if old.pace is None else FLAT_OUT if old.pace == float("inf") else str(old.pace)
            self.service = self._make_service(
                replace(self.config, start=start, speed=speed, paused=old.paused)
            )
            self.service.line = old.line
            self.service.after_step, old.after_step = old.after_step, []
            old.on_idle = lambda _idle: None  # its last clients leave unnoticed: those of the new one count
            self._on_idle(True)
        elif roll_back_ids:
            for client_id in tuple(old.book.last_id):
                old.book.roll_back_ids(client_id, roll_back_ids)
        self._flow.look()

    def _on_idle(self, idle: bool) -> None:
        self._idle_since = self._clock.monotonic() if idle else None
        self._flow.occupied = not idle
        self._flow.look()

    async def _watch_idle(self, limit: float) -> None:
        while True:
            await asyncio.sleep(min(1.0, limit / 4))
            if self._idle_since is not None and self._clock.monotonic() - self._idle_since >= limit:
                self.request_stop()
                return


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
