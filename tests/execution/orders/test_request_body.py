"""Every order request survives its way through the journal."""

from __future__ import annotations

import json
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.errors import InvalidOrderError
from execution.models import OrderRequest, OrderType, Side, TimeInForce
from execution.orders.request_body import request_from_body, request_to_body

_prices = st.decimals("0.01", "99999", places=2)


@given(
    kind=st.sampled_from([kind for kind in OrderType if not kind.trails]),
    side=st.sampled_from(Side),
    quantity=st.integers(1, 10**9),
    limit=_prices,
    stop=_prices,
    tif=st.sampled_from([TimeInForce.DAY, TimeInForce.GTC]),
    outside=st.booleans(),
)
def test_a_request_survives_the_journal(
    kind: OrderType,
    side: Side,
    quantity: int,
    limit: Decimal,
    stop: Decimal,
    tif: TimeInForce,
    outside: bool,
) -> None:
    if kind in (OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE):
        tif = TimeInForce.DAY
    request = OrderRequest(
        "AAA",
        Decimal(quantity),
        kind,
        side,
        limit if kind.needs_limit else None,
        stop if kind.needs_stop else None,
        tif,
        "DU1",
        "o-1",
        strategy="s",
        outside_rth=outside,
    )
    body = request_to_body(request)
    assert "terms" not in body  # the record of a plain order is as short as it was
    assert request_from_body(json.loads(json.dumps(body))) == request


D = Decimal


@pytest.mark.parametrize(
    "request_",
    [
        OrderRequest("A", D(1), OrderType.TRAIL, Side.SELL, trail_percent=D("2.5"), trail_stop=D("9.10")),
        OrderRequest(
            "A", D(1), OrderType.TRAIL_LIMIT, Side.SELL, trail_amount=D("0.5"), limit_offset=D("0.02")
        ),
        OrderRequest(
            "A",
            D(1),
            OrderType.LIMIT,
            Side.BUY,
            D(9),
            time_in_force=TimeInForce.GTD,
            good_till=pd.Timestamp("2026-01-05 15:30:00", tz="UTC"),
            oca_group="pair",
            oca_type=3,
        ),
        OrderRequest("A", D(1), OrderType.LIMIT, Side.BUY, D(9), all_or_none=True),
    ],
)
def test_the_rarer_terms_survive_too(request_: OrderRequest) -> None:
    assert request_from_body(json.loads(json.dumps(request_to_body(request_)))) == request_


def test_a_signal_id_survives_the_journal_and_only_an_order_with_one_has_it_on_record() -> None:
    plain = OrderRequest("AAA", D(1), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    signalled = OrderRequest("AAA", D(1), OrderType.MARKET, Side.BUY, client_order_id="o-1", signal_id="s-1")
    assert "signal_id" not in request_to_body(plain)
    assert request_to_body(signalled)["signal_id"] == "s-1"
    assert request_from_body(json.loads(json.dumps(request_to_body(signalled)))) == signalled
    assert signalled.under("o-2", "DU1").signal_id == "s-1"
    with pytest.raises(InvalidOrderError, match="signal_id 'a b'"):
        OrderRequest("AAA", D(1), OrderType.MARKET, Side.BUY, signal_id="a b")
