"""Between domain objects and the wire: contracts and orders out, facts in.

Incoming messages are read from their raw fields, before ib_insync interprets them, because it drops what it
does not expect: a status of an order it does not know, a commission before its execution, a bar update after
an empty history. Outgoing orders are checked field by field: TWS takes numbers as text and has no checksum.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import ib_insync

from execution.clocks import NANOS
from execution.errors import InvalidOrderError, NumberFormatError
from execution.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.models import ZERO, Instrument, OrderRequest, OrderType
from execution.numbers import format_decimal, parse_integer, parse_wire_decimal, to_lots, to_ticks

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
_DERIVATIVES = ("OPT", "FUT", "FOP")
_KINDS = {name: kind.value for kind, name in _ORDER_TYPES.items()}
_SIDES = {"BUY": "BUY", "SELL": "SELL", "BOT": "BUY", "SLD": "SELL", "SSHORT": "SELL"}


# -- out ---------------------------------------------------------------------------------------------


def to_contract(instrument: Instrument) -> ib_insync.Contract:
    """Return the TWS contract of an instrument."""
    contract = ib_insync.Contract(
        secType=instrument.security_type,
        conId=instrument.con_id,
        symbol=instrument.underlying or instrument.symbol,
        exchange=instrument.exchange,
        primaryExchange=instrument.primary_exchange,
        currency=instrument.currency,
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
        If a size is not whole lots, a price is not a whole number of ticks, or a number has no plain
        spelling on the wire.
    """
    try:
        to_lots(request.quantity, instrument.lot, name=f"{request.symbol} quantity")
        for name, price in (
            ("limit price", request.limit_price),
            ("stop price", request.stop_price),
            ("trail amount", request.trail_amount),
            ("trail stop", request.trail_stop),
            ("limit offset", request.limit_offset),
        ):
            if price is not None:
                to_ticks(price, instrument.tick, name=f"{request.symbol} {name}")
    except NumberFormatError as error:
        raise InvalidOrderError(str(error)) from error
    order = ib_insync.Order(
        orderId=order_id,
        action=request.side.value,
        totalQuantity=_plain(request.quantity, "quantity"),
        orderType=_ORDER_TYPES[request.order_type],
        tif=request.time_in_force.value,
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
    number: float = int(value) if value == value.to_integral_value() else float(value)
    if "e" in str(number) or Decimal(str(number)) != value:
        raise InvalidOrderError(f"{name} {value} cannot be written exactly on the wire")
    return number


# -- in ----------------------------------------------------------------------------------------------


def to_evidence(fields: list[str], time_zone: str) -> Evidence | None:
    """Return the fact in a TWS message, or None if it does not concern orders.

    Raises
    ------
    NumberFormatError
        If a number or time in it cannot be read.
    """
    reader = _READERS.get(fields[0])
    return reader(fields, time_zone) if reader else None


def _open_order(f: list[str], _zone: str) -> Evidence:
    return OpenOrderSeen(
        order_id=_integer(f[1], "order id"),
        perm_id=_integer(f[25], "permanent id"),
        client_id=_integer(f[24], "client id"),
        order_ref=f[23],
        account=f[20],
        symbol=f[3],
        side=f[13],
        quantity=_decimal(f[14], "quantity"),
        order_type=_KINDS.get(f[15], ""),
        limit_price=parse_wire_decimal(f[16], name="limit price"),
        aux_price=parse_wire_decimal(f[17], name="auxiliary price"),
    )


def _order_status(f: list[str], _zone: str) -> Evidence:
    return OrderStatusSeen(
        order_id=_integer(f[1], "order id"),
        status=f[2],
        filled=_decimal(f[3], "filled"),
        remaining=_decimal(f[4], "remaining"),
        perm_id=_integer(f[6], "permanent id"),
        client_id=_integer(f[9], "client id"),
        why_held=f[10],
    )


def _execution(f: list[str], zone: str) -> Evidence:
    if f[18] not in _SIDES:
        raise NumberFormatError(f"side of execution {f[14]!r}: {f[18]!r} is neither BOT nor SLD")
    return ExecutionSeen(
        exec_id=f[14],
        order_id=_integer(f[2], "order id"),
        client_id=_integer(f[22], "client id"),
        perm_id=_integer(f[21], "permanent id"),
        order_ref=f[26],
        account=f[16],
        symbol=f[4],
        side=_SIDES[f[18]],
        quantity=_decimal(f[19], "shares"),
        price=_decimal(f[20], "price"),
        time=parse_time(f[15], zone),
    )


def _commission(f: list[str], _zone: str) -> Evidence | None:
    commission = parse_wire_decimal(f[3], name="commission")
    if commission is None:
        return None
    return CommissionSeen(exec_id=f[2], commission=commission, currency=f[4])


def _error(f: list[str], _zone: str) -> Evidence:
    return ErrorSeen(_integer(f[2], "request id"), _integer(f[3], "code"), f[4][:500])


_READERS = {"5": _open_order, "3": _order_status, "11": _execution, "59": _commission, "4": _error}


def to_completed(trade: ib_insync.Trade) -> CompletedOrderSeen:
    """Return the fact in a completed order, as ib_insync decoded it."""
    order = trade.order
    return CompletedOrderSeen(
        perm_id=int(order.permId),
        order_ref=order.orderRef,
        status=trade.orderStatus.status,
        filled=_filled(order),
        detail=getattr(trade.orderStatus, "completedStatus", "") or "",
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


@lru_cache(maxsize=4096)
def parse_time(text: str, zone: str) -> int:
    """Parse a TWS time into UTC nanoseconds.

    Accepts ``20180102 09:30:00 US/Eastern``, ``20180102-14:30:00`` (UTC) and ``20180102  09:30:00``, which is
    in TWS's own zone, given by `zone`.
    """
    try:
        if "-" in text[:9]:
            moment = datetime.strptime(text, "%Y%m%d-%H:%M:%S").replace(tzinfo=ZoneInfo("UTC"))
        else:
            day, clock, *named = text.split(maxsplit=2)
            naive = datetime.strptime(f"{day} {clock}", "%Y%m%d %H:%M:%S")  # noqa: DTZ007 - zone follows
            moment = naive.replace(tzinfo=ZoneInfo(named[0] if named else zone))
    except (ValueError, ZoneInfoNotFoundError) as error:
        raise NumberFormatError(f"time {text[:40]!r} is not a TWS time") from error
    return int(moment.timestamp()) * NANOS


def _integer(text: str, name: str) -> int:
    return parse_integer(text or "0", name=name)


def _decimal(text: str, name: str) -> Decimal:
    value = parse_wire_decimal(text, name=name)
    if value is None:
        raise NumberFormatError(f"{name}: the broker sent no number")
    return value
