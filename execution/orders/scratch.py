"""Where what ended long ago lies out of memory: a private temporary file of this process.

The journal is the record; this file is only a part of memory that may lie on disk. It has no name, nobody
else can open it, and it is gone with the process: a restart rebuilds what it held from the journal.
"""

from __future__ import annotations

import sqlite3
import weakref
from collections.abc import Iterable, Sequence
from typing import Any, Final

from execution.errors import JournalError

_BITS: Final = 1 << 23
_CACHE_KIB: Final = 512


class Scratch:
    """Tables in the temporary file, which is made when it is first needed.

    Parameters
    ----------
    schema
        The tables, as SQL.
    """

    def __init__(self, schema: str) -> None:
        self._schema = schema
        self._db: sqlite3.Connection | None = None

    def write(self, statements: Sequence[tuple[str, Iterable[Sequence[object]]]]) -> None:
        """Run each statement for each of its rows, all or none.

        Raises
        ------
        sqlite3.Error
            If the file cannot be written; nothing was.
        """
        db = self._opened()
        db.execute("BEGIN")
        try:
            for statement, rows in statements:
                db.executemany(statement, rows)
        except sqlite3.Error:
            db.execute("ROLLBACK")
            raise
        db.execute("COMMIT")

    def rows(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a statement finds.

        Raises
        ------
        JournalError
            If the file cannot be read.
        """
        try:
            return self._opened().execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise JournalError(
                f"orders that ended before cannot be read from the temporary file: {error}; make room where "
                "temporary files lie and restart: they are rebuilt from the journal"
            ) from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is None:
            # An executor may be built in one thread and run in another, never in both at once.
            db = sqlite3.connect("", isolation_level=None, check_same_thread=False)
            weakref.finalize(self, db.close)
            db.execute("PRAGMA synchronous=OFF")
            db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            db.executescript(self._schema)
            self._db = db
        return self._db


class Sieve:
    """A filter of bits, of fixed size: answers for most keys that they were never added."""

    def __init__(self) -> None:
        self._bits = bytearray()

    def add(self, kind: str, key: Any) -> None:
        """Let a key through from now on."""
        if not self._bits:
            self._bits = bytearray(_BITS // 8)
        for bit in _bits_of(kind, key):
            self._bits[bit >> 3] |= 1 << (bit & 7)

    def may_hold(self, kind: str, key: Any) -> bool:
        """Return False for what was never added; for what was, and for few others, True."""
        return bool(self._bits) and all(self._bits[bit >> 3] >> (bit & 7) & 1 for bit in _bits_of(kind, key))


def _bits_of(kind: str, key: Any) -> tuple[int, int]:
    code = hash((kind, key))
    return code % _BITS, (code >> 32) % _BITS
