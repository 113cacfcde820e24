"""What clients ask of the order desk, as typed values; and how they name a contract."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class ContractQuery:
    """What a client says about a contract; empty or zero where it says nothing.

    `strike` is ``0.0`` or ``0`` where there is none; `expiry` is yyyymm or yyyymmdd.
    """

    con_id: int
    symbol: str
    security_type: str
    expiry: str
    strike: str
    right: str
    multiplier: str
    exchange: str
    primary_exchange: str
    currency: str
    local_symbol: str
    trading_class: str


@dataclass(frozen=True, slots=True)
class StartApi:
    """71: the client names itself."""

    client_id: int
    capabilities: str = ""


@dataclass(frozen=True, slots=True)
class PlaceOrder:
    """3: a new order, or a change of a live one; `unserved` names attributes that are not simulated."""

    order_id: int
    contract: ContractQuery
    side: str
    quantity: Decimal | None
    order_type: str
    limit_price: Decimal | None
    stop_price: Decimal | None
    """Stop or trigger price; of a trailing order the trailing amount."""
    time_in_force: str
    account: str
    order_ref: str
    outside_rth: bool
    what_if: bool
    unserved: tuple[str, ...]
    transmit: bool = True
    parent_id: int = 0
    oca_group: str = ""
    oca_type: int = 0
    all_or_none: bool = False
    good_till: str = ""
    trail_stop_price: Decimal | None = None
    trail_percent: Decimal | None = None
    limit_offset: Decimal | None = None
    fields: Mapping[str, str] = field(default_factory=dict)
    """Every field of the order under its name, as sent."""


@dataclass(frozen=True, slots=True)
class CancelOrder:
    """4: cancel one of the client's orders."""

    order_id: int
    manual_time: str = ""


@dataclass(frozen=True, slots=True)
class GlobalCancel:
    """58: cancel every order of every client."""


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """5 and 16: live orders, of this client or of all."""

    everyone: bool = False


@dataclass(frozen=True, slots=True)
class AutoOpenOrders:
    """15: live orders of client 0; orders entered by hand are bound to it from now on, or no longer."""

    bind: bool


@dataclass(frozen=True, slots=True)
class CompletedOrders:
    """99: orders that ended today; `api_only` leaves out those entered by hand."""

    api_only: bool = False


@dataclass(frozen=True, slots=True)
class Executions:
    """7: executions since midnight, filtered."""

    request_id: int
    client_id: int
    account: str
    since: str
    symbol: str
    security_type: str
    exchange: str
    side: str


@dataclass(frozen=True, slots=True)
class NextId:
    """8: the next valid order id."""
