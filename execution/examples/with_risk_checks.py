"""Put rules before orders: first a plain function, then the risk engine with reservations.

1. A function ``request -> bool`` refuses an order that is too large. Nothing is sent; the refusal is
   recorded.
2. The risk engine refuses by named limits, and an open order holds its exposure: of two orders that each fit
   under the cap, the second is refused until the first is cancelled.

Only limit orders far from the market are sent, so nothing fills. Without arguments it trades against a
simulated gateway in this process. For a paper TWS:
``python -m execution.examples.with_risk_checks --host 127.0.0.1 --port 7497 --limit 100.00``
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import sys
import tempfile
from decimal import Decimal
from pathlib import Path

from data.calendars import ExchangeClock
from execution import journal
from execution.audit import AuditLogger
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import SystemClock, timestamp
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError, RiskCheckError
from execution.examples.broker import Broker, arguments, broker, require_paper_account
from execution.examples.watcher import Watcher
from execution.executor import IBKROrderExecutor
from execution.models import OrderRequest, OrderType, Side, TimeInForce
from risk.engine import RiskEngine
from risk.limits import RiskLimits

LARGEST_ORDER = Decimal(100)
CALENDAR_DAYS = dt.timedelta(days=10)


def small_enough(request: OrderRequest) -> bool:
    """Approve orders of at most `LARGEST_ORDER` shares."""
    return request.quantity <= LARGEST_ORDER


def buy(at: Broker, quantity: int, name: str) -> OrderRequest:
    """Return a limit order to buy that will not fill."""
    return OrderRequest(
        symbol=at.instrument.symbol,
        quantity=Decimal(quantity),
        order_type=OrderType.LIMIT,
        side=Side.BUY,
        limit_price=at.far_limit,
        client_order_id=name,
        time_in_force=TimeInForce.GTC,  # a simulated day is short: an order for the day could end by itself
    )


async def attempt(executor: IBKROrderExecutor, request: OrderRequest) -> None:
    """Submit an order and say what became of it."""
    try:
        order = await executor.submit_order(request)
    except RiskCheckError as refusal:
        print(f"{request.client_order_id}: refused by {refusal.rule}: {refusal}")
    else:
        print(f"{order.client_order_id}: {order.status}")


async def cancel(executor: IBKROrderExecutor, watcher: Watcher, name: str) -> None:
    """Cancel an order and wait until the broker has confirmed it: only then is its reservation released."""
    await executor.cancel_order(name)
    await watcher.until(lambda: executor.blotter.entries[name].status.is_final)


async def with_a_function(executor: IBKROrderExecutor, watcher: Watcher, at: Broker, run: int) -> None:
    """Let a plain function decide."""
    await attempt(executor, buy(at, 101, f"too-large-{run}"))
    await attempt(executor, buy(at, 1, f"small-{run}"))
    await cancel(executor, watcher, f"small-{run}")


async def with_the_engine(executor: IBKROrderExecutor, watcher: Watcher, at: Broker, run: int) -> None:
    """Let the risk engine decide, which counts what open orders may still buy."""
    await attempt(executor, buy(at, 1000, f"huge-{run}"))
    await attempt(executor, buy(at, 6, f"first-{run}"))
    await attempt(executor, buy(at, 6, f"second-{run}"))
    await cancel(executor, watcher, f"first-{run}")
    await attempt(executor, buy(at, 6, f"third-{run}"))
    await cancel(executor, watcher, f"third-{run}")


def engine_for(at: Broker, clock: SystemClock) -> RiskEngine:
    """Return an engine whose cap has room for ten shares at the example's limit price."""
    today = timestamp(clock.now_ns()).date()
    return RiskEngine(
        RiskLimits(per_symbol_notional_cap=10 * at.far_limit, max_order_quantity=LARGEST_ORDER),
        LedgerPortfolio(Ledger()),
        ExchangeClock("XNYS", today - CALENDAR_DAYS, today + CALENDAR_DAYS),
        clock,
    )


async def trade(at: Broker, folder: Path) -> None:
    """Run both parts, each over a connection and a journal of its own."""
    clock = SystemClock()
    run = clock.now_ns()
    for part in (with_a_function, with_the_engine):
        print(f"-- {part.__name__.replace('_', ' ')}")
        record = journal.SqliteJournal(folder / f"{part.__name__}.db", clock.now_ns)
        audit = AuditLogger(record, clock)
        watcher = Watcher()
        manager = IBKRConnectionManager(
            at.host, at.port, at.client_id, audit=audit, reconnect_max_attempts=2, reconnect_backoff=1.0
        )
        executor = IBKROrderExecutor(
            manager,
            small_enough if part is with_a_function else None,
            instruments=[at.instrument],
            validator=engine_for(at, clock) if part is with_the_engine else None,
            audit=audit,
            clock=clock,
            handlers=[watcher],
        )
        try:
            await manager.connect()
            require_paper_account(manager)
            await part(executor, watcher, at, run)
        finally:
            await manager.disconnect()
            record.close()
        refused = [e for e in journal.read(folder / f"{part.__name__}.db") if e.kind == "order_refused"]
        print(f"refusals in the journal: {len(refused)}")


async def main(given: argparse.Namespace) -> None:
    """Trade at the broker that the command line names."""
    with tempfile.TemporaryDirectory() as temporary:
        async with broker(given) as at:
            await trade(at, Path(temporary))


if __name__ == "__main__":
    try:
        asyncio.run(main(arguments(__doc__ or "")))
    except ExecutionError as error:
        sys.exit(f"error: {error}")
