"""Messages of the gateway: layouts as real gateways send them, gated by server version."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire import gates
from backtesting.gateway.wire.codec import (
    UNSET_DOUBLE,
    UNSET_INTEGER,
    UNSET_LONG,
    double,
    message,
    number,
    time_text,
)
from execution.models import Instrument, Side

_ORDER_TYPES = "ACTIVETIM,DAY,GTC,LMT,MKT,STP,STPLMT"
_UNSET_MARGINS = (UNSET_DOUBLE,) * 9


def error(version: int, request_id: int, code: int, text: str) -> bytes:
    """4: an error, warning or notice; request id -1 if it belongs to none."""
    json = ("",) if version >= gates.REJECT_JSON else ()
    return message(4, 2, request_id, code, text, *json)


def _contract(instrument: Instrument, strike: str, right: str, exchange: str) -> tuple[object, ...]:
    """Return the eleven contract fields shared by most messages; strike and right are spelt per message."""
    multiplier = "" if instrument.multiplier == 1 else number(instrument.multiplier)
    return (
        instrument.con_id,
        instrument.symbol,
        instrument.security_type,
        "",
        strike,
        right,
        multiplier,
        exchange,
        instrument.currency,
        instrument.symbol,
        _trading_class(instrument),
    )


def _trading_class(instrument: Instrument) -> str:
    return "NMS" if instrument.security_type == "STK" else instrument.symbol


def _prices(ticket: Ticket) -> tuple[str, str, str]:
    """Return limit price, auxiliary price and the trailing stop TWS shows: the limit plus one."""
    request = ticket.order.request
    trail = UNSET_DOUBLE if request.limit_price is None else double(request.limit_price + 1)
    return double(request.limit_price), double(request.stop_price), trail


def open_order(version: int, account: str, ticket: Ticket, status: str) -> bytes:
    """5: an order as the gateway holds it."""
    request = ticket.order.request
    limit, stop, trail = _prices(ticket)
    size = number(request.quantity)
    commission = () if ticket.commission is None else (number(ticket.commission),)
    shares = f"{ticket.perm_id}.0/{account}/{size}"
    newer: list[str] = []
    if version >= gates.ORDER_DURATION:
        newer += [""]
    if version >= gates.POST_TO_ATS:
        newer += [""]
    if version >= gates.AUTO_CANCEL_PARENT:
        newer += ["0"]
    if version >= gates.PEGGED_BEST:
        newer += ["", "100", "0.02", "", ""]
    return message(
        5,
        ticket.order_id,
        *_contract(ticket.instrument, "0", "?", "SMART"),
        request.side.value,
        size,
        ticket.order_type,
        limit,
        stop,
        request.time_in_force.value,
        *("", account, "", "0", ticket.order_ref, ticket.client_id, ticket.perm_id),
        # outside regular hours … model code
        *("1" if request.outside_rth else "0", "0", "0", "", shares, "", "", "", "", ""),
        # good till … stock range, display size
        *("", "", "", "", "0", "", "-1", "0", "", "", "", "", "", UNSET_INTEGER),
        # block, sweep, all or none, min quantity, oca type … volatility type
        *("0", "0", "0", "", "3", "0", "0", "", "0", "0", "", "0"),
        # delta neutral: TWS names the type None and therefore sends the whole group
        *("None", "", "0", "", "", "", "?", "0", "0", ""),
        # continuous update … combo description, legs, order legs, routing parameters
        *("0", "0", "", "", "", "", "", "0", "0", "0"),
        # scale, hedge, clearing, delta neutral contract, algorithm, solicited, what-if
        *(UNSET_INTEGER, UNSET_INTEGER, "", "", "0", "", "IB", "0", "0", "", "0", "0"),
        status,
        *_UNSET_MARGINS,
        *((*commission, "", "", "USD") if commission else ("", "", "", "")),
        # warning, randomised size and price, conditions
        *("", "0", "0", "0"),
        *("None", UNSET_DOUBLE, trail, *(UNSET_DOUBLE,) * 4, "0"),
        # soft dollar tier, cash quantity, hedge price, container, discretionary, price management
        *("", "", "", "0", "1", "0", "0", "0"),
        *newer,
    )


def order_status(ticket: Ticket, status: str) -> bytes:
    """3: how far an order is."""
    return message(
        3,
        ticket.order_id,
        status,
        number(ticket.filled),
        number(ticket.remaining),
        number(ticket.average_price),
        ticket.perm_id,
        0,
        number(ticket.last_price),
        ticket.client_id,
        "",
        0,
    )


def completed_order(version: int, account: str, ticket: Ticket) -> bytes:
    """101: an order that has ended."""
    request = ticket.order.request
    limit, stop, trail = _prices(ticket)
    filled = ticket.status == "Filled"
    told = f"Filled Size: {number(ticket.filled)}" if filled else "Cancelled by Trader"
    if ticket.reason:
        told = f"Cancelled by System:{ticket.reason}"
    pegged = ("", "", "", "", "") if version >= gates.PEGGED_BEST else ()
    return message(
        101,
        *_contract(ticket.instrument, "0", "?", "SMART"),
        request.side.value,
        "0" if filled else number(request.quantity),
        ticket.order_type,
        limit,
        stop,
        request.time_in_force.value,
        *("", account, "", "0", ticket.order_ref, ticket.perm_id),
        # outside regular hours … model code
        *("1" if request.outside_rth else "0", "0", "0", "", "", "", "", "", ""),
        # good till … stock range, display size
        *("", "", "", "", "0", "", "-1", "", "", "", "", "", UNSET_INTEGER),
        # sweep, all or none, min quantity, oca type, trigger, volatility
        *("0", "0", "", "3", "0", "", "0"),
        *("None", "", "0", "0", "0", ""),
        # continuous update … routing parameters
        *("0", "0", "", "", "", "0", "0", "0"),
        # scale, hedge, clearing, delta neutral contract, algorithm, solicited
        *(UNSET_INTEGER, UNSET_INTEGER, "", "", "", "IB", "0", "0", "", "0"),
        ticket.status,
        # randomised size and price, conditions
        *("0", "0", "0"),
        # trailing stop, offset, cash quantity, hedge price, container, cancel date
        *(trail, UNSET_DOUBLE, "0", "1", "0", ""),
        number(ticket.filled),
        *(UNSET_INTEGER, "0", "Not an insider or substantial shareholder", "0", "0", UNSET_LONG),
        time_text(ticket.completed_ns or 0),
        told,
        *pegged,
    )


def execution_details(account: str, execution: Execution, request_id: int = -1) -> bytes:
    """11: an execution; request id -1 when it has just happened."""
    ticket = execution.ticket
    venue = ticket.instrument.primary_exchange or ticket.instrument.exchange
    return message(
        11,
        request_id,
        ticket.order_id,
        *_contract(ticket.instrument, "0.0", "", venue),
        execution.exec_id,
        time_text(execution.time_ns),
        account,
        venue,
        "BOT" if ticket.order.request.side is Side.BUY else "SLD",
        number(execution.quantity),
        number(execution.price),
        ticket.perm_id,
        ticket.client_id,
        0,
        number(execution.cumulative),
        number(execution.average_price),
        ticket.order_ref,
        *("", "", "", "2"),
    )


def commission_report(execution: Execution) -> bytes:
    """59: what an execution cost; the realised profit is unset on an opening trade."""
    pnl = UNSET_DOUBLE if execution.realized_pnl is None else number(execution.realized_pnl)
    return message(
        59,
        1,
        execution.exec_id,
        number(execution.commission),
        execution.ticket.instrument.currency,
        pnl,
        UNSET_DOUBLE,
        "",
    )


def contract_details(
    version: int, request_id: int, instrument: Instrument, trading_hours: str, liquid_hours: str
) -> bytes:
    """10: everything about a contract."""
    dated = version < gates.SIZE_INCREMENTS
    sizes: Sequence[object] = ()
    lot = number(instrument.lot)
    if version == gates.ONE_SIZE_INCREMENT:
        sizes = (lot,)
    elif version >= gates.SIZE_INCREMENTS:
        sizes = (lot, lot, lot)
    exchange = instrument.exchange
    venues = ",".join(dict.fromkeys(v for v in ("SMART", exchange, instrument.primary_exchange) if v))
    return message(
        10,
        *((8,) if dated else ()),
        request_id,
        instrument.symbol,
        instrument.security_type,
        *("", "0", "", exchange, instrument.currency, instrument.symbol),
        _trading_class(instrument),
        _trading_class(instrument),
        instrument.con_id,
        number(instrument.tick),
        *(("",) if dated else ()),
        "" if instrument.multiplier == 1 else number(instrument.multiplier),
        _ORDER_TYPES,
        venues,
        *("1", "0"),
        instrument.name or instrument.symbol,
        instrument.primary_exchange,
        *("", "", "", "", "US/Eastern", trading_hours, liquid_hours),
        *("", "", "0", "1", "", "", "26", "", "COMMON" if instrument.security_type == "STK" else ""),
        *sizes,
    )


def position(account: str, instrument: Instrument, quantity: Decimal, average_cost: Decimal) -> bytes:
    """61: a holding; average cost in price terms times the multiplier."""
    fields = _contract(instrument, "0.0", "", instrument.primary_exchange)
    return message(61, 3, account, *fields, number(quantity), number(average_cost))


def portfolio_value(
    account: str,
    instrument: Instrument,
    quantity: Decimal,
    mark: Decimal,
    average_cost: Decimal,
    unrealized: Decimal,
    realized: Decimal,
) -> bytes:
    """7: a holding with its value."""
    value = quantity * mark * instrument.multiplier
    return message(
        7,
        8,
        *_contract(instrument, "0", "0", instrument.primary_exchange)[:7],
        instrument.primary_exchange,
        instrument.currency,
        instrument.symbol,
        _trading_class(instrument),
        *(number(quantity), number(mark), number(value), number(average_cost)),
        *(number(unrealized), number(realized)),
        account,
    )
