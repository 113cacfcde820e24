"""The benchmark measures what it says: its frames are those of a real client, its floor answers them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import ib_insync as ibi
import pytest

from data.files import load_bars
from execution.timeframes import Timeframe
from infrastructure.bench import processes, servers, wire
from infrastructure.deploy import bench_gateway


@pytest.fixture
async def floor() -> AsyncIterator[int]:
    """The port of a prepared server."""
    answers = {
        b"71\0": wire.message("9|1|1"),
        b"3\0": wire.message("5|1") + wire.message("3|1|Submitted"),
    }
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: servers.PreparedServer(answers), "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def test_its_orders_are_byte_for_byte_those_of_ib_insync() -> None:
    client: Any = ibi.Client(None)  # it decodes nothing here
    sent: list[str] = []
    client.connState, client._serverVersion = client.CONNECTED, wire.VERSION
    client.sendMsg = sent.append  # nothing is connected
    contract = ibi.Stock("AAA", "SMART", "USD")
    client.placeOrder(7, contract, ibi.LimitOrder("BUY", 100, 95.5))
    client.placeOrder(8, contract, ibi.MarketOrder("SELL", 100))
    client.cancelOrder(7, "")
    client.reqHistoricalData(5, contract, "", "1 D", "1 min", "TRADES", True, 2, True, [])
    assert [wire.frame(text.encode()) for text in sent] == [
        wire.order(7, "AAA", "BUY", "LMT", "95.5"),
        wire.order(8, "AAA", "SELL", "MKT"),
        wire.cancel(7),
        wire.minute_bars(5, "AAA"),
    ]


async def test_the_floor_answers_with_the_prepared_bytes(floor: int) -> None:
    def ask() -> list[bytes]:
        with wire.BlockingClient(floor, 1) as client:
            return client.ask(wire.order(1, "AAA", "BUY", "MKT"), wire.ORDER_STATUS)

    assert await asyncio.to_thread(ask) == [b"5\x001\0", b"3\x001\0Submitted\0"]


async def test_many_clients_of_one_loop_are_welcomed(floor: int) -> None:
    clients = [await wire.StreamClient.connect(floor, number) for number in range(3)]
    assert all(client.joined.is_set() for client in clients)
    for client in clients:
        assert client.transport is not None
        client.transport.close()
        await client.lost


def test_a_message_in_pieces_is_put_together() -> None:
    frames = wire.Frames()
    data = wire.message("3|1") + wire.message("4|2")
    assert [frames.feed(data[:5]), frames.feed(data[5:9]), frames.feed(data[9:])] == [
        [],
        [b"3\x001\0"],
        [b"4\x002\0"],
    ]


def test_its_bars_are_sound(tmp_path: Path) -> None:
    processes.write_minute_bars(tmp_path, symbols=2, days=2)
    bars = load_bars(tmp_path)
    assert processes.symbols_of(tmp_path) == ["AAA", "AAB"]
    assert (bars.timeframe, len(bars["AAA"])) == (Timeframe.MINUTE, 780)
    assert processes.session_date(1) == "2018-01-03"


def test_each_figure_is_held_against_what_is_asked() -> None:
    figures = {
        "latency": {"gateway_ratio": 3.5},
        "throughput": {"errors": 0.0, "cut_off_after_s": float("nan"), "orders_a_second_a_client": 45.0},
    }
    rows = {row["figure"]: (row["met"], row["required"]) for row in bench_gateway.verdicts(figures)}
    assert rows == {
        "gateway_ratio": (False, False),
        "errors": (True, True),
        "cut_off_after_s": (False, True),  # it never was
        "orders_a_second_a_client": (True, False),
    }
