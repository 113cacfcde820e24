"""One connection: bad input, bounds, and what stands between it and the gateway."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import socket
from collections.abc import Callable, Sequence

import ib_insync as ibi
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backtesting.gateway import session as session_module
from backtesting.gateway.line import PAGE, Line, WarningBudget
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.session import ClientSession
from backtesting.gateway.testing import WireClient, simulated_gateway
from backtesting.gateway.wire.codec import message
from backtesting.gateway.wire.frames import GREETING, frame
from backtesting.gateway.wire.requests import Request
from data.bars import BarSeries
from data.calendars import ExchangeClock

Bars = dict[str, BarSeries]
START = GREETING + frame(b"v157..176") + message(71, 2, 9, "")


async def ends(client: WireClient) -> list[list[str]]:
    """Return what a client is told before the gateway closes."""
    told = []
    try:
        while True:
            told.append(await client.receive())
    except (EOFError, ConnectionError):
        return told


async def lives(client: WireClient) -> None:
    """Require that a client is served."""
    client.send(17, 1)
    assert (await client.until("15"))[-1] == ["15", "1", "DU0000001"]


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(bytes(100), id="zeros"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="http"),
        pytest.param(START + bytes(4), id="a frame of no bytes"),
        pytest.param(START + b"\xff\xff\xff\xff", id="a frame of 4 GiB"),
        pytest.param(START + b"\x80\x00\x00\x00" + bytes(100), id="a frame of 2 GiB"),
        pytest.param(GREETING + frame(b"v100..120"), id="an old client"),
        pytest.param(GREETING + frame(b"v158..158"), id="a version never answered"),
        pytest.param(GREETING + frame(bytes(range(256))), id="an offer of bytes"),
    ],
)
async def test_what_is_no_protocol_is_closed_and_others_live(
    gateway: GatewayServer, wire: WireClient, garbage: bytes
) -> None:
    bad = await WireClient.open(gateway.port)
    bad.write(garbage)
    await ends(bad)
    await bad.close()
    await lives(wire)


async def test_random_bytes_disturb_nobody(gateway: GatewayServer, wire: WireClient) -> None:
    rng = random.Random(3)
    for head in (b"", GREETING, START):
        for _ in range(10):
            bad = await WireClient.open(gateway.port)
            bad.write(head + rng.randbytes(400))
            bad.writer.write_eof()
            await ends(bad)
            await bad.close()
    await lives(wire)


@pytest.mark.parametrize(
    ("payload", "told"),
    [
        (b"17\x001\x00\x00", "320"),  # a NUL in the middle: one field too many
        (b"17\x00\xff\xfe\x00", "320"),  # not UTF-8
        (b"17\x001", "320"),  # the last field is not closed
        (b"\x00", "320"),  # nothing
        (b"9999\x001\x00", "320"),  # unknown message
        (b"-1\x001\x00", "320"),
        (b"1e400\x001\x00", "320"),
        ("3\x007\x00Zoë\x00".encode(), "320"),  # too short by a hundred fields
        (b"17\x00" * 3000, "320"),
        (b"x" * 9 + b"\x00", "320"),
    ],
)
async def test_a_request_that_cannot_be_read_is_answered_and_the_client_goes_on(
    wire: WireClient, payload: bytes, told: str
) -> None:
    wire.write(frame(payload))
    answer = await wire.receive()
    assert answer[0] == "4"
    assert answer[3] == told
    await lives(wire)


async def test_non_ascii_text_is_taken_as_it_is(wire: WireClient) -> None:
    contract = (0, "Zoë", "STK", "", 0.0, "", "", "SMART", "", "USD", "", "")
    wire.send(9, 8, 5, *contract, 0, "", "", "")
    answer = await wire.receive()
    assert answer[2:4] == ["5", "200"]


@given(cuts=st.lists(st.integers(1, 60), min_size=1, max_size=12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_frames_are_read_however_they_were_cut(gateway: GatewayServer, cuts: list[int]) -> None:
    data = START + message(17, 1) + message(8, 1, 1) + message(61, 1)
    client = await WireClient.open(gateway.port)
    start = 0
    for size in cuts:
        client.write(data[start : start + size])
        await client.writer.drain()
        await asyncio.sleep(0)
        start += size
    client.write(data[start:])
    assert [fields[0] for fields in await client.until("62")][-3:] == ["15", "9", "62"]
    await client.close()
    async with asyncio.timeout(10):
        while 9 in gateway.service.sessions:  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0)


async def test_a_hundred_silent_connections_do_not_keep_a_good_client_out(gateway: GatewayServer) -> None:
    silent = [await WireClient.open(gateway.port) for _ in range(100)]
    good = await WireClient.connect(gateway.port, 5)
    await good.until("4", "2", "-1", "2158")
    await lives(good)
    assert len(gateway.service.connections) < 40
    more = [await WireClient.open(gateway.port) for _ in range(50)]
    await lives(good)  # who speaks is never evicted
    for client in (*silent, *more, good):
        await client.close()


@pytest.mark.parametrize(
    "half", [b"", b"AP", GREETING, GREETING + b"\0\0\0\x09v157", GREETING + frame(b"v157..176")]
)
async def test_half_a_handshake_times_out(
    gateway: GatewayServer, wire: WireClient, half: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "HANDSHAKE_SECONDS", 0.01)
    slow = await WireClient.open(gateway.port)
    slow.write(half)
    await ends(slow)
    await slow.close()
    await lives(wire)


async def test_a_client_that_does_not_read_is_cut_off_and_others_do_not_notice(
    gateway: GatewayServer, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = await WireClient.connect(gateway.port, 8)
    await deaf.until("4", "2", "-1", "2158")
    session = gateway.service.sessions[8]
    monkeypatch.setattr(session, "_write_limit", 100_000)
    deaf.reader._transport.pause_reading()  # type: ignore[attr-defined]
    async with asyncio.timeout(30):
        while 8 in gateway.service.sessions:
            deaf.send(*([61, 1]))
            deaf.write(message(62, 1, 3, "All", "NetLiquidation,BuyingPower,TotalCashValue") * 200)
            await lives(wire)
    await deaf.close()


async def test_one_segment_cannot_ask_for_more_than_the_limit(
    gateway: GatewayServer, wire: WireClient
) -> None:
    greedy = await WireClient.connect(gateway.port, 8)
    await greedy.until("4", "2", "-1", "2158")
    gateway.service.sessions[8]._write_limit = 1000
    greedy.write(message(62, 1, 3, "All", "NetLiquidation") * 100)
    assert len(await ends(greedy)) < 100
    await greedy.close()
    await lives(wire)


async def silent(gateway: GatewayServer, client_id: int = 8) -> WireClient:
    """Connect a client that has stopped reading, on a line that holds little."""
    client = await WireClient.connect(gateway.port, client_id)
    await client.until("4", "2", "-1", "2158")
    for transport in (gateway.service.sessions[client_id]._transport, client.writer.transport):
        assert transport is not None
        raw = transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.reader._transport.pause_reading()  # type: ignore[attr-defined]
    return client


ASKED: Sequence[object] = (62, 1, 3, "All", "NetLiquidation,BuyingPower,TotalCashValue")


async def test_a_client_that_does_not_read_cannot_make_the_gateway_work(
    bars: Bars, sessions: ExchangeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "SOFT_LIMIT", 10_000)
    monkeypatch.setattr(session_module, "STALL_SECONDS", 0.05)
    async with simulated_gateway(bars, sessions=sessions) as gateway:
        deaf = await silent(gateway)
        handled = 0
        plainly = gateway.service.handle

        def handle(session: ClientSession, request: Request) -> None:
            nonlocal handled
            handled += session.client_id == 8
            plainly(session, request)

        monkeypatch.setattr(gateway.service, "handle", handle)
        deaf.write(message(*ASKED) * 20_000)
        async with asyncio.timeout(10):
            while 8 in gateway.service.sessions:  # noqa: ASYNC110  the gateway offers no event for it
                await asyncio.sleep(0.001)
        assert 0 < handled < 5000
        await deaf.close()


async def test_a_client_with_many_requests_leaves_the_others_their_turn(
    gateway: GatewayServer, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[int] = []
    handle = gateway.service.handle

    def note(session: ClientSession, request: Request) -> None:
        served.append(session.named_id)
        handle(session, request)

    monkeypatch.setattr(gateway.service, "handle", note)
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    many = 10 * session_module.TURN
    gateway.service.sessions[1].data_received(message(17, 1) * many)
    gateway.service.sessions[2].data_received(message(17, 1))
    assert served == [1] * session_module.TURN + [2]
    for _ in range(many):
        assert await wire.receive() == ["15", "1", "DU0000001"]
    assert served.count(1) == many
    await lives(wire)
    await other.close()


async def test_a_client_that_reads_again_is_answered_everything_in_order(
    bars: Bars, sessions: ExchangeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "SOFT_LIMIT", 2_000)
    async with simulated_gateway(bars, sessions=sessions) as gateway:
        slow = await silent(gateway)
        slow.write(b"".join(message(9, 8, number, 0, "ZZZ", *[""] * 14) for number in range(400)))
        async with asyncio.timeout(10):
            while not gateway.service.sessions[8]._choked:  # noqa: ASYNC110  the gateway offers no event
                await asyncio.sleep(0.001)
        slow.reader._transport.resume_reading()  # type: ignore[attr-defined]
        assert [(await slow.receive())[2] for _ in range(400)] == [str(number) for number in range(400)]
        await lives(slow)
        await slow.close()


async def test_a_closing_connection_does_not_wait_for_ever_for_a_client_that_does_not_read(
    bars: Bars, sessions: ExchangeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_module, "STALL_SECONDS", 0.02)
    async with simulated_gateway(bars, sessions=sessions) as gateway:
        deaf = await silent(gateway)
        session = gateway.service.sessions[8]
        session.send_error(-1, 2100, "x" * 900_000)
        session.close()
        async with asyncio.timeout(10):
            while gateway.service.connections:  # noqa: ASYNC110  the gateway offers no event for it
                await asyncio.sleep(0.001)
        await deaf.close()


async def test_a_line_that_goes_dead_takes_nothing_more_of_the_same_segment(
    gateway: GatewayServer, wire: WireClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = gateway.service.sessions[1]
    plainly = gateway.service.handle

    def handle(served: ClientSession, request: Request) -> None:
        plainly(served, request)
        served.listen(on=False)

    monkeypatch.setattr(gateway.service, "handle", handle)
    wire.write(message(17, 1) + message(8, 1, 1))
    assert (await wire.receive())[0] == "15"
    monkeypatch.undo()
    session.listen(on=True)
    assert (await wire.receive())[0] == "9"  # what had come was kept


@pytest.mark.parametrize("text", ["NaN", "1e400", "Infinity", "-Infinity", "0x10", "1,5", "\u0661"])
@pytest.mark.parametrize("name", ["lmtPrice", "auxPrice", "totalQuantity", "trailStopPrice", "cashQty"])
async def test_what_is_no_number_in_an_order_is_refused_and_nobody_else_notices(
    gateway: GatewayServer, wire: WireClient, placed: Callable[..., list[str]], name: str, text: str
) -> None:
    contract = ibi.Stock("AAA", "SMART", "USD")
    fields = placed(
        contract, ibi.LimitOrder("BUY", 777, 55.5, auxPrice=66.5, trailStopPrice=88.5, cashQty=99.5)
    )
    sent = {"totalQuantity": "777", "lmtPrice": "55.5", "auxPrice": "66.5", "trailStopPrice": "88.5"}
    place = next(
        i for i, value in enumerate(fields) if value in (sent.get(name, "99.5"), f"{sent.get(name)}.0")
    )
    fields[place] = text
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    wire.send(*fields)
    told = await wire.receive()
    assert told[:4] == ["4", "2", "1", "320"]
    assert name in told[4]
    assert not gateway.service.book.tickets
    await lives(other)
    await lives(wire)
    await other.close()


@pytest.mark.parametrize("price", [float("nan"), float("inf"), 1e300])
async def test_ib_insync_is_told_of_a_price_that_is_none(
    gateway: GatewayServer, ib: ibi.IB, price: float
) -> None:
    told: list[tuple[int, int]] = []
    ib.errorEvent += lambda number, code, _text, _contract: told.append((number, code))
    trade = ib.placeOrder(ibi.Stock("AAA", "SMART", "USD"), ibi.LimitOrder("BUY", 1, price))
    await asyncio.wait_for(ib.reqPositionsAsync(), 10)
    assert told == [(trade.order.orderId, 320)]
    assert trade.orderStatus.status == "Cancelled"
    assert not gateway.service.book.tickets


@pytest.mark.parametrize("guarded", [True, False])
async def test_no_delivery_fills_its_pages_exactly(
    gateway: GatewayServer, wire: WireClient, guarded: bool
) -> None:
    session = gateway.service.sessions[1]
    gateway.service.line.avoid_full_pages = guarded
    empty = len(message(4, 2, -1, 2100, "", ""))
    session.send_error(-1, 2100, "x" * (2 * PAGE - empty))
    session.flush()
    data = await asyncio.wait_for(wire.reader.readexactly(2 * PAGE), 10)
    assert len(data) == 2 * PAGE
    if guarded:
        assert (await wire.receive())[3] == "2106"
    await lives(wire)


async def test_the_highest_version_offered_is_the_lines(bars: Bars, sessions: ExchangeClock) -> None:
    async with simulated_gateway(bars, sessions=sessions) as server:
        server.service.line.newest_version = 157
        client = await WireClient.connect(server.port)
        assert client.version == 157
        await client.close()


async def test_warnings_about_one_peer_are_bounded(
    gateway: GatewayServer, wire: WireClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(30):
            bad = await WireClient.open(gateway.port)
            bad.write(os.urandom(5) + b"no greeting")
            await ends(bad)
            await bad.close()
    assert len(caplog.records) <= 6
    assert gateway.service.line.warnings.suppressed >= 24
    await lives(wire)


def test_the_budget_of_warnings_is_renewed_and_tells_what_it_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    budget = WarningBudget(limit=2, peers=2)
    for now in (0.0, 1.0, 2.0, 3.0, 61.0):
        budget.warn("a", now, "%s", f"at {now}")
    for peer in "bcd":
        budget.warn(peer, 62.0, "hello")
    budget.warn("a", 63.0, "forgotten, so new")
    texts = [record.getMessage() for record in caplog.records]
    assert texts == [
        "at 0.0",
        "at 1.0",
        "a: 2 further warnings were left out",
        "at 61.0",
        *["hello"] * 3,
        "forgotten, so new",
    ]


class Tap:
    """A tamper that changes nothing but says what it saw, and a recorder."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def on_connected(self, session: ClientSession) -> None:
        self.seen.append(f"connected {session.number}")

    def on_inbound(self, session: ClientSession, payload: bytes) -> Sequence[bytes]:
        self.seen.append(f"in {payload!r}")
        return [payload]

    def on_outbound(self, session: ClientSession, messages: Sequence[bytes]) -> None:
        self.seen.append(f"out {len(messages)}")
        session.write(b"".join(messages))

    def on_closing(self, session: ClientSession) -> bool:
        self.seen.append("closing")
        return True

    def on_lost(self, session: ClientSession) -> None:
        self.seen.append("lost")

    def received(self, session: ClientSession, payload: bytes) -> None:
        self.seen.append("received")

    def sent(self, session: ClientSession, data: bytes) -> None:
        self.seen.append(f"sent {len(data)}")

    def closed(self, session: ClientSession) -> None:
        self.seen.append("closed")


async def test_a_tamper_and_a_recorder_see_everything_in_order(gateway: GatewayServer) -> None:
    tap = Tap()
    gateway.service.line.tamper = tap
    gateway.service.line.recorder = tap
    client = await WireClient.open(gateway.port)
    client.write(GREETING + frame(b"v157..176"))
    greeting = await client.receive()
    gateway.service.connections.copy().pop().close()
    await ends(client)
    await client.close()
    size = len(message(*greeting))
    assert tap.seen == [
        "connected 1",
        "received",
        "in b'v157..176'",
        "out 1",
        f"sent {size}",
        "closing",
        "lost",
        "closed",
    ]


async def test_a_closed_session_takes_nothing_more(gateway: GatewayServer, wire: WireClient) -> None:
    session = gateway.service.sessions[1]
    assert isinstance(gateway.service.line, Line)
    session.reset()
    with pytest.raises(ConnectionResetError):
        await wire.reader.readexactly(1)
    session.inject(b"17\x001\x00")
    session.write(b"x")
    session.write_raw(b"x")
    session.listen(on=False)
    session.reset()
    session.abort()
    session.finish()
    assert not session.is_open
