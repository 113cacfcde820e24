"""Orders as a person writes them."""

from __future__ import annotations

import inspect
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.errors import InvalidOrderError, NumberFormatError
from execution.models import OrderRequest, OrderType, Side, TimeInForce
from infrastructure.cli import order_entry
from infrastructure.order_fields import FIELDS, read_moment, read_order_type, read_request

PLAIN: dict[str, Any] = {"symbol": "SPY", "side": "BUY", "quantity": "10"}
D = Decimal


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({}, OrderType.MARKET),
        ({"limit_price": "1.5"}, OrderType.LIMIT),
        ({"stop_price": "1.5"}, OrderType.STOP),
        ({"limit_price": "1.5", "stop_price": "1.4"}, OrderType.STOP_LIMIT),
        ({"trail_amount": "0.5"}, OrderType.TRAIL),
        ({"trail_percent": "2.5"}, OrderType.TRAIL),
        ({"trail_amount": "0.5", "limit_offset": "0"}, OrderType.TRAIL_LIMIT),
        ({"trail_amount": "0.5", "limit_price": "9", "trail_stop": "8"}, OrderType.TRAIL_LIMIT),
        ({"order_type": "moc"}, OrderType.MARKET_ON_CLOSE),
        ({"order_type": "LOC", "limit_price": "2"}, OrderType.LIMIT_ON_CLOSE),
        ({"order_type": "market-if-touched", "stop_price": "2"}, OrderType.MARKET_IF_TOUCHED),
        ({"order_type": "LIT", "stop_price": "2", "limit_price": "3"}, OrderType.LIMIT_IF_TOUCHED),
    ],
)
def test_prices_or_a_name_tell_the_type(more: dict[str, str], kind: OrderType) -> None:
    assert read_request(PLAIN | more).order_type is kind


def test_every_field_arrives() -> None:
    read = read_request(
        PLAIN
        | {
            "limit_price": "420.50",
            "good_till": "2026-11-30T16:00:00-05:00",
            "oca_group": "pair",
            "oca_type": "2",
            "outside_rth": True,
            "all_or_none": True,
            "account": "DU1",
            "client_order_id": "mine",
            "stop_price": None,
        }
    )
    assert read == OrderRequest(
        "SPY",
        D(10),
        OrderType.LIMIT,
        Side.BUY,
        limit_price=D("420.50"),
        time_in_force=TimeInForce.GTD,
        account="DU1",
        client_order_id="mine",
        good_till=pd.Timestamp("2026-11-30 21:00", tz="UTC"),
        oca_group="pair",
        oca_type=2,
        outside_rth=True,
        all_or_none=True,
    )


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"colour": "red"}, "colour"),
        ({"quantity": None}, "quantity"),
        ({"side": "HOLD"}, "side 'HOLD'"),
        ({"order_type": "FEELING"}, "order_type 'FEELING'"),
        ({"time_in_force": "EVER"}, "time_in_force"),
        ({"good_till": "tomorrow"}, "good_till 'tomorrow'"),
        ({"good_till": "2026-11-30T16:00:00"}, "with its offset"),
        ({"outside_rth": "yes"}, "outside_rth"),
        ({"oca_group": "g", "oca_type": "x"}, "oca_type"),
        ({"limit_price": "1e3"}, "limit_price"),
        ({"order_type": "LIMIT"}, "limit_price"),
    ],
)
def test_what_cannot_be_read_is_named(more: dict[str, Any], said: str) -> None:
    with pytest.raises((InvalidOrderError, NumberFormatError), match=said):
        read_request(PLAIN | more)


def test_errors_name_the_option_a_person_wrote() -> None:
    with pytest.raises(NumberFormatError, match="--limit"):
        read_request(PLAIN | {"limit_price": "x"}, names={"limit_price": "--limit"})


@given(st.dictionaries(st.sampled_from(sorted(FIELDS)), st.text(max_size=8) | st.booleans() | st.none()))
def test_whatever_is_written_is_an_order_or_a_refusal_that_says_so(fields: dict[str, Any]) -> None:
    with suppress(InvalidOrderError, NumberFormatError):
        assert isinstance(read_request(fields), OrderRequest)


def test_parts_stand_alone() -> None:
    assert read_order_type("stop limit") is OrderType.STOP_LIMIT
    assert read_moment("x", "2026-11-30T21:00:00Z") == pd.Timestamp("2026-11-30 21:00", tz="UTC")


def test_every_field_of_an_order_is_stated_once_for_the_commands_that_take_it() -> None:
    own = {"config", "profile", "sets", "as_json"}
    assert order_entry.FIELDS.keys() == FIELDS
    assert inspect.signature(order_entry.place).parameters.keys() == FIELDS | own
    for command in (order_entry.place, order_entry.bracket, order_entry.what_if):
        taken = {
            name: one.annotation
            for name, one in inspect.signature(command).parameters.items()
            if name in FIELDS
        }
        assert taken.items() <= order_entry.FIELDS.items()
