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
LIVE: Final = "live"
DELAYED: Final = "delayed"
NO_DATA: Final = "none"
MARKET_DATA: Final = (LIVE, DELAYED, NO_DATA)


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
    """When simulated time starts; by default with the first bar's session. What ended before is history."""
    paused: bool = False
    """Start with time standing; the control interface lets it go."""
    newest_version: int = 176
    """Highest server version offered: 157 to 178."""
    master_client_id: int | None = None
    """The client that is told of every client's orders."""
    read_only: bool = False
    """Refuse every order and cancel, as TWS does with Read-Only API."""
    market_data: str = LIVE
    """What the login is entitled to: ``live``, ``delayed`` or ``none``."""
    quotes: Path | None = None
    """A file of quotes (`market.quote_file`); None derives them from the bars."""
    corporate_actions: Path | None = None
    """A file of splits and dividends (`market.corporate_action_file`); None has none."""
    historical_pacing: bool = False
    """Refuse more than 60 historical requests in ten minutes, or the same one within 15 seconds."""
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
        if self.start is not None and self.start.tzinfo is None:
            raise GatewayError(f"start {self.start}: name its zone, such as {self.start}Z")

    def all_accounts(self) -> tuple[AccountConfig, ...]:
        """Return the accounts of the login, at least one."""
        return self.accounts or (AccountConfig(self.account, self.initial_cash),)

    def pace(self) -> float | None:
        """Return simulated seconds per second: None in lockstep, infinity flat out."""
        return parse_speed(self.speed)


def parse_speed(text: str) -> float | None:
    """Return simulated seconds per second: None in lockstep, infinity flat out.

    Raises
    ------
    GatewayError
        If it is neither ``lockstep``, ``max`` nor a positive number.
    """
    if text == LOCKSTEP:
        return None
    if text == FLAT_OUT:
        return float("inf")
    try:
        pace = float(text)
    except ValueError:
        pace = 0.0
    if not 0 < pace < float("inf"):
        raise GatewayError(f"speed {text!r}: use lockstep, max or a positive number such as 60")
    return pace
