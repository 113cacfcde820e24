"""What a write changes: rows to add, rows to replace, versions to keep for those who ask about the past.

Every store computes it here, so that all of them remember the same. A bar has versions, each with the moment
it was learnt. The newest one holds; an older one is kept with the moment that superseded it.

1. Find each incoming row among the rows that hold.
2. Not found: it is new. Found with the same values, learnt before: nothing to do.
3. Found with other values, learnt earlier: the stored row becomes a version, the incoming one holds.
4. Found with other values, learnt at the same moment: a conflict, nobody can say which is right.
5. Incoming rows learnt before the stored one are put in their place among the bar's versions, by time;
   a version that says the same as the one before it goes, for it taught nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from data.bars import BoolArray, Int64Array
from data.errors import BarConflictError
from data.stores.rows import Rows, sort_versions


@dataclass(frozen=True, slots=True)
class Change:
    """What has to be written; `inserted`, `revised` and `unchanged` count incoming rows.

    `fresh` are new rows. `replaced` hold in place of the rows with the same keys. `superseded` are versions
    to keep. `rewritten` are keys whose stored versions `superseded` replaces altogether.
    """

    fresh: Rows
    replaced: Rows
    superseded: Rows
    rewritten: Rows
    unchanged: int

    @property
    def inserted(self) -> int:
        """Rows whose bar was not known."""
        return len(self.fresh)

    @property
    def revised(self) -> int:
        """Rows that changed what is known of a bar, or since when."""
        return len(self.replaced)


def positions(rows: Rows, among: Rows) -> Int64Array:
    """Return where each row's key is found in `among`, -1 where it is not."""
    aligned = rows.symbols == among.symbols and len(rows) == len(among)
    if aligned and (rows.start == among.start).all() and (rows.codes == among.codes).all():
        return np.arange(len(rows))
    found = np.full(len(rows), -1, np.int64)
    held = {symbol: (first, last) for symbol, first, last in among.spans()}
    for symbol, first, last in rows.spans():
        if symbol not in held:
            continue
        low, high = held[symbol]
        times = among.start[low:high]
        wanted = rows.start[first:last]
        at = np.searchsorted(times, wanted)
        same = times[np.minimum(at, len(times) - 1)] == wanted
        found[first:last] = np.where(same, at + low, -1)
    return found


def compare(incoming: Rows, current: Rows, versions: Callable[[Rows], Rows]) -> Change:
    """Return what a write of `incoming` over `current` changes.

    Parameters
    ----------
    incoming
        Rows to be written.
    current
        Stored rows that hold, at least all those whose keys are among `incoming`.
    versions
        Gives the superseded versions stored for the keys of some rows; called only if one was learnt
        before the row that holds.

    Raises
    ------
    BarConflictError
        If a row learnt at the same moment as the stored one has other values, or a new row lies over a stored
        one of another start.
    """
    nothing = incoming.take(slice(0, 0))
    no_versions = nothing.with_superseded(nothing.known)
    if not len(current):
        return Change(incoming, nothing, no_versions, nothing, 0)
    at = positions(incoming, current)
    new = at < 0
    at[new] = 0
    same = np.ones(len(incoming), np.bool_)
    for mine, theirs in zip(incoming.values, current.values, strict=True):
        same &= mine == theirs[at]
    age = incoming.known - current.known[at]
    clash = ~new & ~same & (age == 0)
    if clash.any():
        _refuse(incoming, int(np.argmax(clash)))
    revised = ~new & ~same & (age > 0)
    late = ~new & (age < 0)
    replaced, superseded = incoming.take(revised), nothing.with_superseded(nothing.known)
    if revised.any():
        superseded = _renamed(current.take(at[revised]), replaced).with_superseded(replaced.known)
    fresh = incoming if new.all() else incoming.take(new)
    moved = revised & (incoming.end != current.end[at])
    if moved.any():
        unmoved = np.ones(len(current), np.bool_)
        unmoved[at[moved]] = False
        _require_apart(incoming.take(new | moved), current.take(unmoved))
    else:
        _require_apart(fresh, current)
    if not late.any():
        return Change(fresh, replaced, superseded, nothing, len(incoming) - len(fresh) - len(replaced))
    behind = incoming.take(late)
    holds, older, changed = _chains(behind, current.take(at[late]), versions(behind))
    return Change(
        fresh,
        join([replaced, holds]),
        join([superseded, older]),
        behind.take(changed),
        len(incoming) - len(fresh) - len(replaced) - len(holds),
    )


def as_known(current: Rows, versions: Rows, when_us: int) -> Rows:
    """Return the rows as they were known at a moment, from those that hold and those superseded."""
    assert versions.superseded is not None  # noqa: S101 - for the type checker
    then = versions.take((versions.known <= when_us) & (when_us < versions.superseded))
    held = current.take(current.known <= when_us)
    return join([held, Rows.of(then.symbols, then.codes, then.arrays)]) if len(then) else held


def _refuse(rows: Rows, i: int) -> None:
    raise BarConflictError(
        f"{rows.place(i)}: other values were already learnt at the same known_at; write a correction "
        "with the later moment at which it was learnt"
    )


def _require_apart(fresh: Rows, current: Rows) -> None:
    """Refuse a bar that is new or ends anew over a stored one: a session cut by two calendars is no two."""
    held = {symbol: (first, last) for symbol, first, last in current.spans()}
    for symbol, first, last in fresh.spans():
        if symbol not in held:
            continue
        low, high = held[symbol]
        starts, ends = current.start[low:high], current.end[low:high]
        after = np.searchsorted(starts, fresh.start[first:last])
        before = np.maximum(after - 1, 0)
        over = (after > 0) & (ends[before] > fresh.start[first:last])
        following = np.minimum(after, len(starts) - 1)
        over |= (after < len(starts)) & (starts[following] < fresh.end[first:last])
        if over.any():
            i = int(np.argmax(over))
            near = before[i] if after[i] and ends[before[i]] > fresh.start[first + i] else following[i]
            raise BarConflictError(
                f"{fresh.place(first + i)}: lies over the stored bar that starts at "
                f"{pd.Timestamp(int(starts[near]), unit='us', tz='UTC')}; import both with the calendar of "
                "their exchange, or into another store"
            )


def _chains(incoming: Rows, current: Rows, versions: Rows) -> tuple[Rows, Rows, BoolArray]:
    """Put late rows among the versions of their bars; `current` is aligned with `incoming`.

    Returns
    -------
    tuple of Rows, Rows and mask
        For the bars that change: the rows that hold and all older versions; and which bars change.
    """
    where = positions(versions, incoming)
    kept = versions.take(where >= 0)
    n, m = len(incoming), len(kept)
    key = np.concatenate([np.arange(n), np.arange(n), where[where >= 0]])
    source = np.concatenate([np.zeros(n, np.int8), np.ones(n + m, np.int8)])
    columns = [
        np.concatenate(parts) for parts in zip(incoming.arrays, current.arrays, kept.arrays, strict=True)
    ]
    known = columns[-1]
    # Of two that were learnt at one moment the stored one comes first, so that an equal one goes.
    order = np.lexsort((-source, known, key))
    key, source, columns = key[order], source[order], [column[order] for column in columns]
    says_the_same = key[1:] == key[:-1]
    for column in columns[1:-1]:
        says_the_same &= column[1:] == column[:-1]
    twice = (key[1:] == key[:-1]) & (columns[-1][1:] == columns[-1][:-1]) & ~says_the_same
    if twice.any():
        _refuse(incoming, int(key[1:][np.argmax(twice)]))
    keep = np.concatenate([[True], ~says_the_same])
    # A bar changes if its incoming row stays.
    changed = np.zeros(n, np.bool_)
    changed[key[keep & (source == 0)]] = True
    keep &= changed[key]
    key, columns = key[keep], [column[keep] for column in columns]
    newest = np.concatenate([key[1:] != key[:-1], [True]]) if len(key) else np.empty(0, np.bool_)
    rows = Rows.of(incoming.symbols, incoming.codes[key], columns)
    older = np.flatnonzero(~newest)
    return rows.take(newest), rows.take(older).with_superseded(rows.known[older + 1]), changed


def _renamed(rows: Rows, like: Rows) -> Rows:
    """Return rows with the symbols and codes of others that have the same keys."""
    return Rows.of(like.symbols, like.codes, rows.arrays, rows.superseded)


def join(parts: list[Rows]) -> Rows:
    """Return the rows of all parts, sorted by symbol, start and when they were learnt."""
    parts = [part for part in parts if len(part)] or parts[:1]
    if len(parts) == 1:
        return parts[0]
    symbols = tuple(sorted({symbol for part in parts for symbol in part.symbols}))
    rank = {symbol: i for i, symbol in enumerate(symbols)}
    codes = np.concatenate(
        [np.array([rank[symbol] for symbol in part.symbols], np.int32)[part.codes] for part in parts]
    )
    arrays: list[npt.NDArray[Any]] = [
        np.concatenate(columns) for columns in zip(*(part.arrays for part in parts), strict=True)
    ]
    later = None
    if all(part.superseded is not None for part in parts):
        later = np.concatenate([part.superseded for part in parts if part.superseded is not None])
    return sort_versions(Rows.of(symbols, codes, arrays, later))
