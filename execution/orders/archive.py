"""Where orders that ended long ago are kept out of memory: a private temporary file of this process.

The journal is the record; this file is only a part of memory that may lie on disk. It has no name, nobody
else can open it, and it is gone with the process: a restart rebuilds what it held from the journal.
"""

from __future__ import annotations

import pickle
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from execution.errors import JournalError
from execution.orders.entry import Entry

Key = Literal["name", "perm_id", "order_id", "exec_id"]
"""What an order can be found by."""

_BITS: Final = 1 << 23
_AT_ONCE: Final = 256
_CACHE_KIB: Final = 512
_SCHEMA: Final = """
CREATE TABLE orders (name TEXT PRIMARY KEY, number INTEGER, session INTEGER, state BLOB);
CREATE INDEX numbers ON orders (number);
CREATE TABLE keys (kind TEXT, key, name TEXT, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE INDEX names ON keys (name);
"""


class Archive:
    """Orders by client order id, permanent id, session id and execution ids, on disk.

    A filter of bits in memory, of fixed size, answers for most ids that they are not here.
    """

    def __init__(self) -> None:
        self._db: sqlite3.Connection | None = None
        self._maybe = bytearray()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def store(self, entries: Sequence[tuple[Entry, int]]) -> None:
        """Take orders in, all or none.

        Parameters
        ----------
        entries
            The orders, each with the session that its order id belongs to; 0 for none that still counts.

        Raises
        ------
        sqlite3.Error
            If the file cannot be written; nothing was taken.
        """
        db = self._opened()
        rows = [
            (entry.client_order_id, entry.number, session, pickle.dumps(entry, pickle.HIGHEST_PROTOCOL))
            for entry, session in entries
        ]
        keys = [
            (kind, key, entry.client_order_id)
            for entry, session in entries
            for kind, key in _keys_of(entry, session)
        ]
        db.execute("BEGIN")
        try:
            db.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", rows)
            db.executemany("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", keys)
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")
        self._count += len(rows)
        for name, *_ in rows:
            self._note("name", name)
        for kind, key, _ in keys:
            self._note(kind, key)

    def name_of(self, kind: Key, key: Any) -> str | None:
        """Return the client order id of the order that is known by a key; None if there is none here."""
        if not self._may_hold(kind, key):
            return None
        if kind == "name":
            return str(key) if self._row("SELECT 1 FROM orders WHERE name = ?", key) else None
        row = self._row("SELECT name FROM keys WHERE kind = ? AND key = ?", kind, key)
        return None if row is None else str(row[0])

    def take(self, name: str) -> tuple[Entry, int]:
        """Give an order back, with the session its order id belongs to; it is not here any more."""
        row = self._row("SELECT state, session FROM orders WHERE name = ?", name)
        if row is None:
            raise KeyError(name)
        self._row("DELETE FROM orders WHERE name = ?", name)
        self._row("DELETE FROM keys WHERE name = ?", name)
        self._count -= 1
        return _read(row[0]), int(row[1])

    def walk(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield number, name and state of each order, by number; orders may come and go meanwhile."""
        last = 0
        while self._count:
            rows = self._opened().execute(
                "SELECT number, name, state FROM orders WHERE number > ? ORDER BY number LIMIT ?",
                (last, _AT_ONCE),
            )
            found = rows.fetchall()
            if not found:
                return
            yield from found
            last = found[-1][0]

    @staticmethod
    def read(state: bytes) -> Entry:
        """Return the order of a state that `walk` gave."""
        return _read(state)

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            # An executor may be built in one thread and run in another, never in both at once.
            db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            weakref.finalize(self, db.close)
            db.execute("PRAGMA synchronous=OFF")
            db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            db.executescript(_SCHEMA)
            self._db, self._maybe = db, bytearray(_BITS // 8)
        return self._db

    def _row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        try:
            row: tuple[Any, ...] | None = self._opened().execute(statement, values).fetchone()
        except sqlite3.Error as error:
            raise JournalError(
                f"orders that ended before cannot be read from the temporary file: {error}; make room where "
                "temporary files lie and restart: they are rebuilt from the journal"
            ) from error
        return row

    def _note(self, kind: str, key: Any) -> None:
        for bit in _bits(kind, key):
            self._maybe[bit >> 3] |= 1 << (bit & 7)

    def _may_hold(self, kind: str, key: Any) -> bool:
        return self._count > 0 and all(self._maybe[bit >> 3] >> (bit & 7) & 1 for bit in _bits(kind, key))


def _bits(kind: str, key: Any) -> tuple[int, int]:
    code = hash((kind, key))
    return code % _BITS, (code >> 32) % _BITS


def session_key(session: int, order_id: int) -> str:
    """Return the key of an order id, which means nothing outside of its session."""
    return f"{session}/{order_id}"


def _keys_of(entry: Entry, session: int) -> Iterator[tuple[Key, int | str]]:
    if session:
        yield "order_id", session_key(session, entry.order_id)
    if entry.perm_id:
        yield "perm_id", entry.perm_id
    for execution in entry.executions.values():
        yield "exec_id", execution.exec_id


def _read(state: bytes) -> Entry:
    entry: Entry = pickle.loads(state)  # noqa: S301  # nosec B301  written by this process, in a file without a name
    return entry
