"""Executions that the broker corrects or takes back after they were booked, on the simulated gateway."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from execution.book.ledger import Ledger
from execution.desk.gate import GateState
from execution.models import Fill, Order, OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.recovery import BookedCorrection, BookedFill, Recovered, recover

if TYPE_CHECKING:
    from .conftest import Floor, MakeFloor

ACCOUNT = "DU0000001"
ZERO = Decimal(0)


class Book:
    """Books what is told, as a strategy's step does."""

    def __init__(self) -> None:
        self.ledger = Ledger(history={})
        self.corrections: list[tuple[Fill, Fill]] = []

    def on_order_status(self, order: Order) -> None:
        """Leave it."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Leave it."""

    def on_fill(self, fill: Fill) -> None:
        self.ledger.apply(fill)

    def on_commission(self, fill: Fill) -> None:
        self.ledger.charge(fill.commission or ZERO)

    def on_fill_corrected(self, old: Fill, new: Fill) -> None:
        self.corrections.append((old, new))
        self.ledger.revise(old, new)


def must_agree(floor: Floor, book: Book) -> None:
    """Compare the book with the broker's: position, its cost, cash moved, profit and fees."""
    broker = floor.book.broker.ledgers[ACCOUNT]
    ours, theirs = book.ledger.holdings["AAA"], broker.holdings["AAA"]
    assert (ours.quantity, ours.cost, ours.realized_pnl) == (
        theirs.quantity,
        theirs.cost,
        theirs.realized_pnl,
    )
    assert book.ledger.fees == broker.fees
    assert book.ledger.cash == broker.cash - 1_000_000


def order(name: str, side: Side, quantity: int) -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, side, client_order_id=name)


async def trade(floor: Floor, name: str, side: Side, quantity: int) -> str:
    """Trade at the next bar; return the broker's id of the execution."""
    await floor.executor.submit_order(order(name, side, quantity))
    entry = floor.executor.blotter.entries[name]
    while entry.status is not OrderStatus.FILLED:
        await floor.step()
    (execution,) = entry.executions.values()
    return execution.exec_id


async def test_a_corrected_execution_is_booked_as_if_it_had_been_reported_right(floor: MakeFloor) -> None:
    book = Book()
    async with floor(handlers=[book]) as f:
        first = await trade(f, "o-1", Side.BUY, 100)
        await trade(f, "o-2", Side.SELL, 40)
        f.book.correct(first, quantity=Decimal(90), price=Decimal("99.50"))
        await f.step()
        assert f.executor.gate_state is GateState.NOT_RECONCILED
        (old, new), *_ = book.corrections
        assert (old.quantity, new.quantity, new.price) == (Decimal(100), Decimal(90), Decimal("99.50"))
        must_agree(f, book)
        assert f.executor.inbox.net == {"AAA": Decimal(50)}
        await f.executor.submit_order(order("o-3", Side.BUY, 1))  # the way is open again
        found = await f.executor.get_order_status("o-1")
        assert (found.status, found.filled_quantity) == (OrderStatus.FILLED, Decimal(90))
        assert "fill_corrected" in f.kinds()


async def test_a_bust_takes_position_cash_profit_and_commission_back(floor: MakeFloor) -> None:
    book = Book()
    async with floor(handlers=[book]) as f:
        await trade(f, "o-1", Side.BUY, 100)
        second = await trade(f, "o-2", Side.SELL, 100)
        assert book.ledger.realized_pnl
        f.book.bust(second)
        await f.step()
        must_agree(f, book)
        assert (book.ledger.realized_pnl, book.ledger.position("AAA")) == (ZERO, Decimal(100))
        await f.executor.ensure_ready()
        assert f.executor.is_ready
        assert (await f.executor.get_order_status("o-2")).filled_quantity == ZERO


async def test_corrections_survive_a_restart_and_those_of_the_down_time_are_found(floor: MakeFloor) -> None:
    async with floor() as f:
        first = await trade(f, "o-1", Side.BUY, 100)
        second = await trade(f, "o-2", Side.BUY, 50)
        f.book.correct(first, quantity=Decimal(80))
        await f.step()
        await f.executor.ensure_ready()
        await f.shut()
        f.book.bust(second)  # nobody is there to be told
        again = f.another(handlers=[book := Book()])
        assert again.inbox.net == {"AAA": Decimal(130)}
        replay(book, restored(again))
        await again.ensure_ready()
        assert again.is_ready
        assert again.inbox.net == {"AAA": Decimal(80)}
        must_agree(f, book)


def restored(executor: Any) -> Recovered:
    return recover(executor.audit.journal.events(), Blotter(client_id=1))


def replay(book: Book, recovered: Recovered) -> None:
    for item in [*(one for _, group in recovered.groups for one in group), *recovered.loose]:
        if isinstance(item, BookedCorrection):
            book.on_fill_corrected(item.old, item.new)
        elif isinstance(item, BookedFill):
            (book.on_commission if item.late_commission else book.on_fill)(item.fill)
