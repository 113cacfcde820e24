"""Connections in memory: what is written arrives in order, or does not arrive, as the policy decides."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

from backtesting.simulation.loop import PROCESS, Process, VirtualLoop
from backtesting.simulation.network import Network, SimulatedTransport, Verdict, Wire

PORT = 4002


class Script:
    """A policy that does what a test tells it."""

    def __init__(self) -> None:
        self.verdicts: list[Verdict] = []
        self.seconds: float | None = 0.01
        self.delays: list[float] = []

    def latency(self, _wire: Wire, _outbound: bool) -> float:
        return self.delays.pop(0) if self.delays else 0.01

    def on_connect(self, _process: Process | None) -> float | None:
        return self.seconds

    def on_write(self, _wire: Wire, _outbound: bool, data: bytes) -> tuple[Verdict, bytes]:
        return (self.verdicts.pop(0) if self.verdicts else Verdict.PASS), data

    def after_write(self, _wire: Wire, _outbound: bool) -> None:
        """Do nothing."""

    def on_arrival(self, _wire: Wire, _outbound: bool, _data: bytes) -> None:
        """Do nothing."""

    def on_taken(self, _wire: Wire, _outbound: bool) -> None:
        """Do nothing."""


class End(asyncio.Protocol):
    """Remembers what happens at an end."""

    def __init__(self) -> None:
        self.chunks: list[bytes] = []
        self.events: list[str] = []
        self.transport: Any = None

    @property
    def data(self) -> bytes:
        return b"".join(self.chunks)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        if data == b"crash":
            raise ValueError("a protocol that cannot read")
        self.chunks.append(data)

    def eof_received(self) -> None:
        self.events.append("eof")

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append(type(exc).__name__ if exc else "closed")


class Bench:
    """A loop, a network, and both ends of the connections made."""

    def __init__(self) -> None:
        self.policy = Script()
        self.network = Network(self.policy)
        self.loop = VirtualLoop(self.network)
        self.raised: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _loop, context: self.raised.append(context))
        self.served: list[End] = []

    def serve(self) -> End:
        self.served.append(End())
        return self.served[-1]

    async def connect(self) -> tuple[End, End]:
        if self.network.listener(PORT) is None:
            await self.loop.create_server(self.serve, "127.0.0.1", PORT)
        client = End()
        await self.loop.create_connection(lambda: client, "127.0.0.1", PORT)
        return client, self.served[-1]

    def run(self, main: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.loop.run_until_complete(main())


@pytest.fixture
def bench() -> Iterator[Bench]:
    """A network without faults yet."""
    made = Bench()
    yield made
    made.loop.close()


def test_bytes_arrive_in_order_though_a_later_write_is_faster(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        bench.policy.delays = [0.5, 0.001]
        client.transport.write(b"one")
        client.transport.write(b"two")
        await asyncio.sleep(0.4)
        assert server.data == b""
        await asyncio.sleep(0.2)
        assert server.data == b"onetwo"
        server.transport.write(b"back")
        await asyncio.sleep(0.1)
        assert client.data == b"back"

    bench.run(main)


def test_nobody_listens_or_the_policy_refuses(bench: Bench) -> None:
    async def main() -> None:
        with pytest.raises(ConnectionRefusedError):
            await bench.loop.create_connection(End, "127.0.0.1", 1)
        await bench.connect()
        bench.policy.seconds = None
        with pytest.raises(ConnectionRefusedError):
            await bench.connect()

    bench.run(main)


def test_a_port_is_taken_once_and_free_again_when_it_is_closed(bench: Bench) -> None:
    async def main() -> None:
        first = await bench.loop.create_server(bench.serve, "127.0.0.1", 0)
        port = first.sockets[0].getsockname()[1]
        assert first.is_serving()
        with pytest.raises(OSError, match="Address already in use"):
            await bench.loop.create_server(bench.serve, "127.0.0.1", port)
        first.close()
        await first.wait_closed()
        assert not first.is_serving()
        await bench.loop.create_server(bench.serve, "127.0.0.1", port)

    bench.run(main)


def test_an_orderly_end_comes_behind_what_was_written(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        client.transport.write(b"last")
        client.transport.write_eof()
        client.transport.close()
        client.transport.write(b"too late")
        await asyncio.sleep(1)
        assert (server.data, server.events) == (b"last", ["eof", "closed"])
        assert client.events == ["closed"]

    bench.run(main)


def test_an_abort_is_a_reset_at_the_other_end_and_loses_what_is_on_its_way(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        client.transport.write(b"lost")
        client.transport.abort()
        client.transport.abort()
        await asyncio.sleep(1)
        assert (server.data, server.events) == (b"", ["ConnectionResetError"])

    bench.run(main)


def test_a_reset_before_a_write_loses_it_and_one_after_delivers_it_without_an_answer(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        bench.policy.verdicts = [Verdict.RESET_BEFORE]
        client.transport.write(b"never")
        await asyncio.sleep(1)
        assert (server.data, client.events) == (b"", ["ConnectionResetError"])
        client, server = await bench.connect()
        bench.policy.verdicts = [Verdict.RESET_AFTER]
        client.transport.write(b"arrives")
        server.transport.write(b"an answer")
        await asyncio.sleep(1)
        assert (server.data, client.data) == (b"arrives", b"")
        assert client.events == server.events == ["ConnectionResetError"]

    bench.run(main)


def test_a_half_open_connection_carries_nothing_and_tells_nobody(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        bench.policy.verdicts = [Verdict.SWALLOW]
        client.transport.write(b"swallowed")
        server.transport.write(b"too")
        client.transport.abort()
        await asyncio.sleep(100)
        assert (server.data, server.events) == (b"", [])
        (wire,) = bench.network.wires
        wire.end(client=False).break_off(TimeoutError())
        await asyncio.sleep(1)
        assert server.events == ["TimeoutError"]

    bench.run(main)


def test_a_delivery_byte_by_byte_is_whole_in_the_end(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        bench.policy.verdicts = [Verdict.BYTEWISE]
        client.transport.write(b"bytes")
        await asyncio.sleep(1)
        assert server.chunks == [b"b", b"y", b"t", b"e", b"s"]

    bench.run(main)


def test_what_is_not_read_waits_with_its_end(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        server.transport.pause_reading()
        assert not server.transport.is_reading()
        client.transport.write(b"waits")
        await asyncio.sleep(1)
        client.transport.close()
        await asyncio.sleep(1)
        assert (server.data, server.events) == (b"", [])
        server.transport.resume_reading()
        await asyncio.sleep(1)
        assert (server.data, server.events) == (b"waits", ["eof", "closed"])

    bench.run(main)


def test_a_protocol_that_raises_loses_its_connection(bench: Bench) -> None:
    async def main() -> None:
        client, server = await bench.connect()
        client.transport.write(b"crash")
        await asyncio.sleep(1)
        assert server.events == ["ValueError"]
        assert [str(context["exception"]) for context in bench.raised] == ["a protocol that cannot read"]

    bench.run(main)


def test_of_a_killed_process_what_it_wrote_arrives_and_it_is_told_nothing(bench: Bench) -> None:
    async def main() -> None:
        process = Process("trader")
        token = PROCESS.set(process)
        client, server = await bench.connect()
        PROCESS.reset(token)
        client.transport.write(b"written")
        process.end()
        bench.network.drop_process(process)
        await asyncio.sleep(1)
        assert (server.data, server.events) == (b"written", ["eof", "closed"])
        assert client.events == []

    bench.run(main)


def test_a_transport_looks_like_one_of_asyncio(bench: Bench) -> None:
    async def main() -> None:
        client, _ = await bench.connect()
        transport = client.transport
        assert isinstance(transport, SimulatedTransport)
        assert transport.get_extra_info("socket") is None
        assert transport.get_extra_info("peername") == ("127.0.0.1", 1)
        assert transport.get_write_buffer_size() == 0
        assert transport.can_write_eof()
        transport.set_write_buffer_limits(high=10)
        assert transport.get_protocol() is client

    bench.run(main)
