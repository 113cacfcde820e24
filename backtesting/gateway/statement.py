"""The statement the gateway writes when it leaves: what it holds, for others to check themselves against."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.tickets import Execution, Ticket
from execution.clocks import timestamp
from execution.models import ZERO
from execution.numbers import format_decimal

STATEMENT = "statement.json"


def statement(desk: OrderBook, now_ns: int) -> dict[str, Any]:
    """Return account, time, cash, positions, orders and executions; Decimals as plain strings."""
    ledger = desk.broker.ledger
    return {
        "account": desk.account,
        "time": timestamp(now_ns).isoformat(),
        "time_ns": now_ns,
        "cash": format_decimal(ledger.cash),
        "fees": format_decimal(ledger.fees),
        "realized_pnl": format_decimal(ledger.realized_pnl),
        "positions": {
            symbol: format_decimal(holding.quantity)
            for symbol, holding in sorted(ledger.holdings.items())
            if holding.quantity
        },
        "orders": [_order(ticket) for ticket in desk.tickets.values()],
        "executions": [_execution(execution) for execution in desk.executions],
    }


def _order(ticket: Ticket) -> dict[str, Any]:
    request = ticket.order.request
    return {
        "order_ref": ticket.order_ref,
        "perm_id": ticket.perm_id,
        "client_id": ticket.client_id,
        "order_id": ticket.order_id,
        "symbol": request.symbol,
        "side": request.side.value,
        "quantity": format_decimal(request.quantity),
        "type": ticket.order_type,
        "status": ticket.status,
        "filled": format_decimal(ticket.filled),
        "average_price": format_decimal(ticket.average_price) if ticket.filled else None,
        "commission": format_decimal(ticket.commission or ZERO),
    }


def _execution(execution: Execution) -> dict[str, Any]:
    ticket = execution.ticket
    return {
        "exec_id": execution.exec_id,
        "order_ref": ticket.order_ref,
        "symbol": ticket.instrument.symbol,
        "side": ticket.order.request.side.value,
        "quantity": format_decimal(execution.quantity),
        "price": format_decimal(execution.price),
        "time": execution.time_ns,
        "commission": format_decimal(execution.commission),
    }


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file so that a reader sees the old or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        json.dump(content, file, indent=1)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
