"""Orders that were refused before they were sent, by client order id: the same id has the same answer again.

A strategy that is refused at every bar may be refused a million times. The newest refusals stay in memory,
the others lie in a temporary file.
"""

from __future__ import annotations

import pickle
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Final

import structlog

from execution.events import RiskDecision
from execution.models import OrderRequest
from execution.orders.scratch import Scratch, Sieve

Refusal = tuple[OrderRequest, RiskDecision]
"""What was asked for, and why it was refused."""

KEEP_REFUSALS: Final = 1_000
_AT_ONCE: Final = 256
_SCHEMA: Final = "CREATE TABLE refusals (number INTEGER PRIMARY KEY, name TEXT UNIQUE, state BLOB);"
_log = structlog.get_logger("refusals")


class Refusals(Mapping[str, Refusal]):
    """Refusals by client order id, oldest first.

    Parameters
    ----------
    keep
        How many stay in memory, about.
    """

    def __init__(self, keep: int = KEEP_REFUSALS) -> None:
        self._keep = keep
        self._recent: dict[str, Refusal] = {}
        self._file = Scratch(_SCHEMA)
        self._known = Sieve()
        self._count = 0

    def __len__(self) -> int:
        return self._count + len(self._recent)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the client order ids, oldest first."""
        if self._count:
            yield from [name for (name,) in self._file.rows("SELECT name FROM refusals ORDER BY number")]
        yield from self._recent

    def __getitem__(self, name: str) -> Refusal:
        """Return what was refused under an id, and why; raise `KeyError` if nothing was."""
        found = self.find(name)
        if found is None:
            raise KeyError(name)
        return found

    def find(self, name: str) -> Refusal | None:
        """Return what was refused under an id, and why; None if nothing was, as of almost every order."""
        return self._recent.get(name) or self._stored(name)

    def __setitem__(self, name: str, refusal: Refusal) -> None:
        """Keep a refusal; one under an id that was refused before takes its place."""
        if name not in self._recent and self._stored(name) is not None:
            self._file.rows("UPDATE refusals SET state = ? WHERE name = ?", _state(refusal), name)
            return
        self._recent[name] = refusal
        if len(self._recent) >= self._keep + _AT_ONCE:
            self._put_away()

    def _stored(self, name: str) -> Refusal | None:
        if not self._count or not self._known.may_hold("name", name):
            return None
        found = self._file.rows("SELECT state FROM refusals WHERE name = ?", name)
        return pickle.loads(found[0][0]) if found else None  # noqa: S301  # nosec B301  # written by this process

    def _put_away(self) -> None:
        names = [name for name, _ in zip(self._recent, range(_AT_ONCE), strict=False)]
        rows = [(name, _state(self._recent[name])) for name in names]
        try:
            self._file.write([("INSERT INTO refusals (name, state) VALUES (?, ?)", rows)])
        except sqlite3.Error as error:
            _log.error("refusals stay in memory: no temporary file", why=str(error))
            self._keep += _AT_ONCE  # tried again when as many more have come
            return
        self._count += len(rows)
        for name in names:
            self._known.add("name", name)
            del self._recent[name]


def _state(refusal: Refusal) -> bytes:
    return pickle.dumps(refusal, pickle.HIGHEST_PROTOCOL)
