"""Where events are kept: a SQLite file with durable commits, or memory for tests and dry runs.

`append` chains an event and holds it; `commit` makes everything held durable in one transaction. An order's
intent is committed before its first byte is sent; what the broker sends is committed in groups.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from execution.errors import JournalCorruptError, JournalError, JournalLockedError
from execution.journal.chain import GENESIS, canonical, chain_hash
from execution.journal.event import JournalEvent
from execution.journal.reader import events_of

__all__ = ["Journal", "JournalEvent", "MemoryJournal", "SqliteJournal"]

_SCHEMA = """
CREATE TABLE events (
    seq INTEGER PRIMARY KEY,
    time_ns INTEGER NOT NULL,
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL
);
CREATE TRIGGER events_are_never_changed BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER events_are_never_deleted BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
"""


class Journal(Protocol):
    """What the execution library needs of a journal."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event appended."""

    def append(self, kind: str, body: dict[str, Any]) -> JournalEvent:
        """Chain an event; it is durable after the next `commit`."""

    def commit(self) -> None:
        """Make every appended event durable; raise `JournalError` if that cannot be done."""

    def events(self) -> Iterator[JournalEvent]:
        """Yield every durable event in order."""

    def close(self) -> None:
        """Commit what is held and let go."""


class MemoryJournal:
    """A journal without a file: for tests, examples and dry runs. It does not survive the process."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._head = GENESIS
        self._seq = 0
        self._events: list[JournalEvent] = []
        self._pending: list[tuple[JournalEvent, str]] = []

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event appended."""
        return self._seq

    @property
    def head(self) -> str:
        """Hash of the last event appended."""
        return self._head

    def append(self, kind: str, body: dict[str, Any]) -> JournalEvent:
        """Chain an event; it is durable after the next `commit`."""
        text = canonical(body)
        seq, now = self._seq + 1, self._now_ns()
        event = JournalEvent(seq, now, kind, body, self._head, chain_hash(self._head, seq, now, kind, text))
        self._pending.append((event, text))
        self._seq, self._head = seq, event.hash
        return event

    def commit(self) -> None:
        """Move what is held to the record."""
        self._store(self._pending)
        self._pending = []

    def events(self) -> Iterator[JournalEvent]:
        """Yield every committed event in order."""
        yield from list(self._events)

    def close(self) -> None:
        """Commit what is held."""
        self.commit()

    def _store(self, pending: list[tuple[JournalEvent, str]]) -> None:
        self._events.extend(event for event, _ in pending)


class SqliteJournal(MemoryJournal):
    """The journal on disk: SQLite in WAL mode with ``synchronous=FULL``, held by one process at a time.

    Raises
    ------
    JournalLockedError
        If another process holds it.
    JournalCorruptError
        If its last event does not fit the chain.
    JournalError
        If the file cannot be opened or written.
    """

    def __init__(self, path: Path, now_ns: Callable[[], int]) -> None:
        super().__init__(now_ns)
        self.path = path
        self._lock = _lock(path)
        try:
            _create(path)
            self._db = sqlite3.connect(path, isolation_level=None)
        except (sqlite3.Error, OSError) as error:
            os.close(self._lock)
            raise JournalError(f"journal {path} cannot be opened: {error}") from error
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")
            self._adopt_head()
        except (sqlite3.Error, JournalError) as error:
            self._db.close()
            os.close(self._lock)
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"journal {path} cannot be opened: {error}") from error

    def commit(self) -> None:
        """Write what is held in one durable transaction.

        If that fails everything stays held, nothing is lost, and the next commit tries again.
        """
        if not self._pending:
            return
        rows = [(e.seq, e.time_ns, e.kind, text, e.prev_hash, e.hash) for e, text in self._pending]
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", rows)
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(
                sqlite3.Error
            ):  # where the disk is gone the rollback fails too; the first error counts
                self._db.execute("ROLLBACK")
            raise JournalError(
                f"journal {self.path} cannot be written: {error}; no order is sent until it can"
            ) from error
        self._pending = []

    def events(self) -> Iterator[JournalEvent]:
        """Yield every durable event in order."""
        yield from events_of(self._db, 0)

    def close(self) -> None:
        """Commit what is held, close the file and release the lock."""
        try:
            self.commit()
        finally:
            self._db.close()
            os.close(self._lock)

    def _adopt_head(self) -> None:
        row = self._db.execute("SELECT MAX(seq) FROM events").fetchone()
        if row[0] is None:
            return
        last = next(events_of(self._db, row[0] - 1))
        if last.hash != chain_hash(last.prev_hash, last.seq, last.time_ns, last.kind, canonical(last.body)):
            raise JournalCorruptError(f"journal {self.path}: its last event {last.seq} was altered")
        self._seq, self._head = last.seq, last.hash


def _create(path: Path) -> None:
    """Make an empty journal, whole at once: whoever reads it meanwhile finds no file or a journal."""
    if path.exists() and path.stat().st_size:
        return
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    db = sqlite3.connect(draft, isolation_level=None)
    try:
        db.executescript(_SCHEMA)
    finally:
        db.close()
    draft.replace(path)


def _lock(path: Path) -> int:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise JournalError(f"journal {path} cannot be opened: {error.strerror}") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise JournalLockedError(
            f"journal {path} is held by another trader; stop it with `trade stop` or use another account"
        ) from error
    return handle
