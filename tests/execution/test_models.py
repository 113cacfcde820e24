"""Domain objects: what is refused when they are built, and what they say of themselves."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest

from execution.errors import ExecutionError, InvalidOrderError
from execution.models import (
    Bar,
    Instrument,
    Order,
    OrderRequest,
    OrderStatus,
    OrderType,
    Side,
    TimeInForce,
)

START = pd.Timestamp("2024-01-02 14:30", tz="UTC")
END = pd.Timestamp("2024-01-02 21:00", tz="UTC")


def request(**changes: Any) -> OrderRequest:
    fields: dict[str, Any] = {
        "symbol": "SPY",
        "quantity": Decimal(10),
        "order_type": OrderType.MARKET,
        "side": Side.BUY,
    }
    return OrderRequest(**{**fields, **changes})


def test_a_request_is_a_day_order_unless_it_says_otherwise() -> None:
    made = request()
    assert made.time_in_force is TimeInForce.DAY
    assert not made.outside_rth
    with pytest.raises(FrozenInstanceError):
        made.quantity = Decimal(5)  # type: ignore[misc]


@pytest.mark.parametrize(
    "quantity", [Decimal(0), Decimal(-1), Decimal("NaN"), Decimal("Infinity"), Decimal("1E15"), 10, 1.0, "10"]
)
def test_a_size_must_be_a_positive_finite_decimal(quantity: Any) -> None:
    with pytest.raises(InvalidOrderError, match="quantity"):
        request(quantity=quantity)


@pytest.mark.parametrize(
    ("order_type", "prices", "named"),
    [
        (OrderType.MARKET, {"limit_price": Decimal(1)}, "limit_price"),
        (OrderType.MARKET, {"stop_price": Decimal(1)}, "stop_price"),
        (OrderType.LIMIT, {}, "limit_price"),
        (OrderType.LIMIT, {"limit_price": Decimal(0)}, "limit_price"),
        (OrderType.LIMIT, {"limit_price": Decimal(1), "stop_price": Decimal(1)}, "stop_price"),
        (OrderType.STOP, {}, "stop_price"),
        (OrderType.STOP_LIMIT, {"stop_price": Decimal(1)}, "limit_price"),
        (OrderType.STOP_LIMIT, {"limit_price": Decimal(1)}, "stop_price"),
    ],
)
def test_each_order_type_takes_its_prices_and_no_others(
    order_type: OrderType, prices: dict[str, Decimal], named: str
) -> None:
    with pytest.raises(InvalidOrderError, match=named):
        request(order_type=order_type, **prices)


def test_a_stop_limit_takes_both_prices() -> None:
    made = request(order_type=OrderType.STOP_LIMIT, limit_price=Decimal("1.5"), stop_price=Decimal(1))
    assert (made.limit_price, made.stop_price) == (Decimal("1.5"), Decimal(1))


@pytest.mark.parametrize("symbol", ["", "spy", "SPY\0", "SPY\n", "ÄPFEL", "A" * 33, " SPY", None])
def test_symbols_that_the_wire_cannot_carry_are_refused(symbol: Any) -> None:
    with pytest.raises(InvalidOrderError, match="symbol"):
        request(symbol=symbol)


@pytest.mark.parametrize("text", ["", "a b", "x" * 65, "ünique", "a\0"])
def test_ids_that_the_wire_cannot_carry_are_refused(text: str) -> None:
    with pytest.raises(InvalidOrderError, match="client_order_id"):
        request(client_order_id=text)
    with pytest.raises(InvalidOrderError, match="account"):
        request(account=text)


def test_an_invalid_order_is_an_execution_error_and_a_value_error() -> None:
    assert issubclass(InvalidOrderError, (ExecutionError,))
    assert issubclass(InvalidOrderError, (ValueError,))
    assert InvalidOrderError.code == "INVALID_ORDER"


@pytest.mark.parametrize(
    "changes", [{"tick": Decimal(0)}, {"lot": Decimal(-1)}, {"multiplier": Decimal(0)}, {"symbol": "x"}]
)
def test_an_instrument_needs_a_symbol_and_positive_increments(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidOrderError):
        replace(Instrument("SPY"), **changes)


def test_sides_have_signs() -> None:
    assert (Side.BUY.sign, Side.SELL.sign) == (1, -1)


def test_an_order_can_trade_until_it_is_filled_cancelled_rejected_or_never_sent() -> None:
    final = {status for status in OrderStatus if status.is_final}
    assert final == {
        OrderStatus.FILLED,
        OrderStatus.CANCELLED,
        OrderStatus.REJECTED,
        OrderStatus.NOT_SENT,
    }


def test_what_remains_of_an_order_is_its_size_less_what_was_executed() -> None:
    order = Order(
        "1",
        "a",
        "SPY",
        Decimal(10),
        OrderType.MARKET,
        Side.BUY,
        None,
        None,
        OrderStatus.SUBMITTED,
        START,
        Decimal(4),
    )
    assert order.remaining_quantity == 6


def bar(**changes: Any) -> Bar:
    made = Bar.of("SPY", START, END, (100.0, 102.0, 99.0, 101.0), 1e6)
    return replace(made, **changes)


def test_a_bar_gives_its_start_and_end_as_utc_timestamps() -> None:
    assert (bar().start, bar().end) == (START, END)
    assert bar().defect() is None


def test_a_bar_of_naive_times_is_refused() -> None:
    with pytest.raises(ValueError, match="no timezone"):
        Bar.of("SPY", START.tz_localize(None), END, (1.0, 1.0, 1.0, 1.0))


@pytest.mark.parametrize(
    ("changes", "defect"),
    [
        ({"close": float("nan")}, "not a finite number"),
        ({"high": float("inf")}, "not a finite number"),
        ({"low": 0.0}, "not positive"),
        ({"low": -1.0}, "not positive"),
        ({"high": 98.0}, "do not enclose"),
        ({"low": 100.5}, "do not enclose"),
        ({"high": 100.5}, "do not enclose"),
        ({"volume": -1.0}, "volume"),
        ({"volume": float("nan")}, "volume"),
        ({"start_ns": END.value}, "ends before it starts"),
    ],
)
def test_a_bar_says_what_is_wrong_with_it(changes: dict[str, Any], defect: str) -> None:
    found = bar(**changes).defect()
    assert found is not None
    assert defect in found


@pytest.mark.parametrize("low", [0.0, -37.63])
def test_a_bar_whose_price_may_be_negative_is_sound_below_zero_and_else_no_less_strict(low: float) -> None:
    assert bar(low=low).defect(signed=True) is None
    assert bar(low=low, high=98.0).defect(signed=True) is not None
    assert bar(low=float("nan")).defect(signed=True) is not None


@pytest.mark.parametrize(
    ("kind", "signed"), [("FUT", True), ("BAG", True), ("IND", True), ("STK", False), ("OPT", False)]
)
def test_an_instrument_says_whether_its_price_may_be_negative(kind: str, signed: bool) -> None:
    assert Instrument("AAA", kind).is_signed is signed


# -- trailing orders, lives and groups -----------------------------------------------------------------

TRAIL: dict[str, Any] = {"order_type": OrderType.TRAIL, "trail_amount": Decimal(1)}
TRAIL_LIMIT: dict[str, Any] = {**TRAIL, "order_type": OrderType.TRAIL_LIMIT, "limit_offset": Decimal(0)}
TILL = pd.Timestamp("2024-01-05 21:00", tz="UTC")


@pytest.mark.parametrize(
    "fields",
    [
        TRAIL,
        {**TRAIL, "trail_amount": None, "trail_percent": Decimal("2.5"), "trail_stop": Decimal(99)},
        TRAIL_LIMIT,
        {**TRAIL_LIMIT, "limit_offset": None, "limit_price": Decimal(99)},
        {"time_in_force": TimeInForce.GTD, "good_till": TILL},
        {"time_in_force": TimeInForce.OPG},
        {"time_in_force": TimeInForce.FOK},
        {"order_type": OrderType.MARKET_ON_CLOSE},
        {"oca_group": "a b", "oca_type": 3},
    ],
)
def test_a_complete_request_is_taken(fields: dict[str, Any]) -> None:
    assert request(**fields)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"order_type": OrderType.TRAIL}, "exactly one"),
        ({**TRAIL, "trail_percent": Decimal(1)}, "exactly one"),
        ({**TRAIL, "trail_amount": Decimal(0)}, "trail_amount"),
        ({**TRAIL, "trail_amount": None, "trail_percent": Decimal(100)}, "below 100"),
        ({**TRAIL, "limit_offset": Decimal(1)}, "limit_offset"),
        ({**TRAIL, "limit_price": Decimal(1)}, "limit_price"),
        ({**TRAIL, "stop_price": Decimal(1)}, "stop_price"),
        ({**TRAIL_LIMIT, "limit_price": Decimal(1)}, "exactly one"),
        ({**TRAIL_LIMIT, "limit_offset": None}, "exactly one"),
        ({**TRAIL_LIMIT, "limit_offset": Decimal(-1)}, "limit_offset"),
        ({"trail_amount": Decimal(1)}, "use TRAIL"),
        ({"time_in_force": TimeInForce.GTD}, "good_till"),
        ({"good_till": TILL}, "use GTD"),
        ({"time_in_force": TimeInForce.GTD, "good_till": TILL.tz_localize(None)}, "timezone"),
        ({**TRAIL, "time_in_force": TimeInForce.OPG}, "OPG"),
        ({"time_in_force": TimeInForce.FOK, "all_or_none": True}, "all_or_none"),
        ({"time_in_force": TimeInForce.IOC, "outside_rth": True}, "outside_rth"),
        ({"order_type": OrderType.MARKET_ON_CLOSE, "time_in_force": TimeInForce.GTC}, "use DAY"),
        ({"oca_group": ""}, "oca_group"),
        ({"oca_type": 4}, "oca_type"),
    ],
)
def test_what_does_not_go_together_is_refused_and_named(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidOrderError, match=named):
        request(**fields)


def test_a_request_under_another_id_and_account_is_the_same_in_all_else() -> None:
    made = request(
        order_type=OrderType.TRAIL_LIMIT,
        trail_percent=Decimal("2.5"),
        limit_offset=Decimal("0.10"),
        time_in_force=TimeInForce.GTD,
        good_till=END,
        strategy="s",
        oca_group="g",
        oca_type=3,
        outside_rth=True,
    )
    assert made.under("an-id", "DU1") == replace(made, client_order_id="an-id", account="DU1")
    assert made.client_order_id is None


@pytest.mark.parametrize(("name", "account"), [("an id", "DU1"), ("an-id", "DU 1"), ("", None)])
def test_a_request_is_not_put_under_a_name_that_the_wire_cannot_carry(name: str, account: str | None) -> None:
    with pytest.raises(InvalidOrderError, match="letters, digits"):
        request().under(name, account)


@pytest.mark.parametrize("kind", [Side, OrderType, TimeInForce, OrderStatus])
def test_the_text_of_a_term_finds_it(kind: Any) -> None:
    assert all({member: member.value}[member.name] == str(member) for member in kind)
