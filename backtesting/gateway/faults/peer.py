"""What the engine keeps of one connection, and how it cuts and reads what passes there."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from backtesting.gateway.faults.outlet import Outlet
from backtesting.gateway.message_names import Direction

PREFIX: Final = 4
"""Bytes of a frame's length."""


class Injected(bytes):
    """A message that a fault sends itself."""


@dataclass(slots=True)
class Hold:
    """A message that waits until another has passed."""

    direction: Direction
    data: bytes
    until: tuple[Direction, int]
    order_id: int | None

    def ends_with(self, direction: Direction, number: int, other: int | None) -> bool:
        """Return whether a message about that order, if about any, is the one waited for."""
        if self.until != (direction, number):
            return False
        return self.order_id is None or other is None or other == self.order_id


@dataclass(slots=True)
class Peer:
    """What the engine keeps of one connection."""

    outlet: Outlet
    holds: list[Hold] = field(default_factory=list)
    heard: bool = False
    answered: bool = False
    joined: bool = False
    asked: bool = False
    """Whether what leaves next answers a question about orders."""
    due_inwards: deque[bytes] = field(default_factory=deque)
    deaf: bool = False


def read(payload: bytes) -> tuple[int, list[str]]:
    """Return number and fields of a message, as well as they can be read."""
    fields = payload.decode(errors="replace").removesuffix("\0").split("\0")
    number = int(fields[0]) if fields[0].isascii() and fields[0].isdecimal() and len(fields[0]) < 10 else -1  # noqa: PLR2004
    return number, fields


def frames_of(block: bytes) -> Iterator[bytes]:
    """Cut what was put into an outbox as one block into its frames."""
    start = 0
    while start < len(block):
        end = start + PREFIX + int.from_bytes(block[start : start + PREFIX], "big")
        yield block[start:end]
        start = end
