"""Executions and their corrections as plain values for the journal."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from execution.clocks import utc_ns
from execution.models import Fill
from execution.orders.changes import Corrected


def fill_to_body(fill: Fill) -> dict[str, Any]:
    """Return an execution as plain values for the journal."""
    body = {
        "fill_id": fill.fill_id,
        "symbol": fill.symbol,
        "side": fill.side.value,
        "quantity": format(fill.quantity, "f"),
        "price": format(fill.price, "f"),
        "time": utc_ns(fill.timestamp),
        "commission": _text(fill.commission),
        "account": fill.account,
    }
    if fill.client_order_id:
        body["client_order_id"] = fill.client_order_id
    return body


def correction_to_body(change: Corrected) -> dict[str, Any]:
    """Return a correction as plain values for the journal: the execution as it is now, and as it was."""
    order, old = change.order, change.old
    return {
        **fill_to_body(change.new),
        "exec_id": change.exec_id,
        "old": {
            "quantity": format(old.quantity, "f"),
            "price": format(old.price, "f"),
            "commission": _text(old.commission),
        },
        "reason": change.reason,
        "external": order is None,
        "filled": None if order is None else format(order.filled_quantity, "f"),
        "average_price": None if order is None else _text(order.average_fill_price),
    }


def _text(amount: Decimal | None) -> str | None:
    return None if amount is None else format(amount, "f")
