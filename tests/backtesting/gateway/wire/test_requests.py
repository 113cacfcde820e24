from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.requests import PlaceOrder, decode, request_id_of

Placed = Callable[..., list[str]]
STOCK = ibi.Stock("AAA", "SMART", "USD")
FIELD_COUNTS = {157: 110, 160: 112, 163: 113, 166: 114, 169: 115, 176: 115}


def order(placed: Placed, what: ibi.Order, **kwargs: int) -> PlaceOrder:
    decoded = decode(placed(STOCK, what, **kwargs), kwargs.get("version", 176))
    assert isinstance(decoded, PlaceOrder)
    return decoded


@pytest.mark.parametrize("version", FIELD_COUNTS)
def test_an_order_is_read_at_every_version_with_exactly_its_fields(placed: Placed, version: int) -> None:
    fields = placed(STOCK, ibi.LimitOrder("BUY", 100, 99.5, orderRef="a-1", tif="GTC"), version=version)
    assert len(fields) == FIELD_COUNTS[version]
    read = decode(fields, version)
    assert isinstance(read, PlaceOrder)
    assert (read.side, read.quantity, read.order_type) == ("BUY", Decimal("100"), "LMT")
    assert (read.limit_price, read.stop_price, read.time_in_force) == (Decimal("99.5"), None, "GTC")
    assert (read.order_ref, read.unserved, read.contract.symbol) == ("a-1", (), "AAA")
    for wrong in (fields[:-1], [*fields, ""]):
        with pytest.raises(RequestFormatError):
            decode(wrong, version)


def test_each_kind_of_order_carries_its_prices(placed: Placed) -> None:
    stop = order(placed, ibi.StopOrder("SELL", 5, 90.25))
    both = order(placed, ibi.StopLimitOrder("SELL", 5, 90, 90.25))
    assert (stop.order_type, stop.limit_price, stop.stop_price) == ("STP", None, Decimal("90.25"))
    assert (both.order_type, both.limit_price, both.stop_price) == ("STP LMT", Decimal(90), Decimal("90.25"))
    assert order(placed, ibi.MarketOrder("BUY", 5, outsideRth=True)).outside_rth
    assert order(placed, ibi.MarketOrder("BUY", 5, whatIf=True)).what_if


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"transmit": False}, "transmit=0"),
        ({"parentId": 3}, "parentId"),
        ({"ocaGroup": "g"}, "ocaGroup"),
        ({"goodAfterTime": "20180103 10:00:00"}, "goodAfterTime"),
        ({"hedgeType": "D", "hedgeParam": "1"}, "hedgeType"),
        ({"algoStrategy": "Twap", "algoParams": [ibi.TagValue("a", "b")]}, "algoStrategy"),
        ({"deltaNeutralOrderType": "MKT"}, "deltaNeutralOrderType"),
        ({"scalePriceIncrement": 0.5}, "scalePriceIncrement"),
        ({"conditions": [ibi.PriceCondition(price=3.0), ibi.TimeCondition(time="x")]}, "conditions"),
        ({"orderType": "PEG BENCH"}, "orderType PEG BENCH"),
        ({"orderType": "PEG MID", "midOffsetAtWhole": 0.5}, "midOffsetAtWhole"),
        ({"orderType": "PEG BEST", "competeAgainstBestOffset": float("inf")}, "competeAgainstBestOffset"),
        ({"allOrNone": True}, "allOrNone"),
    ],
)
def test_what_is_not_simulated_is_named_and_never_ignored(
    placed: Placed, more: dict[str, object], named: str
) -> None:
    what: Any = ibi.LimitOrder("BUY", 1, 99.5)
    what.update(**more)
    assert named in order(placed, what).unserved


def test_combination_orders_are_read_to_their_end(placed: Placed) -> None:
    leg = ibi.ComboLeg(conId=1, ratio=1, action="BUY", exchange="SMART")
    bag = ibi.Bag(symbol="AAA", exchange="SMART", currency="USD", comboLegs=[leg, leg])
    what = ibi.LimitOrder("BUY", 1, 1.0, smartComboRoutingParams=[ibi.TagValue("NonGuaranteed", "1")])
    what.orderComboLegs = [ibi.OrderComboLeg(1.5)]
    read = decode(placed(bag, what), 176)
    assert isinstance(read, PlaceOrder)
    assert read.unserved[:2] == ("combo legs", "smart combo routing")


def test_delta_neutral_contracts_and_ats_orders_are_read_to_their_end(placed: Placed) -> None:
    contract = ibi.Stock("AAA", "IBKRATS", "USD")
    contract.deltaNeutralContract = ibi.DeltaNeutralContract(5, 0.5, 10.0)
    read = decode(placed(contract, ibi.LimitOrder("BUY", 1, 1.0, minTradeQty=5)), 176)
    assert isinstance(read, PlaceOrder)
    assert set(read.unserved) == {"deltaNeutralContract", "minTradeQty"}


def test_an_unknown_kind_of_condition_is_a_format_error(placed: Placed) -> None:
    fields = placed(STOCK, ibi.LimitOrder("BUY", 1, 1.0, conditions=[ibi.TimeCondition(time="x")]))
    place = next(i for i in range(len(fields) - 5) if fields[i : i + 2] == ["1", "3"])
    fields[place + 1] = "99"
    with pytest.raises(RequestFormatError, match="condition type"):
        decode(fields, 176)


@given(st.integers(0, 114), st.sampled_from(["x", "1e999", "-", "9" * 40, "\u0661", "True"]))
def test_a_spoilt_order_is_read_or_refused_and_nothing_else(place: int, garbage: str) -> None:
    fields = [*_PLAIN]
    fields[place] = garbage
    try:
        decode(fields, 176)
    except RequestRefusedError:
        return


def test_requests_that_are_not_served_are_refused_under_their_id() -> None:
    for fields, request_id in (
        (["1", "11", "42", "x"], 42),
        (["92", "43", "DU1", ""], 43),
        (["24", "1"], -1),
        (["97", "soon"], -1),
        (["97"], -1),
        (["999", "1"], -1),
    ):
        with pytest.raises(RequestRefusedError) as refused:
            decode(fields, 176)
        assert refused.value.number == 321
        assert request_id_of(fields) == request_id


def test_requests_are_read_as_ib_insync_sends_them(sent: list[list[str]]) -> None:
    got = [decode(fields, 176) for fields in sent]
    assert [type(request) for request in got] == [
        ask.CancelOrder,
        ask.OpenOrders,
        ask.OpenOrders,
        ask.Executions,
        ask.ContractDetails,
        ask.History,
        ask.CancelHistory,
        ask.AccountUpdates,
        ask.AccountUpdatesMulti,
        ask.AccountSummary,
        ask.MarketDataType,
        ask.CompletedOrders,
        ask.Ignored,
    ]
    history = got[5]
    assert isinstance(history, ask.History)
    assert (history.duration, history.bar_size, history.keep_up_to_date) == ("1 Y", "1 day", True)


@pytest.fixture
def sent() -> list[list[str]]:
    messages: list[list[str]] = []
    client: Any = ibi.IB().client
    client.connState = client.CONNECTED
    client._serverVersion = 176
    client.sendMsg = lambda text: messages.append(text[:-1].split("\0"))
    client.cancelOrder(5, "")
    client.reqOpenOrders()
    client.reqAllOpenOrders()
    client.reqExecutions(6, ibi.ExecutionFilter())
    client.reqContractDetails(7, STOCK)
    client.reqHistoricalData(8, STOCK, "", "1 Y", "1 day", "TRADES", 1, 2, True, [])
    client.cancelHistoricalData(8)
    client.reqAccountUpdates(True, "DU1")
    client.reqAccountUpdatesMulti(9, "DU1", "", False)
    client.reqAccountSummary(10, "All", "NetLiquidation")
    client.reqMarketDataType(3)
    client.reqCompletedOrders(True)
    client.setServerLogLevel(5)
    client.connState = client.DISCONNECTED
    return messages


def _plain() -> list[str]:
    messages: list[list[str]] = []
    client: Any = ibi.IB().client
    client.connState = client.CONNECTED
    client._serverVersion = 176
    client.sendMsg = lambda text: messages.append(text[:-1].split("\0"))
    client.placeOrder(1, STOCK, ibi.LimitOrder("BUY", 1, 99.5))
    client.connState = client.DISCONNECTED
    return messages[0]


_PLAIN = _plain()
