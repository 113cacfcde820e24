"""The simulated broker over real sessions: acceptance, fills, shared volume, cancels and expiry."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtesting.broker import (
    DAY_EXPIRED,
    BrokerCancel,
    BrokerChange,
    BrokerEvent,
    BrokerFill,
    SimulatedBroker,
)
from backtesting.errors import BrokerRejection
from data.calendars import ExchangeClock
from execution.clocks import NANOS, timestamp
from execution.errors import InvalidOrderError
from execution.models import Bar, Instrument, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from strategies.spec import CostSpec

CLOCK = ExchangeClock("XNYS", dt.date(2024, 1, 2), dt.date(2024, 1, 12))
SESSIONS = CLOCK.sessions(dt.date(2024, 1, 2), dt.date(2024, 1, 12))
NO_COSTS = CostSpec(slippage_bps=Decimal(0), commission_per_share=Decimal(0), commission_minimum=Decimal(0))
SPY, IWM, FX = Instrument("SPY"), Instrument("IWM"), Instrument("FX", lot=Decimal(100), tick=Decimal("0.05"))


def broker(costs: CostSpec = NO_COSTS) -> SimulatedBroker:
    return SimulatedBroker([SPY, IWM, FX], costs, CLOCK, Decimal(100_000))


def request(symbol: str = "SPY", quantity: str = "10", side: Side = Side.BUY, **fields: Any) -> OrderRequest:
    fields.setdefault("order_type", OrderType.MARKET)
    return OrderRequest(symbol, Decimal(quantity), side=side, **fields)


def day(
    number: int,
    open_: float = 100.0,
    high: float = 102.0,
    low: float = 98.0,
    close: float = 101.0,
    **more: Any,
) -> Bar:
    session = SESSIONS[number]
    symbol, volume = more.get("symbol", "SPY"), more.get("volume", 1000.0)
    return Bar(symbol, session.open_ns, session.close_ns, open_, high, low, close, volume)


def close(number: int) -> int:
    return SESSIONS[number].close_ns


def fills(events: list[BrokerEvent]) -> list[BrokerFill]:
    return [event for event in events if isinstance(event, BrokerFill)]


def cancels(events: list[BrokerEvent]) -> list[BrokerCancel]:
    return [event for event in events if isinstance(event, BrokerCancel)]


# -- acceptance ----------------------------------------------------------------------------------------


def test_orders_are_numbered_from_one_in_order_of_acceptance() -> None:
    made = broker()
    orders = [made.place(request(symbol), close(0)) for symbol in ("SPY", "IWM", "SPY")]
    assert [order.perm_id for order in orders] == [1, 2, 3]
    assert made.open_orders() == orders
    assert {order.status for order in orders} == {OrderStatus.SUBMITTED}
    assert list(made.orders) == [1, 2, 3]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (request("QQQ"), 200),
        (request(order_type=OrderType.LIMIT, limit_price=Decimal("100.005")), 110),
        (request(order_type=OrderType.STOP, stop_price=Decimal("100.005")), 110),
        (request(quantity="1.5"), 10243),
        (request(quantity="0.5"), 10243),
        (request("FX", quantity="150"), 10250),
        (request("FX", quantity="50"), 388),
    ],
)
def test_a_refused_order_leaves_nothing_behind(bad: OrderRequest, code: int) -> None:
    made = broker()
    with pytest.raises(BrokerRejection) as refusal:
        made.place(bad, close(0))
    assert refusal.value.code == code
    assert str(refusal.value) == f"{code}: {refusal.value.text}"
    assert made.orders == {}
    assert made.place(request(), close(0)).perm_id == 1


def test_a_day_order_expires_with_the_session_in_progress_or_else_the_next() -> None:
    made = broker()
    inside, at_the_close = SESSIONS[0].open_ns + 60 * NANOS, close(0)
    assert made.place(request(), inside).expires_ns == close(0)
    assert made.place(request(), at_the_close).expires_ns == close(1)
    assert made.place(request(), SESSIONS[1].open_ns - 1).expires_ns == close(1)
    assert made.place(request(time_in_force=TimeInForce.GTC), inside).expires_ns is None
    assert made.place(request(), close(-1)).expires_ns is None  # the calendar knows no further session


# -- fills ---------------------------------------------------------------------------------------------


def test_an_order_decided_at_the_close_fills_at_the_next_open() -> None:
    made = broker(CostSpec(slippage_bps=Decimal(1)))
    order = made.place(request(), close(0))
    assert made.advance(close(0), [day(0)]) == []
    (event,) = fills(made.advance(close(1), [day(1)]))
    assert (event.number, event.quantity, event.price) == (1, Decimal(10), Decimal("100.01"))
    assert event.time_ns == SESSIONS[1].open_ns
    assert (event.commission, event.realized_pnl) == (Decimal(1), None)
    assert event.order is order
    assert (order.status, order.average_price) == (OrderStatus.FILLED, Decimal("100.01"))
    assert order.remaining == 0
    assert made.open_orders() == []
    assert made.ledger.cash == Decimal(100_000) - Decimal("1000.1") - 1


def test_an_order_placed_within_a_bar_does_not_fill_in_it() -> None:
    made = broker()
    made.place(request(), SESSIONS[0].open_ns + 1)
    assert fills(made.advance(close(0), [day(0)])) == []


def test_a_limit_reached_within_the_bar_fills_at_its_end_in_whole_seconds() -> None:
    made = broker()
    made.place(request(order_type=OrderType.LIMIT, limit_price=Decimal("98.5")), close(0))
    bar = Bar("SPY", SESSIONS[1].open_ns, close(1) + 999_999_999, 100.0, 102.0, 98.0, 101.0)
    (event,) = fills(made.advance(bar.end_ns, [bar]))
    assert (event.price, event.time_ns) == (Decimal("98.5"), close(1))


def test_closing_tells_the_profit_and_turning_books_both_sides() -> None:
    made = broker()
    made.place(request(), close(0))
    made.advance(close(1), [day(1)])
    made.place(request(side=Side.SELL, quantity="15"), close(1))
    (event,) = fills(made.advance(close(2), [day(2, 101.0, 102.0, 98.0)]))
    assert event.realized_pnl == 10
    assert made.ledger.position("SPY") == -5
    made.place(request(quantity="5"), close(2))
    (event,) = fills(made.advance(close(3), [day(3, 100.0)]))
    assert event.realized_pnl == 5
    assert made.ledger.cash == 100_015


def test_bars_are_visited_by_symbol_and_orders_by_acceptance() -> None:
    made = broker()
    for symbol in ("SPY", "IWM", "SPY"):
        made.place(request(symbol), close(0))
    events = fills(made.advance(close(1), [day(1), day(1, symbol="IWM")]))
    assert [event.order.perm_id for event in events] == [2, 1, 3]


def test_a_triggered_stop_limit_waits_as_a_limit_order() -> None:
    made = broker()
    order = made.place(
        request(
            order_type=OrderType.STOP_LIMIT,
            stop_price=Decimal("101.5"),
            limit_price=Decimal(101),
            time_in_force=TimeInForce.GTC,
        ),
        close(0),
    )
    (change,) = made.advance(close(1), [day(1)])
    assert isinstance(change, BrokerChange)
    assert (change.order, change.what, change.time_ns) == (order, "triggered", close(1))
    assert order.triggered
    (event,) = fills(made.advance(close(2), [day(2, 101.25)]))
    assert (event.price, event.time_ns) == (Decimal(101), close(2))


def test_a_defective_bar_fills_nothing_and_leaves_the_mark() -> None:
    made = broker()
    made.place(request(), close(0))
    made.advance(close(0), [day(0)])
    broken = day(1, close=float("nan"))
    assert fills(made.advance(close(1), [broken])) == []
    assert made.mark("SPY") == Decimal("101.0")
    assert made.mark("IWM") is None


# -- participation -------------------------------------------------------------------------------------

TENTH = CostSpec(slippage_bps=Decimal(0), participation=Decimal("0.1"))


def test_the_orders_of_a_symbol_share_the_volume_of_a_bar() -> None:
    made = broker(TENTH)
    first = made.place(request(quantity="80", time_in_force=TimeInForce.GTC), close(0))
    second = made.place(request(quantity="50", time_in_force=TimeInForce.GTC), close(0))
    events = fills(made.advance(close(1), [day(1)]))  # 1000 x 10 % = 100
    assert [(event.order.perm_id, event.quantity) for event in events] == [(1, Decimal(80)), (2, Decimal(20))]
    assert (first.status, second.status) == (OrderStatus.FILLED, OrderStatus.PARTIALLY_FILLED)
    (event,) = fills(made.advance(close(2), [day(2, 99.0)]))
    assert (event.number, event.quantity, event.commission) == (2, Decimal(30), Decimal(0))
    assert second.average_price == Decimal("99.4")
    assert (second.fills, second.fees) == (2, Decimal(1))


def test_a_stop_that_filled_in_part_goes_on_as_a_market_order() -> None:
    made = broker(TENTH)
    made.place(
        request(
            quantity="150",
            order_type=OrderType.STOP,
            stop_price=Decimal("101.5"),
            time_in_force=TimeInForce.GTC,
        ),
        close(0),
    )
    (event,) = fills(made.advance(close(1), [day(1)]))
    assert (event.price, event.quantity) == (Decimal("101.5"), Decimal(100))
    (event,) = fills(made.advance(close(2), [day(2, 99.0, 99.5, 98.0, 99.0)]))  # far below the stop
    assert (event.price, event.quantity) == (Decimal(99), Decimal(50))


def test_volume_is_counted_in_whole_lots() -> None:
    made = broker(TENTH)
    made.place(request("FX", quantity="300"), close(0))
    (event,) = fills(made.advance(close(1), [day(1, symbol="FX", volume=2_990.0)]))
    assert event.quantity == 200


def test_a_bar_without_volume_fills_nothing_under_a_cap() -> None:
    made = broker(TENTH)
    made.place(request(), close(0))
    assert fills(made.advance(close(1), [day(1, volume=0.0)])) == []


# -- cancel and expiry ---------------------------------------------------------------------------------


def test_a_cancelled_order_no_longer_fills() -> None:
    made = broker()
    order = made.place(request(), close(0))
    (event,) = made.cancel(1, close(0) + 5)
    assert (event.order, event.time_ns) == (order, close(0) + 5)
    assert order.status is OrderStatus.CANCELLED
    assert made.advance(close(1), [day(1)]) == []
    with pytest.raises(BrokerRejection, match=r"10148.*state: Cancelled"):
        made.cancel(1, close(1))


def test_what_is_not_there_or_has_filled_cannot_be_cancelled() -> None:
    made = broker()
    with pytest.raises(BrokerRejection, match=r"10147.*not found"):
        made.cancel(7, close(0))
    made.place(request(), close(0))
    made.advance(close(1), [day(1)])
    with pytest.raises(BrokerRejection, match=r"10148.*state: Filled"):
        made.cancel(1, close(1))


def test_day_orders_expire_after_matching_also_without_a_bar() -> None:
    made = broker()
    far: dict[str, Any] = {"order_type": OrderType.LIMIT, "limit_price": Decimal(90)}
    made.place(request(**far), close(0))
    made.place(request("IWM", **far), close(0))
    made.place(request("IWM", time_in_force=TimeInForce.GTC, **far), close(0))
    made.place(request(), close(0))
    events = made.advance(close(1), [day(1)])
    assert [event.order.perm_id for event in events] == [4, 1, 2]
    assert {(event.reason, event.time_ns) for event in cancels(events)} == {(DAY_EXPIRED, close(1))}
    assert [order.perm_id for order in made.open_orders()] == [3]


def test_an_order_whose_session_had_no_bar_does_not_fill_in_a_later_one() -> None:
    made = broker()
    order = made.place(request(), close(0))
    events = made.advance(close(2), [day(2)])
    assert fills(events) == []
    assert [event.time_ns for event in cancels(events)] == [close(1)]
    assert (order.status, order.reason) == (OrderStatus.CANCELLED, DAY_EXPIRED)


def test_an_order_may_fill_in_part_and_expire_in_one_step() -> None:
    made = broker(TENTH)
    order = made.place(request(quantity="150"), close(0))
    events = made.advance(close(1), [day(1)])
    assert [type(event) for event in events] == [BrokerFill, BrokerCancel]
    assert (order.filled, order.remaining) == (Decimal(100), Decimal(50))
    assert order.status is OrderStatus.CANCELLED


# -- whatever is traded --------------------------------------------------------------------------------


def prices() -> st.SearchStrategy[tuple[float, float, float, float]]:
    cents = st.lists(st.integers(9_000, 11_000), min_size=4, max_size=4)
    return cents.map(lambda c: (c[0] / 100, max(c) / 100, min(c) / 100, c[1] / 100))


ORDERS = st.tuples(
    st.integers(0, 6),
    st.sampled_from(list(OrderType)),
    st.sampled_from(list(Side)),
    st.integers(1, 200),
    st.integers(9_000, 11_000),
    st.integers(9_000, 11_000),
    st.sampled_from(list(TimeInForce)),
)


@settings(max_examples=60)
@given(
    st.lists(ORDERS, max_size=12),
    st.lists(prices(), min_size=8, max_size=8),
    st.sampled_from([None, Decimal("0.05")]),
)
def test_money_sizes_and_reports_agree_whatever_is_traded(
    wishes: list[tuple[int, OrderType, Side, int, int, int, TimeInForce]],
    path: list[tuple[float, float, float, float]],
    participation: Decimal | None,
) -> None:
    made = broker(CostSpec(participation=participation))
    seen: list[BrokerEvent] = []
    for number, ohlc in enumerate(path):
        seen += made.advance(close(number), [day(number, *ohlc)])
        for when, order_type, side, size, limit, stop, tif in wishes:
            if when == number:
                try:
                    wish = request(
                        quantity=str(size),
                        side=side,
                        order_type=order_type,
                        limit_price=Decimal(limit) / 100 if order_type.needs_limit else None,
                        stop_price=Decimal(stop) / 100 if order_type.needs_stop else None,
                        trail_amount=Decimal(limit % 300 + 1) / 100 if order_type.trails else None,
                        limit_offset=Decimal(1) if order_type is OrderType.TRAIL_LIMIT else None,
                        good_till=timestamp(close(number) + 36 * 3600 * NANOS)
                        if tif is TimeInForce.GTD
                        else None,
                        time_in_force=tif,
                    )
                except InvalidOrderError:
                    continue  # a life that its type does not take
                if tif in (TimeInForce.IOC, TimeInForce.FOK):
                    with pytest.raises(BrokerRejection, match=r"Exchange is closed"):
                        made.place(wish, close(number))
                    made.place(wish, SESSIONS[number + 1].open_ns)
                else:
                    made.place(wish, close(number))
    executed = fills(seen)
    spent = sum(
        (e.order.request.side.sign * e.quantity * e.price + e.commission for e in executed), Decimal(0)
    )
    assert made.ledger.cash == 100_000 - spent
    realised = sum((e.realized_pnl for e in executed if e.realized_pnl is not None), Decimal(0))
    assert realised == made.ledger.realized_pnl
    for order in made.orders.values():
        own = [e for e in executed if e.order is order]
        assert [e.number for e in own] == list(range(1, order.fills + 1))
        assert order.filled == sum((e.quantity for e in own), Decimal(0))
        assert order.fees == sum((e.commission for e in own), Decimal(0))
        assert all(e.time_ns >= order.placed_ns and e.time_ns % NANOS == 0 for e in own)
        assert (order.status is OrderStatus.FILLED) == (order.remaining == 0)
        ends = [e for e in cancels(seen) if e.order is order]
        assert len(ends) == (order.status is OrderStatus.CANCELLED)
    assert made.open_orders() == [o for o in made.orders.values() if not o.status.is_final]
