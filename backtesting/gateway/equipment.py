"""What a gateway is fitted with when it is run: faults, a journal of frames, a control socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from backtesting.gateway.control import GatewayControl
from backtesting.gateway.control_socket import ControlServer
from backtesting.gateway.faults.engine import FaultEngine
from backtesting.gateway.faults.rule import Script
from backtesting.gateway.frame_journal import FrameJournal
from backtesting.gateway.server import GatewayServer


@asynccontextmanager
async def equipped(server: GatewayServer, faults: Script | None = None) -> AsyncIterator[FaultEngine | None]:
    """Fit a gateway with what its configuration and a script of faults ask for, while the block runs.

    Parameters
    ----------
    server
        The gateway, not started yet.
    faults
        What goes wrong; None for nothing.

    Yields
    ------
    FaultEngine or None
        What applies faults, where there are some or a control socket may ask for them.

    Raises
    ------
    FrameJournalError, ControlError
        If the journal or the socket cannot be made.
    """
    config = server.config

    def now_ns() -> int:
        return server.service.clock.now_ns()  # a restart may replace the service

    engine: FaultEngine | None = None
    async with AsyncExitStack() as stack:
        if config.frame_journal is not None:
            journal = FrameJournal(config.frame_journal, now_ns)
            journal.start()
            stack.push_async_callback(journal.stop)
            server.service.line.recorder = journal
        if faults is not None or config.control is not None:
            engine = FaultEngine(server, faults)
            stack.callback(engine.detach)
        if engine is not None and faults is not None:
            engine.attach()
        if engine is not None and config.control is not None:
            control = ControlServer(GatewayControl(server, engine), config.control)
            await stack.enter_async_context(control)
        yield engine
