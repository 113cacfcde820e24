"""The aggregates equal a recomputation, and no sequence of orders and fills gets past a cap."""

from __future__ import annotations

from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
)

from execution.models import OrderRequest, OrderType, Side
from risk.errors import ReservationError
from risk.reservations import OpenSide, Reservations

if TYPE_CHECKING:
    from .conftest import MakeDesk

SYMBOLS = ("AAA", "BBB")
EXACT = Context(prec=120)
"""The model must not round where the book does not: parts of parts of an order have many digits."""

quantities = st.decimals("0.0001", "1000000", places=4)
prices = st.decimals("0.0001", "100000", places=4)


def request(key: str | None, symbol: str, side: Side, quantity: Decimal) -> OrderRequest:
    return OrderRequest(symbol, quantity, OrderType.MARKET, side, client_order_id=key)


class Promises(RuleBasedStateMachine):
    orders: ClassVar[Bundle[str]] = Bundle("orders")

    def __init__(self) -> None:
        super().__init__()
        self.book = Reservations()
        self.model: dict[str, tuple[str, Side, Decimal, Decimal]] = {}
        self.made = 0

    @rule(
        target=orders,
        symbol=st.sampled_from(SYMBOLS),
        side=st.sampled_from(Side),
        quantity=quantities,
        price=prices,
    )
    def hold(self, symbol: str, side: Side, quantity: Decimal, price: Decimal) -> str:
        self.made += 1
        key = f"order-{self.made}"
        self.book.hold(request(key, symbol, side, quantity), price)
        self.model[key] = (symbol, side, quantity, price)
        return key

    @rule(target=orders, key=consumes(orders), share=st.decimals("0.01", "1.2", places=2))
    def fill(self, key: str, share: Decimal) -> str | MultipleResults[str]:
        symbol, side, left, price = self.model[key]
        quantity = left * share
        self.book.shrink(key, quantity)
        if quantity >= left:
            del self.model[key]
            return multiple()
        self.model[key] = (symbol, side, EXACT.subtract(left, quantity), price)
        return key

    @rule(key=consumes(orders))
    def release(self, key: str) -> None:
        self.book.release(key)
        del self.model[key]

    @invariant()
    def sums_equal_a_recomputation(self) -> None:
        assert len(self.book) == len(self.model)
        for symbol in SYMBOLS:
            for side in Side:
                mine = [row for row in self.model.values() if row[:2] == (symbol, side)]
                with localcontext(EXACT):
                    expected = OpenSide(
                        sum((row[2] for row in mine), Decimal(0)),
                        sum((row[2] * row[3] for row in mine), Decimal(0)),
                        len(mine),
                    )
                assert self.book.side(symbol, side) == expected
        assert self.book.symbols == {row[0] for row in self.model.values()}

    def teardown(self) -> None:
        for key in list(self.model):
            self.book.release(key)
        assert len(self.book) == 0
        assert self.book.symbols == set()
        assert [self.book.open_buys(s) + self.book.open_sells(s) for s in SYMBOLS] == [0, 0]


TestPromises = Promises.TestCase
TestPromises.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)


def test_an_order_without_an_id_cannot_be_reserved() -> None:
    with pytest.raises(ReservationError, match="no client order id"):
        Reservations().hold(request(None, "AAA", Side.BUY, Decimal(1)), Decimal(1))


def test_unknown_orders_are_ignored_when_they_shrink_or_go() -> None:
    book = Reservations()
    book.shrink("nobody", Decimal(1))
    book.release("nobody")
    assert list(book) == []


def test_reservations_are_listed_oldest_first() -> None:
    book = Reservations()
    for key in ("b", "a"):
        book.hold(request(key, "AAA", Side.BUY, Decimal(2)), Decimal(3))
    assert [(key, held.remaining, held.price) for key, held in book] == [
        ("b", Decimal(2), Decimal(3)),
        ("a", Decimal(2), Decimal(3)),
    ]


moves = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(SYMBOLS), st.integers(-80, 80).filter(bool)),
        st.tuples(st.just("fill"), st.integers(0, 9), st.integers(1, 80)),
        st.tuples(st.just("cancel"), st.integers(0, 9), st.just(0)),
    ),
    max_size=40,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(moves=moves, long_only=st.booleans())
def test_no_sequence_of_orders_fills_and_cancels_gets_past_the_limits(
    desk: MakeDesk, moves: list[tuple[str, Any, int]], long_only: bool
) -> None:
    d = desk(per_symbol_notional_cap=10_000, max_gross_exposure=15_000, long_only=long_only)
    d.mark(100.0, "BBB")
    live: list[tuple[OrderRequest, Decimal]] = []
    for what, which, size in moves:
        if what == "order":
            order = d.order(size, which)
            if d.submit(order) == "":
                live.append((order, order.quantity))
        elif which < len(live):
            order, left = live.pop(which)
            if what == "cancel":
                d.engine.release(str(order.client_order_id))
                continue
            part = min(left, Decimal(size))
            d.fill(order, part)
            if part < left:
                live.append((order, left - part))
        worst = Decimal(0)
        for symbol in SYMBOLS:
            held = d.portfolio.position(symbol)
            high = held + sum(left for o, left in live if (o.symbol, o.side) == (symbol, Side.BUY))
            low = held - sum(left for o, left in live if (o.symbol, o.side) == (symbol, Side.SELL))
            assert max(abs(high), abs(low)) * 100 <= 10_000
            assert low >= 0 or not long_only
            worst += max(abs(high), abs(low)) * 100
        assert worst <= 15_000
    for order, _ in live:
        d.engine.release(str(order.client_order_id))
    assert len(d.engine.reservations) == 0
