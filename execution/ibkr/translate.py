"""Between domain objects and the wire: contracts and orders out, facts in.

Incoming messages are read from their raw fields, before ib_insync interprets them, because it drops what it
does not expect: a status of an order it does not know, a commission before its execution, a bar update after
an empty history. Outgoing orders are checked field by field: TWS takes numbers as text and has no checksum.
"""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ib_insync

from execution.clocks import NANOS
from execution.errors import InvalidOrderError, NumberFormatError
from execution.ibkr.contract_book import ContractBook, WireContract, wire_terms
from execution.models import ZERO, Instrument, OrderRequest, OrderType, Side, TimeInForce
from execution.numbers import format_decimal, parse_integer, parse_wire_decimal, to_lots, to_ticks
from execution.orders.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)

_ORDER_TYPES = {
    OrderType.MARKET: "MKT",
    OrderType.LIMIT: "LMT",
    OrderType.STOP: "STP",
    OrderType.STOP_LIMIT: "STP LMT",
    OrderType.MARKET_ON_CLOSE: "MOC",
    OrderType.LIMIT_ON_CLOSE: "LOC",
    OrderType.MARKET_IF_TOUCHED: "MIT",
    OrderType.LIMIT_IF_TOUCHED: "LIT",
    OrderType.TRAIL: "TRAIL",
    OrderType.TRAIL_LIMIT: "TRAIL LIMIT",
}
_WORDS = {word: str(word) for words in (Side, TimeInForce) for word in words}
"""Plain texts of the words; asking one for its `value` runs a function of Python."""
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)
_DERIVATIVES = ("OPT", "FUT", "FOP")
_KINDS = {name: kind.value for kind, name in _ORDER_TYPES.items()}
_SIDES = {"BUY": "BUY", "SELL": "SELL", "BOT": "BUY", "SLD": "SELL", "SSHORT": "SELL"}

_PRICES = ("limit_price", "stop_price", "trail_amount", "trail_stop", "limit_offset")
_prices_of = attrgetter(*_PRICES)

WireOrder = ib_insync.Order
"""An order as the client library takes it."""

_BLANK = {
    name: value for name, value in vars(ib_insync.Order()).items() if not hasattr(ib_insync.Order, name)
}
"""What the library gives each order of its own, all else being defaults of its class: what can be changed in
place (lists, the soft dollar tier), which is never touched."""


# -- out ---------------------------------------------------------------------------------------------


def to_contract(instrument: Instrument, con_id: int = 0) -> ib_insync.Contract:
    """Return the TWS contract of an instrument, under the contract id if it is known for sure."""
    terms = wire_terms(instrument)
    contract = ib_insync.Contract(
        secType=instrument.security_type,
        conId=instrument.con_id or con_id,
        symbol=terms.symbol,
        exchange=terms.exchange,
        primaryExchange=instrument.primary_exchange,
        currency=terms.currency,
    )
    if instrument.security_type in _DERIVATIVES:
        contract.lastTradeDateOrContractMonth = instrument.expiry
        contract.right = instrument.right
        contract.strike = 0.0 if instrument.strike is None else _plain(instrument.strike, "strike")
        contract.multiplier = format_decimal(instrument.multiplier)
        contract.localSymbol = instrument.local_symbol
        contract.tradingClass = instrument.trading_class
    return contract


def to_wire_order(
    request: OrderRequest,
    instrument: Instrument,
    order_id: int,
    *,
    parent_id: int = 0,
    transmit: bool = True,
) -> ib_insync.Order:
    """Return the TWS order of a request.

    Parameters
    ----------
    request, instrument
        What to trade.
    order_id
        Its id in this session.
    parent_id
        Id of the order whose fill sets this one to work; 0 for none.
    transmit
        False holds it in TWS until an order of its family is transmitted.

    Raises
    ------
    InvalidOrderError
        If a size is not whole lots, a price is not a whole number of ticks, a number has no plain spelling
        on the wire, or TWS does not take the time in force with the order type.
    """
    life = request.time_in_force
    if life in _AT_ONCE and request.order_type not in (OrderType.MARKET, OrderType.LIMIT):
        raise InvalidOrderError(
            f"time_in_force: TWS takes {life} with MARKET and LIMIT orders only, not {request.order_type}; "
            "use DAY. Nothing was sent"
        )
    _require_multiples(request, instrument)
    order = _order(
        orderId=order_id,
        action=_WORDS[request.side],
        totalQuantity=_plain(request.quantity, "quantity"),
        orderType=_ORDER_TYPES[request.order_type],
        tif=_WORDS[request.time_in_force],
        orderRef=request.client_order_id or "",
        account=request.account or "",
        outsideRth=request.outside_rth,
        transmit=transmit,
        parentId=parent_id,
    )
    if request.limit_price is not None:
        order.lmtPrice = _plain(request.limit_price, "limit price")
    if request.stop_price is not None:
        order.auxPrice = _plain(request.stop_price, "stop price")
    if request.order_type.trails:
        _trail(order, request)
    if request.good_till is not None:
        order.goodTillDate = request.good_till.tz_convert("UTC").strftime("%Y%m%d-%H:%M:%S")
    if request.oca_group is not None:
        order.ocaGroup, order.ocaType = request.oca_group, request.oca_type
    order.allOrNone = request.all_or_none
    return order


def _require_multiples(request: OrderRequest, instrument: Instrument) -> None:
    try:
        if request.quantity % instrument.lot:
            to_lots(request.quantity, instrument.lot, name=f"{request.symbol} quantity")
        for name, price in zip(_PRICES, _prices_of(request), strict=True):
            if price is not None and price % instrument.tick:
                to_ticks(price, instrument.tick, name=f"{request.symbol} {name.replace('_', ' ')}")
    except NumberFormatError as error:
        raise InvalidOrderError(str(error)) from error


def _order(**terms: Any) -> ib_insync.Order:
    """Return an order with these terms; the library's own constructor sets each of its 130 fields in turn."""
    order = ib_insync.Order.__new__(ib_insync.Order)
    vars(order).update(_BLANK, **terms)
    return order


def _trail(order: ib_insync.Order, request: OrderRequest) -> None:
    if request.trail_amount is not None:
        order.auxPrice = _plain(request.trail_amount, "trail amount")
    if request.trail_percent is not None:
        order.trailingPercent = _plain(request.trail_percent, "trail percent")
    if request.trail_stop is not None:
        order.trailStopPrice = _plain(request.trail_stop, "trail stop")
    if request.limit_offset is not None:
        order.lmtPriceOffset = _plain(request.limit_offset, "limit offset")


def _plain(value: Decimal, name: str) -> float:
    if value == value.to_integral_value():
        return int(value)
    number = float(value)
    if "e" in str(number) or Decimal(str(number)) != value:
        raise InvalidOrderError(f"{name} {value} cannot be written exactly on the wire")
    return number


# -- in ----------------------------------------------------------------------------------------------


def to_evidence(fields: list[str], time_zone: str, contracts: ContractBook | None = None) -> Evidence | None:
    """Return the fact in a TWS message, or None if it does not concern orders.

    Parameters
    ----------
    fields
        The message.
    time_zone
        Zone of times without one.
    contracts
        Gives contracts our symbols.

    Raises
    ------
    NumberFormatError
        If a number or time in it cannot be read.
    """
    if fields[0] == "5":
        return _open_order(fields, contracts or ContractBook())
    if fields[0] == "11":
        return _execution(fields, time_zone, contracts or ContractBook())
    reader = _READERS.get(fields[0])
    return reader(fields) if reader else None


def _open_order(f: list[str], contracts: ContractBook) -> Evidence:
    return OpenOrderSeen(
        order_id=_integer(f[1], "order id"),
        perm_id=_integer(f[25], "permanent id"),
        client_id=_integer(f[24], "client id"),
        order_ref=f[23],
        account=f[20],
        symbol=contracts.symbol_in(f, 2),
        side=f[13],
        quantity=_decimal(f[14], "quantity"),
        order_type=_KINDS.get(f[15], ""),
        limit_price=parse_wire_decimal(f[16], name="limit price"),
        aux_price=parse_wire_decimal(f[17], name="auxiliary price"),
        security_type=f[4],
    )


def _order_status(f: list[str]) -> Evidence:
    return OrderStatusSeen(
        order_id=_integer(f[1], "order id"),
        status=f[2],
        filled=_size(f[3], "filled"),
        remaining=_decimal(f[4], "remaining"),
        perm_id=_integer(f[6], "permanent id"),
        client_id=_integer(f[9], "client id"),
        why_held=f[10],
    )


def _execution(f: list[str], zone: str, contracts: ContractBook) -> Evidence:
    if f[18] not in _SIDES:
        raise NumberFormatError(f"side of execution {f[14]!r}: {f[18]!r} is neither BOT nor SLD")
    return ExecutionSeen(
        exec_id=f[14],
        order_id=_integer(f[2], "order id"),
        client_id=_integer(f[22], "client id"),
        perm_id=_integer(f[21], "permanent id"),
        order_ref=f[26],
        account=f[16],
        symbol=contracts.symbol_in(f, 3),
        side=_SIDES[f[18]],
        quantity=_size(f[19], "shares"),
        price=_decimal(f[20], "price"),
        time=parse_time(f[15], zone),
        security_type=f[5],
    )


def _commission(f: list[str]) -> Evidence | None:
    commission = parse_wire_decimal(f[3], name="commission")
    if commission is None:
        return None
    return CommissionSeen(exec_id=f[2], commission=commission, currency=f[4])


def _error(f: list[str]) -> Evidence:
    return ErrorSeen(_integer(f[2], "request id"), _integer(f[3], "code"), f[4][:500])


_READERS = {"3": _order_status, "59": _commission, "4": _error}


class Completed(NamedTuple):
    """What a completed order says, before it is known which of our instruments its contract is."""

    fact: CompletedOrderSeen
    contract: WireContract

    @classmethod
    def of(cls, contract: ib_insync.Contract, order: ib_insync.Order, state: ib_insync.OrderState) -> Self:
        """Return what ib_insync decoded."""
        fact = CompletedOrderSeen(
            perm_id=int(order.permId),
            order_ref=order.orderRef,
            status=state.status,
            filled=_filled(order),
            detail=state.completedStatus or "",
            symbol=contract.symbol,
        )
        return cls(fact, _as_wire(contract))

    def seen_in(self, contracts: ContractBook) -> CompletedOrderSeen:
        """Return the fact under our symbol of the contract."""
        symbol = contracts.symbol_of(self.contract)
        return self.fact if symbol == self.fact.symbol else replace(self.fact, symbol=symbol)


def _as_wire(contract: ib_insync.Contract) -> WireContract:
    strike = "" if not contract.strike else str(contract.strike)
    return WireContract.read(
        [
            str(contract.conId),
            contract.symbol,
            contract.secType,
            contract.lastTradeDateOrContractMonth,
            strike,
            contract.right,
            contract.multiplier,
            contract.exchange,
            contract.currency,
            contract.localSymbol,
            contract.tradingClass,
        ],
        0,
    )


def _filled(order: ib_insync.Order) -> Decimal:
    return parse_wire_decimal(str(order.filledQuantity), name="filled quantity") or ZERO


_MARGINS = {
    "initial_before": "initMarginBefore",
    "initial_change": "initMarginChange",
    "initial_after": "initMarginAfter",
    "maintenance_before": "maintMarginBefore",
    "maintenance_change": "maintMarginChange",
    "maintenance_after": "maintMarginAfter",
    "equity_before": "equityWithLoanBefore",
    "equity_change": "equityWithLoanChange",
    "equity_after": "equityWithLoanAfter",
}


def has_margins(state: ib_insync.OrderState) -> bool:
    """Return whether the answer to a what-if has figures; the first of two may have none."""
    return any(_margin(state, name) is not None for name in _MARGINS.values())


def to_margins(state: ib_insync.OrderState) -> tuple[dict[str, Decimal | None], str]:
    """Return the figures of the answer to a what-if, and its warning."""
    figures = {name: _margin(state, field) for name, field in _MARGINS.items()}
    figures["commission"] = _margin(state, "commission")
    return figures, state.warningText or ""


def _margin(state: ib_insync.OrderState, field: str) -> Decimal | None:
    return parse_wire_decimal(str(getattr(state, field)), name=field)


_DIGITS = re.compile(r"(\d{4})(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)", re.ASCII)


@lru_cache(maxsize=4096)
def parse_time(text: str, zone: str) -> int:
    """Parse a TWS time into UTC nanoseconds.

    Accepts ``20180102 09:30:00 US/Eastern``, ``20180102-14:30:00`` (UTC) and ``20180102  09:30:00``, which is
    in TWS's own zone, given by `zone`.
    """
    try:
        if "-" in text[:9]:
            day, clock = text.split("-", 1)
            moment = _moment(day, clock, "UTC")
        else:
            day, clock, *named = text.split(maxsplit=2)
            moment = _moment(day, clock, named[0] if named else zone)
    except (ValueError, OSError, ZoneInfoNotFoundError) as error:  # some names are folders of the database
        raise NumberFormatError(f"time {text[:40]!r} is not a TWS time") from error
    return int(moment.timestamp()) * NANOS


def _moment(day: str, clock: str, zone: str) -> datetime:
    """Return the moment that digits spell, at a fifth of the time that a format would take."""
    found = _DIGITS.fullmatch(f"{day} {clock}")
    if found is None:
        raise ValueError(f"{day} {clock} is not yyyymmdd hh:mm:ss")
    year, month, date, hour, minute, second = map(int, found.groups())
    return datetime(year, month, date, hour, minute, second, tzinfo=ZoneInfo(zone))


def _integer(text: str, name: str) -> int:
    return parse_integer(text or "0", name=name)


def _decimal(text: str, name: str) -> Decimal:
    value = parse_wire_decimal(text, name=name)
    if value is None:
        raise NumberFormatError(f"{name}: the broker sent no number")
    return value


def _size(text: str, name: str) -> Decimal:
    value = _decimal(text, name)
    if value < 0:
        raise NumberFormatError(f"{name}: {text[:40]!r} is negative; the side says which way")
    return value
