"""How a gateway is run."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Final

import pandas as pd

from backtesting.gateway.errors import GatewayError
from backtesting.gateway.wire.gates import NEWEST_SERVED, OLDEST
from strategies.spec import CostSpec

LOCKSTEP: Final = "lockstep"
FLAT_OUT: Final = "max"
ACCOUNT_KINDS: Final = ("cash", "margin", "unchecked")
MARKET_DATA: Final = ("live", "delayed", "none")


@dataclass(frozen=True, slots=True)
class AccountConfig:
    """One account of the login: its name, opening cash, and what it may owe.

    `kind` is ``cash`` (buys only what it can pay, sells only what it holds), ``margin`` (Regulation T) or
    ``unchecked`` (every order is affordable).
    """

    name: str
    cash: Decimal = Decimal(1_000_000)
    kind: str = "unchecked"

    def __post_init__(self) -> None:
        if self.kind not in ACCOUNT_KINDS:
            raise GatewayError(
                f"account {self.name}: kind {self.kind!r} is not one of {', '.join(ACCOUNT_KINDS)}"
            )


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """How a gateway is run.

    Raises
    ------
    GatewayError
        If a setting is not one of those allowed; the message names them.
    """

    host: str = "127.0.0.1"
    port: int = 0
    """0 chooses a free one."""
    account: str = "DU0000001"
    """The only account, with `initial_cash`, unless `accounts` names several."""
    accounts: tuple[AccountConfig, ...] = ()
    speed: str = LOCKSTEP
    """``lockstep``, ``max``, or seconds of simulated time per second."""
    start: pd.Timestamp | None = None
    """When simulated time starts; by default with the first bar."""
    paused: bool = False
    """Start with time standing; the control interface lets it go."""
    newest_version: int = 176
    """Highest server version offered: 157 to 178."""
    master_client_id: int | None = None
    """The client that is told of every client's orders."""
    read_only: bool = False
    """Refuse every order and cancel, as TWS does with Read-Only API."""
    market_data: str = "live"
    """What the login is entitled to: ``live``, ``delayed`` or ``none``."""
    idle_exit_seconds: float | None = None
    """Leave after so many seconds without a connection; None stays."""
    state_dir: Path | None = None
    """Where the statement and the address file go; None writes neither."""
    frame_journal: Path | None = None
    """Where every frame of both directions is written; None writes none."""
    control: Path | None = None
    """Unix socket of the control interface; None has none."""
    costs: CostSpec = field(default_factory=CostSpec)
    initial_cash: Decimal = Decimal(1_000_000)

    def __post_init__(self) -> None:
        self.pace()
        if not OLDEST <= self.newest_version <= NEWEST_SERVED:
            raise GatewayError(f"server version {self.newest_version}: use {OLDEST} to {NEWEST_SERVED}")
        if self.market_data not in MARKET_DATA:
            raise GatewayError(f"market data {self.market_data!r}: use one of {', '.join(MARKET_DATA)}")

    def all_accounts(self) -> tuple[AccountConfig, ...]:
        """Return the accounts of the login, at least one."""
        return self.accounts or (AccountConfig(self.account, self.initial_cash),)

    def pace(self) -> float | None:
        """Return simulated seconds per second: None in lockstep, infinity flat out."""
        if self.speed == LOCKSTEP:
            return None
        if self.speed == FLAT_OUT:
            return float("inf")
        try:
            pace = float(self.speed)
        except ValueError:
            pace = 0.0
        if not 0 < pace < float("inf"):
            raise GatewayError(f"speed {self.speed!r}: use lockstep, max or a positive number such as 60")
        return pace
