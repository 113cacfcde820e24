"""Replaying a frame journal: its clients' frames are sent to a gateway, and its answers compared.

Frames go out in the journal's order. With the pauses of the journal they leave when they did; else each waits
until as many frames have come back as the journal had by then, so that a gateway in lockstep plays the same.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from backtesting.gateway.frame_journal import FrameRecord
from backtesting.gateway.frame_views import Difference, diff
from backtesting.gateway.message_names import HANDSHAKE
from backtesting.gateway.wire.frames import GREETING, frame
from execution.clocks import NANOS


@dataclass(slots=True)
class Replay:
    """What came of a replay."""

    frames: list[FrameRecord]
    """What was sent and received, as the journal of the replay would hold it."""
    difference: Difference
    """Of the answers: recorded against received."""


@dataclass(slots=True)
class _Connection:
    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    client_id: int | None = None
    version: int = 0
    expected: int = 0
    received: int = 0
    ended: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    async def caught_up(self, patience: float) -> None:
        """Wait until as much has been received as is expected, or patience is at its end."""
        try:
            async with asyncio.timeout(patience):
                while self.received < self.expected and not self.ended:
                    self.news.clear()
                    await self.news.wait()
        except TimeoutError:
            self.expected = self.received  # the comparison tells what is missing

    async def close(self) -> None:
        self.writer.close()
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)


class _Player:
    def __init__(self, host: str, port: int, patience: float, stamp: Callable[[], int]) -> None:
        self._host, self._port = host, port
        self._patience = patience
        self._stamp = stamp
        self._open: dict[int, _Connection] = {}
        self.frames: list[FrameRecord] = []

    async def play(self, record: FrameRecord) -> None:
        if record.direction == "out":
            if record.connection in self._open:
                self._open[record.connection].expected += 1
            return
        for connection in tuple(self._open.values()):
            await connection.caught_up(self._patience)
        if record.direction == "end":
            gone = self._open.pop(record.connection, None)
            if gone is not None:
                await gone.close()
            return
        connection = await self._connection(record)
        connection.client_id = connection.client_id if record.client_id is None else record.client_id
        first = record.number == HANDSHAKE and record.raw is None
        self.frames.append(replace(record, time_ns=self._stamp()))
        if not connection.writer.is_closing():
            connection.writer.write((GREETING if first else b"") + frame(record.payload))

    async def _connection(self, record: FrameRecord) -> _Connection:
        known = self._open.get(record.connection)
        if known is None:
            reader, writer = await asyncio.open_connection(self._host, self._port)
            known = self._open[record.connection] = _Connection(record.connection, reader, writer)
            known.task = asyncio.create_task(self._listen(known, record))
        return known

    async def _listen(self, connection: _Connection, start: FrameRecord) -> None:
        greeted = False
        try:
            while True:
                size = int.from_bytes(await connection.reader.readexactly(4), "big")
                payload = await connection.reader.readexactly(size)
                self.frames.append(self._record(connection, start, payload, first=not greeted))
                greeted = True
                connection.received += 1
                connection.news.set()
        except (asyncio.IncompleteReadError, ConnectionError):
            connection.ended = True
            connection.news.set()

    def _record(
        self, connection: _Connection, start: FrameRecord, payload: bytes, *, first: bool
    ) -> FrameRecord:
        text = payload.decode(errors="replace").removesuffix("\0").split("\0")
        if first:
            connection.version = int(text[0]) if text[0].isdecimal() else 0
            number, fields = HANDSHAKE, text
        else:
            number, fields = int(text[0]) if text[0].isdecimal() else -1, text[1:]
        return FrameRecord(
            time_ns=self._stamp(),
            simulated_ns=start.simulated_ns,
            connection=connection.number,
            client_id=connection.client_id,
            direction="out",
            version=connection.version,
            number=number,
            fields=tuple(fields),
        )

    async def end(self) -> None:
        for connection in tuple(self._open.values()):
            await connection.caught_up(self._patience)
            await connection.close()


async def replay(
    records: Iterable[FrameRecord],
    host: str,
    port: int,
    *,
    as_recorded: bool = False,
    patience: float = 1.0,
    monotonic_ns: Callable[[], int] = time.monotonic_ns,
) -> Replay:
    """Send the clients' frames of a journal to a gateway and compare what comes back.

    Parameters
    ----------
    records
        The journal.
    host, port
        The gateway.
    as_recorded
        Whether to keep the journal's pauses.
    patience
        Seconds to wait for answers the journal had, before going on without them.

    Raises
    ------
    OSError
        If the gateway cannot be reached.
    """
    journal = list(records)
    player = _Player(host, port, patience, monotonic_ns)
    start = monotonic_ns()
    try:
        for record in journal:
            if as_recorded:
                due = (record.time_ns - journal[0].time_ns) - (monotonic_ns() - start)
                await asyncio.sleep(max(0, due) / NANOS)
            await player.play(record)
    finally:
        await player.end()
    answers = [record for record in journal if record.direction == "out"]
    named = _with_owners(journal)
    received = [record for record in player.frames if record.direction == "out"]
    return Replay(player.frames, diff(_owned(answers, named), _owned(received, named)))


def _with_owners(journal: Iterable[FrameRecord]) -> dict[int, int]:
    return {record.connection: record.client_id for record in journal if record.client_id is not None}


def _owned(records: Iterable[FrameRecord], owners: dict[int, int]) -> list[FrameRecord]:
    return [replace(record, client_id=owners.get(record.connection)) for record in records]
