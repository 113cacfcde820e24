"""Frame journals for people: shown as text, and two of them compared."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Final, cast

from backtesting.gateway.frame_journal import FrameRecord
from backtesting.gateway.message_names import FIELD_NAMES, Direction, exec_id_of, name_of, order_id_of
from execution.clocks import NANOS, timestamp

_TIMES: Final = re.compile(r"\d{8}(?: {1,2}|-)\d{2}:\d{2}:\d{2}.*")
_EXEC_ID: Final = re.compile(r"[0-9a-f]{8}\.[0-9a-f]{8}\.(\d+\.\d+)")
_TIME_MESSAGES: Final = frozenset((("out", 8), ("out", 49)))
_REST: Final = 12


def show(
    records: Iterable[FrameRecord],
    *,
    client: int | None = None,
    names: Iterable[str] = (),
    full: bool = False,
) -> Iterator[str]:
    """Write frames as text, a line each.

    Parameters
    ----------
    records
        Frames, oldest first.
    client
        Only frames of this client.
    names
        Only messages of these names; none means all.
    full
        Whether fields without a name, and empty ones, are written too.
    """
    wanted = frozenset(names)
    start: int | None = None
    for record in records:
        start = record.time_ns if start is None else start
        name = _name(record)
        if (client is not None and record.client_id != client) or (wanted and name not in wanted):
            continue
        who = f"#{record.connection}" if record.client_id is None else f"client {record.client_id}"
        arrow = {"in": "->", "out": "<-"}.get(record.direction, "--")
        at = f"{timestamp(record.simulated_ns):%Y-%m-%d %H:%M:%S}"
        elapsed = (record.time_ns - start) / NANOS
        yield f"{elapsed:12.6f} {at} {who:>9} {arrow} {name} {_fields(record, full=full)}".rstrip()


def _name(record: FrameRecord) -> str:
    if record.direction == "end":
        return "closed"
    if record.raw is not None:
        return "unreadable"
    return name_of(cast("Direction", record.direction), record.number)


def _fields(record: FrameRecord, *, full: bool) -> str:
    if record.raw is not None:
        return record.raw[:64].hex(" ")
    if record.direction == "end":
        return ""
    known = FIELD_NAMES[cast("Direction", record.direction)].get(record.number, ())
    told = [
        f"{name}={value!r}" if " " in value or not value else f"{name}={value}"
        for name, value in zip(known, record.fields, strict=False)
        if full or (value and name != "version")
    ]
    rest = record.fields[len(known) :]
    if full:
        told += [f"[{place}]={value!r}" for place, value in enumerate(rest, start=len(known) + 1)]
    elif rest:
        few = [value for value in rest if value][:_REST]
        told.append(f"| {' '.join(few)}" + (" …" if len(rest) > _REST else ""))
    return " ".join(told)


@dataclass(slots=True)
class Difference:
    """How two journals differ, times and the gateway's own numbers apart."""

    first: str = ""
    """The first difference in words; empty if there is none."""
    only_left: Counter[str] = field(default_factory=Counter)
    only_right: Counter[str] = field(default_factory=Counter)
    compared: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not self.first

    def lines(self) -> list[str]:
        """Return the result as text."""
        if self.equal:
            return [f"no difference in {self.compared} frames"]
        counts = [
            f"{way}: " + ", ".join(f"{count} {name}" for name, count in sorted(found.items()))
            for way, found in (("only in the first", self.only_left), ("only in the second", self.only_right))
            if found
        ]
        return [self.first, *counts]


class _Neutral:
    """Writes the frames of one journal without what may differ: times, permanent ids, execution ids."""

    def __init__(self) -> None:
        self._perm_ids: dict[str, str] = {}
        self._exec_orders: dict[str, str] = {}

    def __call__(self, record: FrameRecord) -> tuple[str, tuple[str, ...]]:
        """Return the order a frame belongs to, and its neutral fields."""
        if record.direction == "end" or record.raw is not None:
            return "", record.fields
        direction = cast("Direction", record.direction)
        fields = [str(record.number), *record.fields]
        order_id = order_id_of(direction, record.number, fields)
        exec_id = exec_id_of(direction, record.number, fields)
        order = "" if order_id is None or order_id < 0 else str(order_id)
        if exec_id is not None:
            order = self._exec_orders.setdefault(exec_id, order)
        self._learn(record)
        if (direction, record.number) in _TIME_MESSAGES:
            return order, (str(len(record.fields)),)
        return order, tuple(self._plain(value) for value in record.fields)

    def _learn(self, record: FrameRecord) -> None:
        names = FIELD_NAMES[cast("Direction", record.direction)].get(record.number, ())
        if "permId" in names and names.index("permId") < len(record.fields):
            value = record.fields[names.index("permId")]
            if value not in ("", "0"):
                self._perm_ids.setdefault(value, f"permId#{len(self._perm_ids) + 1}")

    def _plain(self, value: str) -> str:
        if value in self._perm_ids:
            return self._perm_ids[value]
        head, dot, tail = value.partition(".")
        if dot and head in self._perm_ids:
            return f"{self._perm_ids[head]}.{tail}"
        if found := _EXEC_ID.fullmatch(value):
            return f"execution {found[1]}"
        return "time" if _TIMES.fullmatch(value) else value


Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class _Frame:
    place: int
    name: str
    text: str


def _grouped(records: Iterable[FrameRecord]) -> tuple[dict[Key, list[_Frame]], int]:
    """Return frames by client, direction and order: place in the journal, name, neutral fields as text."""
    neutral = _Neutral()
    groups: dict[Key, list[_Frame]] = {}
    owners: dict[int, str] = {}
    count = 0
    for record in records:
        if record.client_id is not None:
            owners[record.connection] = f"client {record.client_id}"
        who = owners.get(record.connection, "a connection without a name")
        order, fields = neutral(record)
        name = _name(record)
        text = f"{name}({', '.join(fields)})" if record.raw is None else f"{name}({record.raw.hex()})"
        groups.setdefault((who, record.direction, order), []).append(_Frame(count, name, text))
        count += 1
    return groups, count


def diff(left: Iterable[FrameRecord], right: Iterable[FrameRecord]) -> Difference:
    """Compare two journals client by client and order by order, each in its own order of frames."""
    ours, count = _grouped(left)
    theirs, _ = _grouped(right)
    result = Difference(compared=count)
    earliest: int | None = None
    for key in dict.fromkeys((*ours, *theirs)):
        a, b = ours.get(key, []), theirs.get(key, [])
        _count(result, a, b)
        for place, (one, other) in enumerate(zip_longest(a, b), start=1):
            if one is not None and other is not None and one.text == other.text:
                continue
            at = min(frame.place for frame in (one, other) if frame is not None)
            if earliest is None or at < earliest:
                earliest = at
                result.first = _told(key, place, one, other)
            break
    return result


def _count(result: Difference, a: list[_Frame], b: list[_Frame]) -> None:
    names = {frame.text: frame.name for frame in (*a, *b)}
    texts_a, texts_b = Counter(frame.text for frame in a), Counter(frame.text for frame in b)
    for found, surplus in ((result.only_left, texts_a - texts_b), (result.only_right, texts_b - texts_a)):
        for text, times in surplus.items():
            found[names[text]] += times


def _told(key: Key, place: int, one: _Frame | None, other: _Frame | None) -> str:
    who, direction, order = key
    about = f"{who}{f', order {order}' if order else ''}, {direction}"
    told = ["nothing" if frame is None else frame.text for frame in (one, other)]
    return f"{about}, frame {place}: {_around(told[0], told[1])}"


def _around(one: str, other: str) -> str:
    """Return two texts, long ones cut to where they begin to differ."""
    same = next((i for i, (x, y) in enumerate(zip(one, other, strict=False)) if x != y), 0)
    start = max(0, same - 60)
    lead = f"{one.partition('(')[0]}(… " if start and one.partition("(")[0] == other.partition("(")[0] else ""
    if not lead:
        start = 0
    return f"{lead}{one[start : start + 160]} became {lead}{other[start : start + 160]}"
