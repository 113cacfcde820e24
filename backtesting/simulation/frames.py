"""What goes wrong with messages on the wire: repeated, swapped, late, missing, or of nobody's making.

A delivery of the gateway is cut into its frames; what is left of them, in what order, is decided by chance.
Messages of different kinds about one order have no order among them in TWS; those of one kind keep theirs.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

_PREFIX: Final = 4

STATUS: Final = b"3"
ERROR: Final = b"4"
OPEN_ORDER: Final = b"5"
EXECUTION: Final = b"11"
COMMISSION: Final = b"59"
NEWS: Final = (STATUS, OPEN_ORDER, EXECUTION, COMMISSION)
ENDS: Final = {b"53": "open orders", b"55": "executions", b"62": "positions", b"102": "completed orders"}
ANSWERS: Final = {b"5": b"53", b"11": b"55", b"61": b"62", b"101": b"102"}
_LIVE: Final = b"-1"


class Frame(NamedTuple):
    """One message with its length before it."""

    kind: bytes
    data: bytes

    @property
    def fields(self) -> list[bytes]:
        """Everything between the NULs."""
        return self.data[_PREFIX:].split(b"\0")

    @property
    def is_live(self) -> bool:
        """Whether an execution has just happened, and is not told because it was asked for."""
        return self.kind == EXECUTION and self.fields[1] == _LIVE


def cut(data: bytes) -> list[Frame]:
    """Return the frames of a delivery; a greeting or a piece of a frame is one of unknown kind."""
    frames = []
    start = 0
    while start + _PREFIX <= len(data):
        end = start + _PREFIX + int.from_bytes(data[start : start + _PREFIX], "big")
        kind, _, _ = data[start + _PREFIX : start + _PREFIX + 5].partition(b"\0")
        frames.append(Frame(kind, data[start:end]))
        start = end
    return frames


def joined(frames: Sequence[Frame]) -> bytes:
    """Return frames as one delivery."""
    return b"".join(frame.data for frame in frames)


def frame(*fields: str) -> bytes:
    """Return a message of the gateway."""
    payload = "\0".join((*fields, "")).encode()
    return len(payload).to_bytes(_PREFIX, "big") + payload


def swapped(rng: random.Random, frames: list[Frame]) -> list[Frame]:
    """Return frames with the kinds of news in another order; those of one kind keep theirs."""
    kinds = list(NEWS)
    rng.shuffle(kinds)
    rank = {kind: place for place, kind in enumerate(kinds)}
    places = [place for place, one in enumerate(frames) if one.kind in rank]
    ordered = sorted((frames[place] for place in places), key=lambda one: rank[one.kind])
    result = list(frames)
    for place, one in zip(places, ordered, strict=True):
        result[place] = one
    return result


def _noise(rng: random.Random) -> bytes:
    payload = rng.randbytes(rng.randrange(1, 60))
    return len(payload).to_bytes(_PREFIX, "big") + payload


def _cut_short(_: random.Random) -> bytes:
    return frame("3", "7", "Submitted")


def _nul_ridden(_: random.Random) -> bytes:
    return frame("3", "1", "", "", "Filled", "", "1e9", "", "", "")


def _not_a_number(_: random.Random) -> bytes:
    return frame("59", "1", "no-such-execution.01", "nan", "USD", "", "", "")


def _oversize(_: random.Random) -> bytes:
    return b"\x7f\xff\xff\xff" + b"3\x001\x00"


GARBAGE: Final[tuple[Callable[[random.Random], bytes], ...]] = (
    _noise,
    _cut_short,
    _nul_ridden,
    _not_a_number,
    _oversize,
)
"""Inventions of a broken gateway. None can be taken for something else: a well-formed lie is no fault of a
wire."""
