"""Read a journal without holding it, over all its segments: a running trader is not disturbed.

A journal that was pruned begins with a ``checkpoint``: an event made from the signed checkpoint, with the
number and hash of the last event removed, whose body carries what recovery needs of the removed ones.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from execution.errors import JournalCorruptError, JournalError
from execution.journal.anchor import CHECKPOINT, last_checkpoint
from execution.journal.chain import parsed
from execution.journal.event import JournalEvent
from execution.journal.segments import Segment, folder_of, segments_of

Row = tuple[int, int, bytes, bytes, bytes, bytes]
"""Number, time, kind, body, hash before and hash of an event, as stored."""

_COLUMNS = "SELECT seq, time_ns, kind, body, prev_hash, hash FROM events WHERE seq > ? ORDER BY seq"


def events_of(db: sqlite3.Connection, after_seq: int) -> Iterator[JournalEvent]:
    """Yield the events of one open segment whose sequence number exceeds `after_seq`."""
    for seq, time_ns, kind, text, prev_hash, digest in db.execute(_COLUMNS, (after_seq,)):
        try:
            body = parsed(text)
        except (ValueError, TypeError) as error:  # no JSON, or no text
            raise JournalCorruptError(f"event {seq} is not readable: {error}") from error
        yield JournalEvent(seq, time_ns, kind, body, prev_hash, digest)


def read(path: Path, after_seq: int = 0) -> Generator[JournalEvent, None, None]:
    """Yield a journal's events after a sequence number.

    Raises
    ------
    JournalError
        If the file is missing or is not a journal.
    """
    checkpoint = last_checkpoint(folder_of(path))
    if checkpoint is not None and after_seq < checkpoint.seq:
        after_seq = checkpoint.seq
        yield JournalEvent(
            checkpoint.seq,
            checkpoint.time_ns,
            CHECKPOINT,
            dict(checkpoint.facts),
            checkpoint.head,
            checkpoint.head,
        )
    with _translated(path):
        for db, after in _connections(path, after_seq):
            last = after
            for event in events_of(db, after):
                yield event
                last = event.seq
            _reached(db, last)


def rows(path: Path, after_seq: int = 0) -> Generator[Row, None, None]:
    """Yield a journal's events as stored, unparsed; see `read`."""
    with _translated(path):
        for db, after in _connections(path, after_seq):
            last = after
            db.text_factory = bytes
            for row in db.execute(_COLUMNS, (after,)):
                yield row
                last = row[0]
            _reached(db, last)


class _Connection(sqlite3.Connection):
    """A segment opened for reading, and how far it was read."""

    reached = 0


def _reached(db: sqlite3.Connection, seq: int) -> None:
    if isinstance(db, _Connection):
        db.reached = seq


def _connections(path: Path, after_seq: int) -> Iterator[tuple[sqlite3.Connection, int]]:
    """Open the segments in turn, until none was added meanwhile; each says how far it was read."""
    if not path.is_file():
        raise JournalError(f"journal {path} does not exist")
    known: list[Segment] = []
    while (found := segments_of(path)) != known:
        known = found
        for number, segment in enumerate(found):
            if number + 1 < len(found) and found[number + 1].first_seq <= after_seq + 1:
                continue  # it ends before what is asked for
            with closing(open_read_only(segment.path)) as db:
                yield db, after_seq
                after_seq = max(after_seq, db.reached)


def open_read_only(path: Path) -> _Connection:
    """Open one segment for reading, without leaving anything beside it."""
    # Without a write-ahead log nobody writes it; then SQLite must not try to make files beside it.
    how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
    return sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True, factory=_Connection)


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise JournalError(
            f"journal {path} cannot be read: {error}; name a run id or its journal.db, or restore a copy"
        ) from error
