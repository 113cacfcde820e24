"""Executions corrected and taken back: the ledger as if they had been right at once."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting.errors import BrokerRejection
from strategies.spec import CostSpec

PLAIN = CostSpec(slippage_bps=Decimal(0))


def state(desk: Any) -> tuple[Any, ...]:
    ledger = desk.broker.ledger
    held = ledger.holdings["SPY"]
    return ledger.cash, held.quantity, held.cost, held.realized_pnl


def trade(desk: Any, trades: Sequence[tuple[str, int, float]]) -> None:
    for side, quantity, price in trades:
        desk.place(side, quantity)
        desk.bar(price)


TRADES = st.lists(
    st.tuples(st.sampled_from(["BUY", "SELL"]), st.integers(1, 50), st.integers(90, 110)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=60)
@given(trades=TRADES, which=st.integers(0, 7), quantity=st.integers(1, 60), price=st.integers(90, 110))
def test_a_corrected_execution_is_booked_as_if_it_had_been_so_at_once(
    make_desk: Any, trades: list[tuple[str, int, int]], which: int, quantity: int, price: int
) -> None:
    which %= len(trades)
    wrong, right = make_desk(), make_desk()
    trade(wrong, trades)
    corrected = wrong.broker.correct(
        which + 1, 1, quantity=Decimal(quantity), price=Decimal(price), time_ns=wrong.now
    )
    side = trades[which][0]
    trade(right, [*trades[:which], (side, quantity, price), *trades[which + 1 :]])
    assert state(wrong) == state(right)
    assert (corrected.quantity, corrected.price) == (quantity, price)


@settings(max_examples=60)
@given(trades=TRADES, which=st.integers(0, 7))
def test_a_busted_execution_leaves_the_ledger_as_if_it_had_never_been(
    make_desk: Any, trades: list[tuple[str, int, int]], which: int
) -> None:
    which %= len(trades)
    wrong, right = make_desk(PLAIN), make_desk(PLAIN)
    trade(wrong, trades)
    wrong.broker.bust(which + 1, 1, wrong.now)
    trade(right, [*trades[:which], *trades[which + 1 :]])
    if len(trades) == 1:
        assert state(wrong) == (100_000, 0, 0, 0)
    else:
        assert state(wrong) == state(right)
    assert wrong.broker.ledger.fees == len(trades) - 1


def test_a_correction_tells_its_profit_and_keeps_the_commission(make_desk: Any) -> None:
    desk = make_desk(PLAIN)
    trade(desk, [("BUY", 10, 100), ("SELL", 10, 110)])
    fill = desk.broker.correct(2, 1, price=Decimal(105), time_ns=desk.now)
    assert (fill.realized_pnl, fill.commission, fill.number) == (50, 1, 1)
    assert desk.broker.ledger.fees == 2
    assert desk.broker.orders[2].average_price == 105


def test_what_is_left_of_an_open_order_is_not_worked_again_for_a_bust(make_desk: Any) -> None:
    desk = make_desk(CostSpec(slippage_bps=Decimal(0), participation=Decimal("0.01")))
    order = desk.place("BUY", 150)
    desk.bar(100)
    desk.broker.bust(1, 1, desk.now)
    assert (order.filled, order.remaining, order.quantity) == (0, 50, 50)
    assert desk.play(101) == [(1, 50, 101.0)]


def test_an_execution_that_is_not_on_record_is_refused(desk: Any) -> None:
    trade(desk, [("BUY", 10, 100)])
    for number, execution in ((1, 2), (5, 1)):
        with pytest.raises(BrokerRejection, match="135"):
            desk.broker.correct(number, execution, price=Decimal(1), time_ns=desk.now)


def test_what_is_settled_stands_and_later_corrections_build_on_it(desk: Any) -> None:
    trade(desk, [("BUY", 10, 100)])
    desk.broker.release(desk.now)
    trade(desk, [("SELL", 10, 110)])
    desk.broker.correct(2, 1, price=Decimal(120), time_ns=desk.now)
    assert state(desk) == (100_200, 0, 0, 200)
