"""Fields out and facts in."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import ib_insync
import pandas as pd
import pytest

from execution.clocks import utc_ns
from execution.errors import InvalidOrderError, NumberFormatError
from execution.ibkr.contract_book import ContractBook
from execution.ibkr.translate import (
    Completed,
    parse_time,
    to_contract,
    to_evidence,
    to_wire_order,
)
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce
from execution.orders.evidence import ErrorSeen, OrderStatusSeen
from execution.testing import START

ZONE = "America/New_York"
AAA = Instrument("AAA", tick=Decimal("0.05"), lot=Decimal(10))


def request(
    kind: OrderType = OrderType.STOP_LIMIT, quantity: str = "20", limit: str = "100.05"
) -> OrderRequest:
    return OrderRequest(
        "AAA",
        Decimal(quantity),
        kind,
        Side.SELL,
        Decimal(limit) if kind.needs_limit else None,
        Decimal("99.5") if kind.needs_stop else None,
        TimeInForce.GTC,
        "DU1",
        "o-1",
        outside_rth=True,
    )


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (OrderType.MARKET, "MKT"),
        (OrderType.LIMIT, "LMT"),
        (OrderType.STOP, "STP"),
        (OrderType.STOP_LIMIT, "STP LMT"),
        (OrderType.MARKET_IF_TOUCHED, "MIT"),
        (OrderType.LIMIT_IF_TOUCHED, "LIT"),
    ],
)
def test_an_order_is_spelt_as_tws_expects_it(kind: OrderType, name: str) -> None:
    order = to_wire_order(request(kind), AAA, 7)
    assert (order.orderType, order.action, order.totalQuantity, order.tif) == (name, "SELL", 20, "GTC")
    assert (order.orderRef, order.account, order.orderId, order.outsideRth) == ("o-1", "DU1", 7, True)
    assert order.lmtPrice == (100.05 if kind.needs_limit else ib_insync.Order().lmtPrice)
    assert order.auxPrice == (99.5 if kind.needs_stop else ib_insync.Order().auxPrice)


def wished(kind: OrderType, **fields: Any) -> ib_insync.Order:
    return to_wire_order(OrderRequest("AAA", Decimal(20), kind, Side.SELL, **fields), AAA, 7)


def test_every_order_type_has_its_name_on_the_wire() -> None:
    moc = wished(OrderType.MARKET_ON_CLOSE)
    loc = wished(OrderType.LIMIT_ON_CLOSE, limit_price=Decimal(99))
    assert (moc.orderType, moc.tif) == ("MOC", "DAY")
    assert (loc.orderType, loc.lmtPrice) == ("LOC", 99)
    opening = wished(OrderType.LIMIT, limit_price=Decimal(99), time_in_force=TimeInForce.OPG)
    assert (opening.orderType, opening.tif) == ("LMT", "OPG")


def test_a_trailing_order_is_spelt_with_its_distance_and_its_start() -> None:
    unset = ib_insync.Order()
    by_amount = wished(OrderType.TRAIL, trail_amount=Decimal("1.5"), trail_stop=Decimal("98.5"))
    assert (by_amount.orderType, by_amount.auxPrice, by_amount.trailStopPrice) == ("TRAIL", 1.5, 98.5)
    assert by_amount.trailingPercent == unset.trailingPercent
    by_share = wished(OrderType.TRAIL_LIMIT, trail_percent=Decimal("2.5"), limit_offset=Decimal("0.05"))
    assert (by_share.orderType, by_share.trailingPercent, by_share.lmtPriceOffset) == (
        "TRAIL LIMIT",
        2.5,
        0.05,
    )
    assert (by_share.auxPrice, by_share.lmtPrice) == (unset.auxPrice, unset.lmtPrice)


@pytest.mark.parametrize("name", ["trail_amount", "trail_stop", "limit_offset"])
def test_a_trailing_price_off_the_tick_is_refused(name: str) -> None:
    fields: dict[str, Any] = {"trail_amount": Decimal("0.05"), "limit_offset": Decimal("0.05")}
    with pytest.raises(InvalidOrderError, match=name.replace("_", " ")):
        wished(OrderType.TRAIL_LIMIT, **{**fields, name: Decimal("0.07")})


def test_a_good_till_date_is_told_in_utc_and_a_group_by_name_and_type() -> None:
    till = pd.Timestamp("2024-01-05 12:30", tz="America/New_York")
    order = wished(
        OrderType.LIMIT,
        limit_price=Decimal(99),
        time_in_force=TimeInForce.GTD,
        good_till=till,
        oca_group="exits",
        oca_type=2,
        all_or_none=True,
    )
    assert (order.tif, order.goodTillDate) == ("GTD", "20240105-17:30:00")
    assert (order.ocaGroup, order.ocaType, order.allOrNone) == ("exits", 2, True)


@pytest.mark.parametrize(
    ("quantity", "limit", "named"),
    [("25", "100.05", "quantity"), ("20", "100.01", "limit price")],
)
def test_sizes_and_prices_off_their_grid_are_refused(quantity: str, limit: str, named: str) -> None:
    with pytest.raises(InvalidOrderError, match=named):
        to_wire_order(request(quantity=quantity, limit=limit), AAA, 7)


def test_a_number_that_a_float_cannot_spell_is_refused() -> None:
    fine = Instrument("AAA", tick=Decimal("0.00000001"), lot=Decimal(10))
    with pytest.raises(InvalidOrderError, match="exactly"):
        to_wire_order(request(limit="0.00000001"), fine, 7)


def test_a_contract_carries_what_identifies_it() -> None:
    contract = to_contract(Instrument("AAA", con_id=5, primary_exchange="ARCA"))
    assert (contract.symbol, contract.conId, contract.primaryExchange) == ("AAA", 5, "ARCA")


def test_times_are_read_with_and_without_their_zone() -> None:
    expected = utc_ns(START)
    for text in ("20180102 09:30:00 US/Eastern", "20180102  09:30:00", "20180102-14:30:00"):
        assert parse_time(text, ZONE) == expected


@pytest.mark.parametrize(
    "text", ["", "20180102", "20181302 09:30:00", "20180102 9:30:00", "20180102 09:30:00 Mars/Base", "x-y"]
)
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(NumberFormatError):
        parse_time(text, ZONE)


def status(filled: str = "3") -> list[str]:
    return ["3", "7", "Submitted", filled, "7", "0", "107", "0", "0", "1", "locate", "0"]


def test_messages_become_facts() -> None:
    assert to_evidence(status(), ZONE) == OrderStatusSeen(
        7, 1, 107, "Submitted", Decimal(3), Decimal(7), "locate"
    )
    assert to_evidence(["4", "2", "-1", "1100", "gone"], ZONE) == ErrorSeen(-1, 1100, "gone")
    assert to_evidence(["59", "1", "a.01", "1.7976931348623157E308", "USD"], ZONE) is None
    assert to_evidence(["8", "anything"], ZONE) is None


@pytest.mark.parametrize("filled", ["", "nan", "1e400", "three"])
def test_an_unreadable_number_is_an_error_and_never_a_zero(filled: str) -> None:
    with pytest.raises(NumberFormatError):
        to_evidence(status(filled), ZONE)


def test_an_execution_with_an_unknown_side_is_an_error() -> None:
    fields = [""] * 30
    fields[0], fields[18] = "11", "HELD"
    with pytest.raises(NumberFormatError, match="HELD"):
        to_evidence(fields, ZONE)


@pytest.mark.parametrize(("sent", "read"), [(10.0, 10), (0.5, Decimal("0.5")), (1.7976931348623157e308, 0)])
def test_a_completed_order_tells_its_filled_size_unset_is_none(sent: float, read: Decimal) -> None:
    order = ib_insync.Order(permId=5, orderRef="o-1", filledQuantity=sent)
    state = ib_insync.OrderState(status="Cancelled", completedStatus="Cancelled by Trader")
    seen = Completed.of(ib_insync.Stock("AAA", "SMART", "USD"), order, state).seen_in(ContractBook())
    assert (seen.filled, seen.symbol, seen.detail) == (read, "AAA", "Cancelled by Trader")


def test_a_completed_order_that_was_read_once_goes_by_the_symbol_each_book_has_for_its_contract() -> None:
    state = ib_insync.OrderState(status="Cancelled")
    completed = Completed.of(
        ib_insync.Stock("AAA", "SMART", "USD", conId=7), ib_insync.Order(permId=5), state
    )
    renamed = ContractBook([Instrument("AAA.US", underlying="AAA", con_id=7)])
    symbols = [completed.seen_in(book).symbol for book in (ContractBook(), renamed, ContractBook())]
    assert symbols == ["AAA", "AAA.US", "AAA"]


@pytest.mark.parametrize("life", [TimeInForce.IOC, TimeInForce.FOK])
def test_a_stop_that_lives_at_once_is_refused_as_tws_would(life: TimeInForce) -> None:
    stop = OrderRequest(
        "AAA", Decimal(1), OrderType.STOP, Side.BUY, stop_price=Decimal(5), time_in_force=life
    )
    with pytest.raises(InvalidOrderError, match=f"takes {life} with MARKET and LIMIT"):
        to_wire_order(stop, Instrument("AAA"), 1)
