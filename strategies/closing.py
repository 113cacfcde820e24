"""The end of a session over the wire: no working order left behind, and the broker's closing book."""

from __future__ import annotations

import asyncio
import enum

import structlog

from execution.errors import NotConnectedError, OrderInDoubtError, RiskCheckError, UnknownOrderError
from execution.executor import IBKROrderExecutor
from execution.models import Order, TimeInForce
from execution.numbers import format_decimal

_BETWEEN_LOOKS = 0.1


class OpenOrders(enum.StrEnum):
    """What becomes of open orders when a trader ends."""

    LEAVE = "leave"
    CANCEL_DAY = "cancel-day"
    """Those that would end with the day are cancelled; the others (GTC, GTD) keep working."""
    CANCEL_ALL = "cancel-all"

    def ends(self, order: Order) -> bool:
        """Return whether an order is to be cancelled."""
        if self is OpenOrders.CANCEL_DAY:
            return order.time_in_force not in (TimeInForce.GTC, TimeInForce.GTD)
        return self is OpenOrders.CANCEL_ALL


async def cancel_open_orders(
    executor: IBKROrderExecutor, within_seconds: float, which: OpenOrders = OpenOrders.CANCEL_ALL
) -> list[str]:
    """Cancel open orders and wait until the broker has confirmed each.

    Parameters
    ----------
    executor
        Whose orders; connected and reconciled.
    within_seconds
        How long to ask for and wait for the confirmations.
    which
        Which of them; by default all.

    Returns
    -------
    list of str
        Client order ids of the orders whose end was not confirmed.
    """
    log = structlog.get_logger("closing")
    deadline = asyncio.get_running_loop().time() + within_seconds
    asked: set[str] = set()
    while waiting := await _names(executor, which):
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
        if await _names(executor, which):
            await asyncio.sleep(_BETWEEN_LOOKS)
    left = await _names(executor, which)
    if left:
        log.error("orders still open", correlation_ids=left, remedy="cancel them in TWS")
    return left


async def _names(executor: IBKROrderExecutor, which: OpenOrders) -> list[str]:
    return [order.client_order_id or "" for order in await executor.get_open_orders() if which.ends(order)]


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
