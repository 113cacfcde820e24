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
        How many orders that have ended stay in memory. Those of a bracket leave it, and come back, together.

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
        taken = self._archive.take(name)
        family = {e.client_order_id: self._referred.pop(e.client_order_id, e) for e, _ in taken}
        for (_, session), (each, entry) in zip(taken, family.items(), strict=True):
            entry.exits = tuple(family.get(one.client_order_id, one) for one in entry.exits)
            self._whole[each] = entry
            self._ended[each] = None
            self.recalled(entry, session == self.session)
        return family[name]

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
        leaving = list({e.client_order_id: e for name in names for e in self._family_over(name)}.values())
        for entry in leaving:
            self._ended.pop(entry.client_order_id, None)
        try:
            self._archive.store([(e, self.session * self.is_addressable(e)) for e in leaving])
        except sqlite3.Error as error:
            _log.error("orders that have ended stay in memory: no temporary file", why=str(error))
            return
        for entry in leaving:
            del self._whole[entry.client_order_id]
            self._referred[entry.client_order_id] = entry
            self.dismissed(entry)

    def _family_over(self, name: str) -> list[Entry]:
        """Return an order with the others of its bracket if they can leave together, else nothing.

        The last of a bracket to end takes the others along.
        """
        entry = self._whole.get(name)
        if entry is None:
            return []
        head = self._whole.get(entry.parent, entry)
        family = [head, *(one for one in head.exits if self._whole.get(one.client_order_id) is one)]
        if all(one is not entry for one in family):
            family = [entry]  # the bracket is sent again, and this is an exit of the attempt before
        return [] if any(one.can_trade or one.modification is not None for one in family) else family


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
