"""Submission rules of the backtest's execution engine, and what its handlers and the rules are told."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from backtesting.broker import SimulatedBroker
from backtesting.execution import SimulatedExecution
from data.calendars import ExchangeClock
from execution.clocks import SteppedClock
from execution.errors import DuplicateOrderError, RiskCheckError, UnknownOrderError
from execution.events import RiskDecision
from execution.models import Bar, Fill, Instrument, Order, OrderRequest, OrderStatus, OrderType, Side
from strategies.spec import CostSpec

CLOCK = ExchangeClock("XNYS", dt.date(2024, 1, 2), dt.date(2024, 1, 12))
SESSIONS = CLOCK.sessions(dt.date(2024, 1, 2), dt.date(2024, 1, 12))
LARGEST = Decimal(100)


class Rules:
    """Refuses sizes above `LARGEST` and writes down what it is told."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def evaluate(self, request: OrderRequest) -> RiskDecision:
        self.told.append("evaluate")
        if request.quantity > LARGEST:
            return RiskDecision(False, "TOO_LARGE", "more than 100")
        return RiskDecision(True)

    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:
        self.told.append(f"reserve {request.client_order_id}")
        return price

    def release(self, client_order_id: str) -> None:
        self.told.append(f"release {client_order_id}")

    def on_fill(self, fill: Fill) -> None:
        self.told.append(f"shrink {fill.quantity}")


class Listener:
    """Writes down order events."""

    def __init__(self, told: list[str]) -> None:
        self.told = told

    def on_order_status(self, order: Order) -> None:
        self.told.append(f"{order.status} {order.filled_quantity}")

    def on_fill(self, fill: Fill) -> None:
        self.told.append(f"fill {fill.fill_id}")

    def on_order_rejected(self, order: Order, reason: str) -> None:
        self.told.append(f"rejected {reason[:3]}")


class Faulty(Listener):
    """Raises on every fill."""

    def on_fill(self, fill: Fill) -> None:
        raise RuntimeError("a bug")


class Desk:
    """One engine with its broker, and everything that was told, in order."""

    def __init__(self, *handlers: type[Listener]) -> None:
        self.told: list[str] = []
        self.clock = SteppedClock(SESSIONS[0].close_ns)
        costs = CostSpec(slippage_bps=Decimal(0), participation=Decimal("0.1"))
        self.broker = SimulatedBroker([Instrument("SPY")], costs, CLOCK, Decimal(100_000))
        chosen = [handler(self.told) for handler in handlers or (Listener,)]
        self.execution = SimulatedExecution(self.broker, Rules(self.told), self.clock, chosen)

    def day(self, number: int) -> None:
        session = SESSIONS[number]
        self.clock.advance_to(session.close_ns)
        bar = Bar("SPY", session.open_ns, session.close_ns, 100.0, 101.0, 99.0, 100.0, 600.0)
        self.execution.apply(self.broker.advance(session.close_ns, [bar]))


def request(quantity: int = 10, **fields: Any) -> OrderRequest:
    made = OrderRequest("SPY", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id="a")
    return replace(made, **fields)


def test_an_order_is_evaluated_and_reserved_before_the_broker_has_it() -> None:
    desk = Desk()
    order = desk.execution.submit(request())
    assert desk.told == ["evaluate", "reserve a", "SUBMITTED 0"]
    assert (order.order_id, order.status) == ("1", OrderStatus.SUBMITTED)
    assert order.submitted_at.value == SESSIONS[0].close_ns


def test_a_fill_is_booked_before_its_reservation_shrinks_and_then_the_status_is_told() -> None:
    desk = Desk()
    desk.execution.submit(request())
    desk.told.clear()
    desk.day(1)
    assert desk.told == ["fill a-1", "shrink 10", "release a", "FILLED 10"]
    (fill,) = desk.execution.fills()
    assert (fill.fill_id, fill.order_id, fill.client_order_id) == ("a-1", "1", "a")
    assert fill.timestamp.value == SESSIONS[1].open_ns


def test_a_part_filled_and_the_rest_expired_are_told_one_after_the_other() -> None:
    desk = Desk()
    desk.execution.submit(request(100))
    desk.told.clear()
    desk.day(1)
    assert desk.told == ["fill a-1", "shrink 60", "PARTIALLY_FILLED 60", "release a", "CANCELLED 60"]
    (order,) = desk.execution.orders()
    assert (order.status, order.remaining_quantity) == (OrderStatus.CANCELLED, Decimal(40))
    assert order.reason == "DAY order expired"


def test_the_same_id_with_the_same_body_returns_the_stored_order_and_places_nothing() -> None:
    desk = Desk()
    first = desk.execution.submit(request())
    assert desk.execution.submit(request()) is first
    assert len(desk.broker.orders) == 1
    desk.day(1)
    assert desk.execution.submit(request()).status is OrderStatus.FILLED


def test_the_same_id_with_another_body_is_an_error() -> None:
    desk = Desk()
    desk.execution.submit(request())
    with pytest.raises(DuplicateOrderError, match="'a'"):
        desk.execution.submit(request(11))


def test_a_refusal_is_stored_and_refuses_again() -> None:
    desk = Desk()
    for _ in range(2):
        with pytest.raises(RiskCheckError, match="more than 100") as refusal:
            desk.execution.submit(request(101))
        assert refusal.value.rule == "TOO_LARGE"
    assert desk.told == ["evaluate"]
    assert desk.execution.refusals() == [("a", "TOO_LARGE")]
    assert desk.execution.orders() == []


def test_a_refusal_of_the_broker_gives_the_reservation_back() -> None:
    desk = Desk()
    order = desk.execution.submit(request(symbol="QQQ"))
    assert desk.told == ["evaluate", "reserve a", "release a", "rejected 200"]
    assert order.status is OrderStatus.REJECTED
    assert desk.execution.orders() == [order]
    assert desk.execution.submit(request(symbol="QQQ")) is order


def test_an_order_without_an_id_is_given_one() -> None:
    desk = Desk()
    ids = [desk.execution.submit(request(client_order_id=None)).client_order_id for _ in range(2)]
    assert ids == ["unnamed-1", "unnamed-2"]


def test_a_cancel_releases_and_a_second_one_changes_nothing() -> None:
    desk = Desk()
    desk.execution.submit(request())
    desk.told.clear()
    cancelled = desk.execution.cancel("a")
    assert desk.told == ["release a", "CANCELLED 0"]
    assert desk.execution.cancel("a") is cancelled


def test_an_order_that_was_never_placed_cannot_be_cancelled() -> None:
    desk = Desk()
    with pytest.raises(RiskCheckError):
        desk.execution.submit(request(101))
    for name in ("a", "b"):
        with pytest.raises(UnknownOrderError):
            desk.execution.cancel(name)


def test_a_handler_that_raises_does_not_keep_the_others_from_hearing() -> None:
    desk = Desk(Faulty, Listener)
    desk.execution.submit(request())
    desk.day(1)
    assert "fill a-1" in desk.told
    assert desk.execution.orders()[0].status is OrderStatus.FILLED
