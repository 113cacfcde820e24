"""Submit, watch, cancel and query orders.

1. Connect and reconcile; nothing can be sent before both.
2. Place a limit order far from the market, see it working, cancel it.
3. Buy one share at the market and wait for the fill.
4. Submit the same order again under its id: nothing is sent twice.
5. Show positions and verify the journal.

Without arguments it trades against a simulated gateway in this process. For a paper TWS:
``python -m execution.examples.basic_order_submission --host 127.0.0.1 --port 7497 --limit 100.00``
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

from execution import journal
from execution.audit import AuditLogger
from execution.clocks import SystemClock
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError
from execution.examples.broker import Broker, arguments, broker, require_paper_account
from execution.examples.watcher import Watcher
from execution.executor import IBKROrderExecutor
from execution.models import OrderRequest, OrderStatus, OrderType, Side, TimeInForce


async def work_and_cancel(executor: IBKROrderExecutor, watcher: Watcher, at: Broker, name: str) -> None:
    """Place an order that will not fill, find it among the open ones, cancel it."""
    request = OrderRequest(
        symbol=at.instrument.symbol,
        quantity=Decimal(1),
        order_type=OrderType.LIMIT,
        side=Side.BUY,
        limit_price=at.far_limit,
        client_order_id=name,
        time_in_force=TimeInForce.GTC,  # a simulated day is short: an order for the day could end by itself
    )
    order = await executor.submit_order(request)
    working = [o.client_order_id for o in await executor.get_open_orders()]
    print(f"limit order {order.client_order_id} is {order.status}; open orders: {working}")
    await executor.cancel_order(name)

    def gone() -> bool:
        return executor.blotter.entries[name].status.is_final

    await watcher.until(gone)
    print(f"after the cancel: {(await executor.get_order_status(name)).status}")


async def buy_one(executor: IBKROrderExecutor, watcher: Watcher, at: Broker, name: str) -> None:
    """Buy one share at the market; submit the same request again and see that nothing is sent."""
    request = OrderRequest(
        symbol=at.instrument.symbol,
        quantity=Decimal(1),
        order_type=OrderType.MARKET,
        side=Side.BUY,
        client_order_id=name,
    )
    await executor.submit_order(request)

    def filled() -> bool:
        return executor.blotter.entries[name].status is OrderStatus.FILLED

    if not await watcher.until(filled):
        print("not filled yet: it works until the end of the day, unless the market is closed")
    again = await executor.submit_order(request)
    print(f"submitted again: the stored order came back, {again.status}; nothing was sent")


async def trade(at: Broker, path: Path) -> None:
    """Run the steps of the module's description."""
    clock = SystemClock()
    record = journal.SqliteJournal(path, clock.now_ns)
    audit = AuditLogger(record, clock)
    watcher = Watcher()
    manager = IBKRConnectionManager(
        at.host, at.port, at.client_id, audit=audit, reconnect_max_attempts=2, reconnect_backoff=1.0
    )
    executor = IBKROrderExecutor(
        manager, instruments=[at.instrument], audit=audit, clock=clock, handlers=[watcher]
    )
    executor.restore()
    try:
        await manager.connect()
        account = require_paper_account(manager)
        await executor.ensure_ready()
        print(f"connected to {'a simulated' if at.simulated else 'the'} gateway, account {account}")
        run = clock.now_ns()  # ids must be new in each run: an id used before names the order of before
        await work_and_cancel(executor, watcher, at, f"limit-{run}")
        await buy_one(executor, watcher, at, f"market-{run}")
        for position in await executor.get_positions():
            print(f"position: {position.quantity} {position.symbol} at {position.average_cost}")
    finally:
        await manager.disconnect()
        record.close()
    report = journal.verify(path)
    print(f"journal: {report.events} events, chain {'intact' if report.ok else 'BROKEN'}")


async def main(given: argparse.Namespace) -> None:
    """Trade at the broker that the command line names."""
    with tempfile.TemporaryDirectory() as folder:
        async with broker(given) as at:
            await trade(at, Path(folder) / "journal.db")


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments(__doc__ or "")))
    except ExecutionError as error:
        sys.exit(f"error: {error}")
