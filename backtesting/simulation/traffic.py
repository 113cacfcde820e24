"""What is traded in a seed: the deeds of strategy and operator, by time, and who carries them out.

A plan belongs to the seed, not to a process: what a killed process did not finish is done by the next one,
under the same client order ids, as a caller does who did not get an answer.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Final

from backtesting.simulation.market import SYMBOLS
from backtesting.simulation.runner import LEAST_ORDERS
from execution.errors import ExecutionError, OrderRejectedError, RiskCheckError
from execution.models import OrderRequest, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    from backtesting.simulation.trader import Trader

_CENT: Final = Decimal("0.01")
_BURSTS: Final = (3, 3, 3, 3, 6, 6, 6, 6, 12, 12, 12, 50)
"""Orders of a burst; fifty are more than leave in a second, and each listing from then on is as long."""

_ORDERS_OF: Final = {"order": 1, "oca": 2, "bracket": 3}
_SHARE_CANCEL_ALL: Final = 0.3
_SHARE_FLATTEN: Final = 0.25
_SHARE_BURST: Final = 0.12
_SHARE_WAITS: Final = 0.6
_SHARE_PATIENT: Final = 0.8
_LONGEST_PAUSE: Final = 20.0
_BETWEEN_LOOKS: Final = 6.0
_SINGLE: Final = (
    OrderType.MARKET,
    OrderType.MARKET,
    OrderType.LIMIT,
    OrderType.LIMIT,
    OrderType.LIMIT,
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.TRAIL,
    OrderType.MARKET_IF_TOUCHED,
)


@dataclass(slots=True)
class Deed:
    """One thing to do at a time: `kind`, and what it needs."""

    at: float
    kind: str
    name: str
    symbol: str = SYMBOLS[0]
    side: Side = Side.BUY
    quantity: Decimal = Decimal(100)
    order_type: OrderType = OrderType.MARKET
    offset: Decimal = Decimal(0)
    """Distance of the price from the mark, as a share of it; positive is worse for us to be filled at."""
    life: TimeInForce = TimeInForce.DAY
    waits: bool = True
    patient: bool = True
    """Whether it is begun only when the way is open."""
    pick: int = 0
    tries: int = 0
    requests: tuple[OrderRequest, ...] = ()
    """What was asked for, once it was: a second try asks for the same."""
    done: bool = field(default=False)


def plan(seed: int, seconds: float) -> list[Deed]:
    """Return the deeds of a seed, by time: eight orders or a few more in two symbols, and changes of them."""
    rng = random.Random(f"{seed}/traffic")  # noqa: S311  # nosec B311  # a seed is to be repeatable
    deeds: list[Deed] = []
    orders, wanted = 0, rng.choice((LEAST_ORDERS, LEAST_ORDERS, LEAST_ORDERS + 1))
    while orders < wanted:
        deed = _order(rng, seed, len(deeds), seconds)
        orders += _ORDERS_OF[deed.kind]
        deeds.append(deed)
    deeds[0].symbol, deeds[1].symbol = SYMBOLS
    for number in range(rng.randrange(1, 5)):
        kind = rng.choice(("modify", "modify", "cancel", "cancel", "again"))
        deeds.append(Deed(rng.uniform(30, seconds - 60), kind, f"c{number}", pick=rng.randrange(1 << 16)))
    if rng.random() < _SHARE_CANCEL_ALL:
        deeds.append(Deed(rng.uniform(300, seconds - 60), "cancel all", "all"))
    if rng.random() < _SHARE_FLATTEN:
        deeds.append(Deed(rng.uniform(600, seconds - 60), "flatten", "flat"))
    if rng.random() < _SHARE_BURST:
        deeds.append(Deed(rng.uniform(60, seconds - 60), "burst", "burst", pick=rng.choice(_BURSTS)))
    deeds.sort(key=lambda deed: deed.at)
    return deeds


def _order(rng: random.Random, seed: int, number: int, seconds: float) -> Deed:
    kind = rng.choice(("order", "order", "order", "order", "bracket", "oca"))
    return Deed(
        at=rng.uniform(5, seconds - 90),
        kind=kind,
        name=f"s{seed}-{number}",
        symbol=rng.choice(SYMBOLS),
        side=rng.choice((Side.BUY, Side.BUY, Side.SELL)),
        quantity=Decimal(rng.choice((10, 50, 100, 200, 400))),
        order_type=rng.choice(_SINGLE),
        offset=Decimal(rng.randrange(-40, 80)) / Decimal(10_000),
        life=rng.choice((TimeInForce.DAY, TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC)),
        waits=rng.random() < _SHARE_WAITS,
        patient=rng.random() < _SHARE_PATIENT,
    )


def requests_of(deed: Deed, mark: Decimal) -> tuple[OrderRequest, ...]:
    """Return the orders of a deed at a mark."""
    base = _single(deed, mark)
    if deed.kind == "bracket":
        entry = replace(base, time_in_force=TimeInForce.DAY)
        away = -1 if entry.side is Side.BUY else 1
        exit_side = Side.SELL if entry.side is Side.BUY else Side.BUY
        profit = OrderRequest(
            deed.symbol,
            deed.quantity,
            OrderType.LIMIT,
            exit_side,
            limit_price=_at(mark, -away * Decimal("0.004")),
        )
        loss = OrderRequest(
            deed.symbol,
            deed.quantity,
            OrderType.STOP,
            exit_side,
            stop_price=_at(mark, away * Decimal("0.004")),
        )
        return (
            entry,
            replace(profit, client_order_id=f"{deed.name}-tp"),
            replace(loss, client_order_id=f"{deed.name}-sl"),
        )
    if deed.kind == "oca":
        first = OrderRequest(
            deed.symbol,
            deed.quantity,
            OrderType.LIMIT,
            deed.side,
            limit_price=_at(mark, -deed.side.sign * Decimal("0.002")),
            client_order_id=f"{deed.name}-a",
            oca_group=f"g{deed.name}",
            oca_type=1 + deed.quantity.__trunc__() % 3,
        )
        far = replace(
            first, client_order_id=f"{deed.name}-b", limit_price=_at(mark, -deed.side.sign * Decimal("0.003"))
        )
        return (first, far)
    return (base,)


def _single(deed: Deed, mark: Decimal) -> OrderRequest:
    kind, side = deed.order_type, deed.side
    away = _at(mark, -side.sign * deed.offset)
    ahead = _at(mark, side.sign * (abs(deed.offset) + Decimal("0.001")))
    limit = away if kind is OrderType.LIMIT else None
    stop = None
    trail = None
    if kind in (OrderType.STOP, OrderType.STOP_LIMIT):
        stop = ahead
        if kind is OrderType.STOP_LIMIT:
            limit = _at(ahead, side.sign * Decimal("0.001"))
    elif kind is OrderType.MARKET_IF_TOUCHED:
        stop = _at(mark, -side.sign * (abs(deed.offset) + Decimal("0.001")))
    elif kind is OrderType.TRAIL:
        trail = max(_CENT, (mark * Decimal("0.003")).quantize(_CENT))
    life = deed.life if kind in (OrderType.LIMIT, OrderType.MARKET) else TimeInForce.DAY
    return OrderRequest(
        deed.symbol,
        deed.quantity,
        kind,
        side,
        limit_price=limit,
        stop_price=stop,
        trail_amount=trail,
        time_in_force=life,
        client_order_id=deed.name,
        strategy="simulated",
    )


def _at(mark: Decimal, share: Decimal) -> Decimal:
    return (mark * (1 + share)).quantize(_CENT)


class Driver:
    """Carries out the deeds of a seed in one process; each in a task of its own."""

    def __init__(self, trader: Trader) -> None:
        self._trader = trader
        self._world = trader.world

    async def run(self) -> None:
        """Do what is due, in order of time, until all is done."""
        world = self._world
        for deed in world.deeds:
            if deed.done:
                continue
            wait = deed.at - world.loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            world.spawn(partial(self._carry_out, deed), f"deed {deed.name}")
        await asyncio.sleep(max(0.0, world.options.safety_seconds - world.loop.time()))
        if world.options.make_up:
            await self._make_up()

    async def _make_up(self) -> None:
        """Place the orders that are missing where the way was closed for so long that deeds were not done."""
        world, asked = self._world, self._world.submitted_requests
        while world.takes_orders:
            traded = {request.symbol for request in asked.values()}
            missing = [symbol for symbol in SYMBOLS if symbol not in traded]
            if len(asked) >= LEAST_ORDERS and not missing:
                return
            deed = Deed(
                world.loop.time(),
                "order",
                f"late{world.seed}-{len(asked)}",
                symbol=missing[0] if missing else SYMBOLS[len(asked) % 2],
                quantity=Decimal(10),
                order_type=OrderType.LIMIT,
                offset=Decimal("0.01"),
                waits=False,
            )
            await self._carry_out(deed)

    async def _carry_out(self, deed: Deed) -> None:
        """Try until it is done, refused for good, or was tried often enough."""
        world, trader = self._world, self._trader
        while not deed.done and world.takes_orders:
            if not trader.executor.is_ready and deed.patient:
                await asyncio.sleep(_BETWEEN_LOOKS)
                continue
            deed.tries += 1
            try:
                await self._do(deed)
            except (RiskCheckError, OrderRejectedError) as error:
                deed.done = True
                outcome = type(error).__name__
            except ExecutionError as error:
                outcome = type(error).__name__
                unasked = deed.kind in _ORDERS_OF and not deed.requests
                if not (unasked or isinstance(error, ConnectionError)):
                    deed.done = True  # malformed, not changeable, unknown: the same again would be no better
            else:
                deed.done = True
                outcome = "done"
            if not trader.process.alive:
                return
            world.note(f"deed {deed.kind} {deed.name} try {deed.tries}: {outcome}")
            if not deed.done:
                await asyncio.sleep(min(_LONGEST_PAUSE, 4.0 * deed.tries))

    async def _do(self, deed: Deed) -> None:
        trader, world = self._trader, self._world
        executor = trader.executor
        if deed.kind in ("order", "bracket", "oca"):
            await executor.ensure_ready()
            if not deed.requests:
                deed.requests = requests_of(deed, trader.mark(deed.symbol))
            await self._submit(deed)
        elif deed.kind == "cancel all":
            await executor.cancel_all()
        elif deed.kind == "flatten":
            await executor.flatten()
        elif deed.kind == "burst":
            await executor.ensure_ready()
            for place in range(deed.pick):
                request = OrderRequest(
                    SYMBOLS[place % 2],
                    Decimal(10),
                    OrderType.LIMIT,
                    Side.BUY,
                    limit_price=_at(trader.mark(SYMBOLS[place % 2]), Decimal("-0.02")),
                    client_order_id=f"{deed.name}{world.seed}-{place}",
                )
                request = world.submitted_requests.get(request.client_order_id or "", request)
                world.handed((request,))
                executor.submit(request)
                world.acknowledge((request,))
        elif deed.kind == "again":
            await self._again(deed)
        else:
            await self._change(deed)

    async def _submit(self, deed: Deed) -> None:
        world, executor = self._world, self._trader.executor
        world.handed(deed.requests)
        if deed.kind == "bracket":
            entry, profit, loss = deed.requests
            await executor.submit_bracket(entry, profit, loss)
            world.acknowledge(deed.requests)
            return
        for request in deed.requests:
            if deed.waits:
                await executor.submit_order(request)
            else:
                executor.submit(request)
            world.acknowledge((request,))

    async def _again(self, deed: Deed) -> None:
        """Ask once more for an order that was asked for before: a caller who did not get an answer."""
        world = self._world
        known = [request for request in world.submitted_requests.values() if request.strategy == "simulated"]
        if known:
            await self._trader.executor.ensure_ready()
            request = known[deed.pick % len(known)]
            self._trader.executor.submit(request)
            world.acknowledge((request,))

    async def _change(self, deed: Deed) -> None:
        executor = self._trader.executor
        await executor.ensure_ready()
        working = executor.blotter.open_entries()
        if not working:
            return
        entry = working[deed.pick % len(working)]
        if deed.kind == "cancel":
            await executor.cancel_order(entry.client_order_id)
            return
        request = entry.request
        if request.limit_price is not None and deed.pick % 3:
            price = _at(request.limit_price, Decimal(deed.pick % 7 - 3) / Decimal(2000))
            await executor.modify_order(entry.client_order_id, limit_price=price)
        else:
            await executor.modify_order(
                entry.client_order_id, quantity=request.quantity + 10 * (deed.pick % 5 - 2)
            )
