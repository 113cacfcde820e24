"""A client on bare frames, as fast as Python allows: what it costs must not hide what the gateway costs."""

from __future__ import annotations

import asyncio
import socket
from typing import Final, Self

ORDER_STATUS: Final = b"3\0"
OPEN_ORDER: Final = b"5\0"
ERROR: Final = b"4\0"
TIME: Final = b"49\0"
NEXT_ID: Final = b"9\0"
GREETING: Final = b"API\0"
VERSION: Final = 176
_OFFER: Final = b"v157..%d" % VERSION
_TIMEOUT: Final = 10.0
_REST: Final = (
    "|||||O|0||1|0|0|0|0|0|0|0||0.0||||||||0||-1|0|||0|||0|0||0||||||0|||||0|||||||||||0|||0|0|||0||0|0|0|0"
    "|||||||0|||||||||0|0|0|0|||0||"
)
"""What follows the price in an order of version 176 that asks for nothing special."""


def frame(payload: bytes) -> bytes:
    """Put its length in front of a message."""
    return len(payload).to_bytes(4, "big") + payload


def message(text: str) -> bytes:
    """Encode a message written with ``|`` between its fields."""
    return frame(text.replace("|", "\0").encode() + b"\0")


def order(order_id: int, symbol: str, side: str, kind: str, price: str = "") -> bytes:
    """Encode placeOrder for 100 shares, for the day."""
    contract = f"0|{symbol}|STK||0.0|||SMART||USD||||"
    return message(f"3|{order_id}|{contract}|{side}|100|{kind}|{price}{_REST}")


def cancel(order_id: int) -> bytes:
    """Encode cancelOrder."""
    return message(f"4|1|{order_id}|")


def minute_bars(request_id: int, symbol: str) -> bytes:
    """Encode a request for today's minute bars, kept up to date."""
    return message(f"20|{request_id}|0|{symbol}|STK||0.0|||SMART||USD|||0||1 min|1 D|1|TRADES|2|1|")


def long_history(request_id: int, symbol: str) -> bytes:
    """Encode a request for a month of minute bars."""
    return message(f"20|{request_id}|0|{symbol}|STK||0.0|||SMART||USD|||0||1 min|1 M|1|TRADES|2|0|")


def hello(client_id: int) -> bytes:
    """Encode a whole handshake."""
    return GREETING + frame(_OFFER) + message(f"71|2|{client_id}|")


CURRENT_TIME: Final = message("49|1")


class Frames:
    """Cuts a stream into messages."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, data: bytes) -> list[bytes]:
        """Return the messages that these bytes complete."""
        buffer = self._rest + data if self._rest else data
        found, start, end = [], 0, len(buffer)
        while end - start >= 4:  # noqa: PLR2004  the length of a length
            stop = start + 4 + int.from_bytes(buffer[start : start + 4], "big")
            if stop > end:
                break
            found.append(buffer[start + 4 : stop])
            start = stop
        self._rest = buffer[start:]
        return found


class BlockingClient:
    """A client that waits for each answer.

    Parameters
    ----------
    port
        Port on the loopback.
    client_id
        Its name to the gateway.
    """

    def __init__(self, port: int, client_id: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), _TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._frames = Frames()
        self.received = bytearray()
        """Bytes of the last exchange, for a server that is to answer with the same."""
        self._socket.sendall(GREETING + frame(_OFFER))
        self.until(f"{VERSION}\0".encode())
        self._socket.sendall(message(f"71|2|{client_id}|"))
        self.until(NEXT_ID)

    def send(self, data: bytes) -> None:
        """Send bytes and wait for nothing."""
        self._socket.sendall(data)

    def ask(self, data: bytes, last: bytes) -> list[bytes]:
        """Send bytes and return the messages of the answer, up to one that begins with `last`."""
        self._socket.sendall(data)
        return self.until(last)

    def until(self, last: bytes) -> list[bytes]:
        """Return all messages received with, or before, one that begins with `last`."""
        del self.received[:]
        found: list[bytes] = []
        seen = 0
        while True:
            data = self._socket.recv(1 << 18)
            if not data:
                raise EOFError("the server closed the connection")
            self.received += data
            found += self._frames.feed(data)
            for text in found[seen:]:
                if text.startswith(last):
                    return found
            seen = len(found)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class StreamClient(asyncio.Protocol):
    """One of many clients of one event loop; `take` is called with each message.

    Use `connect`.
    """

    def __init__(self, client_id: int) -> None:
        self.client_id = client_id
        self.lost = asyncio.get_running_loop().create_future()
        """Done when the connection has gone."""
        self.joined = asyncio.Event()
        self._frames = Frames()
        self.transport: asyncio.Transport | None = None

    @classmethod
    async def connect(cls, port: int, client_id: int) -> Self:
        """Connect and wait to be welcomed."""
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(lambda: cls(client_id), "127.0.0.1", port)
        await client.joined.wait()
        return client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands and name the client."""
        self.transport = transport  # type: ignore[assignment]  # a socket's transport has both directions
        self.write(hello(self.client_id))

    def write(self, data: bytes) -> None:
        """Send bytes."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def data_received(self, data: bytes) -> None:
        """Hand on each message."""
        for text in self._frames.feed(data):
            if not self.joined.is_set() and text.startswith(NEXT_ID):
                self.joined.set()
            self.take(text)

    def take(self, text: bytes) -> None:
        """Take one message."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection has gone."""
        if not self.lost.done():
            self.lost.set_result(exc)
