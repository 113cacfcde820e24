"""The steps of the paper checklist: what is asked of a real TWS, and what must come back.

Each step is a coroutine over a `Trial`; it raises `Wrong` where the answer is not what it must be, and
`NotApplicable` where nothing could be learned (a closed market, an account without the permission).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pandas as pd

from execution.clocks import timestamp
from execution.errors import (
    InvalidOrderError,
    ModificationRejectedError,
    NotConnectedError,
    OrderRejectedError,
    UnknownOrderError,
)
from execution.examples.paper_trial import ONE, WORKING, NotApplicable, Trial, Wrong, require
from execution.models import (
    ZERO,
    Order,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)
from execution.numbers import format_decimal


async def connected(trial: Trial) -> str:
    """Check that the session stands and tells its accounts."""
    session = trial.executor.manager.session
    require(trial.account in session.accounts, f"account {trial.account} is not among {session.accounts}")
    return f"next order id {session.next_order_id}"


async def reconciled(trial: Trial) -> str:
    """Check that open orders, executions and positions come with their end marks, and agree."""
    result = await trial.executor.reconcile()
    require(result.agrees, result.describe())
    return result.describe()


async def time_told(trial: Trial) -> str:
    """Check that the broker tells its time, and it does not run back."""
    first = await trial.executor.manager.session.current_time()
    second = await trial.executor.manager.session.current_time()
    require(second >= first, "the broker's time ran back")
    return f"{timestamp(second):%Y-%m-%d %H:%M:%S} UTC"


async def summary_told(trial: Trial) -> str:
    """Check that the account's value and cash are numbers."""
    figures = await trial.executor.get_account_summary(trial.account)
    require({"NetLiquidation", "TotalCashValue"} <= set(figures), f"only {sorted(figures)} were told")
    return "net liquidation value and cash told"


async def positions_told(trial: Trial) -> str:
    """Check that positions are listed."""
    return f"{len(await trial.executor.get_positions())} positions"


async def contract_known(trial: Trial) -> str:
    """Check that the contract is found by its symbol."""
    found = await trial.executor.manager.session.contract_details(trial.instrument)
    require(bool(found), f"{trial.symbol} is not known")
    return f"{len(found)} contracts"


async def margins_told(trial: Trial) -> str:
    """Check that a what-if is answered with figures, and nothing is placed."""
    before = len(trial.executor.orders())
    impact = await trial.executor.what_if(trial.request(OrderType.LIMIT, limit_price=trial.low))
    require(impact.initial_after is not None or impact.initial_change is not None, "no margin was told")
    require(len(trial.executor.orders()) == before, "an order was placed")
    change = impact.initial_change
    return "margins told" if change is None else f"initial margin changes by {format_decimal(change)}"


async def limit_works_and_is_cancelled(trial: Trial) -> str:
    """Check that a limit order works, and its cancellation is confirmed."""
    name = await trial.placed(trial.request(OrderType.LIMIT, limit_price=trial.low))
    order_id = trial.order(name).order_id
    await trial.cancelled(name)
    require(order_id.isdecimal(), f"its id is {order_id!r}")
    return "its end was confirmed"


async def never_sent_twice(trial: Trial) -> str:
    """Check that the same request again returns the stored order and sends nothing."""
    request = trial.request(OrderType.LIMIT, limit_price=trial.low)
    name = await trial.placed(request)
    again = await trial.executor.submit_order(request)
    require(again.order_id == trial.order(name).order_id, "a second order was sent")
    await trial.cancelled(name)
    return "the stored order came back"


async def listed_after_asking(trial: Trial) -> str:
    """Check that a working order is in the broker's list, and the book agrees with it."""
    name = await trial.placed(trial.request(OrderType.LIMIT, limit_price=trial.low))
    result = await trial.executor.reconcile()
    require(result.agrees, result.describe())
    require(trial.order(name).status in WORKING, f"it is {trial.order(name).status}")
    await trial.cancelled(name)
    return "listed"


async def price_changed(trial: Trial) -> str:
    """Check that a limit price is changed in place."""
    name = await trial.placed(trial.request(OrderType.LIMIT, limit_price=trial.low))
    before = trial.order(name).order_id
    changed = await trial.executor.modify_order(name, limit_price=trial.low - ONE)
    require(changed.limit_price == trial.low - ONE, f"the limit is {changed.limit_price}")
    require(changed.order_id == before, "it became another order")
    await trial.cancelled(name)
    return f"{trial.low} to {changed.limit_price}"


async def quantity_changed(trial: Trial) -> str:
    """Check that a quantity is changed in place."""
    name = await trial.placed(trial.request(OrderType.LIMIT, limit_price=trial.low))
    changed = await trial.executor.modify_order(name, quantity=Decimal(2))
    require(changed.quantity == 2, f"the quantity is {changed.quantity}")  # noqa: PLR2004 - as asked for
    await trial.cancelled(name)
    return "1 to 2"


async def ended_is_not_cancelled(trial: Trial) -> str:
    """Check that a cancellation of what is over is refused before it is sent."""
    name = await trial.placed(trial.request(OrderType.LIMIT, limit_price=trial.low))
    await trial.cancelled(name)
    try:
        await trial.executor.cancel_order(name)
    except UnknownOrderError:
        return "refused"
    raise Wrong("a second cancellation was sent")


async def unknown_contract_refused(trial: Trial) -> str:
    """Check that an order for a contract that does not exist is refused, and nothing is left."""
    request = trial.request(OrderType.LIMIT, limit_price=trial.low, symbol="ZZZZQQ")
    try:
        await trial.executor.submit_order(request)
    except (OrderRejectedError, InvalidOrderError) as refusal:
        return str(refusal)[:80]
    raise Wrong("it was taken")


async def off_tick_refused(trial: Trial) -> str:
    """Check that a price between two ticks is refused before it is sent."""
    try:
        await trial.executor.submit_order(
            trial.request(OrderType.LIMIT, limit_price=trial.low + Decimal("0.001"))
        )
    except InvalidOrderError:
        return "refused unsent"
    raise Wrong("it was sent")


def works(kind: OrderType, about: str, terms: Callable[[Trial], dict[str, Any]]) -> Step:
    """Return the step in which an order type works and is cancelled."""

    async def step(trial: Trial) -> str:
        name = await trial.placed(trial.request(kind, **terms(trial)))
        await trial.cancelled(name)
        return "worked and was cancelled"

    return Step(about, step)


async def group_ends_together(trial: Trial) -> str:
    """Check that two orders of one group work; each is cancelled."""
    group = f"{trial.prefix}group"
    names = [
        await trial.placed(trial.request(OrderType.LIMIT, limit_price=price, oca_group=group))
        for price in (trial.low, trial.low - ONE)
    ]
    left = await trial.executor.cancel_all()
    require(not left, f"not confirmed: {left}")
    require(all(trial.order(name).status.is_final for name in names), "one is left")
    return "both ended"


async def bracket_works_and_ends_with_its_entry(trial: Trial) -> str:
    """Check that a bracket works as a whole; cancelling its entry ends the exits."""
    entry = trial.request(OrderType.LIMIT, limit_price=trial.low)
    profit = trial.request(OrderType.LIMIT, Side.SELL, limit_price=trial.high)
    loss = trial.request(OrderType.STOP, Side.SELL, stop_price=trial.low - ONE)
    orders = await trial.executor.submit_bracket(entry, profit, loss)
    require(all(order.status in WORKING for order in orders), f"{[str(o.status) for o in orders]}")
    await trial.executor.cancel_order(entry.client_order_id or "")
    names = [order.client_order_id or "" for order in orders]
    await trial.until(lambda: all(trial.order(n).status.is_final for n in names), "the end of the bracket")
    return "three ended"


async def reconnected(trial: Trial) -> str:
    """Check that the connection is cut; a new one finds the order where it was, and can still cancel it."""
    name = await trial.placed(
        trial.request(OrderType.LIMIT, limit_price=trial.low, time_in_force=TimeInForce.GTC)
    )
    trial.recorder.cut()
    await trial.until(lambda: not trial.executor.manager.is_connected(), "the loss of the connection")
    await _ready_again(trial)
    require(trial.order(name).status in WORKING, f"the order is {trial.order(name).status}")
    await trial.cancelled(name)
    return "the order was where it was"


async def _ready_again(trial: Trial) -> None:
    for _ in range(10):
        try:
            await trial.executor.ensure_ready()
        except NotConnectedError:
            await asyncio.sleep(1.0)
        else:
            return
    await trial.executor.ensure_ready()


async def bought_at_the_market(trial: Trial) -> str:
    """Check that one share is bought, told once, and is in the positions."""
    held = await _held(trial)
    request = trial.request(OrderType.MARKET)
    await trial.executor.submit_order(request)
    name = request.client_order_id or ""
    try:
        await trial.until(lambda: trial.order(name).status.is_final, "the fill")
    except Wrong:
        await trial.cancelled(name)
        raise NotApplicable("no fill: the market is closed") from None
    order = trial.order(name)
    require(order.status is OrderStatus.FILLED, f"it ended {order.status}: {order.reason}")
    trial.bought = True
    told = [fill for fill in trial.fills if fill.client_order_id == name]
    require(sum(fill.quantity for fill in told) == ONE, f"{len(told)} executions were told")
    now = await _held(trial)
    require(now == held + ONE, f"the position went from {held} to {now}")
    return f"filled at {_price(order)}"


async def commission_joined(trial: Trial) -> str:
    """Check that the commission of the execution arrives and joins it."""
    if not trial.bought:
        raise NotApplicable("nothing was bought")
    await trial.until(lambda: all(f.commission is not None for f in trial.fills), "the commission")
    return format_decimal(sum((fill.commission or ZERO for fill in trial.fills), ZERO))


async def change_after_the_end_refused(trial: Trial) -> str:
    """Check that what is filled cannot be changed."""
    if not trial.bought:
        raise NotApplicable("nothing was bought")
    filled = next(order for order in trial.executor.orders() if order.status is OrderStatus.FILLED)
    try:
        await trial.executor.modify_order(filled.client_order_id or "", quantity=Decimal(2))
    except (InvalidOrderError, ModificationRejectedError, ValueError):
        return "refused"
    raise Wrong("it was changed")


async def sold_again(trial: Trial) -> str:
    """Check that the share is sold again."""
    if not trial.bought:
        raise NotApplicable("nothing was bought")
    request = trial.request(OrderType.MARKET, Side.SELL)
    await trial.executor.submit_order(request)
    name = request.client_order_id or ""
    await trial.until(lambda: trial.order(name).status.is_final, "the fill")
    require(trial.order(name).status is OrderStatus.FILLED, f"it ended {trial.order(name).status}")
    trial.bought = False
    return f"filled at {_price(trial.order(name))}"


async def nothing_left(trial: Trial) -> str:
    """Check that no order of this checklist is open, and the book agrees with the broker's."""
    left = await trial.executor.cancel_all()
    require(not left, f"not confirmed: {left}")
    result = await trial.executor.reconcile()
    require(result.agrees, result.describe())
    require(not trial.executor.inbox.net.get(trial.symbol, ZERO), "a share is left")
    return "no order, no position of ours"


def _price(order: Order) -> str:
    return "" if order.average_fill_price is None else format_decimal(order.average_fill_price)


async def _held(trial: Trial) -> Decimal:
    return sum((p.quantity for p in await trial.executor.get_positions() if p.symbol == trial.symbol), ZERO)


def _next_week(trial: Trial) -> pd.Timestamp:
    return timestamp(trial.clock.now_ns()) + pd.Timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Step:
    """One step: what it shows, and how."""

    about: str
    run: Callable[[Trial], Awaitable[str]]


def _step(run: Callable[[Trial], Awaitable[str]]) -> Step:
    about = (run.__doc__ or "").split("\n", maxsplit=1)[0].removeprefix("Check that ").rstrip(".")
    return Step(about[:1].upper() + about[1:], run)


_T = OrderType

STEPS: tuple[Step, ...] = (
    *map(_step, (connected, reconciled, time_told, summary_told, positions_told, contract_known)),
    *map(_step, (margins_told, limit_works_and_is_cancelled, never_sent_twice, listed_after_asking)),
    *map(_step, (price_changed, quantity_changed, ended_is_not_cancelled)),
    *map(_step, (unknown_contract_refused, off_tick_refused)),
    works(
        _T.LIMIT,
        "A limit order good till cancelled works",
        lambda t: {"limit_price": t.low, "time_in_force": TimeInForce.GTC},
    ),
    works(
        _T.LIMIT,
        "A limit order good till a date works",
        lambda t: {"limit_price": t.low, "time_in_force": TimeInForce.GTD, "good_till": _next_week(t)},
    ),
    works(
        _T.LIMIT,
        "A limit order outside regular hours works",
        lambda t: {"limit_price": t.low, "outside_rth": True},
    ),
    works(_T.STOP, "A stop order works", lambda t: {"stop_price": t.high}),
    works(_T.STOP_LIMIT, "A stop-limit order works", lambda t: {"stop_price": t.high, "limit_price": t.high}),
    works(_T.TRAIL, "A trailing stop works", lambda t: {"trail_amount": t.high - t.low}),
    works(
        _T.TRAIL_LIMIT,
        "A trailing stop-limit works",
        lambda t: {"trail_amount": t.high - t.low, "trail_stop": t.high, "limit_offset": ONE},
    ),
    works(_T.MARKET_IF_TOUCHED, "A market-if-touched order works", lambda t: {"stop_price": t.low}),
    works(
        _T.LIMIT_IF_TOUCHED,
        "A limit-if-touched order works",
        lambda t: {"stop_price": t.low, "limit_price": t.low},
    ),
    works(_T.LIMIT_ON_CLOSE, "A limit-on-close order works", lambda t: {"limit_price": t.low}),
    *map(_step, (group_ends_together, bracket_works_and_ends_with_its_entry, reconnected)),
    *map(_step, (bought_at_the_market, commission_joined, change_after_the_end_refused, sold_again)),
    _step(nothing_left),
)
"""All steps, in order."""
