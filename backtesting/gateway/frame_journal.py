"""The frame journal: every frame of both directions, as lines of JSON.

A line holds ``t`` (monotonic nanoseconds), ``sim`` (simulated nanoseconds), ``conn`` (the connection's
number), ``client`` (its id, or null), ``from`` (client or gateway), ``dir`` (as a client's log has it: in is
what comes from the gateway, out what goes to it), ``msg_id``, ``fields`` (those after the message number) and
``server_version``; a frame that is no text holds ``raw`` (hex) instead of fields. The handshake has message
number 0. A closed connection is a line of its own with ``dir`` end. Frames recorded from real gateways in the
same form are read too; where a line has no ``from``, ``dir`` tells.

While clients are served a frame is only put in a list. A task writes the list several times a second, some
frames at a time between the events of clients, and no frame is written before the message it belongs to has
left. Nothing is left out to be fast: where more waits than `_MOST_PENDING` the gateway waits for the disk.
When the disk refuses (it is full), the journal ends there, says so, and the gateway goes on without it.

A file that has grown beyond its limit is renamed with a number behind its name, and the oldest are removed.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from backtesting.gateway.errors import FrameJournalError
from backtesting.gateway.message_names import HANDSHAKE

if TYPE_CHECKING:
    from backtesting.gateway.session import ClientSession

_DRAIN_SECONDS: Final = 0.1
_AT_ONCE: Final = 32
"""Writes whose frames are put to paper between two looks at the clients: about a millisecond's work."""

_MOST_PENDING: Final = 20_000
_MOST_PENDING_BYTES: Final = 64 << 20
_PREFIX: Final = 4

_log = logging.getLogger(__name__)

Entry = tuple[int, int, int, int | None, int, str, bytes]


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame; times are nanoseconds."""

    time_ns: int
    simulated_ns: int
    connection: int
    client_id: int | None
    direction: str
    """As the gateway sees it: ``in`` from the client, ``out`` to it, ``end`` of the connection."""
    version: int
    number: int
    fields: tuple[str, ...]
    raw: bytes | None = None

    @property
    def payload(self) -> bytes:
        """The frame's payload."""
        if self.raw is not None:
            return self.raw
        if self.number == HANDSHAKE and self.direction == "in":
            return "".join(self.fields).encode()
        head = () if self.number == HANDSHAKE else (str(self.number),)
        return ("\0".join((*head, *self.fields)) + "\0").encode()


class FrameJournal:
    """Writes frames; a recorder of a gateway's line.

    Parameters
    ----------
    path
        The file; an older one of this name is kept under a number.
    now_ns
        Tells the simulated time.
    monotonic_ns
        Tells the time frames are stamped with.
    limit
        Bytes of a file before the next is begun.
    keep
        Full files kept beside the one being written.
    """

    def __init__(
        self,
        path: Path,
        now_ns: Callable[[], int],
        *,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
        limit: int = 256 << 20,
        keep: int = 4,
    ) -> None:
        self.path = path
        self._now_ns = now_ns
        self._stamp = monotonic_ns
        self._limit = limit
        self._keep = keep
        self._pending: deque[Entry] = deque()
        self._pending_bytes = 0
        self._greeted: dict[int, int] = {}
        self._file: IO[str] | None = None
        self._size = 0
        self._task: asyncio.Task[None] | None = None
        self.lost = 0
        """Writes that were not kept because the disk refused."""

    def received(self, session: ClientSession, payload: bytes) -> None:
        """Keep the payload of a frame from a client."""
        self._keep_for_later(session, "in", payload)

    def sent(self, session: ClientSession, data: bytes) -> None:
        """Keep the frames of one write to a client."""
        self._keep_for_later(session, "out", data)

    def closed(self, session: ClientSession) -> None:
        """Keep that a connection has ended."""
        self._keep_for_later(session, "end", b"")

    def _keep_for_later(self, session: ClientSession, direction: str, data: bytes) -> None:
        entry = (self._stamp(), self._now_ns(), session.number, session.client_id, session.version)
        self._pending.append((*entry, direction, data))
        self._pending_bytes += len(data)
        if len(self._pending) > _MOST_PENDING or self._pending_bytes > _MOST_PENDING_BYTES:
            self.drain()

    def start(self) -> None:
        """Open the file and start writing in the running event loop.

        Raises
        ------
        FrameJournalError
            If the file cannot be written.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_file() and self.path.stat().st_size:
                self._shift()
            self._file = self._open()
        except OSError as error:
            raise FrameJournalError(
                f"{self.path}: cannot be written ({error}): choose another file for the frame journal"
            ) from error
        self._size = 0
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Write what is left and close the file; a second call does nothing."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        self.drain()
        if self._file is not None:
            self._file.close()
            self._file = None
        if self.lost:
            _log.error("the frame journal %s lacks the last %d writes", self.path, self.lost)
            self.lost = 0

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_DRAIN_SECONDS)
            while self._pending:
                self._write(_AT_ONCE)
                await asyncio.sleep(0)

    def drain(self) -> None:
        """Write what has been kept so far."""
        while self._pending:
            self._write(len(self._pending))

    def _write(self, most: int) -> None:
        entries = [self._pending.popleft() for _ in range(min(most, len(self._pending)))]
        self._pending_bytes -= sum(len(entry[-1]) for entry in entries)
        if self._file is None:
            self.lost += len(entries)
            return
        text = "".join(_compact(line) + "\n" for entry in entries for line in self._lines(entry))
        try:
            self._file.write(text)
            self._file.flush()
            self._size += len(text)
            if self._size > self._limit:
                self._file.close()
                self._shift()
                self._file = self._open()
                self._size = 0
        except OSError as error:
            self.lost += len(entries)
            self._give_up(error)

    def _open(self) -> IO[str]:
        """Open the file; never through a link somebody has put there."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
        return os.fdopen(os.open(self.path, flags, 0o600), "w", encoding="utf-8")

    def _give_up(self, error: OSError) -> None:
        _log.error(
            "the frame journal %s ends here (%s): frames from now on are not kept; free space and restart",
            self.path,
            error.strerror or error,
        )
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):  # what could not be written cannot be written on closing either
                file.close()

    def _shift(self) -> None:
        """Give the full file number 1 and every older one the next; beyond `keep` they are removed."""
        self.path.with_name(f"{self.path.name}.{self._keep}").unlink(missing_ok=True)
        for number in range(self._keep - 1, 0, -1):
            older = self.path.with_name(f"{self.path.name}.{number}")
            if older.is_file():
                older.replace(self.path.with_name(f"{self.path.name}.{number + 1}"))
        if self._keep:
            self.path.replace(self.path.with_name(f"{self.path.name}.1"))

    def _lines(self, entry: Entry) -> Iterator[dict[str, Any]]:
        stamp, simulated, connection, client_id, version, direction, data = entry
        head = {
            "t": stamp,
            "sim": simulated,
            "conn": connection,
            "client": client_id,
            "from": "gateway" if direction == "out" else "client",
            "dir": _SEEN_BY_CLIENTS[direction],
        }
        if direction == "end":
            self._greeted.pop(connection, None)
            yield {**head, "msg_id": HANDSHAKE, "fields": [], "server_version": version or None}
            return
        payloads = [data] if direction == "in" else list(_payloads(data))
        for payload in payloads:
            flag = 1 if direction == "in" else 2
            greeted = self._greeted.get(connection, 0)
            self._greeted[connection] = greeted | flag
            yield {**head, **_content(payload, first=not greeted & flag), "server_version": version or None}


_SEEN_BY_CLIENTS: Final = {"in": "out", "out": "in", "end": "end"}
_compact = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode


def _payloads(data: bytes) -> Iterator[bytes]:
    start = 0
    while start < len(data):
        size = int.from_bytes(data[start : start + _PREFIX], "big")
        yield data[start + _PREFIX : start + _PREFIX + size]
        start += _PREFIX + size


def _content(payload: bytes, *, first: bool) -> dict[str, Any]:
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return {"msg_id": -1, "fields": [], "raw": payload.hex()}
    if first:
        return {"msg_id": HANDSHAKE, "fields": text.removesuffix("\0").split("\0")}
    number, _, rest = text.partition("\0")
    regular = number.isascii() and number.isdecimal() and str(int(number[:9])) == number
    if not regular or not text.endswith("\0"):
        return {"msg_id": -1, "fields": [], "raw": payload.hex()}
    return {"msg_id": int(number), "fields": rest.removesuffix("\0").split("\0") if rest else []}


def read_frames(path: Path) -> Iterator[FrameRecord]:
    """Read a frame journal, oldest frame first; a last line that was cut off is left out.

    Raises
    ------
    FrameJournalError
        If the file cannot be read, or a line is no frame.
    """
    try:
        file = path.open(encoding="utf-8", errors="backslashreplace")  # what is no text is no JSON either
    except OSError as error:
        raise FrameJournalError(f"{path}: cannot be read ({error}): give a frame journal") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                yield FrameRecord(
                    time_ns=int(row.get("t", 0)),
                    simulated_ns=int(row.get("sim", 0)),
                    connection=int(row.get("conn", 0)),
                    client_id=row.get("client"),
                    direction=_direction(row),
                    version=int(row["server_version"] or 0),
                    number=int(row["msg_id"]),
                    fields=tuple(str(field) for field in row["fields"]),
                    raw=bytes.fromhex(row["raw"]) if "raw" in row else None,
                )
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                if not line.endswith("\n"):
                    return
                raise FrameJournalError(
                    f"{path}, line {number}: is no frame ({error!r}): give a file that --frames has written"
                ) from error


def _direction(row: dict[str, Any]) -> str:
    """Return whose frame a line is, as the gateway sees it."""
    if row["dir"] == "end":
        return "end"
    sender = row.get("from") or {"in": "gateway", "out": "client"}[row["dir"]]
    return {"client": "in", "gateway": "out"}[sender]
