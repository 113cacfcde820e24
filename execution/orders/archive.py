"""Orders that ended long ago, on disk, by any of their ids.

The orders of a bracket lie here together and come back together, because they refer to each other.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Sequence
from typing import Any, Final, Literal

from execution.orders.entry import Entry
from execution.orders.scratch import Scratch, Sieve

Key = Literal["name", "perm_id", "order_id", "exec_id"]
"""What an order can be found by."""

_AT_ONCE: Final = 256
_SCHEMA: Final = """
CREATE TABLE orders (name TEXT PRIMARY KEY, number INTEGER, session INTEGER, family TEXT, state BLOB);
CREATE INDEX numbers ON orders (number);
CREATE INDEX families ON orders (family);
CREATE TABLE keys (kind TEXT, key, name TEXT, PRIMARY KEY (kind, key)) WITHOUT ROWID;
CREATE INDEX names ON keys (name);
"""


class Archive:
    """Orders by client order id, permanent id, session id and execution ids, in a temporary file."""

    def __init__(self) -> None:
        self._file = Scratch(_SCHEMA)
        self._known = Sieve()
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
        rows = [
            (e.client_order_id, e.number, session, family_of(e), pickle.dumps(e, pickle.HIGHEST_PROTOCOL))
            for e, session in entries
        ]
        keys = [
            (kind, key, entry.client_order_id)
            for entry, session in entries
            for kind, key in _keys_of(entry, session)
        ]
        self._file.write(
            [
                ("INSERT INTO orders VALUES (?, ?, ?, ?, ?)", rows),
                ("INSERT OR REPLACE INTO keys VALUES (?, ?, ?)", keys),
            ]
        )
        self._count += len(rows)
        for name, *_ in rows:
            self._known.add("name", name)
        for kind, key, _ in keys:
            self._known.add(kind, key)

    def name_of(self, kind: Key, key: Any) -> str | None:
        """Return the client order id of the order that is known by a key; None if there is none here."""
        if not self._count or not self._known.may_hold(kind, key):
            return None
        if kind == "name":
            return str(key) if self._file.rows("SELECT 1 FROM orders WHERE name = ?", key) else None
        found = self._file.rows("SELECT name FROM keys WHERE kind = ? AND key = ?", kind, key)
        return str(found[0][0]) if found else None

    def take(self, name: str) -> list[tuple[Entry, int]]:
        """Give an order back, with the others of its bracket; they are not here any more.

        Returns
        -------
        list of (Entry, int)
            The orders, each with the session that its order id belongs to.
        """
        found = self._file.rows(
            "SELECT name, state, session FROM orders WHERE family = "
            "(SELECT family FROM orders WHERE name = ?) ORDER BY number",
            name,
        )
        if not found:
            raise KeyError(name)
        for taken, *_ in found:
            self._file.rows("DELETE FROM orders WHERE name = ?", taken)
            self._file.rows("DELETE FROM keys WHERE name = ?", taken)
        self._count -= len(found)
        return [(_read(state), int(session)) for _, state, session in found]

    def walk(self) -> Iterator[tuple[int, str, bytes]]:
        """Yield number, name and state of each order, by number; orders may come and go meanwhile."""
        last = 0
        while self._count:
            found = self._file.rows(
                "SELECT number, name, state FROM orders WHERE number > ? ORDER BY number LIMIT ?",
                last,
                _AT_ONCE,
            )
            if not found:
                return
            yield from found
            last = found[-1][0]

    @staticmethod
    def read(state: bytes) -> Entry:
        """Return the order of a state that `walk` gave."""
        return _read(state)


def family_of(entry: Entry) -> str:
    """Return what the orders of a bracket have in common: the client order id of its entry."""
    return entry.parent or entry.client_order_id


def session_key(session: int, order_id: int) -> str:
    """Return the key of an order id, which means nothing outside of its session."""
    return f"{session}/{order_id}"


def _keys_of(entry: Entry, session: int) -> Iterator[tuple[Key, int | str]]:
    if session:
        yield "order_id", session_key(session, entry.order_id)
    if entry.perm_id:
        yield "perm_id", entry.perm_id
    for execution in entry.executions.values():
        for exec_id in execution.ids:
            yield "exec_id", exec_id


def _read(state: bytes) -> Entry:
    entry: Entry = pickle.loads(state)  # noqa: S301  # nosec B301  # written by this process, in a file without a name
    return entry
