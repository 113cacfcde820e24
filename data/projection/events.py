"""Events as the projector reads them: of a journal in use by a trader, parsed when a fold looks."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

from execution.clocks import NANOS
from execution.errors import JournalCorruptError
from execution.journal.chain import canonical, parsed
from execution.journal.reader import open_read_only, rows
from execution.journal.segments import segments_of

Entry: TypeAlias = tuple[int, int, str, str, str, str]
"""Number, time, kind, text of the body, hash before and hash of an event.

A plain tuple of plain values: the garbage collector looks at it once. At objects of a class it would look
again and again, and there are ten thousand at a time: it took as long as all that is done with them.
"""

CHECKPOINT = "checkpoint"
"""Stands for events that were pruned; it is not an event of the chain."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the database is behind the journal.

    Attributes
    ----------
    events
        Events not projected yet; below zero if the journal ends before what was projected of it.
    seconds
        From the recording of the first of them to that of the journal's last event.
    """

    events: int
    seconds: float


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


def entry_of(event: Event | Entry) -> Entry:
    """Return an event as an entry, with the text that its hash covers."""
    if type(event) is tuple:
        return event
    told = cast("Event", event)
    return told.seq, told.time_ns, told.kind, canonical(told.body), told.prev_hash, told.hash


def body_of(entry: Entry) -> dict[str, Any]:
    """Return the fields of an event; raise `JournalCorruptError` if its text does not hold fields."""
    try:
        body = parsed(entry[3])
    except ValueError as error:
        raise JournalCorruptError(f"event {entry[0]} is not readable: {error}") from error
    if type(body) is not dict:
        raise JournalCorruptError(f"event {entry[0]} is not readable: it holds no fields")
    return body


def read_events(path: Path, after_seq: int = 0) -> Generator[Entry, None, None]:
    """Yield a journal's events after a number; a trader that writes it is not disturbed.

    Raises
    ------
    JournalError
        If the file is missing or is not a journal.
    """
    with closing(rows(path, after_seq)) as stored:
        for seq, time_ns, kind, text, prev_hash, digest in stored:
            yield seq, time_ns, kind.decode(), text.decode(), prev_hash.decode(), digest.decode()


def batches_of(path: Path, after_seq: int, size: int) -> Generator[list[Entry], None, None]:
    """Yield a journal's events after a number in batches; raise what `read_events` raises."""
    with closing(read_events(path, after_seq)) as entries:
        while batch := list(islice(entries, size)):
            yield batch


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


def behind(path: Path, last: int) -> Lag:
    """Return how far a database is behind a journal of which it holds the events up to a number.

    Raises
    ------
    JournalError
        If the file is missing or is not a journal.
    """
    head, head_ns = head_of(path)
    if head <= last:
        return Lag(head - last, 0.0)
    with closing(read_events(path, last)) as entries:
        _, first_ns, *_ = next(entries)
    return Lag(head - last, max(0, head_ns - first_ns) / NANOS)
