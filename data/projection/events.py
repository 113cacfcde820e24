"""Events as the projector reads them: of a journal in use by a trader, parsed only where a fold looks."""

from __future__ import annotations

import json
import queue
import threading
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from execution.errors import JournalCorruptError
from execution.journal.chain import canonical
from execution.journal.reader import open_read_only, rows
from execution.journal.segments import segments_of

_parse = json.JSONDecoder().raw_decode  # the journal's texts are canonical: no space around them
_AHEAD = 2

CHECKPOINT = "checkpoint"
"""Stands for events that were pruned; it is not an event of the chain."""


class Event(Protocol):
    """What the projector reads of a journal's event."""

    @property
    def seq(self) -> int:
        """Number of the event, ascending."""

    @property
    def time_ns(self) -> int:
        """Wall time of recording, UTC nanoseconds."""

    @property
    def kind(self) -> str:
        """Kind of the event, such as ``fill``."""

    @property
    def body(self) -> dict[str, Any]:
        """Fields of the event."""

    @property
    def prev_hash(self) -> str:
        """Hash of the event before it."""

    @property
    def hash(self) -> str:
        """Its own hash."""


class StoredEvent:
    """An event as it is stored, with the exact text that its hash covers."""

    __slots__ = ("body", "hash", "kind", "prev_hash", "seq", "text", "time_ns")

    def __init__(
        self, seq: int, time_ns: int, kind: bytes, text: bytes, prev_hash: bytes, digest: bytes
    ) -> None:
        self.seq = seq
        self.time_ns = time_ns
        self.kind = kind.decode()
        self.text = text.decode()
        self.prev_hash = prev_hash.decode()
        self.hash = digest.decode()
        try:
            self.body: dict[str, Any] = _parse(self.text)[0]
        except ValueError as error:
            raise JournalCorruptError(f"event {seq} is not readable: {error}") from error


def read_events(path: Path, after_seq: int = 0) -> Generator[StoredEvent, None, None]:
    """Yield a journal's events after a number; a trader that writes it is not disturbed.

    Raises
    ------
    JournalError
        If the file is missing or is not a journal.
    """
    with closing(rows(path, after_seq)) as stored:
        for row in stored:
            yield StoredEvent(*row)


@contextmanager
def batches_of(path: Path, after_seq: int, size: int) -> Iterator[Iterator[list[StoredEvent]]]:
    """Read a journal's events after a number in batches, the next ones while the last are worked on.

    The batches raise what `read_events` raises.
    """
    ready: queue.Queue[list[StoredEvent] | Exception] = queue.Queue(_AHEAD)
    left = threading.Event()

    def read() -> None:
        try:
            with closing(read_events(path, after_seq)) as events:
                while not left.is_set() and (batch := list(islice(events, size))):
                    ready.put(batch)
            ready.put([])
        except Exception as error:  # noqa: BLE001  # raised where the batches are used
            ready.put(error)

    def batches() -> Iterator[list[StoredEvent]]:
        while batch := ready.get():
            if isinstance(batch, Exception):
                raise batch
            yield batch

    reader = threading.Thread(target=read, name="journal reader")
    reader.start()
    try:
        yield batches()
    finally:
        left.set()
        while reader.is_alive():  # it may wait for room
            try:
                ready.get(timeout=0.01)
            except queue.Empty:
                continue
        reader.join()


def text_of(event: Event) -> str:
    """Return the text of an event's body that its hash covers."""
    return event.text if isinstance(event, StoredEvent) else canonical(event.body)


def head_of(path: Path) -> tuple[int, int]:
    """Return number and recording time of a journal's last event; zeros if it has none.

    Raises
    ------
    JournalError
        If the file is missing or is not a journal.
    """
    for segment in reversed(segments_of(path)):
        with closing(open_read_only(segment.path)) as db:
            row = db.execute("SELECT seq, time_ns FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        if row is not None:
            return int(row[0]), int(row[1])
    return 0, 0
