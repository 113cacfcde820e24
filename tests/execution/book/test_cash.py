"""The cash that is due: the broker's figure and what moved since, the same live and from the record."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from execution.audit import AuditLogger
from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.book.cash import Cash
from execution.book.ledger import Ledger
from execution.clocks import SteppedClock
from execution.journal import MemoryJournal
from execution.models import Fill, OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.recovery import recover
from execution.testing import START

if TYPE_CHECKING:
    from ..conftest import MakeFloor

AMOUNTS = st.decimals("0.01", "1000", places=2)


def fill(side: Side, size: Decimal, price: Decimal, commission: Decimal | None, name: str = "f") -> Fill:
    return Fill(name, "1", "AAA", size, price, side, START, commission)


@given(st.lists(st.tuples(st.sampled_from(Side), AMOUNTS, AMOUNTS, AMOUNTS, st.booleans())))
def test_it_moves_as_a_ledgers_cash_does(trades: list[tuple[Side, Decimal, Decimal, Decimal, bool]]) -> None:
    cash, ledger = Cash(), Ledger(history={})
    cash.agree(Decimal(0))
    for number, (side, size, price, commission, late) in enumerate(trades):
        one = fill(side, size, price, None if late else commission, str(number))
        cash.trade(one)
        ledger.apply(one)
        if late:
            cash.charge(fill(side, size, price, commission, str(number)))
            ledger.charge(commission)
        if number % 3 == 0:
            charged, new = (fill(side, size, price * k, commission, str(number)) for k in (1, 2))
            cash.revise(charged, new)
            ledger.revise(charged, new)
    assert cash.due == ledger.cash


def test_what_was_no_trade_moves_it_as_it_is_told() -> None:
    cash = Cash()
    assert cash.due is None
    cash.agree(Decimal(100))
    cash.adjust(Adjustment(AdjustmentKind.DIVIDEND, "AAA", 1, cash=Decimal(5)))
    cash.adjust(Adjustment(AdjustmentKind.SPLIT, "AAA", 1, Decimal(5), Decimal("0.5"), price=Decimal(10)))
    cash.adjust(Adjustment(AdjustmentKind.ACCEPTED, "AAA", 1, Decimal(5), price=Decimal(10)))
    assert cash.due == Decimal(110)


async def test_a_restart_finds_the_same_cash_due_as_the_process_that_traded(floor: MakeFloor) -> None:
    async with floor() as f:
        for number, side in enumerate((Side.BUY, Side.SELL, Side.BUY)):
            name = f"o-{number}"
            f.executor.submit(OrderRequest("AAA", Decimal(10), OrderType.MARKET, side, client_order_id=name))
            await f.step(2)
        summary = await f.executor.get_account_summary()
        due = f.executor.inbox.cash.due
        assert due is not None
        assert abs(due - summary["TotalCashValue"]) <= Decimal("0.01")
        assert due != 1_000_000
        await f.shut()
        assert f.another().inbox.cash.due == due


def test_the_cash_at_the_end_of_a_session_is_where_reckoning_begins_anew() -> None:
    clock = SteppedClock(1)
    audit = AuditLogger(MemoryJournal(clock.now_ns), clock)
    audit.log("opening", positions={}, cash="100", trading_time=1)
    audit.log("session_closed", positions={}, cash="70", open_orders=[], trading_time=2)
    assert recover(audit.journal.events(), Blotter()).cash == Cash(Decimal(70))
