"""Every request a client can send, decoded at every version it can be sent at, with exactly its fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ib_insync as ibi
import pytest

from backtesting.gateway.errors import RequestFormatError, RequestRefusedError
from backtesting.gateway.wire import requests as ask
from backtesting.gateway.wire.requests import decode, request_id_of
from backtesting.gateway.wire.unserved import UNSERVED

Asked = Callable[[int, Callable[[Any], None]], list[list[str]]]

STOCK = ibi.Stock("AAA", "SMART", "USD")
OPTION = ibi.Option("AAA", "20180119", 105.0, "C", "SMART", "100", "USD", includeExpired=True)
LEG = ibi.ComboLeg(conId=1, ratio=1, action="BUY", exchange="SMART")
BAG = ibi.Bag(symbol="AAA", exchange="SMART", currency="USD", comboLegs=[LEG, LEG])
NEUTRAL = ibi.Contract(
    symbol="AAA", secType="STK", deltaNeutralContract=ibi.DeltaNeutralContract(5, 0.5, 10.0)
)

SERVED: dict[str, tuple[Callable[[Any], None], object]] = {
    "start": (lambda c: c.startApi(), ask.StartApi(-1)),
    "cancel": (lambda c: c.cancelOrder(5, "now"), ask.CancelOrder(5)),
    "global cancel": (lambda c: c.reqGlobalCancel(), ask.GlobalCancel()),
    "open orders": (lambda c: c.reqOpenOrders(), ask.OpenOrders()),
    "all open orders": (lambda c: c.reqAllOpenOrders(), ask.OpenOrders(everyone=True)),
    "bind": (lambda c: c.reqAutoOpenOrders(True), ask.AutoOpenOrders(bind=True)),
    "no longer bind": (lambda c: c.reqAutoOpenOrders(False), ask.AutoOpenOrders(bind=False)),
    "completed orders": (lambda c: c.reqCompletedOrders(True), ask.CompletedOrders(api_only=True)),
    "executions": (
        lambda c: c.reqExecutions(6, ibi.ExecutionFilter(3, "DU1", "t", "AAA", "STK", "SMART", "BUY")),
        ask.Executions(6, 3, "DU1", "t", "AAA", "STK", "SMART", "BUY"),
    ),
    "ids": (lambda c: c.reqIds(1), ask.NextId()),
    "accounts": (lambda c: c.reqManagedAccts(), ask.ManagedAccounts()),
    "account updates": (lambda c: c.reqAccountUpdates(True, "DU1"), ask.AccountUpdates(True, "DU1")),
    "account values": (
        lambda c: c.reqAccountUpdatesMulti(9, "DU1", "m", True),
        ask.AccountUpdatesMulti(9, "DU1", "m", True),
    ),
    "no account values": (
        lambda c: c.cancelAccountUpdatesMulti(9),
        ask.CancelAccountUpdatesMulti(9),
    ),
    "summary": (lambda c: c.reqAccountSummary(10, "All", "a,b"), ask.AccountSummary(10, "All", "a,b")),
    "no summary": (lambda c: c.cancelAccountSummary(10), ask.CancelAccountSummary(10)),
    "positions": (lambda c: c.reqPositions(), ask.Positions(subscribe=True)),
    "no positions": (lambda c: c.cancelPositions(), ask.Positions(subscribe=False)),
    "positions of one": (lambda c: c.reqPositionsMulti(4, "DU1", "m"), ask.PositionsMulti(4, "DU1", "m")),
    "no positions of one": (lambda c: c.cancelPositionsMulti(4), ask.CancelPositionsMulti(4)),
    "profit": (lambda c: c.reqPnL(4, "DU1", "m"), ask.PnL(4, "DU1", "m")),
    "no profit": (lambda c: c.cancelPnL(4), ask.CancelPnL(4)),
    "profit of one": (lambda c: c.reqPnLSingle(4, "DU1", "m", 77), ask.PnLSingle(4, "DU1", "m", 77)),
    "no profit of one": (lambda c: c.cancelPnLSingle(4), ask.CancelPnLSingle(4)),
    "families": (lambda c: c.reqFamilyCodes(), ask.FamilyCodes()),
    "soft dollars": (lambda c: c.reqSoftDollarTiers(4), ask.SoftDollarTiers(4)),
    "user": (lambda c: c.reqUserInfo(4), ask.UserInfo(4)),
    "time": (lambda c: c.reqCurrentTime(), ask.CurrentTime()),
    "symbols": (lambda c: c.reqMatchingSymbols(4, "AA"), ask.MatchingSymbols(4, "AA")),
    "market rule": (lambda c: c.reqMarketRule(26), ask.MarketRule(26)),
    "options": (
        lambda c: c.reqSecDefOptParams(4, "AAA", "", "STK", 77),
        ask.OptionChain(4, "AAA", "", "STK", 77),
    ),
    "components": (lambda c: c.reqSmartComponents(4, "9c0001"), ask.SmartComponents(4, "9c0001")),
    "data type": (lambda c: c.reqMarketDataType(3), ask.MarketDataType(3)),
    "no market data": (lambda c: c.cancelMktData(4), ask.CancelMarketData(4)),
    "no bars": (lambda c: c.cancelRealTimeBars(4), ask.CancelRealTimeBars(4)),
    "no history": (lambda c: c.cancelHistoricalData(4), ask.CancelHistory(4)),
    "no head": (lambda c: c.cancelHeadTimeStamp(4), ask.CancelHeadTimestamp(4)),
    "log level": (lambda c: c.setServerLogLevel(5), ask.Ignored()),
    "no bulletins": (lambda c: c.cancelNewsBulletins(), ask.Ignored()),
}

WITH_CONTRACT: dict[str, tuple[Callable[[Any], None], type[Any]]] = {
    "details": (lambda c: c.reqContractDetails(7, OPTION), ask.ContractDetails),
    "quotes": (lambda c: c.reqMktData(7, OPTION, "233", True, False, []), ask.MarketData),
    "quotes of a combination": (lambda c: c.reqMktData(7, BAG, "", False, False, []), ask.MarketData),
    "quotes of a hedge": (lambda c: c.reqMktData(7, NEUTRAL, "", False, False, []), ask.MarketData),
    "bars": (lambda c: c.reqRealTimeBars(7, OPTION, 5, "TRADES", True, []), ask.RealTimeBars),
    "history": (
        lambda c: c.reqHistoricalData(7, OPTION, "", "1 Y", "1 day", "TRADES", True, 2, True, []),
        ask.History,
    ),
    "history of a combination": (
        lambda c: c.reqHistoricalData(7, BAG, "", "1 Y", "1 day", "TRADES", True, 2, True, []),
        ask.History,
    ),
    "head": (lambda c: c.reqHeadTimeStamp(7, OPTION, "TRADES", True, 1), ask.HeadTimestamp),
    "order": (lambda c: c.placeOrder(7, OPTION, ibi.LimitOrder("BUY", 1, 2.5)), ask.PlaceOrder),
}

LISTS: dict[str, tuple[Callable[[Any], None], str]] = {
    "scanner parameters": (lambda c: c.reqScannerParameters(), "scannerParameters"),
    "depth exchanges": (lambda c: c.reqMktDepthExchanges(), "mktDepthExchanges"),
    "news providers": (lambda c: c.reqNewsProviders(), "newsProviders"),
}

REFUSED: dict[str, tuple[Callable[[Any], None], int, int]] = {
    "depth": (lambda c: c.reqMktDepth(8, STOCK, 5, True, []), 8, 10092),
    "no depth": (lambda c: c.cancelMktDepth(8, True), 8, 310),
    "bulletins": (lambda c: c.reqNewsBulletins(True), -1, 10276),
    "advisor": (lambda c: c.requestFA(1), 2147483647, 321),
    "replace advisor": (lambda c: c.replaceFA(8, 1, "<a/>"), 8, 321),
    "exercise": (lambda c: c.exerciseOptions(8, OPTION, 1, 1, "DU1", 0), 8, 321),
    "scanner": (lambda c: c.reqScannerSubscription(8, ibi.ScannerSubscription(), [], []), 8, 162),
    "no scanner": (lambda c: c.cancelScannerSubscription(8), 8, 365),
    "fundamentals": (lambda c: c.reqFundamentalData(8, STOCK, "ReportSnapshot", []), 8, 430),
    "no fundamentals": (lambda c: c.cancelFundamentalData(8), 8, 300),
    "volatility": (lambda c: c.calculateImpliedVolatility(8, OPTION, 1.0, 2.0, []), 8, 321),
    "option price": (lambda c: c.calculateOptionPrice(8, OPTION, 1.0, 2.0, []), 8, 321),
    "no volatility": (lambda c: c.cancelCalculateImpliedVolatility(8), 8, 300),
    "no option price": (lambda c: c.cancelCalculateOptionPrice(8), 8, 300),
    "verify": (lambda c: c.verifyRequest("a", "b"), -1, 321),
    "verify message": (lambda c: c.verifyMessage("a"), -1, 321),
    "groups": (lambda c: c.queryDisplayGroups(8), 8, 321),
    "group": (lambda c: c.subscribeToGroupEvents(8, 1), 8, 321),
    "change group": (lambda c: c.updateDisplayGroup(8, "none"), 8, 321),
    "no group": (lambda c: c.unsubscribeFromGroupEvents(8), 8, 321),
    "authorise": (lambda c: c.verifyAndAuthRequest("a", "b", "c"), -1, 321),
    "authorise message": (lambda c: c.verifyAndAuthMessage("a", "b"), -1, 321),
    "article": (lambda c: c.reqNewsArticle(8, "a", "b", []), 8, 10172),
    "news": (lambda c: c.reqHistoricalNews(8, 1, "a", "", "", 5, []), 8, 162),
    "histogram": (lambda c: c.reqHistogramData(8, STOCK, True, "1 day"), 8, 162),
    "no histogram": (lambda c: c.cancelHistogramData(8), 8, 300),
    "ticks": (lambda c: c.reqHistoricalTicks(8, STOCK, "", "", 5, "TRADES", True, False, []), 8, 10187),
    "tick by tick": (lambda c: c.reqTickByTickData(8, STOCK, "Last", 0, False), 8, 10189),
    "no tick by tick": (lambda c: c.cancelTickByTickData(8), 8, 300),
    "calendar": (lambda c: c.reqWshMetaData(8), 8, 10276),
    "no calendar": (lambda c: c.cancelWshMetaData(8), 8, 10282),
    "calendar events": (lambda c: c.reqWshEventData(8, ibi.WshEventData()), 8, 10276),
    "no calendar events": (lambda c: c.cancelWshEventData(8), 8, 10284),
}


def _without_or_with_one_more(fields: list[str]) -> list[list[str]]:
    return [fields[:-1], [*fields, ""]]


@pytest.mark.parametrize("name", SERVED)
def test_a_request_is_read_at_every_version_and_with_exactly_its_fields(
    name: str, version: int, asked: Asked
) -> None:
    send, expected = SERVED[name]
    (fields,) = asked(version, send)
    if isinstance(expected, ask.StartApi):
        fields[2] = "12"
        expected = ask.StartApi(12)
    if isinstance(expected, ask.CancelOrder) and version >= 169:
        expected = ask.CancelOrder(5, "now")
    assert decode(fields, version) == expected
    for wrong in _without_or_with_one_more(fields):
        if wrong:
            with pytest.raises(RequestFormatError):
                decode(wrong, version)


@pytest.mark.parametrize("name", WITH_CONTRACT)
def test_a_request_about_a_contract_is_read_at_every_version(name: str, version: int, asked: Asked) -> None:
    send, kind = WITH_CONTRACT[name]
    (fields,) = asked(version, send)
    request = decode(fields, version)
    assert isinstance(request, kind)
    assert request.contract.symbol == "AAA"
    if request.contract.security_type == "OPT":
        assert request.contract == ask.ContractQuery(
            0, "AAA", "OPT", "20180119", "105.0", "C", "100", "SMART", "", "USD", "", ""
        )
    for wrong in _without_or_with_one_more(fields):
        with pytest.raises(RequestFormatError):
            decode(wrong, version)


def test_what_is_said_about_bars_and_quotes_is_kept(asked: Asked) -> None:
    def one(name: str) -> Any:
        (fields,) = asked(176, WITH_CONTRACT[name][0])
        return decode(fields, 176)

    quotes, bars, history = one("quotes"), one("bars"), one("history")
    assert (quotes.request_id, quotes.generic_ticks, quotes.snapshot, quotes.regulatory_snapshot) == (
        *(7, "233", True),
        False,
    )
    assert (bars.bar_size, bars.what, bars.rth) == (5, "TRADES", True)
    assert (history.duration, history.bar_size, history.what, history.date_format) == (
        *("1 Y", "1 day"),
        *("TRADES", 2),
    )
    assert (history.keep_up_to_date, history.include_expired, history.rth) == (True, True, True)
    assert (one("head").what, one("head").rth, one("head").date_format) == ("TRADES", True, 1)
    assert one("details").include_expired


@pytest.mark.parametrize("name", LISTS)
def test_a_list_that_is_empty_here_is_answered_so_that_no_client_waits_for_ever(
    name: str, asked: Asked, hear: Callable[..., tuple[str, tuple[Any, ...]]]
) -> None:
    send, callback = LISTS[name]
    (fields,) = asked(176, send)
    request = decode(fields, 176)
    assert isinstance(request, ask.NothingToList)
    heard, (content,) = hear(request.answer)
    assert heard == callback
    assert content in (
        [],
        '<?xml version="1.0" encoding="UTF-8"?><ScanParameterResponse></ScanParameterResponse>',
    )


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_served_is_refused_under_its_id_with_the_code_of_tws(
    name: str, version: int, asked: Asked
) -> None:
    send, request_id, code = REFUSED[name]
    (fields,) = asked(version, send)
    with pytest.raises(RequestRefusedError) as refused:
        decode(fields, version)
    assert (refused.value.number, request_id_of(fields)) == (code, request_id)
    assert "{id}" not in refused.value.text
    for wrong in _without_or_with_one_more(fields):
        with pytest.raises(RequestFormatError):
            decode(wrong, version)


def test_every_request_of_the_client_is_in_these_tables(asked: Asked) -> None:
    told = {
        asked(176, row[0])[0][0]
        for table in (SERVED, WITH_CONTRACT, LISTS, REFUSED)
        for row in table.values()
    }
    known = {name for name in dir(ibi.client.Client) if name.startswith(("req", "cancel", "calculate"))}
    assert len(told) >= len(known)
    assert {str(number) for number in UNSERVED} <= told
    assert told == {str(n) for n in (*range(1, 26), *range(49, 60), *range(61, 105))} - {"60"}


@pytest.mark.parametrize(
    ("fields", "code", "request_id"),
    [
        (["999", "1"], 320, -1),
        (["60", "1"], 320, -1),
        (["x"], 320, -1),
        ([""], 320, -1),
        (["97", "soon"], 320, -1),
        (["97"], 320, -1),
        (["92", "43", "DU1"], 320, 43),
        (["14", "1", "9"], 321, -1),
        (["71", "2", "1000000000", ""], 320, -1),
        (["8", "one", "1"], 320, -1),
        (["93", "99999999999"], 320, -1),
    ],
)
def test_what_cannot_be_read_is_answered_and_never_met_with_silence(
    fields: list[str], code: int, request_id: int
) -> None:
    with pytest.raises(RequestRefusedError) as refused:
        decode(fields, 176)
    assert (refused.value.number, request_id_of(fields)) == (code, request_id)


@pytest.mark.parametrize("count", ["-1", "9999999", "x"])
def test_a_count_of_legs_that_cannot_be_true_is_a_format_error(count: str, asked: Asked) -> None:
    (fields,) = asked(176, WITH_CONTRACT["quotes of a combination"][0])
    fields[fields.index("2", 4)] = count
    with pytest.raises(RequestFormatError):
        decode(fields, 176)
