"""Bars as they come: updates of history, bars of five seconds, in whole steps and in a running market."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import ib_insync as ibi
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.clocks import timestamp

Bars = dict[str, BarSeries]
SECOND = 1_000_000_000
STOCK = (0, "AAA", "STK", "", "", "", "", "SMART", "", "USD", "", "")


def history(request_id: int = 5, bar_size: str = "1 min", duration: str = "1 D") -> tuple[object, ...]:
    return 20, request_id, *STOCK, 0, "", bar_size, duration, 1, "TRADES", 2, 1, ""


def real_time(request_id: int = 6, what: str = "TRADES", rth: int = 1) -> tuple[object, ...]:
    return 50, 3, request_id, *STOCK, 5, what, rth, ""


@pytest.fixture
async def running(minute_bars: Bars, sessions: ExchangeClock) -> AsyncIterator[GatewayServer]:
    """A market of minute bars that would run if it were not paused: tests move it by `jump_to`."""
    config = GatewayConfig(speed="1", paused=True)
    async with simulated_gateway(minute_bars, sessions=sessions, config=config) as server:
        yield server


@pytest.fixture
async def lockstep(minute_bars: Bars, sessions: ExchangeClock) -> AsyncIterator[GatewayServer]:
    """A market of minute bars in lockstep."""
    async with simulated_gateway(minute_bars, sessions=sessions) as server:
        yield server


async def welcomed(server: GatewayServer, client_id: int = 1) -> WireClient:
    client = await WireClient.connect(server.port, client_id)
    await client.until("4", "2", "-1", "2158")
    return client


def run_on(server: GatewayServer, seconds: float) -> None:
    server.service.jump_to(server.service.clock.now_ns() + round(seconds * SECOND))


async def pause_for(client: WireClient) -> list[list[str]]:
    """Return what has been sent up to now."""
    client.send(8, 1, 1)
    return (await client.until("9"))[:-1]


async def test_a_subscription_gets_each_bar_once_it_is_complete(lockstep: GatewayServer) -> None:
    client = await welcomed(lockstep)
    client.send(*history())
    assert (await client.receive())[4] == "0"
    lockstep.service.step(2)
    told = await pause_for(client)
    assert told[0] == ["90", "5", "-1", "1514903400", "100.0", "100.25", "101.0", "99.0", "-1", "10.5"]
    assert told[1][3] == "1514903460"
    assert len(told) == 2
    await client.close()


async def test_updates_of_coarser_bars_grow_with_each_bar_they_hold(lockstep: GatewayServer) -> None:
    client = await welcomed(lockstep)
    client.send(*history(bar_size="2 mins"))
    await client.receive()
    lockstep.service.step(3)
    told = await pause_for(client)
    assert [(fields[3], fields[5], fields[9]) for fields in told] == [
        ("1514903400", "100.25", "10.5"),
        ("1514903400", "101.25", "21"),
        ("1514903520", "102.25", "10.5"),
    ]
    await client.close()


async def test_a_running_market_tells_of_the_forming_bar_every_five_seconds(running: GatewayServer) -> None:
    client = await welcomed(running)
    client.send(*history())
    assert (await client.receive())[4] == "1"  # the opening price
    for _ in range(80):
        run_on(running, 1)
    told = await pause_for(client)
    first = [fields for fields in told if fields[3] == "1514903400"]
    second = [fields for fields in told if fields[3] == "1514903460"]
    assert len(first) == 12
    assert first[3][4:8] == ["100.0", "99.0", "100.0", "99.0"]  # open, close, high, low after 20 seconds
    assert first[-1][4:] == ["100.0", "100.25", "101.0", "99.0", "-1", "10.5"]
    assert len(second) == 4
    await client.close()


async def test_history_is_cancelled_once(lockstep: GatewayServer) -> None:
    client = await welcomed(lockstep)
    client.send(*history())
    await client.receive()
    client.send(*history())
    assert (await client.receive())[2:4] == ["5", "322"]
    client.send(25, 1, 5)
    assert (await client.receive())[2:4] == ["5", "162"]
    client.send(25, 1, 5)
    assert (await client.receive())[2:4] == ["5", "366"]
    lockstep.service.step()
    assert await pause_for(client) == []
    await client.close()


@pytest.mark.parametrize("mode", ["steps", "running"])
async def test_real_time_bars_are_cut_from_the_path_of_the_price(
    mode: str, running: GatewayServer, lockstep: GatewayServer
) -> None:
    server = lockstep if mode == "steps" else running
    client = await welcomed(server)
    client.send(*real_time())
    await pause_for(client)
    if mode == "steps":
        server.service.step()
    else:
        for _ in range(25):
            run_on(server, 2.4)
    told = await pause_for(client)
    assert len(told) == 12
    assert told[0][:8] == ["50", "3", "6", "1514903400", "100.00", "100.00", "99.75", "99.75"]
    assert [int(fields[3]) - 1514903400 for fields in told] == list(range(0, 60, 5))
    assert sum(float(fields[8]) for fields in told) == 10.5
    client.send(51, 1, 6)
    client.send(51, 1, 6)
    assert (await client.receive())[2:4] == ["6", "300"]
    await client.close()


async def test_real_time_bars_that_cannot_be_had_are_refused(
    gateway: GatewayServer, wire: WireClient
) -> None:
    wire.send(*real_time())
    assert (await wire.receive())[2:4] == ["6", "420"]
    wire.send(*real_time(what="YIELD_ASK"))
    assert (await wire.receive())[2:4] == ["6", "321"]
    gateway.service.set_speed("1")
    wire.send(*real_time())
    wire.send(*real_time())
    assert (await wire.receive())[2:4] == ["6", "322"]


async def test_head_timestamps_are_answered(lockstep: GatewayServer) -> None:
    client = await welcomed(lockstep)
    client.send(87, 7, *STOCK, 0, 1, "TRADES", 1)
    assert await client.receive() == ["88", "7", "20180102-14:30:00"]
    client.send(90, 7)
    assert await pause_for(client) == []
    await client.close()


async def test_repeated_requests_are_refused_where_pacing_is_on(
    minute_bars: Bars, sessions: ExchangeClock
) -> None:
    config = GatewayConfig(historical_pacing=True, start=timestamp(int(sessions.opens_ns[1])))
    async with simulated_gateway(minute_bars, sessions=sessions, config=config) as server:
        client = await welcomed(server)
        request = (*history()[:-2], 0, "")
        client.send(*request)
        assert (await client.receive())[4] == "5"
        client.send(*request)
        assert (await client.receive())[3:5] == [
            "162",
            "Historical Market Data Service error message:Historical data request pacing violation",
        ]
        await client.close()


async def test_ib_insync_follows_a_running_market(running: GatewayServer) -> None:
    ib = ibi.IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync("127.0.0.1", running.port, clientId=7, timeout=10)
    stock = ibi.Stock("AAA", "SMART", "USD")
    head = await ib.reqHeadTimeStampAsync(stock, "TRADES", True, 1)
    assert str(head) == "2018-01-02 14:30:00"
    bars = await ib.reqHistoricalDataAsync(stock, "", "1 D", "1 min", "TRADES", True, 2, keepUpToDate=True)
    ticker = ib.reqMktData(stock, "233")
    real = ib.reqRealTimeBars(stock, 5, "TRADES", True)
    await ib.reqCurrentTimeAsync()
    for _ in range(70):
        run_on(running, 1)
        await asyncio.sleep(0)
    await ib.reqCurrentTimeAsync()
    assert [(bar.open, bar.volume) for bar in bars[:1]] == [(100.0, 10.5)]
    assert len(bars) == 2
    assert len(real) == 14
    assert (ticker.last, ticker.bid, ticker.ask) == (100.5, 100.48, 100.52)
    assert (ticker.open, ticker.high, ticker.low, ticker.volume) == (100.0, 101.0, 99.0, 11.5)
    assert ticker.rtVolume == 11.5
    ib.disconnect()


async def test_ib_insync_is_told_the_schedule_of_the_exchange(gateway: GatewayServer, ib: ibi.IB) -> None:
    gateway.service.step(4)
    schedule = await ib.reqHistoricalScheduleAsync(ibi.Stock("AAA", "SMART", "USD"), 3)
    assert schedule.timeZone == "US/Eastern"
    assert [session.refDate for session in schedule.sessions] == ["20180103", "20180104", "20180105"]
    last = schedule.sessions[-1]
    assert (last.startDateTime, last.endDateTime) == ("20180105-09:30:00", "20180105-16:00:00")
    assert (schedule.startDateTime, schedule.endDateTime) == ("20180103-09:30:00", "20180105-16:00:00")
