from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.wire.requests import PlaceOrder, decode

ReadOrder = Callable[..., PlaceOrder]
Asked = Callable[[int, Callable[[Any], None]], list[list[str]]]

STOCK = ibi.Stock("AAA", "SMART", "USD")
FIELD_COUNTS = {157: 110, 160: 112, 163: 113, 166: 114, 169: 115, 176: 115, 177: 114, 178: 114}


def test_an_order_is_read_at_every_version_with_exactly_its_fields(version: int, asked: Asked) -> None:
    what = ibi.LimitOrder("BUY", 100, 99.5, orderRef="a-1", tif="GTC")
    (fields,) = asked(version, lambda client: client.placeOrder(1, STOCK, what))
    assert len(fields) == FIELD_COUNTS.get(version, len(fields))
    read = decode(fields, version)
    assert isinstance(read, PlaceOrder)
    assert (read.side, read.quantity, read.order_type) == ("BUY", Decimal("100"), "LMT")
    assert (read.limit_price, read.stop_price, read.time_in_force) == (Decimal("99.5"), None, "GTC")
    assert (read.order_ref, read.unserved, read.contract.symbol) == ("a-1", (), "AAA")
    assert (read.transmit, read.parent_id, read.oca_group, read.what_if) == (True, 0, "", False)
    for wrong in (fields[:-1], [*fields, ""]):
        with pytest.raises(RequestFormatError):
            decode(wrong, version)


def test_each_kind_of_order_carries_its_prices(read_order: ReadOrder) -> None:
    stop = read_order(ibi.StopOrder("SELL", 5, 90.25))
    both = read_order(ibi.StopLimitOrder("SELL", 5, 90, 90.25))
    assert (stop.order_type, stop.limit_price, stop.stop_price) == ("STP", None, Decimal("90.25"))
    assert (both.order_type, both.limit_price, both.stop_price) == ("STP LMT", Decimal(90), Decimal("90.25"))
    assert read_order(ibi.MarketOrder("BUY", 5, outsideRth=True)).outside_rth
    assert read_order(ibi.MarketOrder("BUY", 5, whatIf=True)).what_if


def test_what_is_simulated_is_read_and_not_refused(version: int, read_order: ReadOrder) -> None:
    what = ibi.Order(
        action="SELL",
        totalQuantity=5,
        orderType="TRAIL LIMIT",
        trailStopPrice=99.5,
        trailingPercent=2.5,
        lmtPriceOffset=0.1,
        tif="GTD",
        goodTillDate="20180110 16:00:00 US/Eastern",
        ocaGroup="group",
        ocaType=2,
        parentId=7,
        transmit=False,
        allOrNone=True,
        displaySize=3,
        eTradeOnly=True,
        usePriceMgmtAlgo=True,
    )
    read = read_order(what, version=version)
    assert (read.trail_stop_price, read.trail_percent) == (Decimal("99.5"), Decimal("2.5"))
    assert (read.limit_offset, read.good_till) == (Decimal("0.1"), "20180110 16:00:00 US/Eastern")
    assert (read.oca_group, read.oca_type, read.parent_id) == ("group", 2, 7)
    assert (read.transmit, read.all_or_none, read.unserved) == (False, True, ())
    assert read.fields["displaySize"] == "3"
    assert read.fields["usePriceMgmtAlgo"] == "1"


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"goodAfterTime": "20180103 10:00:00"}, "goodAfterTime"),
        ({"hidden": True}, "hidden"),
        ({"minQty": 5}, "minQty"),
        ({"cashQty": 500.0}, "cashQty"),
        ({"discretionaryAmt": 0.5}, "discretionaryAmt"),
        ({"faGroup": "all"}, "faGroup"),
        ({"hedgeType": "D", "hedgeParam": "1"}, "hedgeType"),
        ({"algoStrategy": "Twap", "algoParams": [ibi.TagValue("a", "b")]}, "algoStrategy"),
        ({"deltaNeutralOrderType": "MKT"}, "deltaNeutralOrderType"),
        ({"scalePriceIncrement": 0.5}, "scalePriceIncrement"),
        ({"conditions": [ibi.PriceCondition(price=3.0), ibi.TimeCondition(time="x")]}, "conditions"),
        ({"orderType": "PEG BENCH"}, "orderType PEG BENCH"),
    ],
)
def test_what_is_not_simulated_is_named_and_never_ignored(
    more: dict[str, object], named: str, version: int, read_order: ReadOrder
) -> None:
    what: Any = ibi.LimitOrder("BUY", 1, 99.5)
    what.update(**more)
    assert named in read_order(what, version=version).unserved


@pytest.mark.parametrize(
    ("more", "named"),
    [
        ({"orderType": "PEG MID", "midOffsetAtWhole": 0.5}, "midOffsetAtWhole"),
        ({"orderType": "PEG BEST", "competeAgainstBestOffset": float("inf")}, "competeAgainstBestOffset"),
        ({"orderType": "PEG BEST", "competeAgainstBestOffset": 0.5}, "competeAgainstBestOffset"),
    ],
)
def test_pegged_orders_are_read_to_their_end(
    more: dict[str, object], named: str, read_order: ReadOrder
) -> None:
    what: Any = ibi.LimitOrder("BUY", 1, 99.5)
    what.update(**more)
    assert named in read_order(what).unserved


def test_combination_orders_are_read_to_their_end(read_order: ReadOrder) -> None:
    leg = ibi.ComboLeg(conId=1, ratio=1, action="BUY", exchange="SMART")
    bag = ibi.Bag(symbol="AAA", exchange="SMART", currency="USD", comboLegs=[leg, leg])
    what = ibi.LimitOrder("BUY", 1, 1.0, smartComboRoutingParams=[ibi.TagValue("NonGuaranteed", "1")])
    what.orderComboLegs = [ibi.OrderComboLeg(1.5)]
    assert read_order(what, bag).unserved[:2] == ("combo legs", "smart combo routing")


def test_delta_neutral_contracts_and_ats_orders_are_read_to_their_end(read_order: ReadOrder) -> None:
    contract = ibi.Stock("AAA", "IBKRATS", "USD")
    contract.deltaNeutralContract = ibi.DeltaNeutralContract(5, 0.5, 10.0)
    read = read_order(ibi.LimitOrder("BUY", 1, 1.0, minTradeQty=5), contract)
    assert set(read.unserved) == {"deltaNeutralContract", "minTradeQty"}


def test_an_unknown_kind_of_condition_is_a_format_error(asked: Asked) -> None:
    what = ibi.LimitOrder("BUY", 1, 1.0, conditions=[ibi.TimeCondition(time="x")])
    (fields,) = asked(176, lambda client: client.placeOrder(1, STOCK, what))
    place = next(i for i in range(len(fields) - 5) if fields[i : i + 2] == ["1", "3"])
    fields[place + 1] = "99"
    with pytest.raises(RequestFormatError, match="condition type"):
        decode(fields, 176)


@pytest.mark.parametrize("text", ["nan", "NaN", "Infinity", "1e400", "1e999", "1.7E308", "1.79e+308", "1_0"])
@pytest.mark.parametrize(
    "name",
    [
        *("totalQuantity", "lmtPrice", "auxPrice", "trailStopPrice", "trailingPercent", "lmtPriceOffset"),
        *("triggerPrice", "cashQty", "percentOffset", "delta", "adjustedStopPrice"),
    ],
)
def test_a_price_that_is_no_number_is_refused_wherever_it_stands(text: str, name: str, asked: Asked) -> None:
    what = ibi.LimitOrder("BUY", 1, 1.0)
    setattr(what, name, 12345.5)
    (fields,) = asked(176, lambda client: client.placeOrder(1, STOCK, what))
    fields[fields.index("12345.5")] = text
    with pytest.raises(RequestFormatError):
        decode(fields, 176)


@given(st.integers(0, 114), st.sampled_from(["x", "1e999", "-", "9" * 40, "\u0661", "True"]))
def test_a_spoilt_order_is_read_or_refused_and_nothing_else(asked: Asked, place: int, garbage: str) -> None:
    (fields,) = asked(176, lambda client: client.placeOrder(1, STOCK, ibi.LimitOrder("BUY", 1, 1.0)))
    fields[place] = garbage
    try:
        decode(fields, 176)
    except RequestRefusedError:
        return
