"""The simulated gateway as a program; `gateway_process` runs it for the demo.

1. Load what it serves: bars of one or several sizes, contracts, quotes, faults. What is wrong there ends the
   start with one line.
2. Hold the state folder, so that no second gateway writes there.
3. Listen, say where (a line of text, or of JSON), and serve until SIGINT, SIGTERM or the idle limit.
"""

from __future__ import annotations

import asyncio
import gc
import importlib.metadata
import ipaddress
import json
import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from backtesting.gateway.config import LOCKSTEP, AccountConfig, GatewayConfig
from backtesting.gateway.equipment import equipped
from backtesting.gateway.faults.rule import Script
from backtesting.gateway.faults.script import load_preset, load_script
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.server import run_gateway as serve_gateway
from execution.clocks import timestamp
from execution.errors import NumberFormatError
from execution.local_socket import LONGEST_PATH
from execution.numbers import parse_decimal
from infrastructure.errors import ConfigError
from infrastructure.gateway_market import ServedMarket, load_served_market, start_time
from infrastructure.gateway_process import ACCOUNT, hold
from infrastructure.settings import Settings
from strategies.spec import CUSTOM, PLANS, CostSpec

CONTROL_SOCKET = "control.sock"
Say = Callable[[str], None]

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class GatewayOptions:
    """What the command line adds to the settings; see `GatewayConfig` for their meaning."""

    host: str = "127.0.0.1"
    port: int = 0
    state_dir: Path | None = None
    idle_exit: float = 0.0
    speed: str = LOCKSTEP
    start: str | None = None
    paused: bool = False
    server_version: int = 176
    accounts: tuple[str, ...] = ()
    read_only: bool = False
    master_client_id: int | None = None
    market_data: str = "live"
    more_bars: tuple[Path, ...] = ()
    """Folders of bars beyond that of the settings."""
    commissions: str = CUSTOM
    contracts: Path | None = None
    quotes: Path | None = None
    corporate_actions: Path | None = None
    faults: str | None = None
    """A script's path, or a preset's name."""
    frames: Path | None = None
    control: Path | None = None

    def control_socket(self) -> Path | None:
        """Return where the control interface listens: as asked, or in the state folder if its path fits."""
        if self.control is not None or self.state_dir is None:
            return self.control
        path = self.state_dir.resolve() / CONTROL_SOCKET
        return path if len(os.fsencode(path)) <= LONGEST_PATH else None


def run_gateway(settings: Settings, options: GatewayOptions, *, as_json: bool = False) -> int:
    """Serve the simulated gateway until it is told to leave; return the exit status.

    Raises
    ------
    ConfigError, GatewayError, BarFileError
        If something it is to serve is missing or unsound.
    """
    script = None if options.faults is None else _script(options.faults)
    market = load_served_market(settings, options.more_bars, options.contracts)
    config = gateway_config(settings, options, market)
    _warn_of_strangers(config.host)
    server = GatewayServer(config, market.source, market.clock, market.instruments)
    handle = hold(options.state_dir) if options.state_dir is not None else None
    say = _Announcer(server, market, as_json=as_json)
    try:
        asyncio.run(_serve(server, script, say.listening))
    finally:
        if handle is not None:
            os.close(handle)
    say.stopped()
    return 0


def _warn_of_strangers(host: str) -> None:
    """Warn where others than this machine's users can connect: there is no password."""
    try:
        alone = ipaddress.ip_address(host).is_loopback
    except ValueError:
        alone = host == "localhost"
    if not alone:
        _log.warning("whoever reaches %s can trade here, without a password; 127.0.0.1 is this machine", host)


async def _serve(server: GatewayServer, script: Script | None, announce: Say) -> None:
    gc.freeze()  # what is loaded by now stays: no later collection looks at it again
    async with equipped(server, script):
        await serve_gateway(server, announce)


def _script(text: str) -> Script:
    """Read a script of faults: a preset's name, or a file."""
    path = Path(text)
    return load_preset(text) if not path.suffix and not path.is_file() else load_script(path)


def gateway_config(settings: Settings, options: GatewayOptions, market: ServedMarket) -> GatewayConfig:
    """Return how the gateway is run.

    Raises
    ------
    ConfigError
        If an account, the commissions or the start cannot be read.
    GatewayError
        If an option has a value that is not served.
    """
    cash = settings.broker.initial_cash
    named = options.accounts or (settings.broker.account or ACCOUNT,)
    return GatewayConfig(
        host=options.host,
        port=options.port,
        accounts=tuple(parse_account(text, cash) for text in named),
        speed=options.speed,
        start=start_time(options.start, market) if options.start is not None else None,
        paused=options.paused,
        newest_version=options.server_version,
        master_client_id=options.master_client_id,
        read_only=options.read_only,
        market_data=options.market_data,
        idle_exit_seconds=options.idle_exit or None,
        state_dir=options.state_dir,
        quotes=options.quotes,
        corporate_actions=options.corporate_actions,
        frame_journal=options.frames,
        control=options.control_socket(),
        costs=_costs(market.spec.costs, options.commissions),
    )


def _costs(costs: CostSpec, plan: str) -> CostSpec:
    if plan not in PLANS:
        raise ConfigError(f"--commissions {plan}: use one of {', '.join(PLANS)}")
    return replace(costs, plan=plan)


def parse_account(text: str, cash: Any) -> AccountConfig:
    """Parse ``NAME[:CASH[:KIND]]``; the kind is margin, as a newcomer's account at the broker is.

    Raises
    ------
    ConfigError
        If it is not of that form; the message shows it.
    """
    name, *rest = text.split(":")
    if not name or not name.isalnum() or len(rest) > 2:  # noqa: PLR2004  cash and kind
        raise ConfigError(f"--account {text}: write NAME:CASH:KIND, such as --account DU1:50000:margin")
    try:
        own = parse_decimal(rest[0], name="cash") if rest and rest[0] else cash
    except NumberFormatError as error:
        raise ConfigError(f"--account {text}: {error}") from error
    if own < 0:
        raise ConfigError(f"--account {text}: the cash is negative; open the account with zero or more")
    kind = rest[1] if len(rest) > 1 else "margin"
    return AccountConfig(name, own, kind)


class _Announcer:
    """Says on stdout where the gateway listens and that it has left."""

    def __init__(self, server: GatewayServer, market: ServedMarket, *, as_json: bool) -> None:
        self._server = server
        self._market = market
        self._as_json = as_json

    def listening(self, text: str) -> None:
        """Say where clients connect."""
        if not self._as_json:
            print(text, flush=True)
            return
        config, market = self._server.config, self._market
        self._event(
            "listening",
            host=config.host,
            port=self._server.port,
            pid=os.getpid(),
            control=str(config.control) if config.control is not None else None,
            state_dir=str(config.state_dir) if config.state_dir is not None else None,
            frames=str(config.frame_journal) if config.frame_journal is not None else None,
            accounts=[account.name for account in config.all_accounts()],
            symbols=sorted(market.bars),
            first_bar=timestamp(market.first_start_ns).isoformat(),
            last_bar=timestamp(market.last_end_ns).isoformat(),
            time=self._now(),
            speed=config.speed,
            server_version=config.newest_version,
            version=importlib.metadata.version("alphec-street"),
        )

    def stopped(self) -> None:
        """Say that everything is written."""
        if self._as_json:
            state = self._server.config.state_dir
            statement = None if state is None else str(state / "statement.json")
            self._event("stopped", time=self._now(), statement=statement)

    def _now(self) -> str:
        return timestamp(self._server.service.clock.now_ns()).isoformat()

    def _event(self, event: str, **facts: Any) -> None:
        print(json.dumps({"event": event, **facts}), flush=True)
