"""Sockets, the pace of time, and the way out."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest

from backtesting.gateway import session as session_module
from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.errors import GatewayError, GatewayPortError
from backtesting.gateway.server import GatewayServer, run_gateway
from backtesting.gateway.service import MAX_UNNAMED
from backtesting.gateway.testing import WireClient, simulated_gateway
from backtesting.gateway.wire.frames import GREETING, frame
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.models import Instrument

Bars = dict[str, BarSeries]
AAA = (Instrument("AAA"), Instrument("BBB"))


class Wall:
    """A wall clock that is moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now


async def test_a_port_in_use_is_one_clear_error(
    gateway: GatewayServer, bars: Bars, sessions: ExchangeClock
) -> None:
    second = GatewayServer(GatewayConfig(port=gateway.port), bars, sessions, AAA)
    with pytest.raises(GatewayPortError, match=f"127.0.0.1:{gateway.port} .*choose another --port"):
        await second.start()
    await second.stop()


async def test_listening_again_may_be_asked_for_twice(gateway: GatewayServer) -> None:
    gateway.stop_listening()
    with pytest.raises(ConnectionRefusedError):
        await WireClient.connect(gateway.port)
    gateway.listen_again()
    gateway.listen_again()
    await asyncio.sleep(0.05)
    gateway.listen_again()
    client = await WireClient.connect(gateway.port)
    assert not gateway._stopping.is_set()
    await client.close()


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("no.such.host.invalid", 0)])
async def test_an_address_that_is_none_is_one_clear_error(
    bars: Bars, sessions: ExchangeClock, host: str, port: int
) -> None:
    with pytest.raises(GatewayPortError, match="cannot listen on"):
        await GatewayServer(GatewayConfig(host=host, port=port), bars, sessions, AAA).start()


@pytest.mark.parametrize("speed", ["fast", "0", "-1", "nan", "inf", ""])
def test_a_speed_that_is_none_is_refused(speed: str) -> None:
    with pytest.raises(GatewayError, match="use lockstep, max or a positive number"):
        GatewayConfig(speed=speed)


@pytest.mark.parametrize("speed", ["max", "1e12"])
async def test_time_can_pass_by_itself_while_somebody_is_connected(
    bars: Bars, sessions: ExchangeClock, speed: str
) -> None:
    async with simulated_gateway(bars, sessions=sessions, config=GatewayConfig(speed=speed)) as server:
        assert server.service.market.completed("AAA") == 0
        client = await WireClient.connect(server.port)
        while server.service.market.completed("AAA") < 10:  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0)
        client.send(49, 1)
        last = (await client.until("49"))[-1]
        ended = int(sessions.closes_ns[9]) // 1_000_000_000
        assert int(last[2]) == ended if speed == "max" else int(last[2]) >= ended
        await client.close()


async def test_the_gateway_runs_as_a_process_until_sigterm(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path
) -> None:
    server = GatewayServer(GatewayConfig(state_dir=tmp_path / "state"), bars, sessions, AAA)
    said: list[str] = []

    def announce(line: str) -> None:
        said.append(line)
        os.kill(os.getpid(), signal.SIGTERM)

    await run_gateway(server, announce)
    assert said == [f"listening on 127.0.0.1:{server.port}"]
    address = json.loads((tmp_path / "state" / "gateway.json").read_text())
    assert address == {"host": "127.0.0.1", "port": server.port, "pid": os.getpid()}
    assert json.loads((tmp_path / "state" / "statement.json").read_text())["orders"] == []
    with pytest.raises(OSError, match="Connect call failed"):
        await WireClient.open(server.port)


async def test_it_leaves_when_nobody_has_been_connected_for_long(
    bars: Bars, sessions: ExchangeClock, tmp_path: Path
) -> None:
    wall = Wall()
    config = GatewayConfig(idle_exit_seconds=0.04, state_dir=tmp_path)
    async with simulated_gateway(bars, sessions=sessions, config=config, clock=wall) as server:
        client = await WireClient.connect(server.port)
        await client.receive()
        wall.now = 100.0
        await asyncio.sleep(0.03)
        client.send(17, 1)
        await client.until("15")  # still served: somebody is connected
        await client.close()
        while server.service.connections:  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0)
        wall.now = 101.0
        await asyncio.wait_for(server.serve_until_stopped(), 10)
    assert (tmp_path / "statement.json").is_file()


async def test_stopping_closes_connections_even_of_clients_that_do_not_read(
    bars: Bars, sessions: ExchangeClock
) -> None:
    async with simulated_gateway(bars, sessions=sessions) as server:
        client = await WireClient.connect(server.port)
        await client.until("4", "2", "-1", "2158")
        await server.stop()
        with pytest.raises(EOFError):
            await client.receive()
        await client.close()
        assert not server.service.connections


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        GREETING + frame(b"v1..2"),
        GREETING + b"\xff\xff\xff\xff",
        GREETING + frame(b"v157..176") + frame(b"71\x002\x003\x00\x00") + b"\x00\x00\x00\x00",
    ],
)
async def test_a_connection_that_talks_nonsense_is_cut_and_others_live(
    gateway: GatewayServer, wire: WireClient, garbage: bytes
) -> None:
    bad = await WireClient.open(gateway.port)
    bad.write(garbage)
    with pytest.raises(EOFError):
        await bad.until("nothing it will ever send")
    await bad.close()
    wire.send(17, 1)
    assert await wire.receive() == ["15", "1", "DU0000001"]


async def test_requests_before_the_client_is_named_are_refused(gateway: GatewayServer) -> None:
    client = await WireClient.open(gateway.port)
    client.write(GREETING + frame(b"v157..176"))
    await client.receive()
    client.send(17, 1)
    assert (await client.receive())[3:5] == ["504", "Not connected"]
    client.send(71, 2, 1_000_000_000, "")
    assert (await client.receive())[3] == "320"
    await client.close()


async def test_a_segment_may_hold_any_part_of_a_conversation(gateway: GatewayServer) -> None:
    client = await WireClient.open(gateway.port)
    stream = GREETING + frame(b"v157..165") + frame(b"71\x002\x005\x00\x00") + frame(b"17\x001\x00")
    for byte in stream:
        client.write(bytes([byte]))
        await asyncio.sleep(0)
    told = [await client.receive() for _ in range(7)]
    assert [fields[0] for fields in told] == ["165", "15", "9", "4", "4", "4", "15"]
    assert len(told[3]) == 5  # no reject field before version 166
    await client.close()


async def test_a_client_that_does_not_read_is_cut_off_and_others_live(
    gateway: GatewayServer, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = socket.socket()
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    raw.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(raw, ("127.0.0.1", gateway.port))
    await loop.sock_sendall(raw, GREETING + frame(b"v157..176") + frame(b"71\x002\x009\x00\x00"))
    while 9 not in gateway.service.sessions:  # noqa: ASYNC110  the gateway offers no event for it
        await asyncio.sleep(0)
    deaf = gateway.service.sessions[9]
    monkeypatch.setattr(deaf, "_write_limit", 1 << 20)
    for _ in range(2000):
        deaf.send(b"\0" * 65_536)
        deaf.flush()
        await asyncio.sleep(0)
        if 9 not in gateway.service.sessions:
            break
    assert 9 not in gateway.service.sessions
    raw.close()
    wire.send(17, 1)
    assert await wire.receive() == ["15", "1", "DU0000001"]


async def test_a_connection_that_never_speaks_is_closed_in_the_end(
    gateway: GatewayServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "HANDSHAKE_SECONDS", 0.01)
    silent = await WireClient.open(gateway.port)
    with pytest.raises(EOFError):
        await silent.receive()
    await silent.close()


async def test_connections_that_never_speak_are_limited(gateway: GatewayServer) -> None:
    clients = [await WireClient.open(gateway.port) for _ in range(MAX_UNNAMED + 1)]
    with pytest.raises(EOFError):
        await clients[0].receive()
    for client in clients:
        await client.close()


async def test_a_defect_in_one_session_ends_that_session_only(
    gateway: GatewayServer, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: seen.append(context))

    def fail(*_: object) -> None:
        raise RuntimeError("defect")

    victim = await WireClient.connect(gateway.port, 2)
    await victim.until("4", "2", "-1", "2158")
    monkeypatch.setattr(gateway.service, "handle", fail)
    victim.send(17, 1)
    with pytest.raises(EOFError):
        await victim.receive()
    monkeypatch.undo()
    await victim.close()
    assert seen
    wire.send(17, 1)
    assert await wire.receive() == ["15", "1", "DU0000001"]
