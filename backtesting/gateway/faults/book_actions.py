"""What can go wrong with orders and executions inside the gateway, and what others do to them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING, Literal

from backtesting.errors import BrokerRejection
from backtesting.gateway.errors import GatewayError
from backtesting.gateway.faults.action import Action, Scene, Span
from backtesting.gateway.faults.errors import FaultActionError
from backtesting.gateway.message_names import exec_id_of
from backtesting.gateway.wire.requests import ContractQuery, PlaceOrder
from execution.errors import NumberFormatError
from execution.numbers import parse_decimal

if TYPE_CHECKING:
    from backtesting.gateway.desks.book import OrderBook
    from backtesting.gateway.tickets import Ticket

Amount = str | int | float
"""A quantity or price as a script writes it."""


@contextmanager
def refusals(what: str) -> Iterator[None]:
    """Turn what the gateway refuses into an error of the action."""
    try:
        yield
    except (GatewayError, BrokerRejection, NumberFormatError) as error:
        raise FaultActionError(f"{what}: {error}") from error


def amount(value: Amount | None, name: str) -> Decimal | None:
    """Return a quantity or price exactly as written."""
    return None if value is None else parse_decimal(str(value), name=name)


def stock(symbol: str) -> ContractQuery:
    """Return how a client names a US stock."""
    return ContractQuery(0, symbol, "STK", "", "0.0", "", "", "SMART", "", "USD", "", "")


def find_ticket(scene: Scene, order: int | None, client: int | None) -> Ticket:
    """Return the order meant: the one named, else the message's, else the last that is live.

    Raises
    ------
    FaultActionError
        If there is none.
    """
    book: OrderBook = scene.engine.service.book
    order_id = order if order is not None else scene.order_id
    owner = client if client is not None or scene.session is None else scene.session.client_id
    live = [
        ticket
        for ticket in book.open_tickets()
        if order_id in (None, ticket.order_id, ticket.perm_id) and owner in (None, ticket.client_id)
    ]
    if not live:
        known = ", ".join(f"{t.order_id} of client {t.client_id}" for t in book.open_tickets()[:10]) or "none"
        raise FaultActionError(f"no such live order; live are {known}")
    return live[-1]


class _OfExecution(Action):
    deferred = True
    execution: str | None = None

    def found(self, scene: Scene) -> str:
        """Return the execution meant: the one named, else the message's, else today's last."""
        if self.execution is not None:
            return self.execution
        named = exec_id_of(scene.direction, scene.number, scene.fields) if scene.direction else None
        if named is not None:
            return named
        service = scene.engine.service
        today = service.book.executions_today(service.clock.now_ns())
        if not today:
            raise FaultActionError(f"{self.name}: there has been no execution today")
        return today[-1].exec_id


class Correct(_OfExecution):
    """An execution is corrected in size or price: it comes again with .02 for .01, then its commission."""

    name = "correct"
    quantity: Amount | None = None
    price: Amount | None = None

    def _play(self, scene: Scene) -> None:
        with refusals("correct"):
            quantity, price = amount(self.quantity, "quantity"), amount(self.price, "price")
            scene.engine.service.book.correct(self.found(scene), quantity=quantity, price=price)


class Bust(_OfExecution):
    """An execution is undone: it comes again with .02 for .01 and no size."""

    name = "bust"

    def _play(self, scene: Scene) -> None:
        with refusals("bust"):
            scene.engine.service.book.bust(self.found(scene))


class ForgetExecutions(Action):
    """Executions so far are served no more, as at midnight; nobody is told."""

    name = "forget_executions"
    deferred = True

    def _play(self, scene: Scene) -> None:
        scene.engine.service.book.forget_executions()


class ManualOrder(Action):
    """Somebody else places an order: TWS itself (client 0), or another client."""

    name = "manual_order"
    deferred = True
    symbol: str
    quantity: Amount
    side: Literal["BUY", "SELL"] = "BUY"
    type: str = "MKT"
    limit: Amount | None = None
    stop: Amount | None = None
    tif: str = "DAY"
    client: int = 0
    ref: str = ""

    def _play(self, scene: Scene) -> None:
        service = scene.engine.service
        with refusals("manual_order"):
            wish = PlaceOrder(
                order_id=service.book.next_id(self.client),
                contract=stock(self.symbol),
                side=self.side,
                quantity=amount(self.quantity, "quantity"),
                order_type=self.type,
                limit_price=amount(self.limit, "limit"),
                stop_price=amount(self.stop, "stop"),
                time_in_force=self.tif,
                account="",
                order_ref=self.ref,
                outside_rth=False,
                what_if=False,
                unserved=(),
            )
            if self.client:
                service.book.place(self.client, wish, service.clock.now_ns())
            else:
                service.book.manual_place(replace(wish, order_id=0), service.clock.now_ns())


class ManualEdit(Action):
    """Somebody changes a live order by hand in TWS, whoever's it is; its owner hears openOrder, orderStatus.

    Nothing says that it was not the owner; common clients update a few fields in silence.
    """

    name = "manual_edit"
    deferred = True
    order: int | None = None
    client: int | None = None
    quantity: Amount | None = None
    limit: Amount | None = None
    stop: Amount | None = None

    def _play(self, scene: Scene) -> None:
        service = scene.engine.service
        with refusals("manual_edit"):
            service.book.manual_modify(
                find_ticket(scene, self.order, self.client).perm_id,
                quantity=amount(self.quantity, "quantity"),
                limit_price=amount(self.limit, "limit"),
                stop_price=amount(self.stop, "stop"),
                now_ns=service.clock.now_ns(),
            )


class ManualCancel(Action):
    """Somebody cancels a live order by hand in TWS, whoever's it is; its owner is told."""

    name = "manual_cancel"
    main = "order"
    deferred = True
    order: int | None = None
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        service = scene.engine.service
        with refusals("manual_cancel"):
            perm_id = find_ticket(scene, self.order, self.client).perm_id
            service.book.manual_cancel(perm_id, service.clock.now_ns())


def roll_back(scene: Scene, by: int, client: int | None) -> None:
    """Make the next order id of one client, or of all, so many lower."""
    book = scene.engine.service.book
    for each in [client] if client is not None else list(book.last_id):
        book.roll_back_ids(each, by)


def lose_last(scene: Scene, count: int) -> None:
    """Let the last orders vanish as if they had never come."""
    service = scene.engine.service
    placed = sorted(t.order.placed_ns for t in service.book.tickets.values() if not t.filled)
    if count and placed:
        service.book.lose_orders_since(placed[-min(count, len(placed))], service.clock.now_ns())


class RollBackIds(Action):
    """nextValidId is `by` lower than it was, for one client or for all: ids used are given out again."""

    name = "roll_back_ids"
    main = "by"
    deferred = True
    by: int
    client: int | None = None

    def _play(self, scene: Scene) -> None:
        roll_back(scene, self.by, self.client)


class LoseOrders(Action):
    """The `last` orders that are not executed (and those placed at the same moment) vanish untold."""

    name = "lose_orders"
    main = "last"
    deferred = True
    last: int = 1

    def _play(self, scene: Scene) -> None:
        lose_last(scene, self.last)


class Restart(Action):
    """The gateway restarts: connections end, orders survive or not (`keep_state`), others may be lost.

    `lose_last` orders are lost and `ids_back` ids given out again, as when TWS had not saved them yet. While
    it is `down` nobody gets a connection.
    """

    name = "restart"
    deferred = True
    keep_state: bool = True
    how: Literal["fin", "rst"] = "fin"
    lose_last: int = 0
    ids_back: int = 0
    down: Span | None = None

    def _play(self, scene: Scene) -> None:
        engine = scene.engine
        if self.lose_last:
            lose_last(scene, self.lose_last)
        if self.ids_back:
            roll_back(scene, self.ids_back, None)
        engine.standing.restore()
        with refusals("restart"):
            engine.server.restart(keep_state=self.keep_state, how=self.how)
        if self.down is not None:
            engine.standing.refuse("unreachable")
            engine.agenda.after(self.down, engine.standing.accept)


BOOK_ACTIONS: tuple[type[Action], ...] = (
    Correct,
    Bust,
    ForgetExecutions,
    ManualOrder,
    ManualEdit,
    ManualCancel,
    RollBackIds,
    LoseOrders,
    Restart,
)
