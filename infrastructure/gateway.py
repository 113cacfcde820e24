"""The simulated gateway as a program; `gateway_process` runs it for the demo."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from backtesting.gateway.config import LOCKSTEP, GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.server import run_gateway as serve_gateway
from infrastructure.gateway_process import ACCOUNT, hold
from infrastructure.market import load_market, run_spec
from infrastructure.settings import Settings


def run_gateway(
    settings: Settings,
    *,
    host: str,
    port: int,
    state_dir: Path | None,
    idle_exit: float,
    speed: str = LOCKSTEP,
) -> int:
    """Serve the simulated gateway until it is told to leave; return the exit status."""
    market = load_market(settings)
    spec = run_spec(settings, market)
    handle = hold(state_dir) if state_dir is not None else None
    config = GatewayConfig(
        host=host,
        port=port,
        account=settings.broker.account or ACCOUNT,
        speed=speed,
        idle_exit_seconds=idle_exit or None,
        state_dir=state_dir,
        costs=spec.costs,
        initial_cash=spec.initial_cash,
    )
    server = GatewayServer(config, market.bars, market.bars.clock, market.instruments)
    try:
        asyncio.run(serve_gateway(server, lambda text: print(text, flush=True)))
    finally:
        if handle is not None:
            os.close(handle)
    return 0
