"""The text of an order is, byte for byte, what the client library would have written."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ib_insync
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.ibkr import order_text, translate
from execution.ibkr.order_text import OrderTexts
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce

STOCK = Instrument("AAA")
CONTRACTS = (
    STOCK,
    Instrument("BBB", exchange="IBKRATS", currency="EUR", primary_exchange="XETRA", con_id=12),
    Instrument(
        "AAA C 100",
        "OPT",
        multiplier=Decimal(100),
        expiry="20180119",
        strike=Decimal("102.5"),
        right="C",
        underlying="AAA",
    ),
)
TYPES = tuple(OrderType)
PRICES = st.integers(1, 10**7).map(lambda ticks: ticks * Decimal("0.01"))


@st.composite
def requests(draw: st.DrawFn) -> OrderRequest:
    """Draw an order of any type."""
    kind = draw(st.sampled_from(TYPES))
    on_close = kind in (OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE)
    lives = [TimeInForce.DAY] if on_close else [TimeInForce.DAY, TimeInForce.GTC, TimeInForce.GTD]
    life = draw(st.sampled_from(lives))
    more: dict[str, Any] = {}
    if kind.trails:
        name = draw(st.sampled_from(("trail_amount", "trail_percent")))
        more[name] = Decimal("2.5")
        more["trail_stop"] = draw(st.none() | PRICES)
    if kind is OrderType.TRAIL_LIMIT:
        more["limit_offset"] = Decimal("0.05")
    if life is TimeInForce.GTD:
        more["good_till"] = pd.Timestamp("2018-01-05 20:00", tz="UTC")
    if draw(st.booleans()):
        more |= {"oca_group": "group", "oca_type": draw(st.integers(1, 3))}
    return OrderRequest(
        symbol="AAA",
        quantity=draw(st.integers(1, 10**6).map(Decimal)),
        order_type=kind,
        side=draw(st.sampled_from(tuple(Side))),
        limit_price=draw(PRICES) if kind.needs_limit else None,
        stop_price=draw(PRICES) if kind.needs_stop else None,
        time_in_force=life,
        account=draw(st.none() | st.just("DU1")),
        client_order_id=draw(st.none() | st.just("an-order")),
        outside_rth=draw(st.booleans()),
        all_or_none=draw(st.booleans()),
        **more,
    )


def written(version: int, order_id: int, contract: ib_insync.Contract, order: ib_insync.Order) -> str:
    """Return what the library writes."""
    client: Any = ib_insync.Client(None)  # it decodes nothing here
    sent: list[str] = []
    client.connState, client._serverVersion, client.sendMsg = client.CONNECTED, version, sent.append
    client.placeOrder(order_id, contract, order)
    return sent[0]


@given(
    request=requests(),
    instrument=st.sampled_from(CONTRACTS),
    version=st.sampled_from((157, 158, 160, 162, 166, 169, 170, 176)),
    parent_id=st.sampled_from((0, 41)),
    transmit=st.booleans(),
    what_if=st.booleans(),
)
def test_every_order_is_written_as_the_library_writes_it(
    request: OrderRequest,
    instrument: Instrument,
    version: int,
    parent_id: int,
    transmit: bool,
    what_if: bool,
) -> None:
    order = translate.to_wire_order(request, instrument, 42, parent_id=parent_id, transmit=transmit)
    order.whatIf = what_if
    contract = translate.to_contract(instrument)
    texts = OrderTexts(lambda: version)
    expected = written(version, 42, contract, order)
    assert texts.text(42, contract, order) == expected
    assert texts.text(42, contract, order) == expected  # from the pieces that were kept


def test_contracts_and_versions_keep_pieces_of_their_own() -> None:
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY)
    order = translate.to_wire_order(request, STOCK, 7)
    version = 176
    texts = OrderTexts(lambda: version)
    for instrument in CONTRACTS:
        contract = translate.to_contract(instrument)
        assert texts.text(7, contract, order) == written(176, 7, contract, order)
    version = 157
    contract = translate.to_contract(STOCK)
    assert texts.text(7, contract, order) == written(157, 7, contract, order)


def test_orders_do_not_share_what_they_say() -> None:
    first = translate.to_wire_order(OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY), STOCK, 7)
    first.account = "DU9"
    second = translate.to_wire_order(OrderRequest("AAA", Decimal(5), OrderType.MARKET, Side.SELL), STOCK, 8)
    assert (second.account, second.orderId, second.action) == ("", 8, "SELL")


def test_a_library_that_writes_orders_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ib_insync.Client, "placeOrder", lambda self, number, *_: self.send(3, number))
    monkeypatch.setattr(order_text, "_cuts", {})  # nothing was cut before
    texts = OrderTexts(lambda: 176)
    with pytest.raises(AssertionError, match="unlike those known"):
        texts.text(7, translate.to_contract(STOCK), ib_insync.Order())
