"""Which cancels the gate remembers: those that may still end an order, and no others."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import pytest

from execution.connection import IBKRConnectionManager
from execution.desk.gate import Gate
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.orders.evidence import OrderStatusSeen

ZERO = Decimal(0)
MANY = 5_000


class Orders:
    """Orders of one session behind a gate."""

    def __init__(self) -> None:
        self.blotter = Blotter(client_id=1)
        manager = cast(IBKRConnectionManager, SimpleNamespace(epoch=1))
        self.gate = Gate(manager, self.blotter, 10.0)
        self._number = 0

    def work(self, name: str, *, parent: str = "", **terms: Any) -> Entry:
        self._number += 1
        request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=name, **terms)
        entry = Entry(request, self._number, 1_000, parent=parent)
        self.blotter.submitted(entry)
        self.told(entry, "Submitted")
        return entry

    def told(self, entry: Entry, status: str) -> None:
        filled = Decimal(10) if status == "Filled" else ZERO
        self.blotter.apply(OrderStatusSeen(entry.order_id, 1, 0, status, filled, Decimal(10) - filled))

    def cancel_many(self) -> None:
        """Let thousands of other orders be cancelled, and end."""
        for number in range(MANY):
            entry = self.work(f"many-{number}")
            self.gate.cancelling(entry.client_order_id)
            self.told(entry, "Cancelled")


@pytest.fixture
def orders() -> Orders:
    return Orders()


def test_cancels_of_orders_that_are_over_are_forgotten_within_a_session(orders: Orders) -> None:
    orders.cancel_many()
    assert len(orders.gate._cancels) < 600


def test_an_order_whose_cancel_is_not_answered_may_be_ending_however_many_were_cancelled_since(
    orders: Orders,
) -> None:
    entry = orders.work("o-1")
    orders.gate.cancelling("o-1")
    orders.cancel_many()
    assert orders.gate.may_be_ending(entry)


def test_an_exit_may_be_ending_after_its_entry_was_cancelled(orders: Orders) -> None:
    head = orders.work("o-1")
    leg = orders.work("o-1-tp", parent="o-1")
    orders.gate.cancelling("o-1")
    orders.told(head, "Cancelled")
    orders.cancel_many()
    assert orders.gate.may_be_ending(leg)


def test_an_exit_may_be_ending_after_its_mate_was_cancelled(orders: Orders) -> None:
    orders.work("o-1")
    profit, loss = orders.work("o-1-tp", parent="o-1"), orders.work("o-1-sl", parent="o-1")
    orders.gate.cancelling("o-1-tp")
    orders.told(profit, "Cancelled")
    orders.cancel_many()
    assert orders.gate.may_be_ending(loss)


def test_an_order_may_be_ending_after_one_of_its_group_was_cancelled(orders: Orders) -> None:
    first, second = orders.work("o-1", oca_group="g"), orders.work("o-2", oca_group="g")
    orders.gate.cancelling("o-1")
    orders.told(first, "Cancelled")
    orders.cancel_many()
    assert orders.gate.may_be_ending(second)


def test_an_order_of_which_a_person_said_that_it_ended_is_remembered(orders: Orders) -> None:
    entry = orders.work("o-1")
    orders.gate.cancelling("o-1")
    orders.blotter.resolved("o-1", OrderStatus.CANCELLED, "by telephone")
    orders.cancel_many()
    orders.told(entry, "Submitted")  # the broker says otherwise
    assert orders.gate.may_be_ending(entry)
