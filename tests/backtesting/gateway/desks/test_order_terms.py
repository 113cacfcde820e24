"""What a client's order says, and what is refused on sight."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pandas as pd
import pytest

from backtesting.gateway.desks.order_terms import (
    ORDER_TYPES,
    UNSERVED_TYPES,
    chosen_account,
    good_till,
    order_request,
)
from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.wire.requests import PlaceOrder, decode
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce

STOCK = ibi.Stock("AAA", "SMART", "USD")


@pytest.fixture
def request_of(placed: Callable[..., list[str]]) -> Callable[..., OrderRequest]:
    """Send an order through ib_insync, decode it, and map it."""

    def mapped(**fields: Any) -> OrderRequest:
        values = {"action": "BUY", "totalQuantity": 10, "orderType": "MKT", **fields}
        wish = decode(placed(STOCK, ibi.Order(**values)), 176)
        assert isinstance(wish, PlaceOrder)
        return order_request(wish, Instrument("AAA"), "DU1")

    return mapped


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"orderType": "MKT"}, {"order_type": OrderType.MARKET}),
        ({"orderType": "LMT", "lmtPrice": 9.5}, {"limit_price": Decimal("9.5")}),
        ({"orderType": "STP", "auxPrice": 9.5}, {"stop_price": Decimal("9.5"), "limit_price": None}),
        (
            {"orderType": "STP LMT", "lmtPrice": 9, "auxPrice": 8},
            {"limit_price": Decimal(9), "stop_price": Decimal(8)},
        ),
        ({"orderType": "MIT", "auxPrice": 9}, {"stop_price": Decimal(9)}),
        (
            {"orderType": "LIT", "lmtPrice": 9, "auxPrice": 8},
            {"limit_price": Decimal(9), "stop_price": Decimal(8)},
        ),
        ({"orderType": "MOC"}, {"order_type": OrderType.MARKET_ON_CLOSE}),
        ({"orderType": "LOC", "lmtPrice": 9}, {"order_type": OrderType.LIMIT_ON_CLOSE}),
        ({"orderType": "TRAIL", "auxPrice": 2}, {"trail_amount": Decimal(2), "trail_percent": None}),
        (
            {"orderType": "TRAIL", "trailingPercent": 5, "trailStopPrice": 90},
            {"trail_amount": None, "trail_percent": Decimal(5), "trail_stop": Decimal(90)},
        ),
        (
            {"orderType": "TRAIL LIMIT", "auxPrice": 2, "lmtPriceOffset": 0.5, "lmtPrice": 7},
            {"trail_amount": Decimal(2), "limit_offset": Decimal("0.5"), "limit_price": None},
        ),
        (
            {"orderType": "TRAIL LIMIT", "auxPrice": 2, "trailStopPrice": 90, "lmtPrice": 91},
            {"trail_stop": Decimal(90), "limit_offset": None, "limit_price": Decimal(91)},
        ),
        ({"tif": ""}, {"time_in_force": TimeInForce.DAY}),
        ({"tif": "OPG"}, {"time_in_force": TimeInForce.OPG}),
        ({"tif": "IOC"}, {"time_in_force": TimeInForce.IOC}),
        (
            {"tif": "GTD", "goodTillDate": "20180105 16:00:00 US/Eastern"},
            {"good_till": pd.Timestamp("2018-01-05 21:00", tz="UTC")},
        ),
        ({"goodTillDate": "20180105 16:00:00"}, {"good_till": None}),
        ({"allOrNone": True, "outsideRth": True}, {"all_or_none": True, "outside_rth": True}),
        ({"ocaGroup": "g"}, {"oca_group": "g", "oca_type": 3}),
        ({"ocaGroup": "g", "ocaType": 1}, {"oca_group": "g", "oca_type": 1}),
        ({"action": "SELL", "orderRef": "r 1"}, {"side": Side.SELL, "client_order_id": None}),
        ({"orderRef": "r-1"}, {"client_order_id": "r-1", "account": "DU1"}),
    ],
)
def test_an_order_is_taken_as_it_says(
    request_of: Callable[..., OrderRequest], fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    request = request_of(**fields)
    assert {name: getattr(request, name) for name in expected} == expected


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"orderType": "FEELINGS"}, 321),
        ({"orderType": "MOO"}, 321),
        ({"orderType": "MIDPRICE"}, 387),
        ({"action": "HOLD"}, 321),
        ({"orderType": "LMT"}, 321),
        ({"totalQuantity": 0}, 434),
        ({"tif": "WEEK"}, 321),
        ({"tif": "GTD"}, 337),
        ({"tif": "GTD", "goodTillDate": "tomorrow"}, 337),
        ({"orderType": "MOC", "tif": "GTC"}, 113),
        ({"orderType": "STP", "auxPrice": 9, "tif": "OPG"}, 111),
        ({"orderType": "TRAIL", "auxPrice": 9, "tif": "FOK"}, 111),
        ({"orderType": "TRAIL"}, 158),
        ({"orderType": "TRAIL", "auxPrice": 2, "trailingPercent": 5}, 321),
        ({"ocaGroup": "g", "ocaType": 4}, 321),
        ({"minQty": 5}, 321),
    ],
)
def test_what_is_wrong_in_itself_is_refused_with_its_code(
    request_of: Callable[..., OrderRequest], fields: dict[str, Any], code: int
) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        request_of(**fields)
    assert refused.value.number == code


def test_every_order_type_served_is_known_and_none_is_both() -> None:
    assert set(ORDER_TYPES.values()) == set(OrderType)
    assert not UNSERVED_TYPES & ORDER_TYPES.keys()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("20180105 16:00:00", "2018-01-05 21:00"),
        ("20180705 16:00:00 US/Eastern", "2018-07-05 20:00"),
        ("20180105 16:00:00 Europe/London", "2018-01-05 16:00"),
        ("20180105-16:00:00", "2018-01-05 16:00"),
        ("20180105", "2018-01-06 05:00"),
    ],
)
def test_a_good_till_date_is_new_york_time_unless_it_says_otherwise(text: str, moment: str) -> None:
    assert good_till(text) == pd.Timestamp(moment, tz="UTC")


@pytest.mark.parametrize(
    "text", ["", "20181305", "2018-01-05", "20180105 25:00:00", "20180105 16:00:00 Mars/Base"]
)
def test_another_good_till_date_is_refused(text: str) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        good_till(text)
    assert refused.value.number == 337


def test_an_account_must_be_named_where_there_are_several() -> None:
    assert chosen_account("", ["DU1"]) == "DU1"
    assert chosen_account("DU2", ["DU1", "DU2"]) == "DU2"
    for wished, code in (("", 435), ("DU3", 321)):
        with pytest.raises(RequestRefusedError) as refused:
            chosen_account(wished, ["DU1", "DU2"])
        assert refused.value.number == code
