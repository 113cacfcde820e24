"""Requests of clients as typed values, decoded from fields with a strict count."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.wire.codec import FieldReader
from backtesting.gateway.wire.gates import ISSUER_ID, MANUAL_ORDER_TIME
from backtesting.gateway.wire.order_layout import read_order


@dataclass(frozen=True, slots=True)
class ContractQuery:
    """What a client says about a contract; empty or zero where it says nothing."""

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


@dataclass(frozen=True, slots=True)
class OpenOrders:
    """5, 15, 16: live orders, of this client or of all."""

    everyone: bool = False
    bind: bool = False


@dataclass(frozen=True, slots=True)
class CompletedOrders:
    """99: orders that ended today."""


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


@dataclass(frozen=True, slots=True)
class ManagedAccounts:
    """17: the accounts of this login."""


@dataclass(frozen=True, slots=True)
class CurrentTime:
    """49: the time; in lockstep the end of the client's step."""


@dataclass(frozen=True, slots=True)
class ContractDetails:
    """9: everything about a contract."""

    request_id: int
    contract: ContractQuery


@dataclass(frozen=True, slots=True)
class History:
    """20: completed bars, and updates if asked for."""

    request_id: int
    contract: ContractQuery
    end: str
    bar_size: str
    duration: str
    what: str
    date_format: int
    keep_up_to_date: bool


@dataclass(frozen=True, slots=True)
class CancelHistory:
    """25: end of a subscription to bars."""

    request_id: int


@dataclass(frozen=True, slots=True)
class GlobalCancel:
    """58: cancel every order of every client."""


@dataclass(frozen=True, slots=True)
class MarketDataType:
    """59: live, frozen or delayed data; noted and without effect here."""

    kind: int


@dataclass(frozen=True, slots=True)
class Positions:
    """61 and 64: positions and their changes, until cancelled."""

    subscribe: bool


@dataclass(frozen=True, slots=True)
class AccountSummary:
    """62: values of the account by tag."""

    request_id: int
    group: str
    tags: str


@dataclass(frozen=True, slots=True)
class CancelAccountSummary:
    """63: end of a summary."""

    request_id: int


@dataclass(frozen=True, slots=True)
class AccountUpdates:
    """6: values and holdings of the account and their changes, until cancelled."""

    subscribe: bool
    account: str


@dataclass(frozen=True, slots=True)
class AccountUpdatesMulti:
    """76: values of the account under a request id."""

    request_id: int
    account: str
    model: str


@dataclass(frozen=True, slots=True)
class CancelAccountUpdatesMulti:
    """77: end of such a subscription."""

    request_id: int


@dataclass(frozen=True, slots=True)
class Ignored:
    """A request that has no effect in a simulation and that TWS does not answer either (log level)."""


Request = (
    StartApi
    | PlaceOrder
    | CancelOrder
    | OpenOrders
    | CompletedOrders
    | Executions
    | NextId
    | ManagedAccounts
    | CurrentTime
    | ContractDetails
    | History
    | CancelHistory
    | GlobalCancel
    | MarketDataType
    | Positions
    | AccountSummary
    | CancelAccountSummary
    | AccountUpdates
    | AccountUpdatesMulti
    | CancelAccountUpdatesMulti
    | Ignored
)

_SHORT_INTEGER: Final = re.compile(r"-?[0-9]{1,10}", re.ASCII)
_LARGEST_CLIENT_ID: Final = 999_999_999

_CONTRACT_TEXTS: Final = (
    "symbol",
    "security_type",
    "expiry",
    "strike",
    "right",
    "multiplier",
    "exchange",
    "primary_exchange",
    "currency",
    "local_symbol",
    "trading_class",
)

_ID_AFTER_VERSION: Final = "1 2 4 7 9 10 11 21 22 23 25 50 51 52 53 54 55 56 57 62 63 67 68 69 70 74 75 76 77"
_ID_FIRST: Final = "3 20 78 79 81 83 84 86 87 88 89 90 92 93 94 95 96 97 98 100 101 102 103 104"
_REQUEST_ID_FIELD: Final = {
    **dict.fromkeys(_ID_AFTER_VERSION.split(), 2),
    **dict.fromkeys(_ID_FIRST.split(), 1),
}
"""Where a request carries its id, by message number: after the number, or after a version field."""


def request_id_of(fields: list[str]) -> int:
    """Return the id a failed request is to be answered under; -1 if it has none that can be read."""
    place = _REQUEST_ID_FIELD.get(fields[0])
    if place is None or place >= len(fields):
        return -1
    text = fields[place]
    return int(text) if _SHORT_INTEGER.fullmatch(text) else -1


def decode(fields: list[str], version: int) -> Request:
    """Decode one message.

    Parameters
    ----------
    fields
        All fields, the message number being the first.
    version
        The negotiated server version.

    Raises
    ------
    RequestFormatError
        If a field is missing, surplus or unreadable.
    RequestRefusedError
        If the request is not served (321).
    """
    reader = FieldReader(fields)
    number = reader.integer("message id")
    decoder = _DECODERS.get(number)
    if decoder is None:
        raise RequestRefusedError(
            321, f"Error validating request.-'bC' : cause - Request {number} is not served by this gateway"
        )
    request = decoder(reader, version)
    reader.end()
    return request


def _contract(reader: FieldReader) -> ContractQuery:
    con_id = reader.integer("con id", 0)
    return ContractQuery(con_id, **reader.texts(_CONTRACT_TEXTS))


def _start_api(reader: FieldReader, _version: int) -> StartApi:
    reader.text("version")
    client_id = reader.integer("client id")
    reader.text("optional capabilities")
    if not 0 <= client_id <= _LARGEST_CLIENT_ID:
        raise RequestFormatError(f"The client id {client_id} is out of range")
    return StartApi(client_id)


def _place_order(reader: FieldReader, version: int) -> PlaceOrder:
    order_id = reader.integer("order id")
    contract = _contract(reader)
    read = read_order(reader, version, contract.security_type, contract.exchange)
    return PlaceOrder(
        order_id=order_id,
        contract=contract,
        side=read.values["action"],
        quantity=read.decimal("totalQuantity"),
        order_type=read.values["orderType"],
        limit_price=read.decimal("lmtPrice"),
        stop_price=read.decimal("auxPrice"),
        time_in_force=read.values["tif"],
        account=read.values["account"],
        order_ref=read.values["orderRef"],
        outside_rth=read.values["outsideRth"] == "1",
        what_if=read.values["whatIf"] == "1",
        unserved=tuple(read.unserved),
    )


def _cancel_order(reader: FieldReader, version: int) -> CancelOrder:
    reader.text("version")
    order_id = reader.integer("order id")
    if version >= MANUAL_ORDER_TIME:
        reader.text("manual cancel time")
    return CancelOrder(order_id)


def _executions(reader: FieldReader, _version: int) -> Executions:
    reader.text("version")
    return Executions(
        reader.integer("request id"),
        reader.integer("client id", 0),
        reader.text("account"),
        reader.text("time"),
        reader.text("symbol"),
        reader.text("security type"),
        reader.text("exchange"),
        reader.text("side"),
    )


def _contract_details(reader: FieldReader, version: int) -> ContractDetails:
    reader.text("version")
    request_id = reader.integer("request id")
    contract = _contract(reader)
    reader.texts(("include expired", "security id type", "security id"))
    if version >= ISSUER_ID:
        reader.text("issuer id")
    return ContractDetails(request_id, contract)


def _history(reader: FieldReader, _version: int) -> History:
    request_id = reader.integer("request id")
    contract = _contract(reader)
    reader.flag("include expired")
    end, bar_size, duration = reader.text("end"), reader.text("bar size"), reader.text("duration")
    reader.flag("regular hours only")
    what = reader.text("what to show")
    date_format = reader.integer("date format", 1)
    if contract.security_type == "BAG":
        for _ in range(reader.integer("legs", 0)):
            reader.texts(("con id", "ratio", "action", "exchange"))
    keep = reader.flag("keep up to date")
    reader.text("chart options")
    return History(request_id, contract, end, bar_size, duration, what, date_format, keep)


def _account_updates(reader: FieldReader, _version: int) -> AccountUpdates:
    reader.text("version")
    return AccountUpdates(reader.flag("subscribe"), reader.text("account"))


def _account_summary(reader: FieldReader, _version: int) -> AccountSummary:
    reader.text("version")
    return AccountSummary(reader.integer("request id"), reader.text("group"), reader.text("tags"))


def _account_updates_multi(reader: FieldReader, _version: int) -> AccountUpdatesMulti:
    reader.text("version")
    request = AccountUpdatesMulti(reader.integer("request id"), reader.text("account"), reader.text("model"))
    reader.flag("ledger and net liquidation")
    return request


def _bare(value: Request, *rest: str) -> Callable[[FieldReader, int], Request]:
    def read(reader: FieldReader, _version: int) -> Request:
        reader.texts(rest)
        return value

    return read


def _by_id(make: Callable[[int], Request]) -> Callable[[FieldReader, int], Request]:
    def read(reader: FieldReader, _version: int) -> Request:
        reader.text("version")
        return make(reader.integer("request id"))

    return read


_DECODERS: Final[dict[int, Callable[[FieldReader, int], Request]]] = {
    3: _place_order,
    4: _cancel_order,
    5: _bare(OpenOrders(), "version"),
    6: _account_updates,
    7: _executions,
    8: _bare(NextId(), "version", "count"),
    9: _contract_details,
    14: _bare(Ignored(), "version", "log level"),
    15: _bare(OpenOrders(bind=True), "version", "bind"),
    16: _bare(OpenOrders(everyone=True), "version"),
    17: _bare(ManagedAccounts(), "version"),
    20: _history,
    25: _by_id(CancelHistory),
    49: _bare(CurrentTime(), "version"),
    58: _bare(GlobalCancel(), "version"),
    59: _by_id(MarketDataType),
    61: _bare(Positions(subscribe=True), "version"),
    62: _account_summary,
    63: _by_id(CancelAccountSummary),
    64: _bare(Positions(subscribe=False), "version"),
    71: _start_api,
    76: _account_updates_multi,
    77: _by_id(CancelAccountUpdatesMulti),
    99: _bare(CompletedOrders(), "api only"),
}
