"""Where events are kept: SQLite files with durable commits, or memory for tests and dry runs.

`append` chains an event and holds it; `commit` makes everything held durable in one transaction. An order's
intent is committed before its first byte is sent; what the broker sends is committed in groups. `maintain`,
called off the way of an order, begins a new segment and anchors the head when that is due.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import structlog

from execution.errors import JournalCorruptError, JournalError, JournalLockedError
from execution.journal.anchor import CHECKPOINT, AnchorSchedule
from execution.journal.chain import GENESIS, canonical, chain_hash
from execution.journal.event import JournalEvent
from execution.journal.reader import events_of, read
from execution.journal.segments import Segment, create_segment, folder_of, path_of, segments_of, sync_folder

__all__ = ["Journal", "JournalEvent", "MemoryJournal", "Rotation", "SqliteJournal"]

_Written = tuple[int, int, str, str, str, str]
"""Number, time, kind, text of the body, hash before and hash of an event."""
_INSERT = "INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)"
_DAY_NS = 86_400_000_000_000
_ROW_BYTES = 320
"""What an event takes beside its body: two hashes, kind, numbers, the tree of the file."""
_RETRY_NS = 60_000_000_000
"""How long maintenance that failed is left alone."""


@dataclass(frozen=True, slots=True)
class Rotation:
    """When a new segment begins: at a size, and at the first event of a UTC day; None and False never."""

    max_bytes: int | None = 64 * 1024 * 1024
    daily: bool = True


class Journal(Protocol):
    """What the execution library needs of a journal."""

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event appended."""

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Chain an event; it is durable after the next `commit`."""

    def commit(self) -> None:
        """Make every appended event durable; raise `JournalError` if that cannot be done."""

    def maintain(self) -> None:
        """Do what is due beside recording; never raises, and is never called between intent and write."""

    def events(self) -> Iterator[JournalEvent]:
        """Yield every durable event in order."""

    def close(self) -> None:
        """Commit what is held and let go."""


class _Chain:
    """Events so far: how many, and the hash of the last one."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._head = GENESIS
        self._seq = 0

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event appended."""
        return self._seq

    @property
    def head(self) -> str:
        """Hash of the last event appended."""
        return self._head

    def _chained(self, kind: str, body: dict[str, Any]) -> _Written:
        """Return an event as it is written, chained to the one before."""
        text = canonical(body)
        seq, now, before = self._seq + 1, self._now_ns(), self._head
        digest = chain_hash(before, seq, now, kind, text)
        self._seq, self._head = seq, digest
        return seq, now, kind, text, before, digest


class MemoryJournal(_Chain):
    """A journal without a file: for tests, examples and dry runs. It does not survive the process."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__(now_ns)
        self._events: list[JournalEvent] = []
        self._pending: list[tuple[JournalEvent, str]] = []

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Chain an event; it is durable after the next `commit`."""
        seq, now, _, text, before, digest = self._chained(kind, body)
        self._pending.append((JournalEvent(seq, now, kind, body, before, digest), text))

    def commit(self) -> None:
        """Move what is held to the record."""
        self._events.extend(event for event, _ in self._pending)
        self._pending = []

    def maintain(self) -> None:
        """Do nothing: memory has neither segments nor anchors."""

    def events(self) -> Iterator[JournalEvent]:
        """Yield every committed event in order."""
        yield from list(self._events)

    def close(self) -> None:
        """Commit what is held."""
        self.commit()


class SqliteJournal(_Chain):
    """The journal on disk: SQLite in WAL mode with ``synchronous=FULL``, held by one process at a time.

    Parameters
    ----------
    path
        The first segment, and the name of the whole; see `execution.journal.segments`.
    now_ns
        Wall time of recording, UTC nanoseconds.
    rotation
        When a new segment begins.
    anchors
        Where and when the head is anchored; None anchors nothing.

    Raises
    ------
    JournalLockedError
        If another process holds it.
    JournalCorruptError
        If its last event does not fit the chain, or an anchored event is missing.
    JournalError
        If the file cannot be opened or written.
    """

    def __init__(
        self,
        path: Path,
        now_ns: Callable[[], int],
        *,
        rotation: Rotation | None = None,
        anchors: AnchorSchedule | None = None,
    ) -> None:
        super().__init__(now_ns)
        self.path = path
        self.rotation = rotation or Rotation()
        self.anchors = anchors
        self._pending: list[_Written] = []
        self._durable = (0, GENESIS)
        self._day: int | None = None
        self._bytes = 0
        self._not_before_ns = 0
        self._log = structlog.get_logger("journal")
        self._lock = _lock(path)
        try:
            self._segment = self._newest()
            self._db = sqlite3.connect(self._segment.path, isolation_level=None)
        except (sqlite3.Error, OSError, JournalError) as error:
            os.close(self._lock)
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"journal {path} cannot be opened: {error}") from error
        try:
            _make_durable(self._db)
            self._adopt_head()
            self._compare_anchor()
        except (sqlite3.Error, OSError, JournalError) as error:
            self._db.close()
            os.close(self._lock)
            if isinstance(error, JournalError):
                raise
            raise JournalError(f"journal {path} cannot be opened: {error}") from error

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Chain an event; it is durable after the next `commit`."""
        self._pending.append(self._chained(kind, body))

    def commit(self) -> None:
        """Write what is held in one durable transaction.

        If that fails everything stays held, nothing is lost, and the next commit tries again.
        """
        if not self._pending:
            return
        try:
            if len(self._pending) == 1:  # an order's intent, most often: a statement alone is a transaction
                self._db.execute(_INSERT, self._pending[0])
            else:
                self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(_INSERT, self._pending)
                self._db.execute("COMMIT")
        except sqlite3.Error as error:
            with suppress(
                sqlite3.Error
            ):  # where the disk is gone the rollback fails too; the first error counts
                self._db.execute("ROLLBACK")
            raise JournalError(
                f"journal {self.path} cannot be written: {error}; no order is sent until it can"
            ) from error
        written, self._pending = self._pending, []
        self._durable = (written[-1][0], written[-1][5])
        self._bytes += len(written) * _ROW_BYTES + sum([len(row[3]) for row in written])
        if self._day is None:
            self._day = written[0][1] // _DAY_NS

    def maintain(self) -> None:
        """Begin a new segment and anchor the head, each when it is due.

        A failure is logged and tried again a minute later: the record itself is whole without either.
        """
        now = self._now_ns()
        if now < self._not_before_ns:
            return
        try:
            if self._rotation_due(now):
                self.rotate()
            if self.anchors is not None and self.anchors.due(self._durable[0], now):
                self.anchors.note(*self._durable, now, "schedule")
        except JournalError as error:
            self._not_before_ns = now + _RETRY_NS
            self._log.error("the journal is kept, its upkeep failed", why=str(error))

    def rotate(self) -> None:
        """Begin a new segment, in which the chain goes on.

        1. Commit what is held. 2. Make the new segment, whole at once; from here on it is the newest for
        whoever opens the journal. 3. Open it. 4. Empty the write-ahead log of the old one into its file and
        close that. A crash before 2 leaves the old segment the newest, after 2 the new and still empty one.

        Raises
        ------
        JournalError
            If the new segment cannot be made; the old one goes on.
        """
        self.commit()
        seq, head = self._durable
        if seq + 1 == self._segment.first_seq or seq == 0:
            return  # the newest is still empty
        path = path_of(self.path, seq + 1)
        self._passed("committed")
        try:
            path.parent.mkdir(exist_ok=True)
            sync_folder(path.parent.parent)
            self._passed("folder made")
            create_segment(path, seq + 1, head)
            self._passed("segment made")
            db = sqlite3.connect(path, isolation_level=None)
            _make_durable(db)
        except (sqlite3.Error, OSError) as error:
            raise JournalError(f"journal {self.path}: no new segment could be begun: {error}") from error
        self._passed("segment opened")
        old, self._db, self._segment = self._db, db, Segment(path, seq + 1)
        self._day, self._bytes = None, 0
        with suppress(sqlite3.Error):  # what stays in the log of the old one is read from there
            old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._passed("old segment emptied")
        old.close()
        self._passed("old segment closed")

    def events(self) -> Iterator[JournalEvent]:
        """Yield every durable event in order, over all segments."""
        yield from read(self.path)

    def close(self) -> None:
        """Commit what is held, anchor the head, close the file and release the lock."""
        try:
            self.commit()
            self._anchor_at_shutdown()
        finally:
            self._db.close()
            os.close(self._lock)

    def _passed(self, step: str) -> None:
        """Mark a step of the rotation; tests cut the process here."""

    def _newest(self) -> Segment:
        if not self.path.exists() or not self.path.stat().st_size:
            if folder_of(self.path).is_dir():
                raise JournalCorruptError(f"the first segment {self.path} is missing; restore a copy")
            create_segment(self.path)
        *older, newest = segments_of(self.path) or [Segment(self.path, 1)]
        for segment in older:
            if segment.path.with_name(segment.path.name + "-wal").exists():  # its end was cut short
                with closing(sqlite3.connect(segment.path)) as db:
                    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return newest

    def _rotation_due(self, now_ns: int) -> bool:
        limit = self.rotation.max_bytes
        if limit is not None and self._bytes >= limit:
            return True
        return self.rotation.daily and self._day is not None and now_ns // _DAY_NS > self._day

    def _anchor_at_shutdown(self) -> None:
        if self.anchors is None:
            return
        try:
            self.anchors.note(*self._durable, self._now_ns(), "shutdown")
        except JournalError as error:
            self._log.error("the end of the journal is not anchored", why=str(error))

    def _adopt_head(self) -> None:
        row = self._db.execute("SELECT MIN(seq), MAX(seq) FROM events").fetchone()
        if row[1] is None:
            self._adopt_beginning()
            return
        last = next(events_of(self._db, row[1] - 1))
        if last.hash != chain_hash(last.prev_hash, last.seq, last.time_ns, last.kind, canonical(last.body)):
            raise JournalCorruptError(f"journal {self.path}: its last event {last.seq} was altered")
        self._seq, self._head = self._durable = (last.seq, last.hash)
        self._day = next(events_of(self._db, row[0] - 1)).time_ns // _DAY_NS
        self._bytes = self._segment.path.stat().st_size

    def _adopt_beginning(self) -> None:
        """Go on from where the newest segment begins, if the one before it ends there."""
        if self._segment.first_seq == 1:
            return
        first_seq, prev_hash = self._db.execute("SELECT first_seq, prev_hash FROM beginning").fetchone()
        last = None
        for last in read(self.path, first_seq - 2):  # noqa: B007 - the last one counts
            pass
        if last is None or (last.seq + 1, last.hash) != (self._segment.first_seq, prev_hash):
            raise JournalCorruptError(
                f"journal {self.path}: event {first_seq - 1} is missing before {self._segment.path.name}"
            )
        self._seq, self._head = self._durable = (last.seq, last.hash)

    def _compare_anchor(self) -> None:
        """Refuse a journal that lacks what was anchored: its tail was cut, or it is another journal."""
        if self.anchors is None:
            return
        anchor = self.anchors.file.last()
        if anchor is None or not anchor.seq:
            return
        found = next(read(self.path, anchor.seq - 1), None)
        pruned = found is not None and found.kind == CHECKPOINT and found.seq > anchor.seq
        if not pruned and (found is None or (found.seq, found.hash) != (anchor.seq, anchor.head)):
            raise JournalCorruptError(
                f"journal {self.path}: event {anchor.seq} was anchored in {self.anchors.file.path} and is "
                f"not there (the last one is {self._seq}): the tail was cut. Restore a copy; if this is "
                "a new journal, move the old one's anchors away with it"
            )
        self.anchors.last_seq, self.anchors.last_ns = anchor.seq, anchor.time_ns


def _make_durable(db: sqlite3.Connection) -> None:
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=FULL")


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
