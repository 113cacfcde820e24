"""The frame journal: every frame of both directions, as lines of JSON.

A line holds ``t`` (monotonic nanoseconds), ``sim`` (simulated nanoseconds), ``conn`` (the connection's
number), ``client`` (its id, or null), ``from`` (client or gateway), ``dir`` (as the gateway sees it: in or
out), ``msg_id``,
``fields`` (those after the message number) and ``server_version``; a frame that is no text holds ``raw``
(hex) instead of fields. The handshake has message number 0. A closed connection is a line of its own with
``dir`` end.

While clients are served a frame is only put in a list; a task writes the list several times a second, and no
frame is written before the message it belongs to has left. A file that has grown beyond its limit is renamed
with a number behind its name, and the oldest are removed.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from backtesting.gateway.errors import GatewayError
from backtesting.gateway.message_names import HANDSHAKE

if TYPE_CHECKING:
    from backtesting.gateway.session import ClientSession

_DRAIN_SECONDS: Final = 0.1
_PENDING: Final = 20_000
_PREFIX: Final = 4

Entry = tuple[int, int, int, int | None, int, str, bytes]


class FrameJournalError(GatewayError):
    """A frame journal cannot be written or read; the message names file, line and remedy."""

    code = "GATEWAY_FRAME_JOURNAL"


@dataclass(frozen=True, slots=True)
class FrameRecord:
    """One frame; times are nanoseconds."""

    time_ns: int
    simulated_ns: int
    connection: int
    client_id: int | None
    direction: str
    """``in`` (from the client), ``out``, or ``end`` for the end of the connection."""
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
        self._pending: list[Entry] = []
        self._greeted: dict[int, int] = {}
        self._file: IO[str] | None = None
        self._size = 0
        self._task: asyncio.Task[None] | None = None

    def received(self, session: ClientSession, payload: bytes) -> None:
        """Keep the payload of a frame from a client."""
        entry = (self._stamp(), self._now_ns(), session.number, session.client_id, session.version)
        self._pending.append((*entry, "in", payload))

    def sent(self, session: ClientSession, data: bytes) -> None:
        """Keep the frames of one write to a client."""
        entry = (self._stamp(), self._now_ns(), session.number, session.client_id, session.version)
        self._pending.append((*entry, "out", data))
        if len(self._pending) > _PENDING:
            self.drain()

    def closed(self, session: ClientSession) -> None:
        """Keep that a connection has ended."""
        entry = (self._stamp(), self._now_ns(), session.number, session.client_id, session.version)
        self._pending.append((*entry, "end", b""))

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
            self._file = self.path.open("w", encoding="utf-8")
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
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        self.drain()
        if self._file is not None:
            self._file.close()
            self._file = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(_DRAIN_SECONDS)
            self.drain()

    def drain(self) -> None:
        """Write what has been kept so far."""
        pending, self._pending = self._pending, []
        if self._file is None or not pending:
            return
        text = "".join(json.dumps(line) + "\n" for entry in pending for line in self._lines(entry))
        self._file.write(text)
        self._file.flush()
        self._size += len(text)
        if self._size > self._limit:
            self._file.close()
            self._shift()
            self._file = self.path.open("w", encoding="utf-8")
            self._size = 0

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
            "dir": direction,
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
        file = path.open(encoding="utf-8")
    except OSError as error:
        raise FrameJournalError(f"{path}: cannot be read ({error}): give a frame journal") from error
    with file:
        for number, line in enumerate(file, start=1):
            try:
                row = json.loads(line)
                yield FrameRecord(
                    time_ns=int(row["t"]),
                    simulated_ns=int(row["sim"]),
                    connection=int(row["conn"]),
                    client_id=row["client"],
                    direction=str(row["dir"]),
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
