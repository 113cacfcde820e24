"""One client's connection: handshake, requests in, messages out.

Messages are collected and written once for all that one received segment, or one step, gave rise to. A client
that does not read is cut off when too much waits for it; the others never wait for it.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, Protocol, cast

from backtesting.gateway.errors import FrameError, RequestRefusedError, VersionError
from backtesting.gateway.wire import replies
from backtesting.gateway.wire.codec import message, split
from backtesting.gateway.wire.frames import FrameReader
from backtesting.gateway.wire.gates import negotiate
from backtesting.gateway.wire.requests import Request, StartApi, decode, request_id_of

if TYPE_CHECKING:
    from backtesting.gateway.market.bars import Subscription

WRITE_LIMIT: Final = 32 << 20
"""Bytes that may wait for a client that does not read before it is cut off."""

HANDSHAKE_SECONDS: Final = 30.0
"""A connection that has not named itself by then is closed."""

CLIENT_ID_IN_USE: Final = (
    326,
    "Unable to connect as the client id is already in use. Retry with a unique client id.",
)

_log = logging.getLogger(__name__)


class Service(Protocol):
    """What a session needs of the gateway behind it."""

    def greeting_time(self) -> str:
        """Return the time told in the handshake."""

    def connected(self, session: ClientSession) -> bool:
        """Note a connection; return False if there are too many."""

    def joined(self, session: ClientSession, client_id: int) -> None:
        """Welcome a client that has named itself, or refuse its id (326)."""

    def handle(self, session: ClientSession, request: Request) -> None:
        """Answer a request; raise `RequestRefusedError` for one that is answered with an error."""

    def left(self, session: ClientSession) -> None:
        """Forget a connection that is closed and fully read."""


class ClientSession(asyncio.Protocol):
    """A connection and what its client has subscribed to."""

    def __init__(self, service: Service, write_limit: int = WRITE_LIMIT) -> None:
        self.client_id: int | None = None
        self.version = 0
        self.wants_positions = False
        self.wants_account = False
        self.summaries: dict[int, str] = {}
        self.histories: dict[int, Subscription] = {}
        self._service = service
        self._write_limit = write_limit
        self._reader = FrameReader()
        self._outbox: list[bytes] = []
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def named_id(self) -> int:
        """The client id of a client that has named itself, which every request but the first requires."""
        assert self.client_id is not None  # noqa: S101  the session hands on nothing before
        return self.client_id

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection."""
        self._transport = cast("asyncio.Transport", transport)
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._service.connected(self):
            self.cut("too many connections")
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, self.cut, "it never named itself")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio names the argument
        """Give up the connection; everything it sent has been read."""
        self._transport = None
        self._outbox.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        self._service.left(self)

    def eof_received(self) -> bool:
        """Close when the client has closed its side."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()  # nobody reads what still waits
        return False

    def data_received(self, data: bytes) -> None:
        """Answer every message a segment completes, in one write."""
        try:
            for payload in self._reader.feed(data):
                self._take(payload)
                if self._transport is None or self._transport.is_closing():
                    return
        except (FrameError, VersionError) as error:
            self.flush()
            self.cut(str(error))
            return
        self.flush()

    def _take(self, payload: bytes) -> None:
        if not self.version:
            self.version = negotiate(payload)
            self.send(message(self.version, self._service.greeting_time()))
            return
        fields: list[str] = []
        try:
            fields = split(payload)
            request = decode(fields, self.version)
            if isinstance(request, StartApi):
                self._start(request)
            elif self.client_id is None:
                self.send_error(request_id_of(fields), 504, "Not connected")
            else:
                self._service.handle(self, request)
        except RequestRefusedError as refusal:
            request_id = request_id_of(fields) if fields else -1
            self.send_error(request_id, refusal.number, refusal.text)

    def _start(self, request: StartApi) -> None:
        if self.client_id is not None:
            raise RequestRefusedError(
                321, "Error validating request.-'bC' : cause - The API is started already"
            )
        self._service.joined(self, request.client_id)
        if self._deadline is not None:
            self._deadline.cancel()

    def send(self, data: bytes) -> None:
        """Put a message in the outbox."""
        self._outbox.append(data)

    def send_error(self, request_id: int, code: int, text: str) -> None:
        """Put an error, warning or notice in the outbox."""
        self._outbox.append(replies.error(self.version, request_id, code, text))

    def flush(self) -> None:
        """Write the outbox; cut the client off if it does not read."""
        if not self._outbox:
            return
        data = b"".join(self._outbox)
        self._outbox.clear()
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if transport.get_write_buffer_size() + len(data) > self._write_limit:
            self.cut("it does not read what it is sent")
            return
        transport.write(data)

    def close(self) -> None:
        """Write what is left and close."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close without writing what is left."""
        if self._transport is not None:
            self._transport.abort()

    def cut(self, reason: str) -> None:
        """Close at once."""
        if self._transport is not None and not self._transport.is_closing():
            peer = self._transport.get_extra_info("peername")
            _log.warning("client %s at %s is cut off: %s", self.client_id, peer, reason)
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()
