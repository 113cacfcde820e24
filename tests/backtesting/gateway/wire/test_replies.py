"""Every message we send, read back by the client's own decoder at every version it speaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.tickets import Execution, Ticket
from backtesting.gateway.wire import replies
from execution.models import Instrument, OrderRequest, OrderType, Side, TimeInForce

Hear = Callable[..., tuple[str, tuple[Any, ...]]]
TicketOf = Callable[..., Ticket]
ExecutionOf = Callable[..., Execution]

D = Decimal
STOCK = Instrument("AAA", con_id=5, primary_exchange="ARCA", name="A fund")
OPTION = Instrument(
    "AAA 180119C105",
    "OPT",
    con_id=6,
    multiplier=D(100),
    expiry="20180119",
    strike=D(105),
    right="C",
    local_symbol="AAA   180119C00105000",
    trading_class="AAA",
    underlying="AAA",
)
FUTURE = Instrument(
    "ESH8",
    "FUT",
    "CME",
    con_id=7,
    tick=D("0.25"),
    multiplier=D(50),
    expiry="20180316",
    local_symbol="ESH8",
    trading_class="ES",
    underlying="ES",
    name="E-mini S&P 500",
)
PAIR = Instrument(
    "EUR.USD", "CASH", "IDEALPRO", con_id=8, tick=D("0.00005"), local_symbol="EUR.USD", underlying="EUR"
)


def _request(kind: OrderType = OrderType.STOP_LIMIT, **more: Any) -> OrderRequest:
    prices: dict[str, Any] = {}
    if kind.needs_limit:
        prices["limit_price"] = D("101.5")
    if kind.needs_stop:
        prices["stop_price"] = D("100.5")
    return OrderRequest("AAA", D(10), kind, Side.BUY, **(prices | more))


@pytest.fixture
def ticket(ticket_of: TicketOf) -> Ticket:
    """A stop-limit order that is filled, with everything that is echoed."""
    what: Any = ibi.StopLimitOrder("BUY", 10, 101.5, 100.5, orderRef="ref 1", outsideRth=True, displaySize=4)
    what.update(allOrNone=True, usePriceMgmtAlgo=True, ocaGroup="group", ocaType=2, triggerMethod=2)
    return ticket_of(
        what,
        _request(outside_rth=True, all_or_none=True),
        filled=D(4),
        filled_value=D("405.2"),
        last_price=D("101.3"),
        commission=D(1),
        modifications=2,
        parent_order_id=9,
        parent_perm_id=1_500_000_000,
        oca_group="group",
        oca_type=2,
        why_held="child,trigger",
    )


def test_an_open_order_is_read_whole_at_every_version(version: int, ticket: Ticket, hear: Hear) -> None:
    data = replies.open_order(version, "DU1", ticket, "Filled")
    name, (order_id, contract, order, state) = hear(data, version)
    assert (name, order_id, contract.symbol, contract.secType) == ("openOrder", 1, "AAA", "STK")
    assert (contract.exchange, contract.conId, contract.tradingClass) == ("SMART", 5, "NMS")
    assert (order.action, order.totalQuantity, order.orderType) == ("BUY", 10, "STP LMT")
    assert (order.lmtPrice, order.auxPrice, order.tif, order.outsideRth) == (101.5, 100.5, "DAY", True)
    assert (order.orderRef, order.permId, order.clientId) == ("ref 1", 1_500_000_001, 3)
    assert (order.clearingIntent, order.dontUseAutoPriceForHedge, order.trailStopPrice) == ("IB", True, 102.5)
    assert (order.displaySize, order.allOrNone, order.usePriceMgmtAlgo) == (4, True, True)
    assert (order.ocaGroup, order.ocaType, order.parentId, order.triggerMethod) == ("group", 2, 9, 2)
    assert (order.account, order.whatIf, order.transmit) == ("DU1", False, True)
    assert (state.status, state.commission, state.commissionCurrency) == ("Filled", 1.0, "USD")
    assert b"1500000001.2/DU1/10\0" in data


def test_an_order_that_nothing_is_known_of_yet_leaves_its_commission_out(
    version: int, ticket_of: TicketOf, hear: Hear
) -> None:
    plain = ticket_of(ibi.MarketOrder("BUY", 10), _request(OrderType.MARKET))
    _, (_, _, order, state) = hear(replies.open_order(version, "DU1", plain, "PreSubmitted"), version)
    assert (order.lmtPrice, order.auxPrice, order.ocaType) == (0.0, 0.0, 3)
    assert (state.status, state.commissionCurrency, state.initMarginBefore[-4:]) == (
        "PreSubmitted",
        "",
        "E308",
    )
    assert state.commission == ibi.util.UNSET_DOUBLE


def test_a_trailing_order_is_told_with_its_stop_as_it_stands(
    version: int, ticket_of: TicketOf, hear: Hear
) -> None:
    what: Any = ibi.Order(action="BUY", totalQuantity=10, orderType="TRAIL LIMIT", auxPrice=1.5)
    what.update(trailStopPrice=103.0, lmtPriceOffset=0.1)
    request = _request(OrderType.TRAIL_LIMIT, trail_amount=D("1.5"), trail_stop=D(103), limit_offset=D("0.1"))
    trailing = ticket_of(what, request)
    _, (_, _, order, _) = hear(replies.open_order(version, "DU1", trailing, "Submitted"), version)
    assert (order.orderType, order.auxPrice, order.trailStopPrice) == ("TRAIL LIMIT", 1.5, 103.0)
    assert order.lmtPriceOffset == 0.1
    trailing.status, trailing.completed_ns = "Cancelled", 1_514_990_000_000_000_000
    _, (_, order, _) = hear(replies.completed_order(version, "DU1", trailing), version)
    assert (order.trailStopPrice, order.lmtPriceOffset) == (103.0, 0.1)


@pytest.mark.parametrize("kind", [OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT])
def test_an_order_that_a_client_was_told_of_can_be_sent_back_by_it(
    kind: OrderType, version: int, ticket_of: TicketOf, hear: Hear, read_order: Callable[..., Any]
) -> None:
    names = {"MARKET": "MKT", "LIMIT": "LMT", "STOP": "STP", "STOP_LIMIT": "STP LMT"}
    what = ibi.Order(action="BUY", totalQuantity=10, orderType=names[kind], orderRef="ref")
    what.lmtPrice, what.auxPrice = 101.5, 100.5
    data = replies.open_order(version, "DU1", ticket_of(what, _request(kind)), "Submitted")
    _, (_, contract, order, _) = hear(data, version)
    order.totalQuantity = 20
    wish = read_order(order, contract, version)
    assert (wish.unserved, wish.quantity, wish.order_type) == ((), 20, names[kind])
    assert (wish.order_ref, wish.transmit, wish.contract.con_id) == ("ref", True, 5)


def test_what_a_client_leaves_unset_is_echoed_as_tws_spells_it(ticket_of: TicketOf, hear: Hear) -> None:
    what: Any = ibi.LimitOrder("BUY", 10, 101.5)
    told = ticket_of(what, _request(OrderType.LIMIT))
    unset = {"usePriceMgmtAlgo": "2147483647", "displaySize": "2147483647", "triggerMethod": ""}
    told.wish = dataclasses.replace(told.wish, fields={**told.wish.fields, **unset})
    _, (_, _, order, _) = hear(replies.open_order(176, "DU1", told, "Submitted"))
    assert (order.usePriceMgmtAlgo, order.displaySize, order.triggerMethod) == (False, 2147483647, 0)


def test_a_good_till_date_order_is_told_with_its_end(ticket_of: TicketOf, hear: Hear) -> None:
    import pandas as pd

    end = pd.Timestamp("2018-01-10 21:00", tz="UTC")
    what = ibi.LimitOrder("BUY", 10, 101.5, tif="GTD", goodTillDate="20180110 16:00:00 US/Eastern")
    request = _request(OrderType.LIMIT, time_in_force=TimeInForce.GTD, good_till=end)
    _, (_, _, order, _) = hear(replies.open_order(176, "DU1", ticket_of(what, request), "Submitted"))
    assert (order.tif, order.goodTillDate) == ("GTD", "20180110 16:00:00 US/Eastern")


def test_a_what_if_is_answered_with_margins_and_the_range_of_commissions(
    version: int, read_order: Callable[..., Any], hear: Hear
) -> None:
    wish = read_order(ibi.MarketOrder("BUY", 10, whatIf=True, orderRef="try"))
    margins = replies.Margins(
        (D("1.5"), D(10), D("11.5")),
        (D(1), D(8), D(9)),
        (D(1000), D("-0.86"), D("999.14")),
        D("1.0003"),
        D("0.35"),
        D(3),
        "USD",
        "careful",
    )
    data = replies.what_if_order(
        version, "DU1", _request(OrderType.MARKET), STOCK, wish, margins, client_id=3, perm_id=77
    )
    _, (order_id, _, order, state) = hear(data, version)
    assert (order_id, order.whatIf, order.permId, order.orderRef) == (1, True, 77, "try")
    assert (state.status, state.warningText) == ("PreSubmitted", "careful")
    assert (state.initMarginBefore, state.maintMarginBefore, state.equityWithLoanBefore) == (
        *("1.5", "1.0"),
        "1000.0",
    )
    assert (state.initMarginChange, state.equityWithLoanChange) == ("10.0", "-0.86")
    assert (state.initMarginAfter, state.maintMarginAfter, state.equityWithLoanAfter) == (
        *("11.5", "9.0"),
        "999.14",
    )
    assert (state.commission, state.minCommission, state.maxCommission) == (1.0003, 0.35, 3.0)
    assert state.commissionCurrency == "USD"


def test_how_far_an_order_is_is_read_whole(ticket: Ticket, hear: Hear) -> None:
    _, told = hear(replies.order_status(ticket, "PreSubmitted"))
    assert told == (1, "PreSubmitted", 4.0, 6.0, 101.3, 1_500_000_001, 9, 101.3, 3, "child,trigger", 0.0)
    assert b"\000101.30\0" in replies.order_status(ticket, "PreSubmitted")


@pytest.mark.parametrize(
    ("status", "reason", "size", "told"),
    [
        ("Filled", "", 0, "Filled Size: 4"),
        ("Cancelled", "", 10, "Cancelled by Trader"),
        ("Cancelled", "expired", 10, "Cancelled by System:expired"),
    ],
)
def test_a_completed_order_is_read_whole_at_every_version(
    status: str, reason: str, size: int, told: str, version: int, ticket: Ticket, hear: Hear
) -> None:
    ticket.status, ticket.reason, ticket.completed_ns = status, reason, 1_514_990_000_000_000_000
    name, (contract, order, state) = hear(replies.completed_order(version, "DU1", ticket), version)
    assert (name, contract.symbol, order.orderType, order.permId) == (
        *("completedOrder", "AAA"),
        *("STP LMT", 1_500_000_001),
    )
    assert (order.totalQuantity, order.filledQuantity, order.orderRef) == (size, 4, "ref 1")
    assert (order.ocaGroup, order.ocaType, order.allOrNone) == ("group", 2, True)
    assert (order.displaySize, order.account, order.parentPermId) == (4, "DU1", 1_500_000_000)
    assert (state.status, state.completedStatus) == (status, told)
    assert state.completedTime == "20180103 09:33:20 US/Eastern"


def test_an_execution_and_its_commission_are_read_whole(
    version: int, ticket: Ticket, execution_of: ExecutionOf, hear: Hear
) -> None:
    execution = execution_of(ticket)
    data = replies.execution_details("DU1", execution, 12, version)
    _, (request_id, contract, details) = hear(data, version)
    _, (report,) = hear(replies.commission_report(execution))
    assert (request_id, contract.symbol, details.side, details.shares) == (12, "AAA", "BOT", 10)
    assert (details.execId, details.orderRef) == ("0000e0d5.59682f01.01.01", "ref 1")
    assert (details.cumQty, details.avgPrice, details.lastLiquidity) == (10, 101.5, 2)
    assert details.time.isoformat() == "2018-01-02T14:30:00+00:00"
    assert (report.execId, report.commission) == (details.execId, 1.0)
    assert report.realizedPNL > 1e300  # unset: the trade opened a position
    closing = execution_of(ticket, realized_pnl=D("-3.25"))
    assert hear(replies.commission_report(closing))[1][0].realizedPNL == -3.25


@pytest.mark.parametrize(
    ("instrument", "symbol", "kind", "expiry", "strike", "right", "multiplier", "local", "traded_as"),
    [
        (STOCK, "AAA", "STK", "", 0.0, "", "", "AAA", "NMS"),
        (OPTION, "AAA", "OPT", "20180119", 105.0, "C", "100", "AAA   180119C00105000", "AAA"),
        (FUTURE, "ES", "FUT", "20180316", 0.0, "", "50", "ESH8", "ES"),
        (PAIR, "EUR", "CASH", "", 0.0, "", "", "EUR.USD", "EUR"),
    ],
)
def test_every_kind_of_contract_goes_by_its_names_on_the_wire(
    instrument: Instrument,
    symbol: str,
    kind: str,
    expiry: str,
    strike: float,
    right: str,
    multiplier: str,
    local: str,
    traded_as: str,
    version: int,
    hear: Hear,
) -> None:
    wanted = (symbol, kind, expiry, strike, right, multiplier, local, traded_as)
    facts = replies.ContractFacts("h1", "h2", underlying_con_id=5, underlying_type="STK")
    _, (request_id, details) = hear(replies.contract_details(version, 9, instrument, facts=facts), version)
    _, (_, held, size, cost) = hear(replies.position("DU1", instrument, D(-3), D("1.5")))
    _, values = hear(replies.portfolio_value("DU1", instrument, *map(D, ("10", "2", "1.5", "5", "0"))))
    multi = hear(replies.position_multi(4, "DU1", instrument, D(-3), D("1.5")))[1]
    for contract in (details.contract, held, values[0], multi[3]):
        assert _names(contract) == wanted
        assert contract.conId == instrument.con_id
    assert (request_id, details.tradingHours, details.liquidHours) == (9, "h1", "h2")
    assert (details.minTick, details.underConId, size, cost) == (float(instrument.tick), 5, -3.0, 1.5)
    assert values[1:] == (10.0, 2.0, 20.0 * float(instrument.multiplier), 1.5, 5.0, 0.0, "DU1")
    assert multi[:3] == (4, "DU1", "")


def _names(contract: ibi.Contract) -> tuple[object, ...]:
    return (
        *(contract.symbol, contract.secType, contract.lastTradeDateOrContractMonth, contract.strike),
        contract.right.replace("0", ""),
        *(contract.multiplier, contract.localSymbol, contract.tradingClass),
    )


def test_contract_details_tell_what_is_known_beyond_the_contract(version: int, hear: Hear) -> None:
    facts = replies.ContractFacts(
        *("h1", "h2", "US/Central", 67),
        exchanges=("CME", "QBALGO"),
        industry="Index",
        last_trade_time="08:30",
        security_ids=(("ISIN", "US1"), ("CUSIP", "2")),
    )
    _, (_, details) = hear(replies.contract_details(version, 9, FUTURE, facts=facts), version)
    assert (details.validExchanges, details.marketRuleIds) == ("CME,QBALGO", "67,67")
    assert (details.timeZoneId, details.industry, details.contractMonth) == ("US/Central", "Index", "201803")
    assert (details.lastTradeTime, details.realExpirationDate, details.stockType) == ("08:30", "20180316", "")
    assert (details.underSymbol, details.longName, details.priceMagnifier) == ("ES", "E-mini S&P 500", 1)
    assert details.secIdList == [ibi.TagValue("ISIN", "US1"), ibi.TagValue("CUSIP", "2")]
    _, (_, stock) = hear(replies.contract_details(version, 9, STOCK, "h1", "h2"), version)
    assert (stock.validExchanges, stock.marketRuleIds, stock.stockType) == ("SMART,ARCA", "26,26", "COMMON")
    assert (stock.contract.primaryExchange, stock.tradingHours) == ("ARCA", "h1")


def test_searches_chains_and_rules_are_read_whole(version: int, hear: Hear) -> None:
    samples = replies.symbol_samples(version, 4, [(STOCK, ("OPT", "FUT")), (PAIR, ())])
    _, (request_id, found) = hear(samples, version)
    assert request_id == 4
    assert [(one.contract.conId, one.contract.symbol) for one in found] == [(5, "AAA"), (8, "EUR")]
    assert [one.derivativeSecTypes for one in found] == [["OPT", "FUT"], []]
    chain = replies.option_chain(4, "CBOE", 5, "AAA", D(100), ["20180119"], [D(105), D("107.5")])
    assert hear(chain)[1] == (4, "CBOE", "5", "AAA", "100", ["20180119"], [105.0, 107.5])
    assert hear(replies.option_chain_end(4))[1] == (4,)
    rule, bands = hear(replies.market_rule(26, [(D(0), D("0.0001")), (D(1), D("0.01"))]))[1]
    assert (rule, [(band.lowEdge, band.increment) for band in bands]) == (26, [(0.0, 0.0001), (1.0, 0.01)])
    _, parts = hear(replies.smart_components(4, [(0, "NASDAQ", "Q")]))[1]
    assert [(one.bitNumber, one.exchange, one.exchangeLetter) for one in parts] == [(0, "NASDAQ", "Q")]


@pytest.mark.parametrize(
    ("data", "callback", "wanted"),
    [
        (replies.managed_accounts(["DU1", "DU2"]), "managedAccounts", ("DU1,DU2",)),
        (
            replies.account_value("DU1", "Cash", "1.00", "USD"),
            "updateAccountValue",
            ("Cash", "1.00", "USD", "DU1"),
        ),
        (replies.account_time("09:30"), "updateAccountTime", ("09:30",)),
        (replies.account_download_end("DU1"), "accountDownloadEnd", ("DU1",)),
        (replies.position_end(), "positionEnd", ()),
        (replies.position_multi_end(4), "positionMultiEnd", (4,)),
        (
            replies.account_summary(4, "DU1", "Cash", "1.00", "USD"),
            "accountSummary",
            (4, "DU1", "Cash", "1.00", "USD"),
        ),
        (replies.account_summary_end(4), "accountSummaryEnd", (4,)),
        (
            replies.account_update_multi(4, "DU1", "Cash", "1.00", "USD"),
            "accountUpdateMulti",
            (4, "DU1", "", "Cash", "1.00", "USD"),
        ),
        (replies.account_update_multi_end(4), "accountUpdateMultiEnd", (4,)),
        (replies.pnl(4, D("1.5"), D(2), D(-3)), "pnl", (4, 1.5, 2.0, -3.0)),
        (replies.pnl_single(4, D(5), D(1), D(2), D(3), D(500)), "pnlSingle", (4, 5, 1.0, 2.0, 3.0, 500.0)),
        (replies.soft_dollar_tiers(4), "softDollarTiers", (4, [])),
        (replies.user_info(4), "userInfo", (4, "")),
        (replies.contract_details_end(4), "contractDetailsEnd", (4,)),
        (replies.tick_price(4, 1, D("101.5"), D(300), 1), "priceSizeTick", (4, 1, 101.5, 300.0)),
        (replies.tick_price(4, 1, 101.25, 300.0), "priceSizeTick", (4, 1, 101.25, 300.0)),
        (replies.tick_size(4, 8, 312894.0), "tickSize", (4, 8, 312894.0)),
        (replies.tick_generic(4, 49, 0), "tickGeneric", (4, 49, 0.0)),
        (replies.tick_string(4, 45, "1775174157"), "tickString", (4, 45, "1775174157")),
        (replies.tick_request_parameters(4, D("0.01")), "tickReqParams", (4, 0.01, "9c0001", 4)),
        (replies.snapshot_end(4), "tickSnapshotEnd", (4,)),
        (replies.market_data_type(4, 3), "marketDataType", (4, 3)),
        (replies.current_time(1781163646), "currentTime", (1781163646,)),
        (
            replies.real_time_bar(4, 1678323335, (1.5, 2.0, 1.0, 1.25), 2.0, 1.375, 1),
            "realtimeBar",
            (4, 1678323335, 1.5, 2.0, 1.0, 1.25, 2.0, 1.375, 1),
        ),
        (replies.head_timestamp(4, "19801212-14:30:00"), "headTimestamp", (4, "19801212-14:30:00")),
        (replies.order_bound(77, 3, -1), "orderBound", (77, 3, -1)),
        (replies.open_order_end(), "openOrderEnd", ()),
        (replies.execution_details_end(4), "execDetailsEnd", (4,)),
        (replies.completed_orders_end(), "completedOrdersEnd", ()),
        (replies.next_valid_id(5), "nextValidId", (5,)),
    ],
)
def test_short_messages_are_read_whole(
    data: bytes, callback: str, wanted: tuple[object, ...], hear: Hear
) -> None:
    assert hear(data) == (callback, wanted)


def test_what_is_not_known_is_unset_and_a_family_without_a_code_is_everybodys(hear: Hear) -> None:
    assert hear(replies.pnl(4, None, D(2), None))[1][1] > 1e300
    _, (families,) = hear(replies.family_codes())
    assert [(one.accountID, one.familyCodeStr) for one in families] == [("*", "")]


def test_an_error_is_read_at_every_version(version: int, hear: Hear) -> None:
    assert hear(replies.error(version, 4, 202, "why"), version)[1] == (4, 202, "why", "")
