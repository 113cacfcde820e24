"""The orders of a blotter: those that can still trade, those that ended last, and a way to all the others.

A trader may send a million orders in a session. Those that are open are kept in an index of their own; of
those that have ended the newest stay whole, the others go to the archive and come back, the same in all, when
somebody asks for them: a late execution, a commission, a request under an id that was used before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, ItemsView, Iterator, Mapping, ValuesView
from heapq import merge
from operator import attrgetter
from typing import Any, Final, TypeVar, overload
from weakref import WeakValueDictionary

import structlog

from execution.orders.archive import Archive, Key, session_key
from execution.orders.entry import Entry

_AT_ONCE: Final = 32
"""Orders that leave memory together: few, because the loop waits for it."""
_by_number = attrgetter("number")
_T = TypeVar("_T")
_log = structlog.get_logger("entries")


class Entries(Mapping[str, Entry]):
    """Orders by client order id, in order of submission.

    Parameters
    ----------
    keep_ended
        How many orders that have ended stay in memory. Orders of a bracket always do: they refer to each
        other.

    Attributes
    ----------
    is_addressable
        Says whether an order's id names it in the session under way.
    dismissed
        Told each order that leaves memory.
    recalled
        Told each order that comes back, and whether its order id is of the session under way.
    session
        Number of the session under way, which order ids belong to.
    """

    def __init__(self, keep_ended: int) -> None:
        self.is_addressable: Callable[[Entry], bool] = lambda _: False
        self.dismissed: Callable[[Entry], None] = lambda _: None
        self.recalled: Callable[[Entry, bool], None] = lambda _, __: None
        self.session = 1
        self._keep = keep_ended
        self._whole: dict[str, Entry] = {}
        self._open: dict[str, Entry] = {}
        self._ended: dict[str, None] = {}
        self._archive = Archive()
        self._referred: WeakValueDictionary[str, Entry] = WeakValueDictionary()
        """Orders in the archive that somebody holds all the same: there is never a second object of one."""
        self._number = 0

    # -- asking -------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._whole) + len(self._archive)

    def __iter__(self) -> Iterator[str]:
        """Iterate over the client order ids, in order of submission."""
        return (name for name, _ in self.walk())

    def __contains__(self, name: object) -> bool:
        return name in self._whole or self._archive.name_of("name", name) is not None

    def __getitem__(self, name: str) -> Entry:
        entry = self.get(name)
        if entry is None:
            raise KeyError(name)
        return entry

    @overload
    def get(self, key: str, /) -> Entry | None: ...
    @overload
    def get(self, key: str, /, default: Entry | _T) -> Entry | _T: ...
    def get(self, key: str, /, default: Any = None) -> Any:
        """Return an order, from the archive if it is there."""
        entry = self._whole.get(key)
        return entry if entry is not None else self.recall("name", key) or default

    def values(self) -> ValuesView[Entry]:
        """Return the orders; those in the archive stay there."""
        return _Values(self)

    def items(self) -> ItemsView[str, Entry]:
        """Return client order ids and orders; those in the archive stay there."""
        return _Items(self)

    def walk(self) -> Iterator[tuple[str, Entry]]:
        """Yield client order ids and orders, in order of submission."""
        if not len(self._archive):
            yield from self._whole.items()
            return
        whole = ((entry.number, name, b"") for name, entry in sorted(self._whole.items(), key=_number_of))
        for _, name, state in merge(self._archive.walk(), whole):
            yield name, self._whole.get(name) or self._referred.get(name) or self._archive.read(state)

    def open(self) -> list[Entry]:
        """Return the orders that can still trade, in order of submission."""
        return sorted(self._open.values(), key=_by_number)

    def recall_by_order_id(self, order_id: int) -> Entry | None:
        """Bring an order back by its id in the session under way; None if it is not in the archive."""
        return self.recall("order_id", session_key(self.session, order_id))

    def recall(self, kind: Key, key: Any) -> Entry | None:
        """Bring an order back from the archive by one of its ids; None if it is not there."""
        name = self._archive.name_of(kind, key)
        if name is None:
            return None
        read, session = self._archive.take(name)
        entry = self._referred.pop(name, read)
        self._whole[name] = entry
        self._ended[name] = None
        self.recalled(entry, session == self.session)
        return entry

    # -- keeping ------------------------------------------------------------------------------------------

    def __setitem__(self, name: str, entry: Entry) -> None:
        before = self.get(name)
        if not entry.number:
            self._number += 1
            entry.number = self._number if before is None else before.number
        self._whole[name] = entry
        self.note(entry)

    def note(self, entry: Entry) -> None:
        """Take note of where an order stands, after anything was done to it."""
        name = entry.client_order_id
        if entry.can_trade:
            self._open[name] = entry
            self._ended.pop(name, None)
            return
        self._open.pop(name, None)
        self._ended[name] = None
        if len(self._ended) >= self._keep + _AT_ONCE:
            self._dismiss()

    def _dismiss(self) -> None:
        """Let the orders that ended first leave memory."""
        names = [name for name, _ in zip(self._ended, range(_AT_ONCE), strict=False)]
        for name in names:
            del self._ended[name]
        leaving = [self._whole[name] for name in names if name in self._whole]
        leaving = [e for e in leaving if not (e.exits or e.parent or e.modification) and not e.can_trade]
        try:
            self._archive.store([(e, self.session * self.is_addressable(e)) for e in leaving])
        except sqlite3.Error as error:
            _log.error("orders that have ended stay in memory: no temporary file", why=str(error))
            return
        for entry in leaving:
            del self._whole[entry.client_order_id]
            self._referred[entry.client_order_id] = entry
            self.dismissed(entry)


def _number_of(item: tuple[str, Entry]) -> int:
    return item[1].number


class _Values(ValuesView[Entry]):
    _mapping: Entries

    def __iter__(self) -> Iterator[Entry]:
        return (entry for _, entry in self._mapping.walk())


class _Items(ItemsView[str, Entry]):
    _mapping: Entries

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return self._mapping.walk()
