"""The hash chain: each event's hash covers its content and the hash before it.

It shows any change, insertion or removal inside the record. A cut tail, or a chain rewritten as a whole, is
only visible against a copy of the head that was kept elsewhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from json import encoder as json_encoder
from typing import Any, NoReturn

import orjson

from execution.journal.event import JournalEvent

GENESIS = "0" * 64
"""The hash before the first event."""


_plain = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False).encode


def _refuse(value: object) -> NoReturn:
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


_make = getattr(json_encoder, "c_make_encoder", None)
_pieces = (
    None
    if _make is None  # an interpreter without the compiled encoder
    else _make(None, _refuse, json_encoder.encode_basestring_ascii, None, ":", ",", True, False, False)
)
"""The encoder that `_plain` makes anew for each body."""


_PLAIN = frozenset((str, int, bool, type(None)))
"""Types that both encoders spell alike, but for text beyond printable ASCII and very large numbers."""


def canonical(body: dict[str, Any]) -> str:
    """Return the one JSON spelling of a body: sorted keys, no spaces, ASCII."""
    if _PLAIN.issuperset(map(type, body.values())):
        try:
            spelt = orjson.dumps(body, option=orjson.OPT_SORT_KEYS)
        except orjson.JSONEncodeError:  # a number beyond 64 bits, half a character, a key that is no text
            return _spelt_in_full(body)
        if spelt.isascii() and b"\x7f" not in spelt:
            return spelt.decode()
    return _spelt_in_full(body)


def _spelt_in_full(body: dict[str, Any]) -> str:
    return _plain(body) if _pieces is None else "".join(_pieces(body, 0))


def parsed(text: str) -> dict[str, Any]:
    """Return the body of an event from its text.

    Raises
    ------
    ValueError
        If the text is not JSON.
    """
    if "[" not in text and text.find("{", 1) < 0:
        try:
            body = orjson.loads(text)
        except orjson.JSONDecodeError:  # half a character can be spelt, and is read by the other one
            return _parsed_in_full(text)
        if type(body) is dict and float not in map(type, body.values()):  # it rounds numbers beyond 64 bits
            return body
    return _parsed_in_full(text)


def _parsed_in_full(text: str) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(text)
    return body


def chain_hash(prev_hash: str, seq: int, time_ns: int, kind: str, text: str) -> str:
    """Return the SHA-256 of an event, given the canonical `text` of its body."""
    return hashlib.sha256(f"{prev_hash}\n{seq}\n{time_ns}\n{kind}\n{text}".encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class ChainReport:
    """Result of a verification.

    `events` is the number of the last event that fits, `head` its hash, `problem` the first thing that does
    not. `anchors` counts the anchors compared, `removed` the events that a signed checkpoint stands for.
    """

    ok: bool
    events: int
    head: str
    problem: str | None = None
    anchors: int = 0
    removed: int = 0


def verify_events(events: Iterable[JournalEvent]) -> ChainReport:
    """Recompute the chain from the first event on; stop at the first that does not fit."""
    head, count = GENESIS, 0
    for event in events:
        problem = None
        if event.seq != count + 1:
            problem = f"event {count + 1} is missing: found {event.seq}"
        elif event.prev_hash != head:
            problem = f"event {event.seq} does not follow the one before it"
        elif event.hash != chain_hash(head, event.seq, event.time_ns, event.kind, canonical(event.body)):
            problem = f"event {event.seq} was altered"
        if problem:
            return ChainReport(ok=False, events=count, head=head, problem=problem)
        head, count = event.hash, event.seq
    return ChainReport(ok=True, events=count, head=head)
