"""The order tester's screen: what it prints and asks, in one language."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import TypeVar

from rich import box
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from execution.models import Order, OrderRequest, OrderStatus, Position
from execution.numbers import format_decimal

_Value = TypeVar("_Value")

MENU: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("connection", ("connect", "disconnect", "summary")),
    ("orders", ("market", "limit", "stop", "bracket", "modify", "cancel", "cancel_all", "flatten")),
    ("book", ("positions", "open_orders", "all_orders", "events")),
)
CHOICES = {str(n): name for n, name in enumerate((c for _, group in MENU for c in group), start=1)} | {
    "0": "quit"
}
BACK = "."

_COLOURS = {
    OrderStatus.FILLED: "green",
    OrderStatus.SUBMITTED: "cyan",
    OrderStatus.PARTIALLY_FILLED: "bright_cyan",
    OrderStatus.REJECTED: "red",
    OrderStatus.UNKNOWN: "bold red",
    OrderStatus.CANCELLED: "bright_black",
    OrderStatus.NOT_SENT: "bright_black",
}
_WIDTH = 100


class Leave(Exception):  # noqa: N818 - not an error: the person has no more to say
    """The input has ended."""


class Back(Exception):  # noqa: N818 - not an error: the person changed their mind
    """The person goes back to the menu."""


class Screen:
    """Prints and asks in one language.

    Parameters
    ----------
    texts
        The catalogue.
    console
        Where it prints; its own width where it is a terminal.
    """

    def __init__(self, texts: Mapping[str, str], console: Console | None = None) -> None:
        self.texts = texts
        self.console = console or Console(highlight=False, width=None if sys.stdout.isatty() else _WIDTH)
        self._asking = ""

    def say(self, key: str, /, **values: object) -> str:
        """Return a text of the catalogue with its places filled."""
        text: str = self.texts[key].format(**values)
        return text

    # -- printing ------------------------------------------------------------------------------------------

    def head(self, where: str, *, connected: bool, account: str) -> None:
        """Print the title with where orders would go, and the menu."""
        lamp = Text("● ", style="green" if connected else "red")
        state = Text(self.say("state.connected" if connected else "state.disconnected"))
        line = Text.assemble(lamp, state, "   ", (where, "italic"))
        if account:
            line.append(f"   {self.say('account')} ", style="bright_black").append(account, style="bold")
        connection, orders, book = (self._group(title, names) for title, names in MENU)
        leave = Text.assemble((" 0 ", "bold yellow"), self.say("menu.quit"))
        menu = Table.grid(padding=(0, 6))
        menu.add_row(Group(connection, "", book), Group(orders, "", leave))
        body = Group(line, "", menu)
        title = Text(self.say("title"), style="bold")
        self.console.print(Panel(body, title=title, title_align="left", box=box.ROUNDED, padding=(1, 2)))

    def _group(self, title: str, names: Sequence[str]) -> Group:
        numbers = {name: number for number, name in CHOICES.items()}
        lines = [Text(self.say(f"menu.{title}"), style="bold cyan")]
        lines += [
            Text.assemble((f"{numbers[name]:>2} ", "bold yellow"), self.say(f"menu.{name}")) for name in names
        ]
        return Group(*lines)

    def good(self, key: str, /, **values: object) -> None:
        """Print that something was done."""
        self.console.print(Text.assemble(("✓ ", "bold green"), self.say(key, **values)))

    def bad(self, key: str, /, **values: object) -> None:
        """Print that something is wrong and what to do."""
        self.console.print(Text.assemble(("✗ ", "bold red"), self.say(key, **values)))

    def event(self, time: str, text: str) -> None:
        """Print an event as it comes; a question that stands is asked again below it."""
        if self._asking and self.console.is_terminal:
            self.console.print()
        self.console.print(Text.assemble((f"  {time} ", "bright_black"), ("▸ ", "magenta"), text))
        if self._asking and self.console.is_terminal:
            self._question()

    def orders(self, title: str, orders: Sequence[Order]) -> None:
        """Print orders as a table, numbered so that a number names one."""
        if not orders:
            self.console.print(Text(f"  {self.say('none.orders')}", style="italic"))
            return
        table = self._table(title, "number", "id", "side", "quantity", "symbol", "type", "price", "status")
        table.add_column(self.say("column.filled"), justify="right", no_wrap=True)
        table.add_column(self.say("column.average"), justify="right", no_wrap=True)
        for number, order in enumerate(orders, start=1):
            table.add_row(
                str(number),
                order.client_order_id,
                self._side(order.side.value),
                format_decimal(order.quantity),
                order.symbol,
                self._kind(order.order_type.value),
                _prices(order),
                Text(self.status(order.status), style=_COLOURS.get(order.status, "yellow")),
                format_decimal(order.filled_quantity),
                _plain(order.average_fill_price),
            )
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def draft(self, requests: Sequence[OrderRequest]) -> None:
        """Print orders that are about to be sent."""
        table = self._table("draft", "side", "quantity", "symbol", "type", "price", "id")
        for request in requests:
            table.add_row(
                self._side(request.side.value),
                format_decimal(request.quantity),
                request.symbol,
                self._kind(request.order_type.value),
                _prices(request),
                request.client_order_id,
            )
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def positions(self, positions: Sequence[Position]) -> None:
        """Print positions."""
        if not positions:
            self.console.print(Text(f"  {self.say('none.positions')}", style="italic"))
            return
        table = self._table("positions", "symbol", "quantity", "cost")
        for held in positions:
            colour = "green" if held.quantity > 0 else "red"
            table.add_row(
                held.symbol,
                Text(format_decimal(held.quantity), style=colour),
                format_decimal(held.average_cost),
            )
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def summary(self, figures: Mapping[str, Decimal]) -> None:
        """Print the account's figures."""
        table = self._table("summary", "figure", "value")
        for name, value in sorted(figures.items()):
            table.add_row(self.texts.get(f"figure.{name}", name), f"{value:,.2f}")
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def events(self, events: Sequence[tuple[str, str]]) -> None:
        """Print what has happened so far."""
        if not events:
            self.console.print(Text(f"  {self.say('none.events')}", style="italic"))
            return
        table = self._table("events", "time", "event")
        for row in events:
            table.add_row(*row)
        self.console.print(Padding(table, (0, 0, 0, 2)))

    def status(self, status: OrderStatus) -> str:
        """Return a status in the language."""
        return self.say(f"status.{status.value}")

    def _side(self, side: str) -> Text:
        return Text(self.say(f"side.{side}"), style="green" if side == "BUY" else "red")

    def _kind(self, kind: str) -> str:
        return self.texts[f"type.{kind}"] if f"type.{kind}" in self.texts else self.texts["type.other"]

    def _table(self, title: str, *columns: str) -> Table:
        table = Table(
            title=self.say(f"table.{title}"),
            title_justify="left",
            title_style="bold",
            box=box.SIMPLE_HEAD,
            header_style="bright_black",
        )
        numeric = {"number", "quantity", "price", "cost", "value"}
        for name in columns:
            table.add_column(
                self.say(f"column.{name}"),
                justify="right" if name in numeric else "left",
                no_wrap=name
                != "id",  # an id may be long, and can be read in two lines; nothing else gives way
                overflow="fold" if name == "id" else "ellipsis",
            )
        return table

    # -- asking --------------------------------------------------------------------------------------------

    async def ask(
        self,
        key: str,
        read: Callable[[str], _Value | None],
        wrong: str,
        *,
        default: str = "",
        **values: object,
    ) -> _Value:
        """Ask until the answer can be read.

        Parameters
        ----------
        key
            The question.
        read
            Returns the value of an answer, or None if it has none.
        wrong
            What to say to an answer that cannot be read.
        default
            What an empty answer stands for.
        values
            What fills the question's places.

        Raises
        ------
        Back
            If the person goes back.
        Leave
            If the input has ended.
        """
        shown = f" [{default}]" if default else ""
        while True:
            text = await self._line(f"{self.say(key, **values)}{shown}: ")
            if text == BACK:
                raise Back
            value = read(text or default)
            if value is not None:
                return value
            self.bad(wrong, text=text)

    async def _line(self, question: str) -> str:
        self._asking = question
        self._question()
        try:
            line: str = await asyncio.to_thread(sys.stdin.readline)
        finally:
            self._asking = ""
        if not line:
            self.console.print()
            raise Leave
        if not sys.stdin.isatty():
            self.console.print(
                Text(line.strip(), style="bold")
            )  # a script's answers, as a terminal echoes them
        return line.strip()

    def _question(self) -> None:
        self.console.print(Text.assemble(("? ", "bold blue"), self._asking), end="")
        self.console.file.flush()


def _prices(order: Order | OrderRequest) -> str:
    given = [_plain(price) for price in (order.limit_price, order.stop_price) if price is not None]
    return " / ".join(given)


def _plain(value: Decimal | None) -> str:
    return "" if value is None else format_decimal(value)
