"""The order tester's menu: what each entry asks, shows and does, and what happened meanwhile."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from itertools import count

from execution.clocks import SystemClock, timestamp
from execution.errors import ExecutionError, NumberFormatError
from execution.examples.broker import Broker, require_paper_account
from execution.examples.order_tester_screen import CHOICES, Back, Leave, Screen
from execution.executor import IBKROrderExecutor
from execution.models import ZERO, Fill, Order, OrderRequest, OrderType, Side, TimeInForce
from execution.numbers import format_decimal, parse_decimal


class Events:
    """Tells the screen what happens to orders and the connection, and keeps it."""

    def __init__(self, screen: Screen, clock: SystemClock) -> None:
        self.seen: list[tuple[str, str]] = []
        self._screen = screen
        self._clock = clock

    def on_order_status(self, order: Order) -> None:
        """Take a change of status."""
        self._take(
            "status",
            id=order.client_order_id,
            status=self._screen.status(order.status),
            filled=format_decimal(order.filled_quantity),
            quantity=format_decimal(order.quantity),
        )

    def on_fill(self, fill: Fill) -> None:
        """Take an execution."""
        self._take(
            "fill",
            id=fill.client_order_id,
            side=self._screen.say(f"side.{fill.side.value}"),
            quantity=format_decimal(fill.quantity),
            symbol=fill.symbol,
            price=format_decimal(fill.price),
        )

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Take a refusal of the broker."""
        self._take("rejected", id=order.client_order_id, reason=reason)

    def on_connected(self) -> None:
        """Take note of a session."""
        self._take("connected")

    def on_disconnected(self) -> None:
        """Take note that it is gone."""
        self._take("disconnected")

    def _take(self, kind: str, **values: object) -> None:
        row = (f"{timestamp(self._clock.now_ns()):%H:%M:%S}", self._screen.say(f"event.{kind}", **values))
        self.seen.append(row)
        self._screen.event(*row)


@dataclass(frozen=True, slots=True)
class Words:
    """Reads a person's answers."""

    screen: Screen

    def one_of(self, **keys: str) -> Callable[[str], str | None]:
        """Return a reader of words: `keys` gives the catalogue's key of the words for each value."""
        known = {word: value for value, key in keys.items() for word in self.screen.say(key).split()}
        return lambda text: known.get(text.lower())


def amount(text: str) -> Decimal | None:
    """Read a positive number."""
    try:
        value = parse_decimal(text, name="")
    except NumberFormatError:
        return None
    return value if value > 0 else None


def symbol(text: str) -> str | None:
    """Read a symbol."""
    return text.upper() if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 ./-]{0,31}", text, re.ASCII) else None


def life(text: str) -> TimeInForce | None:
    """Read how long an order works."""
    lives = {one.value: one for one in (TimeInForce.DAY, TimeInForce.GTC)}
    return lives.get(text.upper())


class OrderTester:
    """The menu and what its entries do.

    Parameters
    ----------
    screen, executor, events, at
        Where it prints and asks, what it trades with, what has happened, and where.
    """

    def __init__(self, screen: Screen, executor: IBKROrderExecutor, events: Events, at: Broker) -> None:
        self._screen = screen
        self._executor = executor
        self._events = events
        self._at = at
        self._account = ""
        self._words = Words(screen)
        self._numbers = count(1)
        self._session = SystemClock().now_ns() // 1_000_000_000 % 10_000_000  # short, and new for months
        self._last_symbol = at.instrument.symbol

    async def run(self) -> None:
        """Show the menu and do what is chosen, until the person leaves or the input ends."""
        await self.menu()
        while True:
            try:
                choice = await self._screen.ask(
                    "prompt.choice", lambda text: CHOICES.get(text) if text else "menu", "wrong.choice"
                )
                if choice == "quit":
                    return
                await getattr(self, choice)()
            except Back:
                self._screen.good("said.nothing_sent")
            except Leave:
                return
            except TimeoutError as error:
                self._screen.bad("unsure", code=getattr(error, "code", "TIMEOUT"), why=error)
            except ExecutionError as error:
                self._screen.bad("refused", code=error.code, why=error)

    async def menu(self) -> None:
        """Print the title and the menu."""
        key = "at.simulated" if self._at.simulated else "at.paper"
        where = self._screen.say(key, host=self._at.host, port=self._at.port)
        connected = self._executor.manager.is_connected()
        self._screen.head(where, connected=connected, account=self._account if connected else "")

    # -- connection ----------------------------------------------------------------------------------------

    async def connect(self) -> None:
        """Connect, refuse anything but one paper account, and reconcile."""
        await self._executor.manager.connect()
        try:
            self._account = require_paper_account(self._executor.manager)
        except ExecutionError:
            await self._executor.manager.disconnect()
            raise
        await self._executor.ensure_ready()
        self._screen.good("said.connected", account=self._account)

    async def disconnect(self) -> None:
        """Disconnect, leaving orders where they are."""
        await self._executor.manager.disconnect()
        self._screen.good("said.disconnected")

    async def summary(self) -> None:
        """Show the account."""
        if self._stands():
            self._screen.summary(await self._executor.get_account_summary())

    # -- orders --------------------------------------------------------------------------------------------

    async def market(self) -> None:
        """Place a market order."""
        if self._stands():
            await self._send(await self._draft(OrderType.MARKET))

    async def limit(self) -> None:
        """Place a limit order."""
        if self._stands():
            await self._send(await self._draft(OrderType.LIMIT))

    async def stop(self) -> None:
        """Place a stop order."""
        if self._stands():
            await self._send(await self._draft(OrderType.STOP))

    async def bracket(self) -> None:
        """Place an entry with its two exits."""
        if not self._stands():
            return
        entry = await self._draft(OrderType.LIMIT)
        profit_price = await self._screen.ask("prompt.take_profit", amount, "wrong.number")
        loss_price = await self._screen.ask("prompt.stop_loss", amount, "wrong.number")
        side = Side.SELL if entry.side is Side.BUY else Side.BUY
        profit = OrderRequest(
            entry.symbol,
            entry.quantity,
            OrderType.LIMIT,
            side,
            limit_price=profit_price,
            time_in_force=TimeInForce.GTC,
            client_order_id=f"{entry.client_order_id}-tp",
        )
        loss = OrderRequest(
            entry.symbol,
            entry.quantity,
            OrderType.STOP,
            side,
            stop_price=loss_price,
            time_in_force=TimeInForce.GTC,
            client_order_id=f"{entry.client_order_id}-sl",
        )
        self._screen.draft([entry, profit, loss])
        if await self._confirmed("prompt.confirm"):
            for order in await self._executor.submit_bracket(entry, profit, loss):
                self._told_sent(order)

    async def modify(self) -> None:
        """Change an order at work."""
        if not self._stands():
            return
        order = await self._chosen_order()
        changes: dict[str, Decimal] = {}
        for name in ("quantity", "limit_price", "stop_price"):
            old = getattr(order, name)
            if old is None:
                continue
            new = await self._screen.ask(
                f"prompt.new_{name}",
                lambda text: amount(text) if text else ZERO,
                "wrong.number",
                old=format_decimal(old),
            )
            if new:
                changes[name] = new
        if changes and await self._confirmed("prompt.confirm"):
            changed = await self._executor.modify_order(order.client_order_id or "", **changes)  # type: ignore[arg-type]  # names of amounts only
            status = self._screen.status(changed.status)
            self._screen.good("said.changed", id=changed.client_order_id, status=status)

    async def cancel(self) -> None:
        """Cancel one order."""
        if not self._stands():
            return
        order = await self._chosen_order()
        if await self._confirmed("prompt.confirm"):
            await self._executor.cancel_order(order.client_order_id or "")
            self._screen.good("said.cancel_asked", id=order.client_order_id)

    async def cancel_all(self) -> None:
        """Cancel every open order."""
        if self._stands() and await self._confirmed("prompt.confirm_all", more=""):
            left = await self._executor.cancel_all()
            if left:
                self._screen.bad("said.not_confirmed", what=_pairs(left))
            else:
                self._screen.good("said.all_cancelled")

    async def flatten(self) -> None:
        """Cancel every open order and close every position."""
        more = self._screen.say("prompt.and_positions")
        if self._stands() and await self._confirmed("prompt.confirm_all", more=more):
            done = await self._executor.flatten()
            self._screen.good("said.flattened", cancelled=len(done.cancelled), closing=len(done.closing))
            if done.left:
                self._screen.bad("said.left", what=_pairs(done.left))
            if done.others:
                self._screen.bad("said.others", what=_pairs(done.others))

    # -- the book ------------------------------------------------------------------------------------------

    async def positions(self) -> None:
        """Show what is held."""
        if self._stands():
            self._screen.positions(await self._executor.get_positions())

    async def open_orders(self) -> None:
        """Show the orders that can still trade."""
        self._screen.orders("open_orders", await self._executor.get_open_orders())

    async def all_orders(self) -> None:
        """Show every order of this session."""
        self._screen.orders("all_orders", self._executor.orders())

    async def events(self) -> None:
        """Show what has happened."""
        self._screen.events(self._events.seen)

    # -- parts ---------------------------------------------------------------------------------------------

    def _stands(self) -> bool:
        connected = self._executor.manager.is_connected()
        if not connected:
            self._screen.bad("not_connected")
        return connected

    async def _draft(self, kind: OrderType) -> OrderRequest:
        ask = self._screen.ask
        named = await ask("prompt.symbol", symbol, "wrong.symbol", default=self._last_symbol)
        self._last_symbol = named
        sides = self._words.one_of(BUY="words.buy", SELL="words.sell")
        side = Side(await ask("prompt.side", sides, "wrong.side"))
        quantity = await ask("prompt.quantity", amount, "wrong.number", default="1")
        limit = await ask("prompt.limit_price", amount, "wrong.number") if kind.needs_limit else None
        stop = await ask("prompt.stop_price", amount, "wrong.number") if kind.needs_stop else None
        time_in_force = TimeInForce.DAY
        if kind is not OrderType.MARKET:
            usual = "GTC" if self._at.simulated else "DAY"
            time_in_force = await ask("prompt.life", life, "wrong.life", default=usual)
        return OrderRequest(
            named,
            quantity,
            kind,
            side,
            limit_price=limit,
            stop_price=stop,
            time_in_force=time_in_force,
            client_order_id=f"t{self._session}-{next(self._numbers)}",
        )

    async def _send(self, request: OrderRequest) -> None:
        self._screen.draft([request])
        if await self._confirmed("prompt.confirm"):
            self._told_sent(await self._executor.submit_order(request))

    def _told_sent(self, order: Order) -> None:
        self._screen.good("said.sent", id=order.client_order_id, status=self._screen.status(order.status))

    async def _confirmed(self, key: str, **values: str) -> bool:
        answers = self._words.one_of(yes="words.yes", no="words.no")
        answer = await self._screen.ask(key, answers, "wrong.answer", **values)
        if answer == "no":
            self._screen.good("said.nothing_sent")
        return answer == "yes"

    async def _chosen_order(self) -> Order:
        orders = await self._executor.get_open_orders()
        self._screen.orders("open_orders", orders)
        if not orders:
            raise Back
        known = {str(number): order for number, order in enumerate(orders, start=1)}
        known |= {order.client_order_id or "": order for order in orders}
        return await self._screen.ask("prompt.order", known.get, "wrong.order")


def _pairs(what: dict[str, str]) -> str:
    return "; ".join(f"{name}: {why}" for name, why in what.items())
