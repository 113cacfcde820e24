"""Parents, transmission, OCA groups and changes of orders at work."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting.errors import BrokerRejection
from execution.models import OrderStatus, TimeInForce
from strategies.spec import CostSpec

TENTH = CostSpec(slippage_bps=Decimal(0), participation=Decimal("0.01"))
GTC = TimeInForce.GTC


def bracket(desk: Any, quantity: int = 100, **fields: Any) -> tuple[Any, Any, Any]:
    """Place a parent to buy at 100 or better, a profit target at 103 and a stop loss at 98."""
    parent = desk.place("BUY", quantity, "LIMIT", limit_price=100, transmit=False, **fields)
    family = {"parent": parent.perm_id, **fields}
    target = desk.place("SELL", quantity, "LIMIT", limit_price=103, transmit=False, **family)
    return parent, target, desk.place("SELL", quantity, "STOP", stop_price=98, **family)


# -- transmit and parents ------------------------------------------------------------------------------


def test_nothing_of_a_family_is_at_work_until_its_last_is_transmitted(desk: Any) -> None:
    parent = desk.place("BUY", 100, "LIMIT", limit_price=101, transmit=False)
    target = desk.place("SELL", 100, "LIMIT", limit_price=103, parent=1, transmit=False)
    assert (parent.held, target.held, desk.broker.open_orders()) == (True, True, [])
    assert desk.play(100) == []
    loss = desk.place("SELL", 100, "STOP", stop_price=98, parent=1)
    assert desk.broker.open_orders() == [parent, target, loss]
    assert (parent.held, parent.why_held) == (False, "")
    assert (target.held, target.why_held, loss.why_held) == (True, "child", "child,trigger")
    assert desk.play(99) == [(1, 100, 99.0), (2, "activated"), (3, "activated")]


def test_a_held_order_is_transmitted_by_changing_it(desk: Any) -> None:
    order = desk.place("BUY", 100, transmit=False)
    desk.broker.modify(1, desk.request("BUY", 50), desk.now, transmit=False)
    assert desk.play(100) == []
    desk.broker.modify(1, desk.request("BUY", 60), desk.now)
    assert not order.held
    assert desk.play(100) == [(1, 60, 100.0)]


def test_children_begin_with_the_bar_after_their_parent_was_filled(desk: Any) -> None:
    _, target, loss = bracket(desk)
    assert (target.oca_group, target.oca_type, loss.oca_group) == ("1", 3, "1")
    assert desk.play(100, 104, 97, 101) == [(1, 100, 100.0), (2, "activated"), (3, "activated")]
    assert (target.why_held, loss.why_held) == ("", "trigger")
    assert desk.play(101, 104, 101, 103) == [
        (2, 100, 103.0),
        (3, "another order of its OCA group was filled"),
    ]


def test_children_wait_until_their_parent_is_filled_in_full(make_desk: Callable[..., Any]) -> None:
    desk = make_desk(TENTH)
    parent, target, _ = bracket(desk, 150)
    assert desk.play(100) == [(1, 100, 100.0)]
    assert (parent.status, target.held) == (OrderStatus.PARTIALLY_FILLED, True)
    assert desk.play(100)[1:] == [(2, "activated"), (3, "activated")]


def test_children_end_with_a_parent_that_ends_unfilled(desk: Any) -> None:
    bracket(desk)
    ended = desk.broker.cancel(1, desk.now)
    assert [(event.order.perm_id, event.reason) for event in ended] == [
        (1, "cancelled by the client"),
        (2, "the parent order ended unfilled"),
        (3, "the parent order ended unfilled"),
    ]
    assert desk.broker.open_orders() == []


def test_children_of_a_parent_that_ends_filled_in_part_go_on_in_proportion(make_desk: Any) -> None:
    desk = make_desk(TENTH)
    _, target, loss = bracket(desk, 150, time_in_force=GTC)
    desk.bar(100)
    assert desk.told(desk.broker.cancel(1, desk.now)) == [
        (1, "cancelled by the client"),
        (2, "reduced"),
        (2, "activated"),
        (3, "reduced"),
        (3, "activated"),
    ]
    assert (target.quantity, loss.quantity, target.held) == (100, 100, False)
    assert desk.play(104) == [
        (2, 100, 104.0),
        (3, "another order of its OCA group was filled"),
    ]


def test_a_child_of_a_filled_parent_is_at_work_at_once(desk: Any) -> None:
    desk.place("BUY", 10)
    desk.bar(100)
    child = desk.place("SELL", 10, parent=1)
    assert not child.held
    assert desk.play(101) == [(2, 10, 101.0)]


def test_a_parent_must_exist_and_live(desk: Any) -> None:
    for number in (7, 1):
        if number == 1:
            desk.place()
            desk.broker.cancel(1, desk.now)
        with pytest.raises(BrokerRejection, match=r"10006: Missing parent order\."):
            desk.place(parent=number)
    assert list(desk.broker.orders) == [1]


# -- OCA -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("oca_type", "left"), [(1, None), (2, 50), (3, 50)])
def test_a_partial_fill_cancels_or_reduces_the_group(make_desk: Any, oca_type: int, left: int | None) -> None:
    desk = make_desk(TENTH)
    fields = {"oca_group": "exits", "oca_type": oca_type}
    desk.place("BUY", 150, **fields)
    other = desk.place("BUY", 150, "LIMIT", "IWM", limit_price=10, **fields)
    assert desk.play(100)[1:] == [
        (2, "reduced") if left else (2, "another order of its OCA group was filled")
    ]
    assert (other.status is OrderStatus.CANCELLED) == (left is None)
    if left:
        assert (other.remaining, other.quantity) == (left, left)
        assert desk.play(100) == [(1, 50, 100.0), (2, "another order of its OCA group was filled")]


def test_mates_of_another_size_shrink_in_proportion(make_desk: Any) -> None:
    desk = make_desk(TENTH)
    desk.place("BUY", 200, oca_group="g", oca_type=3)
    other = desk.place("BUY", 31, "LIMIT", limit_price=10, oca_group="g", oca_type=3)
    desk.bar(100)
    assert other.remaining == 15


def test_where_one_bar_could_fill_both_the_stop_loss_is_taken(desk: Any) -> None:
    bracket(desk)
    desk.bar(100)
    assert desk.play(100, 104, 97, 103) == [
        (3, "triggered"),
        (3, 100, 98.0),
        (2, "another order of its OCA group was filled"),
    ]


def test_a_target_that_the_open_reaches_is_filled_before_a_stop_within_the_bar(desk: Any) -> None:
    bracket(desk)
    desk.bar(100)
    assert desk.play(103.5, 104, 97, 98)[0] == (2, 100, 103.5)


def test_cancelling_one_of_a_group_cancels_its_mates(desk: Any) -> None:
    for _ in range(3):
        desk.place("BUY", 10, oca_group="g", oca_type=2)
    desk.place("BUY", 10, oca_group="other")
    ended = desk.broker.cancel(2, desk.now)
    assert [event.order.perm_id for event in ended] == [2, 1, 3]
    assert [order.perm_id for order in desk.broker.open_orders()] == [4]


@settings(max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 400), min_size=2, max_size=4),
    kinds=st.lists(st.sampled_from(["MARKET", "LIMIT", "STOP"]), min_size=4, max_size=4),
    oca_type=st.sampled_from([1, 2, 3]),
    path=st.lists(st.integers(95, 105), min_size=6, max_size=6),
)
def test_a_group_is_never_filled_beyond_the_whole_of_one_order(
    make_desk: Any, sizes: list[int], kinds: list[str], oca_type: int, path: list[int]
) -> None:
    desk = make_desk(TENTH)
    prices: dict[str, dict[str, int]] = {
        "MARKET": {},
        "LIMIT": {"limit_price": 99},
        "STOP": {"stop_price": 101},
    }
    orders = [
        desk.place("BUY", size, kind, oca_group="g", oca_type=oca_type, **prices[kind])
        for size, kind in zip(sizes, kinds, strict=False)
    ]
    for price in path:
        desk.bar(price, price + 2, price - 2, price)
    done = sum(order.filled / Decimal(size) for order, size in zip(orders, sizes, strict=True))
    assert done <= 1
    assert desk.broker.ledger.position("SPY") == sum(order.filled for order in orders)
    if any(order.status is OrderStatus.FILLED for order in orders):
        assert desk.broker.open_orders() == []


# -- changes -------------------------------------------------------------------------------------------


def test_a_change_keeps_number_place_and_fills_and_counts_from_the_next_bar(make_desk: Any) -> None:
    desk = make_desk(TENTH)
    order = desk.place("BUY", 150)
    desk.bar(100)
    changed = desk.request("BUY", 120, "LIMIT", limit_price=99)
    assert desk.broker.modify(1, changed, desk.now + 1) is order
    assert (order.remaining, order.request) == (20, changed)
    assert desk.play(98) == []  # it was changed within this bar
    assert desk.play(98) == [(1, 20, 98.0)]


def test_what_cannot_be_changed_says_why_and_goes_on(desk: Any) -> None:
    broker, now = desk.broker, desk.now
    order = desk.place("BUY", 10, "LIMIT", limit_price=99)
    cases = [
        (9, desk.request(), "135: Can't find order"),
        (1, desk.request("SELL"), "105: Order being modified does not match"),
        (1, desk.request("BUY", symbol="IWM"), "105:"),
        (1, desk.request("BUY", 10, "LIMIT", limit_price=99.001), "110:"),
    ]
    for number, request, text in cases:
        with pytest.raises(BrokerRejection, match=text):
            broker.modify(number, request, now)
    assert order.request.limit_price == 99
    assert desk.play(99) == [(1, 10, 99.0)]
    with pytest.raises(BrokerRejection, match="104: Can't modify a filled order"):
        broker.modify(1, desk.request("BUY"), desk.now)
    desk.place()
    broker.cancel(2, desk.now)
    with pytest.raises(BrokerRejection, match=r"201: .*too late to replace"):
        broker.modify(2, desk.request("BUY"), desk.now)


def test_a_size_below_what_is_filled_is_refused(make_desk: Any) -> None:
    desk = make_desk(TENTH)
    desk.place("BUY", 150)
    desk.bar(100)
    with pytest.raises(BrokerRejection, match="filled already"):
        desk.broker.modify(1, desk.request("BUY", 100), desk.now)


def test_a_change_that_is_not_transmitted_leaves_an_order_at_work_alone(desk: Any) -> None:
    order = desk.place("BUY", 10)
    desk.broker.modify(1, desk.request("BUY", 20), desk.now, transmit=False)
    assert order.quantity == 10


def test_a_changed_life_and_group_take_effect(desk: Any) -> None:
    order = desk.place("BUY", 10, "LIMIT", limit_price=90)
    other = desk.place("BUY", 10, "LIMIT", limit_price=90, time_in_force=GTC, oca_group="g")
    desk.broker.modify(
        1, desk.request("BUY", 10, "LIMIT", limit_price=90, time_in_force=GTC, oca_group="g"), desk.now
    )
    desk.now = desk.sessions[1].open_ns
    assert desk.play(95) == []
    desk.broker.cancel(1, desk.now)
    assert (order.status, other.status) == (OrderStatus.CANCELLED, OrderStatus.CANCELLED)


def test_a_trail_keeps_its_stop_through_a_change_of_size(desk: Any) -> None:
    desk.bar(100)
    order = desk.place("SELL", 10, "TRAIL", trail_amount=2)
    desk.bar(100, 104, 100, 104)
    desk.broker.modify(1, desk.request("SELL", 20, "TRAIL", trail_amount=2), desk.now)
    assert order.stop == 102
    desk.broker.modify(1, desk.request("SELL", 20, "TRAIL", trail_amount=3), desk.now)
    assert order.stop == 101


def test_finished_orders_are_released_and_numbers_are_not_used_again(desk: Any) -> None:
    desk.place()
    desk.bar(100)
    desk.place("BUY", 10, "LIMIT", limit_price=90)
    desk.now = desk.sessions[0].close_ns
    assert desk.broker.release(desk.now) == 1
    assert list(desk.broker.orders) == [2]
    assert desk.place().perm_id == 3
    with pytest.raises(BrokerRejection, match="10147"):
        desk.broker.cancel(1, desk.now)
    with pytest.raises(BrokerRejection, match="135"):
        desk.broker.bust(1, 1, desk.now)
