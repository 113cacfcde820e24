"""One client's connection: handshake, requests in, messages out.

Messages are collected and written once for all that one received segment, or one step, gave rise to.

A client that does not read is not read either once `SOFT_LIMIT` bytes wait for it, so that it cannot make the
gateway work for nothing; requests it has sent wait. It is cut off when it takes nothing for `STALL_SECONDS`,
or when `WRITE_LIMIT` is reached by what others give rise to. The others never wait for it.

A tamper and a recorder (`line`) may stand between the connection and the gateway; nothing is spent on one
that is missing.

A write is never a whole number of 4096-byte pages, because common clients read until a block comes back short
and lose a delivery whose last block is full: a harmless farm notice (2106) is added to such a write.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final, Protocol, cast

from backtesting.gateway.errors import FrameError, RequestRefusedError, VersionError
from backtesting.gateway.line import PAGE, Line, Recorder
from backtesting.gateway.wire import replies
from backtesting.gateway.wire.codec import message, split
from backtesting.gateway.wire.frames import FrameReader
from backtesting.gateway.wire.gates import negotiate
from backtesting.gateway.wire.requests import Request, StartApi, decode, request_id_of

SOFT_LIMIT: Final = 1 << 20
"""Bytes that wait for a client before it is not read any more."""

WRITE_LIMIT: Final = 32 << 20
"""Bytes that may wait for a client before it is cut off at once; the largest answer must fit."""

TURN: Final = 32
"""Messages of one client that are answered before the others have their turn."""

STALL_SECONDS: Final = 10.0
"""A client over the soft limit that has taken nothing for so long is cut off; so is a closing one."""

_UNREAD: Final = "it does not read what it is sent"

HANDSHAKE_SECONDS: Final = 30.0
"""A connection that has not named itself by then is closed."""

CLIENT_ID_IN_USE: Final = (
    326,
    "Unable to connect as the client id is already in use. Retry with a unique client id.",
)

FARM_NOTICE: Final = (2106, "HMDS data farm connection is OK:ushmds")
"""What is added to a write that would fill its pages."""

_LINGER_NOT: Final = struct.pack("ii", 1, 0)


class Service(Protocol):
    """What a session needs of the gateway behind it."""

    line: Line

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
        self.number = 0
        """Place among all connections of the gateway, from 1."""
        self.peer = ""
        self.wants_positions = False
        self.wants_account = False
        self.summaries: dict[int, str] = {}
        self._service = service
        self._line = service.line
        self._write_limit = write_limit
        self._reader = FrameReader()
        self._inbox: Iterator[bytes] = iter(())
        self._outbox: list[bytes] = []
        self._waiting = 0
        self._transport: asyncio.Transport | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None
        self._choked = False
        self._deaf = False
        self._resting = False

    @property
    def named_id(self) -> int:
        """The client id of a client that has named itself, which every request but the first requires."""
        assert self.client_id is not None  # noqa: S101  the session hands on nothing before
        return self.client_id

    @property
    def is_open(self) -> bool:
        """Whether something can still be written."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def recorder(self) -> Recorder | None:
        """Who keeps what passes, if anybody does."""
        return self._line.recorder

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take up a connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=min(SOFT_LIMIT, self._write_limit))
        raw = transport.get_extra_info("socket")
        if raw is not None and raw.family in (socket.AF_INET, socket.AF_INET6):
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._line.opened += 1
        self.number = self._line.opened
        peer: Any = transport.get_extra_info("peername")
        self.peer = str(peer[0]) if isinstance(peer, tuple) else str(peer)
        if not self._service.connected(self):
            self.cut("too many connections")
            return
        loop = asyncio.get_running_loop()
        self._deadline = loop.call_later(HANDSHAKE_SECONDS, self.cut, "it never named itself")
        if self._line.tamper is not None:
            self._line.tamper.on_connected(self)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio names the argument
        """Give up the connection; everything it sent has been read."""
        self._transport = None
        self._outbox.clear()
        for timer in (self._deadline, self._patience):
            if timer is not None:
                timer.cancel()
        if self._line.tamper is not None:
            self._line.tamper.on_lost(self)
        if self._line.recorder is not None:
            self._line.recorder.closed(self)
        self._service.left(self)

    def eof_received(self) -> bool:
        """Close when the client has closed its side."""
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()  # nobody reads what still waits
        return False

    def pause_writing(self) -> None:
        """Read nothing more from a client that does not take what it is sent, and give it some time."""
        self._choked = True
        self._set_reading()
        if self._patience is None:
            self._wait_for_reader()

    def resume_writing(self) -> None:
        """Serve a client that reads again."""
        self._choked = False
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None
        asyncio.get_running_loop().call_soon(self._go_on)

    def _wait_for_reader(self, left: int | None = None) -> None:
        """Cut the client off if it takes nothing for a while."""
        transport = self._transport
        if transport is None:
            return
        waiting = transport.get_write_buffer_size()
        if left is not None and waiting >= left:
            self._warn(_UNREAD)
            transport.abort()
            return
        loop = asyncio.get_running_loop()
        self._patience = loop.call_later(STALL_SECONDS, self._wait_for_reader, waiting)

    def data_received(self, data: bytes) -> None:
        """Answer every message a segment completes, in one write."""
        self._inbox = self._reader.feed(data)  # the one before has been read to its end
        self._read()

    def _go_on(self) -> None:
        """Answer what is left of the last segment, then read on."""
        self._resting = False
        if not self.is_open:
            return
        try:
            self._read()
        except Exception:
            self.abort()  # as asyncio does where reading fails
            raise
        self._set_reading()

    def _read(self) -> None:
        line = self._line
        turn = islice(self._inbox, TURN)
        taken = 0
        try:
            while not self._held:
                payload = next(turn, None)
                if payload is None:
                    if taken == TURN:
                        self._rest()
                    break
                taken += 1
                if line.recorder is not None:
                    line.recorder.received(self, payload)
                if line.tamper is None:
                    self._take(payload)
                    if self._waiting > SOFT_LIMIT:
                        self.flush()
                else:
                    for changed in line.tamper.on_inbound(self, payload):
                        self._take(changed)
                    self.flush()  # what a tamper sees does not depend on how segments were merged
                if self._transport is None or self._transport.is_closing():
                    return
        except (FrameError, VersionError) as error:
            self.flush()
            self.cut(str(error))
            return
        self.flush()

    @property
    def _held(self) -> bool:
        """Whether nothing more is taken from the client now."""
        return self._choked or self._deaf or self._resting

    def _rest(self) -> None:
        """Let the other clients have their turn."""
        self._resting = True
        self._set_reading()
        asyncio.get_running_loop().call_soon(self._go_on)

    def inject(self, payload: bytes) -> None:
        """Answer a message as if the client had just sent it."""
        if self.is_open:
            try:
                self._take(payload)
            except VersionError as error:
                self.cut(str(error))
            self.flush()

    def _take(self, payload: bytes) -> None:
        if not self.version:
            self.version = negotiate(payload, self._line.newest_version)
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
        """Put a message in the outbox; cut the client off if one segment of its asks for too much."""
        self._outbox.append(data)
        self._waiting += len(data)
        if self._waiting > self._write_limit:
            self._outbox.clear()
            self._waiting = 0
            self.cut(_UNREAD)

    def send_error(self, request_id: int, code: int, text: str) -> None:
        """Put an error, warning or notice in the outbox."""
        self.send(replies.error(self.version, request_id, code, text))

    def flush(self) -> None:
        """Write the outbox; cut the client off if it does not read."""
        if not self._outbox:
            return
        tamper = self._line.tamper
        if tamper is not None:
            messages, self._outbox = self._outbox, []
            self._waiting = 0
            tamper.on_outbound(self, messages)
            return
        data = b"".join(self._outbox)
        self._outbox.clear()
        self._waiting = 0
        self.write(data)

    def write(self, data: bytes) -> None:
        """Write frames to the socket past the outbox and any tamper; never a whole number of pages."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        if not len(data) % PAGE and data and self._line.avoid_full_pages:
            data += replies.error(self.version, -1, *FARM_NOTICE)
        if transport.get_write_buffer_size() + len(data) > self._write_limit:
            self.cut(_UNREAD)
            return
        transport.write(data)
        if self._line.recorder is not None:
            self._line.recorder.sent(self, data)

    def write_raw(self, data: bytes) -> None:
        """Write part of a frame, or bytes that are none."""
        if self.is_open and self._transport is not None:
            self._transport.write(data)

    def close(self) -> None:
        """Write what is left and close."""
        self.flush()
        if self._line.tamper is None or self._line.tamper.on_closing(self):
            self.finish()

    def finish(self) -> None:
        """Close once everything written has left (FIN); a client that does not take it is cut off."""
        if self._transport is not None:
            self._transport.close()
            if self._transport.get_write_buffer_size() and self._patience is None:
                self._wait_for_reader()

    def abort(self) -> None:
        """Close without writing what is left."""
        if self._transport is not None:
            self._transport.abort()

    def reset(self) -> None:
        """Close so that the client sees a reset connection (RST)."""
        if self._transport is not None:
            raw = self._transport.get_extra_info("socket")
            if raw is not None:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
            self._transport.abort()

    def listen(self, on: bool) -> None:
        """Stop reading from the socket, which stays open, or go on."""
        self._deaf = not on
        if on and self.is_open:
            asyncio.get_running_loop().call_soon(self._go_on)
        else:
            self._set_reading()

    def _set_reading(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._held:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def cut(self, reason: str) -> None:
        """Close at once."""
        if self._transport is not None and not self._transport.is_closing():
            self._warn(reason)
            if self._transport.get_write_buffer_size():
                self._transport.abort()
            else:
                self._transport.close()

    def _warn(self, reason: str) -> None:
        now = asyncio.get_running_loop().time()
        text = "client %s at %s is cut off: %s"
        self._line.warnings.warn(self.peer, now, text, self.client_id, self.peer, reason)
