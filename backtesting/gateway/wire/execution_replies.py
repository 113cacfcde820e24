"""Messages about executions and what they cost."""

from __future__ import annotations

from backtesting.gateway.tickets import Execution
from backtesting.gateway.wire import gates
from backtesting.gateway.wire.codec import UNSET_DOUBLE, double, message, number, price, time_text
from backtesting.gateway.wire.contract_replies import contract_run, home_exchange
from execution.models import Side


def execution_details(account: str, execution: Execution, request_id: int = -1, version: int = 176) -> bytes:
    """11: an execution; request id -1 when it has just happened."""
    ticket = execution.ticket
    venue = home_exchange(ticket.instrument)
    return message(
        11,
        request_id,
        ticket.order_id,
        contract_run(ticket.instrument, "0.0", "", venue),
        execution.exec_id,
        time_text(execution.time_ns),
        account,
        venue,
        "BOT" if ticket.order.request.side is Side.BUY else "SLD",
        number(execution.quantity),
        price(execution.price),
        ticket.perm_id,
        ticket.client_id,
        0,
        number(execution.cumulative),
        price(execution.average_price),
        ticket.order_ref,
        *("", "", ticket.wish.fields.get("modelCode", ""), "2"),
        *(("0",) if version >= gates.PRICE_REVISION else ()),
    )


def commission_report(execution: Execution) -> bytes:
    """59: what an execution cost; the realised profit is unset on an opening trade."""
    pnl = UNSET_DOUBLE if execution.realized_pnl is None else double(execution.realized_pnl)
    currency = execution.ticket.instrument.currency
    return message(59, 1, execution.exec_id, double(execution.commission), currency, pnl, UNSET_DOUBLE, "")


def execution_details_end(request_id: int) -> bytes:
    """55: the executions of a request are told."""
    return message(55, 1, request_id)
