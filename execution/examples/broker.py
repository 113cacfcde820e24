"""The broker that the examples talk to: a simulated gateway in this process, or a paper TWS by address.

Real money is out of reach: live ports are refused before a connection is made, and an account that is not a
paper account is refused before anything else is asked of it.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from decimal import Decimal

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import simulated_gateway
from data.samples import SAMPLE_INSTRUMENTS, sample_bars
from execution.connection import IBKRConnectionManager
from execution.errors import NotConnectedError
from execution.models import Instrument
from execution.numbers import parse_decimal

LIVE_PORTS = (7496, 4001)
PAPER_ACCOUNT_PREFIX = "D"
DAYS_A_SECOND = 4
_SIMULATED = "SPXSIM"


@dataclass(frozen=True, slots=True)
class Broker:
    """Where to connect, what to trade there, and a limit price that will not be reached."""

    host: str
    port: int
    client_id: int
    instrument: Instrument
    far_limit: Decimal
    simulated: bool


def arguments(about: str) -> argparse.Namespace:
    """Read the command line of an example; leave with status 2 if it points at real money."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--host", help="host of a paper TWS or gateway; without it one is simulated here")
    parser.add_argument(
        "--port", type=int, default=7497, help="its port: 7497 is TWS paper, 4002 gateway paper"
    )
    parser.add_argument("--client-id", type=int, default=7, help="a client id that no other program uses")
    parser.add_argument("--symbol", default="SPY", help="US stock or ETF, with --host")
    parser.add_argument("--limit", help="with --host: a buy limit far below the market, such as 100.00")
    given = parser.parse_args()
    if given.port in LIVE_PORTS:
        parser.error(f"port {given.port} belongs to a live account; the examples trade paper accounts only")
    if given.host and not given.limit:
        parser.error("--limit is needed with --host: a buy limit far below the market")
    return given


@asynccontextmanager
async def broker(given: argparse.Namespace) -> AsyncIterator[Broker]:
    """Yield the broker that the command line names; a simulated one lives as long as the block."""
    if given.host:
        limit = parse_decimal(given.limit, name="--limit")
        yield Broker(given.host, given.port, given.client_id, Instrument(given.symbol), limit, False)
        return
    async with simulated_broker(given.client_id) as at:
        yield at


@asynccontextmanager
async def simulated_broker(
    client_id: int, *, days_a_second: float = DAYS_A_SECOND, until: dt.date = dt.date(1999, 12, 31)
) -> AsyncIterator[Broker]:
    """Yield a simulated gateway in this process that lives as long as the block.

    Parameters
    ----------
    client_id
        Id to connect with.
    days_a_second
        Days of the market in a second.
    until
        Last day of its bars, which begin in January 1999.
    """
    bars = sample_bars([_SIMULATED], end=until)
    instruments = [instrument for instrument in SAMPLE_INSTRUMENTS if instrument.symbol == _SIMULATED]
    config = GatewayConfig(speed=str(days_a_second * 86_400))
    async with simulated_gateway(bars, config=config, instruments=instruments, sessions=bars.clock) as server:
        yield Broker("127.0.0.1", server.port, client_id, instruments[0], Decimal("500.00"), True)


def require_paper_account(manager: IBKRConnectionManager) -> str:
    """Return the session's account.

    Raises
    ------
    NotConnectedError
        If it is not a paper account, or there are several; nothing was sent.
    """
    accounts = manager.session.accounts
    if len(accounts) != 1 or not accounts[0].startswith(PAPER_ACCOUNT_PREFIX):
        raise NotConnectedError(
            f"accounts {', '.join(accounts)}: the examples want exactly one, and a paper account "
            f"(its id begins with {PAPER_ACCOUNT_PREFIX})"
        )
    return accounts[0]
