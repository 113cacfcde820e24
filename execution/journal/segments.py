"""Where the segments of a journal lie.

``journal.db`` is the first segment and the name under which the whole journal is known. Later ones lie in the
folder ``journal.segments`` beside it, each under the number of its first event. A segment never changes its
name, appears whole or not at all, and once the next one exists nothing is written to it any more. Only the
newest is written, so the order of names is the order of events.
"""

from __future__ import annotations

import os
import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from execution.journal.chain import GENESIS

_NAME = re.compile(r"(\d{12})\.db")
SCHEMA = """
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
CREATE TABLE beginning (first_seq INTEGER NOT NULL, prev_hash TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Segment:
    """One file of a journal, and the number of its first event."""

    path: Path
    first_seq: int


def folder_of(journal: Path) -> Path:
    """Return the folder of a journal's later segments; it exists once there are any."""
    return journal.with_name(journal.stem + ".segments")


def path_of(journal: Path, first_seq: int) -> Path:
    """Return the file of the segment that begins with an event."""
    return journal if first_seq <= 1 else folder_of(journal) / f"{first_seq:012d}.db"


def segments_of(journal: Path) -> list[Segment]:
    """Return the segments that exist, oldest first."""
    later = []
    folder = folder_of(journal)
    if folder.is_dir():
        for path in sorted(folder.iterdir()):
            match = _NAME.fullmatch(path.name)
            if match:
                later.append(Segment(path, int(match[1])))
    return [Segment(journal, 1), *later] if journal.is_file() else later


def create_segment(path: Path, first_seq: int = 1, prev_hash: str = GENESIS) -> None:
    """Make an empty segment, whole at once and durable, replacing what has its name.

    Whoever reads meanwhile finds the old file, or the new one, and never a part of it.
    """
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    db = sqlite3.connect(draft, isolation_level=None)
    try:
        db.executescript(SCHEMA)
        db.execute("INSERT INTO beginning VALUES (?, ?)", (first_seq, prev_hash))
    finally:
        db.close()
    draft.replace(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
