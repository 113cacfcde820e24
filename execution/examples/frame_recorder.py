"""A relay that records every frame between a client and TWS, and the scrubbing of what it recorded.

The client connects to the relay, the relay to TWS. Bytes are passed on as they come; frames are kept in the
gateway's frame journal. `scrub` then makes fixtures of them: account names, permanent ids, execution ids and
other programs' order references are replaced, each by the same stand-in wherever it occurs.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from backtesting.gateway.frame_journal import FrameJournal, FrameRecord, read_frames

if TYPE_CHECKING:
    from backtesting.gateway.session import ClientSession

_PREFIX = 4
_GREETING = b"API\0"
_START_API = "71"
_PERM_IDS: Final = {3: 5, 5: 24, 11: 20, 101: 22}
"""Where a message has the order's permanent id, counted behind its number."""
_EXECUTION_IDS: Final = {11: 13, 59: 1}
_REFERENCES: Final = {5: 22, 11: 25, 101: 21}
_ACCOUNTS, _USER = 15, 107
_SHORTEST_ACCOUNT = 5


@dataclass(slots=True)
class Line:
    """One relayed connection, as a frame journal sees it."""

    number: int
    client_id: int | None = None
    version: int = 0


@dataclass(slots=True)
class _Frames:
    """Cuts a stream of bytes into frames."""

    take: Callable[[bytes], None]
    greeting: bytes = b""
    _buffer: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> None:
        self._buffer += data
        if self.greeting and len(self._buffer) >= len(self.greeting):
            del self._buffer[: len(self.greeting)]
            self.greeting = b""
        if self.greeting:
            return
        while len(self._buffer) >= _PREFIX:
            end = _PREFIX + int.from_bytes(self._buffer[:_PREFIX], "big")
            if len(self._buffer) < end:
                return
            self.take(bytes(self._buffer[_PREFIX:end]))
            del self._buffer[:end]


class FrameRecorder:
    """Relays connections to TWS and records their frames while its block runs.

    Parameters
    ----------
    host, port
        Where TWS listens.
    path
        The frame journal.
    now_ns
        Wall time in nanoseconds.
    """

    def __init__(self, host: str, port: int, path: Path, now_ns: Callable[[], int]) -> None:
        self._to = (host, port)
        self._journal = FrameJournal(path, now_ns)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._lines = 0
        self.port = 0

    async def __aenter__(self) -> FrameRecorder:
        self._journal.start()
        self._server = await asyncio.start_server(self._relay, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None  # noqa: S101  it was entered
        self._server.close()
        self.cut()
        await self._server.wait_closed()
        await asyncio.sleep(0)
        await self._journal.stop()

    def cut(self) -> None:
        """End every connection at once, as a cable that is pulled out."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(*self._to)
        except OSError:
            writer.close()
            return
        self._lines += 1
        line = Line(self._lines)
        session = cast("ClientSession", line)  # the journal reads these three fields only

        def from_client(payload: bytes) -> None:
            fields = payload.split(b"\0")
            if fields[0] == _START_API.encode() and line.client_id is None:
                line.client_id = int(fields[2])
            self._journal.received(session, payload)

        def from_tws(payload: bytes) -> None:
            if not line.version:
                line.version = int(payload.split(b"\0")[0])
            self._journal.sent(session, len(payload).to_bytes(_PREFIX, "big") + payload)

        self._writers |= {writer, far_writer}
        try:
            await asyncio.gather(
                _pass_on(reader, far_writer, _Frames(from_client, _GREETING)),
                _pass_on(far_reader, writer, _Frames(from_tws)),
            )
        finally:
            self._writers -= {writer, far_writer}
            self._journal.closed(session)


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, frames: _Frames) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            frames.feed(data)
            await writer.drain()
    writer.close()


# -- scrubbing ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class StandIns:
    """What stands in for what must not be published, the same wherever it occurs."""

    accounts: dict[str, str] = field(default_factory=dict)
    exact: dict[str, str] = field(default_factory=dict)
    prefix: str = ""
    _perm_ids: int = 0
    _executions: dict[str, str] = field(default_factory=dict)
    _references: int = 0

    def learn(self, frame: FrameRecord) -> None:
        """Take note of what a frame gives away."""
        fields = frame.fields
        if frame.direction != "out":
            return
        if frame.number == _ACCOUNTS:
            for name in fields[1].split(","):
                if len(name) >= _SHORTEST_ACCOUNT:
                    self.accounts.setdefault(name, f"DU{len(self.accounts) + 1:07d}")
        if frame.number == _USER:
            self.exact.update({text: "user" for text in fields[1:] if text})
        perm_id = _at(fields, _PERM_IDS.get(frame.number))
        if perm_id.isdecimal() and int(perm_id) and perm_id not in self.exact:
            self._perm_ids += 1
            self.exact[perm_id] = str(1_000_000_000 + self._perm_ids)
        execution = _at(fields, _EXECUTION_IDS.get(frame.number))
        if execution and execution not in self.exact:
            base, dot, revision = execution.rpartition(".")
            stand_in = self._executions.setdefault(base, f"0000e0d5.{len(self._executions) + 1:08x}.01")
            self.exact[execution] = f"{stand_in}{dot}{revision}"
        reference = _at(fields, _REFERENCES.get(frame.number))
        if reference and not reference.startswith(self.prefix) and reference not in self.exact:
            self._references += 1
            self.exact[reference] = f"another-{self._references}"

    def applied(self, text: str) -> str:
        """Return a field with what it gives away replaced."""
        if text in self.exact:
            return self.exact[text]
        for name, stand_in in self.accounts.items():
            text = text.replace(name, stand_in)
        return text


def scrub(journal: Path, fixture: Path, *, prefix: str, source: str, note: str = "") -> int:
    """Write the frames of a journal as fixtures, without what identifies the account; return how many.

    Parameters
    ----------
    journal, fixture
        What was recorded, and the file to write: one JSON object a line.
    prefix
        Beginning of this program's own order references, which stay.
    source, note
        Where the frames come from, kept with each.
    """
    frames = [frame for frame in read_frames(journal) if frame.direction != "end"]
    stand_ins = StandIns(prefix=prefix)
    for frame in frames:
        stand_ins.learn(frame)
    with fixture.open("w", encoding="utf-8") as file:
        for row in _rows(frames, stand_ins, source, note):
            file.write(json.dumps(row, separators=(",", ":")) + "\n")
    return len(frames)


def _rows(frames: list[FrameRecord], stand_ins: StandIns, source: str, note: str) -> Iterator[dict[str, Any]]:
    began = frames[0].time_ns if frames else 0
    for frame in frames:
        from_tws = frame.direction == "out"
        row: dict[str, Any] = {
            "dir": "in" if from_tws else "out",
            "from": "gateway" if from_tws else "client",
            "msg_id": frame.number,
            "fields": [stand_ins.applied(text) for text in frame.fields],
            "server_version": frame.version or None,
            "conn": frame.connection,
            "client": frame.client_id,
            "t": frame.time_ns - began,
            "source": source,
            "recorded": True,
            "note": note,
        }
        if frame.raw is None:  # what is no text cannot be scrubbed, so it is left out
            yield row


def _at(fields: tuple[str, ...], place: int | None) -> str:
    return fields[place] if place is not None and place < len(fields) else ""
