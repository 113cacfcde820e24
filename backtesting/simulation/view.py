"""What a check sees of a simulated world, and what it says."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence, Set
from typing import Protocol

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.server import GatewayServer
from backtesting.simulation.network import Network
from execution.book.ledger import Ledger
from execution.connection import IBKRConnectionManager
from execution.executor import IBKROrderExecutor
from execution.journal import JournalEvent
from execution.models import OrderRequest
from risk.engine import RiskEngine
from risk.limits import RiskLimits


class TraderView(Protocol):
    """One incarnation of the trading process; all of it is gone when it is killed."""

    @property
    def executor(self) -> IBKROrderExecutor:
        """Orders and what is known of them."""

    @property
    def manager(self) -> IBKRConnectionManager:
        """The connection."""

    @property
    def risk(self) -> RiskEngine:
        """The rules, with what they hold."""

    @property
    def ledger(self) -> Ledger:
        """The book."""

    @property
    def restored(self) -> bool:
        """Whether the journal has been read; before that the orders in memory are not whole."""


class DiskView(Protocol):
    """The journal's disk: what is on it survives the process."""

    @property
    def events(self) -> Sequence[JournalEvent]:
        """Durable events, oldest first; only ever appended to."""

    @property
    def texts(self) -> Sequence[str]:
        """The bodies of these events, as they are written."""


class WireView(Protocol):
    """One connection."""

    number: int
    swallows: bool
    """Whether it is half open: it carries nothing, and neither end is told."""

    def end(self, *, client: bool) -> asyncio.Transport:
        """Return the client's end, or the gateway's."""


class LoopView(Protocol):
    """Time."""

    @property
    def stalled(self) -> float:
        """Seconds in which the process stood still, so far."""


class WorldView(Protocol):
    """A simulated world, as checks read it; none of it is to be changed by them."""

    @property
    def seed(self) -> int:
        """What decided everything."""

    @property
    def phase(self) -> str:
        """Return ``safety`` (faults come), ``heal`` (none comes any more) or ``quiet`` (all had its time)."""

    @property
    def now_ns(self) -> int:
        """Simulated UTC nanoseconds."""

    @property
    def loop(self) -> LoopView:
        """Return the loop that everything runs on."""

    @property
    def server(self) -> GatewayServer:
        """The gateway."""

    @property
    def book(self) -> OrderBook:
        """The broker's orders, executions and positions; another one after a restart that lost them."""

    @property
    def network(self) -> Network:
        """The wires."""

    @property
    def trader(self) -> TraderView | None:
        """The trading process that runs; None between a kill and the restart."""

    @property
    def disk(self) -> DiskView:
        """The journal's disk."""

    @property
    def limits(self) -> RiskLimits:
        """What the rules hold orders to."""

    @property
    def account(self) -> str:
        """The only account that may be traded."""

    @property
    def submitted_requests(self) -> Mapping[str, OrderRequest]:
        """Every order that was ever handed to an executor or made by one, by client order id."""

    @property
    def acknowledged(self) -> Set[str]:
        """Client order ids whose submission returned to its caller, in any incarnation."""

    @property
    def twins(self) -> Set[int]:
        """Permanent ids of the orders that TWS made beside one of ours; nobody sent them."""

    @property
    def fired(self) -> Counter[str]:
        """How often each fault took effect."""

    @property
    def trace(self) -> Sequence[str]:
        """What happened."""
