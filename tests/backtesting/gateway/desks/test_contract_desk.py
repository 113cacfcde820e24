"""Contract details, searches, market rules and option chains over the wire."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ib_insync as ibi
import numpy as np
import pytest

from backtesting.gateway.market.contract_file import load_contracts
from backtesting.gateway.market.contracts import offered
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.timeframes import Timeframe

FILE = """
- {symbol: ESH8, sec_type: FUT, underlying: ES, expiry: 20180316, multiplier: 50, exchange: CME, tick: 0.25,
   zone: US/Central, hours: 1700-1600, liquid_hours: 0830-1600, name: E-mini S&P 500}
- {symbol: ESM8, sec_type: FUT, underlying: ES, expiry: 20180615, multiplier: 50, exchange: CME, tick: 0.25}
- {symbol: AAA C100, sec_type: OPT, underlying: AAA, expiry: 20180119, strike: 100, right: C}
- {symbol: AAA C105, sec_type: OPT, underlying: AAA, expiry: 20180119, strike: 105, right: C}
- {symbol: AAA P100, sec_type: OPT, underlying: AAA, expiry: 20180216, strike: 100, right: P}
- {symbol: AAA OLD, sec_type: OPT, underlying: AAA, expiry: 20171215, strike: 90, right: C}
- {symbol: EURUSD, sec_type: CASH, name: European Monetary Union Euro}
- {symbol: FUND, sec_type: ETF, primary_exchange: ARCA, bands: "0:0.0001 1:0.01", name: Naïve fund,
   industry: Funds}
"""


@pytest.fixture
async def market(
    bars: dict[str, BarSeries], sessions: ExchangeClock, tmp_path: Path
) -> AsyncIterator[GatewayServer]:
    """A gateway that offers a future, options, a currency pair and a fund beside its stocks."""
    path = tmp_path / "contracts.yaml"
    path.write_text(FILE, encoding="utf-8")
    async with simulated_gateway(
        bars, sessions=sessions, instruments=offered(bars, load_contracts(path))
    ) as server:
        yield server


@pytest.fixture
async def trader(market: GatewayServer) -> AsyncIterator[ibi.IB]:
    """A connected ib_insync without its throttle."""
    client = ibi.IB()
    client.client.MaxRequests = 0
    await client.connectAsync("127.0.0.1", market.port, clientId=7, timeout=10)
    yield client
    client.disconnect()


@pytest.fixture
async def bare(market: GatewayServer) -> AsyncIterator[WireClient]:
    """A welcomed client on the bare wire."""
    client = await WireClient.connect(market.port)
    await client.until("4", "2", "-1", "2158")
    yield client
    await client.close()


async def test_a_future_is_described_as_its_exchange_does(trader: ibi.IB) -> None:
    (found,) = await trader.reqContractDetailsAsync(ibi.Future("ES", "201803", "CME"))
    contract = found.contract
    assert contract is not None
    assert (contract.symbol, contract.localSymbol, contract.tradingClass) == ("ES", "ESH8", "ES")
    assert (contract.lastTradeDateOrContractMonth, contract.multiplier) == ("20180316", "50")
    assert (found.minTick, found.contractMonth, found.underSymbol, found.underSecType) == (
        0.25,
        "201803",
        "ES",
        "IND",
    )
    assert (found.timeZoneId, found.realExpirationDate, found.marketRuleIds) == (
        "US/Central",
        "20180316",
        "67",
    )
    assert found.tradingHours.startswith("20180101:1700-20180102:1600;")
    assert found.liquidHours.startswith("20180102:0830-20180102:1600;")


async def test_an_option_is_described_with_its_underlying(trader: ibi.IB) -> None:
    (found,) = await trader.reqContractDetailsAsync(ibi.Option("AAA", "20180119", 105, "C", "SMART"))
    contract = found.contract
    assert contract is not None
    assert (contract.strike, contract.right, contract.multiplier) == (105.0, "C", "100")
    assert contract.localSymbol == "AAA   180119C00105000"
    assert (found.underConId, found.underSymbol, found.underSecType) == (700_000_001, "AAA", "STK")
    assert found.tradingHours == found.liquidHours


async def test_several_contracts_that_fit_come_sorted_and_qualify_only_when_told_apart(
    trader: ibi.IB,
) -> None:
    options = await trader.reqContractDetailsAsync(ibi.Option("AAA", exchange="SMART"))
    assert [d.contract.localSymbol[6:] for d in options if d.contract] == [
        "180119C00100000",
        "180119C00105000",
        "180216P00100000",
    ]
    expired = ibi.Option("AAA", exchange="SMART", includeExpired=True)
    assert len(await trader.reqContractDetailsAsync(expired)) == 4
    future, pair, stock = await trader.qualifyContractsAsync(
        ibi.Future("ES", "201806", "CME"), ibi.Forex("EURUSD"), ibi.Stock("AAA", "SMART", "USD")
    )
    assert future.localSymbol == "ESM8"
    assert (pair.symbol, pair.localSymbol, pair.currency) == ("EUR", "EUR.USD", "USD")
    assert stock.conId == 700_000_001
    assert await trader.qualifyContractsAsync(ibi.Future("ES", exchange="CME")) == []


async def test_an_order_for_an_ambiguous_contract_is_refused(bare: WireClient, placed: Any) -> None:
    bare.send(*placed(ibi.Future("ES", exchange="CME"), ibi.MarketOrder("BUY", 1)))
    assert (await bare.receive())[2:5] == [
        "1",
        "200",
        "The contract description specified for ES is ambiguous.",
    ]


async def test_a_fund_has_price_bands_an_industry_and_a_name_of_any_letters(trader: ibi.IB) -> None:
    (found,) = await trader.reqContractDetailsAsync(ibi.Stock("FUND", "SMART", "USD"))
    assert (found.stockType, found.longName, found.industry) == ("ETF", "Naïve fund", "Funds")
    assert found.validExchanges == "SMART,NASDAQ,NYSE,ARCA,AMEX,BATS,IEX"
    rule = int(found.marketRuleIds.split(",")[0])
    assert await trader.reqMarketRuleAsync(rule) == [
        ibi.PriceIncrement(0.0, 0.0001),
        ibi.PriceIncrement(1.0, 0.01),
    ]


async def test_stocks_trade_early_and_late_and_shorter_on_half_days(sessions: ExchangeClock) -> None:
    year_end = ExchangeClock(
        "XNYS", sessions.start.replace(month=7, day=2), sessions.start.replace(month=7, day=31)
    )
    opens = np.array([100.0, 101.0])
    series = BarSeries(
        "AAA", Timeframe.DAY, year_end.opens_ns[:2], year_end.closes_ns[:2], opens, opens, opens, opens, opens
    )
    async with simulated_gateway({"AAA": series}, sessions=year_end) as server:
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        client.send(9, 8, 5, 0, "AAA", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", 0, "", "", "")
        details = (await client.until("52"))[0]
        await client.close()
    hours = [field for field in details if field.startswith("20180702:")]
    assert [field.split(";")[1:3] for field in hours] == [
        ["20180703:0400-20180703:1700", "20180704:CLOSED"],
        ["20180703:0930-20180703:1300", "20180704:CLOSED"],
    ]


async def test_a_typed_text_finds_symbols_and_their_derivatives(trader: ibi.IB) -> None:
    found = await trader.reqMatchingSymbolsAsync("aa")
    assert found is not None
    (match,) = found
    assert match.contract is not None
    assert (match.contract.symbol, match.contract.secType, match.derivativeSecTypes) == (
        "AAA",
        "STK",
        ["OPT"],
    )
    assert await trader.reqMatchingSymbolsAsync("QQQ") == []


async def test_an_option_chain_lists_expiries_and_strikes_that_have_not_expired(trader: ibi.IB) -> None:
    (chain,) = await trader.reqSecDefOptParamsAsync("AAA", "", "STK", 700_000_001)
    assert (chain.exchange, chain.tradingClass, chain.multiplier) == ("SMART", "AAA", "100")
    assert (chain.expirations, chain.strikes) == (["20180119", "20180216"], [100.0, 105.0])
    assert await trader.reqSecDefOptParamsAsync("BBB", "", "STK", 700_000_006) == []


async def test_what_there_is_not_gets_an_error(bare: WireClient) -> None:
    for wrong, request_id, code in (
        ((78, 5, "AAA", "", "STK", 12), "5", "200"),
        ((91, 12), "-1", "321"),
        (
            (9, 8, 6, 0, "AAA", "SHARE", "", "0.0", "", "", "SMART", "", "USD", "", "", 0, "", "", ""),
            "6",
            "321",
        ),
        (
            (9, 8, 6, 0, "ZZZ", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", 0, "", "", ""),
            "6",
            "200",
        ),
    ):
        bare.send(*wrong)
        assert (await bare.receive())[2:4] == [request_id, code]


async def test_consolidated_quotes_name_the_exchanges_of_the_contracts(bare: WireClient) -> None:
    bare.send(83, 5, "9c0001")
    assert await bare.receive() == ["82", "5", "1", "0", "ARCA", "P"]


async def test_a_stock_is_described_field_by_field_as_by_a_real_gateway(
    bare: WireClient, recorded_frames: list[dict[str, Any]]
) -> None:
    bare.send(9, 8, 5, 0, "AAA", "STK", "", "0.0", "", "", "SMART", "", "USD", "", "", 0, "", "", "")
    ours = (await bare.until("52"))[0][1:]
    real = next(
        frame["fields"]
        for frame in recorded_frames
        if frame["msg_id"] == 10 and frame["server_version"] == 176 and frame["fields"][2] == "STK"
    )
    place = real.index("ISIN")  # the one thing a simulated stock does not have
    same_length = [*real[: place - 1], "0", *real[place + 2 :]]
    assert len(ours) == len(same_length)
    unlike = [
        place
        for place, (mine, theirs) in enumerate(zip(ours, same_length, strict=True))
        if (mine[:1].isdigit(), bool(mine)) != (theirs[:1].isdigit(), bool(theirs))
    ]
    # what a stock that nobody has declared does not have: primary exchange, industry, category
    assert {same_length[place] for place in unlike} <= {"NASDAQ", "Technology", "Computers"}


def test_the_listing_keeps_what_an_instrument_has(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("- {symbol: FUND, sec_type: ETF, con_id: 77, lot: 10}")
    (fund,) = load_contracts(path)
    assert dataclasses.replace(fund, con_id=78).stock_type == "ETF"
    assert (fund.con_id, fund.lot) == (77, Decimal(10))
