"""Read and verify a journal file without holding it: a running trader is not disturbed."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterator
from pathlib import Path

from execution.errors import JournalCorruptError, JournalError
from execution.journal.chain import GENESIS, ChainReport, verify_events
from execution.journal.event import JournalEvent


def events_of(db: sqlite3.Connection, after_seq: int) -> Iterator[JournalEvent]:
    """Yield the events of an open database whose sequence number exceeds `after_seq`."""
    query = "SELECT seq, time_ns, kind, body, prev_hash, hash FROM events WHERE seq > ? ORDER BY seq"
    for seq, time_ns, kind, text, prev_hash, digest in db.execute(query, (after_seq,)):
        try:
            body = json.loads(text)
        except ValueError as error:
            raise JournalCorruptError(f"event {seq} is not readable: {error}") from error
        yield JournalEvent(seq, time_ns, kind, body, prev_hash, digest)


def read(path: Path, after_seq: int = 0) -> Generator[JournalEvent, None, None]:
    """Yield a journal file's events after a sequence number.

    Raises
    ------
    JournalError
        If the file is missing or is not a journal.
    """
    if not path.is_file():
        raise JournalError(f"journal {path} does not exist")
    try:
        # Without a write-ahead log nobody writes it; then SQLite must not try to make files beside it.
        how = "mode=ro" if path.with_name(path.name + "-wal").exists() else "immutable=1"
        db = sqlite3.connect(f"{path.resolve().as_uri()}?{how}", uri=True)
        try:
            yield from events_of(db, after_seq)
        finally:
            db.close()
    except sqlite3.Error as error:
        raise JournalError(
            f"journal {path} cannot be read: {error}; name a run id or its journal.db, or restore a copy"
        ) from error


def verify(path: Path) -> ChainReport:
    """Recompute the hash chain of a journal file."""
    try:
        return verify_events(read(path))
    except JournalCorruptError as error:
        return ChainReport(ok=False, events=0, head=GENESIS, problem=str(error))
