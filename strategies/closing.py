"""The end of a session over the wire: no working order left behind, and the broker's closing book."""

from __future__ import annotations

import asyncio

import structlog

from execution.errors import NotConnectedError, OrderInDoubtError, RiskCheckError, UnknownOrderError
from execution.executor import IBKROrderExecutor
from execution.numbers import format_decimal

_BETWEEN_LOOKS = 0.1


async def cancel_open_orders(executor: IBKROrderExecutor, within_seconds: float) -> list[str]:
    """Cancel every open order and wait until the broker has confirmed each.

    Parameters
    ----------
    executor
        Whose orders; connected and reconciled.
    within_seconds
        How long to ask for and wait for the confirmations.

    Returns
    -------
    list of str
        Client order ids of the orders whose end was not confirmed.
    """
    log = structlog.get_logger("closing")
    deadline = asyncio.get_running_loop().time() + within_seconds
    asked: set[str] = set()
    while waiting := [order.client_order_id or "" for order in await executor.get_open_orders()]:
        for name in waiting:
            if name in asked:
                continue
            try:
                await executor.cancel_order(name)
                asked.add(name)
            except UnknownOrderError:
                asked.add(name)  # it ended meanwhile
            except (NotConnectedError, OrderInDoubtError, RiskCheckError) as error:
                log.warning("not cancelled yet", correlation_id=name, why=str(error))
        await executor.manager.session.open_orders()
        executor.inbox.close()
        if asyncio.get_running_loop().time() >= deadline:
            break
        if await executor.get_open_orders():
            await asyncio.sleep(_BETWEEN_LOOKS)
    left = [order.client_order_id or "" for order in await executor.get_open_orders()]
    if left:
        log.error("orders still open", correlation_ids=left, remedy="cancel them in TWS")
    return left


async def record_closing_book(executor: IBKROrderExecutor, now_ns: int) -> None:
    """Record positions, cash and open orders as the broker has them, durably."""
    positions = {p.symbol: format_decimal(p.quantity) for p in await executor.get_positions()}
    summary = await executor.get_account_summary()
    executor.audit.log(
        "session_closed",
        positions=positions,
        cash=format_decimal(summary["TotalCashValue"]),
        open_orders=[order.client_order_id for order in await executor.get_open_orders()],
        trading_time=now_ns,
    )
