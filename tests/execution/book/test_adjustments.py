"""Corporate actions on held positions: known, told by a person, or not explained."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.control import GatewayControl
from execution.book.adjustments import (
    Adjustment,
    AdjustmentKind,
    CorporateAction,
    adjustment_of,
    describe,
    read_ratio,
)
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import timestamp
from execution.errors import InvalidOrderError, SettlementError
from execution.models import Fill, OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.recovery import BookedAdjustment, recover

if TYPE_CHECKING:
    from ..conftest import Floor, MakeFloor

ACCOUNT = "DU0000001"
ZERO = Decimal(0)
WHO: dict[str, Any] = {"by": "A. Smith", "reason": "notice of the exchange"}
SPLIT = CorporateAction(AdjustmentKind.SPLIT, "AAA", 5, Fraction(2))


def fill(number: int, quantity: int, price: str, side: Side = Side.BUY, symbol: str = "AAA") -> Fill:
    return Fill(f"f-{number}", "", symbol, Decimal(quantity), Decimal(price), side, timestamp(number))


async def hold(floor: Floor, quantity: int = 31) -> None:
    """Buy at the next bar."""
    request = OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    await floor.executor.submit_order(request)
    while floor.executor.blotter.entries["o-1"].status is not OrderStatus.FILLED:
        await floor.step()


class Notices:
    """A source that knows some actions."""

    def __init__(self, *actions: CorporateAction) -> None:
        self.known = actions

    def actions(self, symbol: str, since_ns: int, until_ns: int) -> Sequence[CorporateAction]:
        return [a for a in self.known if a.symbol == symbol]


async def test_a_split_that_a_source_knows_of_is_adjusted_once_and_is_no_break(floor: MakeFloor) -> None:
    async with floor(corporate_actions=Notices(SPLIT)) as f:
        await hold(f)
        GatewayControl(f.server).split("AAA", "2")
        assert (await f.executor.reconcile()).agrees
        assert (await f.executor.reconcile()).agrees
        assert f.executor.inbox.net == {"AAA": Decimal(62)}
        assert f.kinds().count("adjustment") == 1
        await f.shut()
        again = f.another(corporate_actions=Notices(SPLIT))
        assert again.inbox.net == {"AAA": Decimal(62)}
        await again.ensure_ready()
        assert f.kinds().count("adjustment") == 1


async def test_a_split_that_nobody_told_of_is_a_break_until_a_person_says_so(floor: MakeFloor) -> None:
    async with floor() as f:
        await hold(f)
        GatewayControl(f.server).split("AAA", "1/2")
        assert (await f.executor.reconcile()).breaks == {"AAA": (Decimal(31), Decimal(15))}
        with pytest.raises(SettlementError, match="does not lead to the 15"):
            await f.executor.apply_action(SPLIT, **WHO)
        half = CorporateAction(AdjustmentKind.SPLIT, "AAA", 5, Fraction(1, 2), price=Decimal(200))
        adjustment = await f.executor.apply_action(half, **WHO)
        assert (adjustment.quantity, adjustment.fraction) == (Decimal(-16), Decimal("0.5"))
        assert f.executor.is_ready
        with pytest.raises(SettlementError, match="does not lead to"):
            await f.executor.apply_action(half, **WHO)
        loose = recover(f.journal.events(), Blotter(client_id=1)).loose
        assert [b.adjustment for b in loose if isinstance(b, BookedAdjustment)] == [adjustment]


async def test_a_dividend_is_booked_as_cash_and_moves_no_position(floor: MakeFloor) -> None:
    async with floor() as f:
        await hold(f, 10)
        early = CorporateAction(AdjustmentKind.DIVIDEND, "AAA", 5, amount=Decimal("1.25"))
        with pytest.raises(SettlementError, match="holds none"):
            await f.executor.apply_action(early, **WHO)
        now = f.clock.now_ns() + 1
        paid = CorporateAction(AdjustmentKind.DIVIDEND, "AAA", now, amount=Decimal("1.25"))
        adjustment = await f.executor.apply_action(paid, **WHO)
        assert (adjustment.cash, adjustment.quantity) == (Decimal("12.5"), ZERO)
        with pytest.raises(SettlementError, match="booked already"):
            await f.executor.apply_action(paid, **WHO)
        other = CorporateAction(AdjustmentKind.DIVIDEND, "BBB", 5, amount=Decimal("1.25"))
        with pytest.raises(SettlementError, match="holds none"):
            await f.executor.apply_action(other, **WHO)


async def test_a_dividend_is_paid_on_what_was_held_when_it_took_hold_and_once(floor: MakeFloor) -> None:
    def paid(time: int) -> CorporateAction:
        return CorporateAction(AdjustmentKind.DIVIDEND, "AAA", time, amount=Decimal("1.25"))

    source = Notices()
    async with floor(corporate_actions=source) as f:
        began = f.clock.now_ns()
        await hold(f, 10)
        held = f.clock.now_ns() + 1
        sale = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.SELL, client_order_id="o-2")
        await f.step()
        await f.executor.submit_order(sale)
        while f.executor.blotter.entries["o-2"].status is not OrderStatus.FILLED:
            await f.step()
        source.known = (paid(began), paid(held), paid(f.clock.now_ns() + 1))  # heard of when all is sold
        for _ in range(2):
            assert (await f.executor.reconcile()).agrees
        booked = [e.body for e in f.journal.events() if e.kind == "adjustment"]
        assert [(body["time"], Decimal(body["cash"])) for body in booked] == [(held, Decimal("12.5"))]


@given(
    st.lists(
        st.tuples(st.integers(1, 50), st.sampled_from(["9.5", "10", "11.25"]), st.booleans()), max_size=8
    ),
    st.integers(2, 7),
    st.data(),
)
def test_a_correction_after_a_split_comes_to_what_would_have_been_booked(
    trades: list[tuple[int, str, bool]], ratio: int, data: st.DataObject
) -> None:
    """Fold fills, a split and one correction; the same with the right figures from the start."""
    fills = [fill(n, q, p, Side.BUY if buy else Side.SELL) for n, (q, p, buy) in enumerate(trades)]
    place = data.draw(st.integers(0, len(fills) - 1)) if fills else None
    split_at = data.draw(st.integers(0, len(fills)))
    right = list(fills)
    if place is not None:
        right[place] = fill(place, 7, "10.5", fills[place].side)

    def book(moves: list[Fill]) -> Ledger:
        ledger = Ledger(history={})
        for number, one in enumerate(moves):
            if number == split_at:
                # The same adjustment in both: it was exact for what was known when it was made.
                ledger.adjust(Adjustment(AdjustmentKind.SPLIT, "AAA", 1, Decimal(ratio)))
            ledger.apply(one)
        return ledger

    corrected, expected = book(fills), book(right)
    if place is not None:
        corrected.revise(fills[place], right[place])
    assert corrected.holdings == expected.holdings
    assert corrected.cash == expected.cash


def test_a_correction_of_what_is_not_on_record_is_traded_as_a_difference() -> None:
    for ledger in (Ledger(history={}), Ledger()):
        ledger.open("AAA", Decimal(10), Decimal(100))
        ledger.revise(fill(1, 10, "100"), fill(1, 8, "100"))
        assert (ledger.position("AAA"), ledger.cash) == (Decimal(8), Decimal(200))


def test_a_fraction_is_paid_out_at_its_price_or_leaves_without_cash() -> None:
    for price, cash in ((Decimal(20), Decimal(10)), (None, ZERO)):
        book = LedgerPortfolio(Ledger(history={}))
        book.ledger.open("AAA", Decimal(31), Decimal(10))
        book.set_mark("AAA", 10.0)
        action = CorporateAction(AdjustmentKind.SPLIT, "AAA", 1, Fraction(1, 2), price=price)
        adjustment = adjustment_of(action, Decimal(31), Decimal(15))
        assert adjustment is not None
        book.adjust(adjustment)
        assert (book.position("AAA"), book.cash, book.mark("AAA")) == (Decimal(15), cash, Decimal(20))


def test_a_new_symbol_takes_position_cost_and_mark_along() -> None:
    book = LedgerPortfolio(Ledger(history={}))
    book.ledger.apply(fill(1, 10, "100"))
    book.set_mark("AAA", 101.0)
    action = CorporateAction(AdjustmentKind.SYMBOL_CHANGE, "AAA", 2, new_symbol="NEW")
    adjustment = adjustment_of(action, Decimal(10), ZERO)
    assert adjustment is not None
    assert adjustment.changes == {"AAA": Decimal(-10), "NEW": Decimal(10)}
    assert describe(adjustment) == "symbol-change: AAA -10, NEW 10 (AAA is NEW from now on)"
    book.adjust(adjustment)
    assert (book.position("AAA"), book.position("NEW"), book.mark("NEW")) == (ZERO, Decimal(10), Decimal(101))
    assert book.ledger.holdings["NEW"].average_cost == 100
    assert adjustment_of(action, Decimal(10), Decimal(10)) is None


@pytest.mark.parametrize(
    ("quantity", "cash"), [(Decimal(5), ZERO), (Decimal(-4), Decimal(380)), (ZERO, Decimal(7))]
)
def test_what_is_accepted_moves_cash_only_as_it_is_told(quantity: Decimal, cash: Decimal) -> None:
    ledger = Ledger(history={})
    ledger.apply(fill(1, 10, "100"))
    ledger.adjust(Adjustment(AdjustmentKind.ACCEPTED, "AAA", 2, quantity, cash=cash))
    assert (ledger.position("AAA"), ledger.cash, ledger.realized_pnl) == (10 + quantity, cash - 1000, ZERO)
    assert ledger.holdings["AAA"].average_cost == 100


@given(
    st.sampled_from(list(AdjustmentKind)),
    st.decimals(-9, 9, places=3),
    st.none() | st.decimals(1, 9, places=2),
)
def test_an_adjustment_comes_back_from_the_journal_as_it_was(
    kind: AdjustmentKind, amount: Decimal, price: Decimal | None
) -> None:
    made = Adjustment(kind, "AAA", 7, amount, amount, price, amount, "NEW", "me", "why", "AAA/split/7")
    assert Adjustment.from_body(made.to_body()) == made


def test_ratios_are_read_exactly_or_refused() -> None:
    assert [read_ratio(t) for t in ("2", "1/15", "0.1", " 3 / 2 ")] == [
        Fraction(2),
        Fraction(1, 15),
        Fraction(1, 10),
        Fraction(3, 2),
    ]
    for bad in ("", "0", "1", "-2", "2/0", "two", "1e3", "2/1/3", "1" * 40):
        with pytest.raises(InvalidOrderError):
            read_ratio(bad)


@pytest.mark.parametrize(
    "facts",
    [
        {"kind": AdjustmentKind.SPLIT},
        {"kind": AdjustmentKind.SPLIT, "ratio": Fraction(1)},
        {"kind": AdjustmentKind.DIVIDEND, "amount": ZERO},
        {"kind": AdjustmentKind.SYMBOL_CHANGE, "new_symbol": "AAA"},
        {"kind": AdjustmentKind.ACCEPTED},
    ],
)
def test_a_corporate_action_that_says_nothing_is_refused(facts: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrderError, match="corporate action of AAA"):
        CorporateAction(symbol="AAA", time=1, **facts)
