"""Where finished orders and yesterday's executions go when memory lets go of them.

With a folder, each becomes a line of ``orders.jsonl`` or ``executions.jsonl`` there, so that the statement at
the end still lists everything; without one they are only counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from backtesting.gateway.tickets import Execution, Ticket
from execution.models import ZERO
from execution.numbers import format_decimal

ORDERS: Final = "orders.jsonl"
EXECUTIONS: Final = "executions.jsonl"


def order_row(ticket: Ticket) -> dict[str, Any]:
    """Return what the statement tells of an order; Decimals as plain strings."""
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


def execution_row(execution: Execution) -> dict[str, Any]:
    """Return what the statement tells of an execution; Decimals as plain strings."""
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


class Archive:
    """Takes what has ended.

    Parameters
    ----------
    folder
        Where the lines go; None only counts. What an earlier gateway left there is replaced.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.orders = 0
        """Orders taken so far."""
        self.executions = 0
        """Executions taken so far."""
        self._folder = folder
        self._begun: set[str] = set()

    def take(self, tickets: Sequence[Ticket], executions: Sequence[Execution]) -> None:
        """Take finished orders and past executions, oldest first."""
        self.orders += len(tickets)
        self.executions += len(executions)
        self._write(ORDERS, map(order_row, tickets) if tickets else ())
        self._write(EXECUTIONS, map(execution_row, executions) if executions else ())

    def order_rows(self) -> list[dict[str, Any]]:
        """Return the orders taken, in the order they were taken; none without a folder."""
        return self._read(ORDERS)

    def execution_rows(self) -> list[dict[str, Any]]:
        """Return the executions taken, oldest first; none without a folder."""
        return self._read(EXECUTIONS)

    def _write(self, name: str, rows: Iterable[dict[str, Any]]) -> None:
        if self._folder is None or rows == ():
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / name).open("a" if name in self._begun else "w", encoding="utf-8") as file:
            for row in rows:
                file.write(json.dumps(row, separators=(",", ":")) + "\n")
        self._begun.add(name)

    def _read(self, name: str) -> list[dict[str, Any]]:
        if self._folder is None or name not in self._begun:
            return []
        with (self._folder / name).open(encoding="utf-8") as file:
            return [json.loads(line) for line in file]
