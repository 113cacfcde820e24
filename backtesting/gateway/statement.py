"""The statement the gateway writes when it leaves: what it holds, for others to check themselves against."""

from __future__ import annotations

import json
import os
from operator import itemgetter
from pathlib import Path
from typing import Any

from backtesting.gateway.desks.archive import execution_row, order_row
from backtesting.gateway.desks.book import OrderBook
from execution.book.ledger import Ledger
from execution.clocks import timestamp
from execution.numbers import format_decimal

STATEMENT = "statement.json"


def statement(desk: OrderBook, now_ns: int) -> dict[str, Any]:
    """Return account, time, cash, positions, orders and executions; Decimals as plain strings.

    Orders come in order of acceptance, executions as they happened; those of earlier days are read back from
    the archive. Cash and positions are those of the first account; where there are several, those of each
    stand under ``accounts``. Splits and dividends that were applied stand under ``corporate_actions``.
    """
    orders = [*desk.archive.order_rows(), *map(order_row, desk.tickets.values())]
    content = {
        "account": desk.account,
        "time": timestamp(now_ns).isoformat(),
        "time_ns": now_ns,
        **_holdings(desk.broker.ledger),
        "orders": sorted(orders, key=itemgetter("perm_id")),
        "executions": [*desk.archive.execution_rows(), *map(execution_row, desk.executions)],
    }
    if desk.applied:
        content["corporate_actions"] = [
            {"date": str(each.date), "symbol": each.symbol, "kind": each.kind, "value": str(each.value)}
            for each in desk.applied
        ]
    if len(desk.accounts) > 1:
        content["accounts"] = {name: _holdings(desk.broker.ledgers[name]) for name in desk.accounts}
    return content


def _holdings(ledger: Ledger) -> dict[str, Any]:
    return {
        "cash": format_decimal(ledger.cash),
        "fees": format_decimal(ledger.fees),
        "realized_pnl": format_decimal(ledger.realized_pnl),
        "positions": {
            symbol: format_decimal(holding.quantity)
            for symbol, holding in sorted(ledger.holdings.items())
            if holding.quantity
        },
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
