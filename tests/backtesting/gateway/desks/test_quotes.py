"""Market data lines as clients see them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock

Bars = dict[str, BarSeries]
SECOND = 1_000_000_000
STOCK = (0, "AAA", "STK", "", "", "", "", "SMART", "", "USD", "", "")
PARAMETERS = ["81", "5", "0.01", "9c0001", "4"]


def quote(request_id: int = 5, ticks: str = "", snapshot: int = 0) -> tuple[object, ...]:
    return 1, 11, request_id, *STOCK, 0, ticks, snapshot, 0, ""


async def welcomed(server: GatewayServer) -> WireClient:
    client = await WireClient.connect(server.port, 1)
    await client.until("4", "2", "-1", "2158")
    return client


async def heard(client: WireClient) -> list[list[str]]:
    """Return what has been sent up to now."""
    client.send(8, 1, 1)
    return (await client.until("9"))[:-1]


@pytest.fixture
async def running(minute_bars: Bars, sessions: ExchangeClock) -> AsyncIterator[GatewayServer]:
    """A paused market of minute bars, moved by `jump_to`."""
    config = GatewayConfig(speed="1", paused=True)
    async with simulated_gateway(minute_bars, sessions=sessions, config=config) as server:
        yield server


def run_on(server: GatewayServer, seconds: float) -> None:
    server.service.jump_to(server.service.clock.now_ns() + round(seconds * SECOND))


async def test_a_snapshot_tells_the_quote_and_ends(gateway: GatewayServer, wire: WireClient) -> None:
    gateway.service.step(2)
    wire.send(*quote(snapshot=1))
    assert await heard(wire) == [
        PARAMETERS,
        ["58", "1", "5", "1"],
        ["1", "6", "5", "1", "101.48", "10", "1"],
        ["1", "6", "5", "2", "101.52", "10", "1"],
        ["1", "6", "5", "4", "101.50", "10", "0"],
        ["46", "6", "5", "45", "1515013200"],
        ["1", "6", "5", "6", "103.00", "0", "0"],
        ["1", "6", "5", "7", "99.00", "0", "0"],
        ["2", "6", "5", "8", "1000"],
        ["1", "6", "5", "9", "100.50", "0", "0"],
        ["1", "6", "5", "14", "101.00", "0", "0"],
        ["57", "1", "5"],
    ]
    gateway.service.step()
    assert await heard(wire) == []


async def test_a_stream_tells_what_has_changed(running: GatewayServer) -> None:
    client = await welcomed(running)
    client.send(*quote(ticks="100,233"))
    first = await heard(client)
    assert first[2] == ["45", "6", "5", "49", "0.0"]
    assert ["1", "6", "5", "4", "100.00", "1", "0"] in first
    run_on(running, 10)
    told = {fields[3]: fields for fields in await heard(client)}
    assert told["4"][4] == "99.50"
    assert (told["7"][4], told["8"][4]) == ("99.50", "1")
    assert told["48"][4] == "99.5;1.0;1514903410000;1.0;99.5;true"
    assert not {"6", "14", "9"} & set(told)
    client.send(2, 2, 5)
    client.send(2, 2, 5)
    assert (await client.receive())[2:5] == ["5", "300", "Can't find EId with tickerId:5"]
    run_on(running, 10)
    assert await heard(client) == []
    await client.close()


async def test_delayed_data_has_its_own_numbers(gateway: GatewayServer, wire: WireClient) -> None:
    gateway.service.step(2)
    wire.send(59, 1, 4)
    wire.send(*quote(snapshot=1))
    told = await heard(wire)
    assert told[:2] == [["58", "1", "5", "4"], PARAMETERS]
    assert [fields[3] for fields in told[2:-1]] == ["66", "67", "68", "88", "72", "73", "74", "75", "76"]
    wire.send(59, 1, 9)
    assert (await wire.receive())[3] == "321"


@pytest.mark.parametrize(
    ("entitled", "kind", "codes"),
    [("none", 1, ["354"]), ("none", 3, ["354"]), ("delayed", 1, ["10089"]), ("delayed", 3, ["10167"])],
)
async def test_a_login_without_live_data_is_told_so(
    bars: Bars, sessions: ExchangeClock, entitled: str, kind: int, codes: list[str]
) -> None:
    config = GatewayConfig(market_data=entitled)
    async with simulated_gateway(bars, sessions=sessions, config=config) as server:
        client = await welcomed(server)
        client.send(59, 1, kind)
        client.send(*quote())
        told = await heard(client)
        assert [fields[3] for fields in told if fields[0] == "4"] == codes
        assert (PARAMETERS in told) is (entitled == "delayed")
        await client.close()


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (quote(ticks="233", snapshot=1), "321"),
        (quote(ticks="9999"), "321"),
        (quote(ticks="volume"), "321"),
        ((*quote()[:4], "ZZZ", *quote()[5:]), "200"),
    ],
)
async def test_a_wrong_request_is_refused(wire: WireClient, request_: tuple[object, ...], code: str) -> None:
    wire.send(*request_)
    assert (await wire.receive())[2:4] == ["5", code]


async def test_lines_are_numbered_apart_and_limited(wire: WireClient) -> None:
    for number in range(100):
        wire.send(*quote(number + 1))
    wire.send(*quote(7))
    wire.send(*quote(101))
    codes = [fields[2:4] for fields in await heard(wire) if fields[0] == "4"]
    assert codes == [["7", "322"], ["101", "101"]]


async def test_a_snapshot_waits_for_the_first_price(minute_bars: Bars, sessions: ExchangeClock) -> None:
    import pandas as pd

    start = pd.Timestamp(int(sessions.opens_ns[0]) - 60 * SECOND, tz="UTC")
    config = GatewayConfig(speed="1", paused=True, start=start)
    async with simulated_gateway(minute_bars, sessions=sessions, config=config) as server:
        client = await welcomed(server)
        client.send(*quote(snapshot=1))
        assert [fields[0] for fields in await heard(client)] == ["81", "58"]
        run_on(server, 10)
        assert await heard(client) == []
        run_on(server, 2)
        assert await heard(client) == [["57", "1", "5"]], "TWS does not wait longer than 11 seconds"
        client.send(*quote(snapshot=1))
        run_on(server, 49)
        told = await heard(client)
        assert told[-1] == ["57", "1", "5"]
        await client.close()


async def test_quotes_of_a_file_come_before_derived_ones(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path
) -> None:
    path = tmp_path / "quotes.csv"
    path.write_text(
        "time,symbol,bid,ask,bid_size,ask_size\n2018-01-02T14:30:00Z,AAA,99.5,100.5,300,400\n"
        "2018-01-03T15:00:00Z,AAA,99.6,100.6,300,400\n"
    )
    config = GatewayConfig(quotes=path)
    async with simulated_gateway(bars, sessions=sessions, config=config) as server:
        client = await welcomed(server)
        client.send(*quote())
        assert ["1", "6", "5", "1", "99.50", "300", "1"] in await heard(client)
        server.service.step(2)
        told = await heard(client)
        assert [fields[4] for fields in told if fields[3] == "1"] == ["99.60"]
        assert [fields[4] for fields in told if fields[3] == "4"] == ["100.50", "101.50"]
        await client.close()


async def test_the_quote_at_the_first_open_is_that_of_the_open(wire: WireClient) -> None:
    wire.send(*quote(snapshot=1))
    told = await heard(wire)
    prices = {fields[3]: fields[4] for fields in told if fields[0] == "1"}
    assert prices == {
        "1": "99.99",
        "2": "100.01",
        "4": "100.00",
        "6": "100.00",
        "7": "100.00",
        "14": "100.00",
    }
    assert told[-1] == ["57", "1", "5"]
