"""The way out to one client: frames and instructions in order, written when it is their turn."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backtesting.gateway.line import PAGE
from backtesting.gateway.wire import replies

if TYPE_CHECKING:
    from backtesting.gateway.session import ClientSession


@dataclass(frozen=True, slots=True)
class Pieces:
    """A frame that leaves in segments of so many bytes, `gap` seconds apart."""

    frame: bytes
    size: int
    gap: float
    recorded: bytes | None = None
    """What is recorded once it is written, if not the frame itself."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Whatever follows leaves so many seconds later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class DueAt:
    """Whatever follows leaves at this moment of the loop's time, or at once if it is over."""

    moment: float


@dataclass(frozen=True, slots=True)
class FillPage:
    """What leaves with this is made a whole number of pages long."""


@dataclass(frozen=True, slots=True)
class Close:
    """The connection ends: with a reset, or in order."""

    reset: bool


Item = bytes | Pieces | Wait | DueAt | FillPage | Close
"""A frame (inwards: a payload), or an instruction."""


class Outlet:
    """Writes to one client in order; while it is stopped, everything waits."""

    def __init__(self, session: ClientSession) -> None:
        self._session = session
        self._items: deque[Item] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._closing = False
        self.stopped = 0
        """How many pauses are in force."""
        self.black = False
        """Whether everything is thrown away."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits."""
        return not self._items and self._timer is None

    def put(self, items: Iterable[Item]) -> None:
        """Write items, behind those that still wait."""
        self._items.extend(items)
        self.run()

    def finish(self) -> bool:
        """Return whether the connection can be closed now; if not, it is closed behind what waits."""
        if self.black:
            return True
        if self.idle:
            return True
        self._items.append(Close(reset=False))
        return False

    def drop(self) -> None:
        """Forget everything."""
        self._items.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def run(self) -> None:
        """Write what can be written now."""
        if self._timer is not None or self.stopped:
            return
        batch: list[bytes] = []
        fill = False
        while self._items:
            item = self._items.popleft()
            if isinstance(item, bytes):
                batch.append(item)
            elif isinstance(item, FillPage):
                fill = True
            else:
                self._write(batch, fill=fill)
                batch, fill = [], False
                if self._obey(item):
                    return
        self._write(batch, fill=fill)

    def _obey(self, item: Pieces | Wait | DueAt | Close) -> bool:
        """Follow an instruction; return whether what follows has to wait."""
        loop = asyncio.get_running_loop()
        if isinstance(item, Close):
            if self.black:
                return False
            (self._session.reset if item.reset else self._session.finish)()
            self._items.clear()
            return True
        if isinstance(item, Pieces):
            self._cut(item)
            return False
        seconds = item.seconds if isinstance(item, Wait) else item.moment - loop.time()
        if seconds <= 0:
            return False
        self._timer = loop.call_later(seconds, self._go_on)
        return True

    def _go_on(self) -> None:
        self._timer = None
        self.run()

    def _cut(self, item: Pieces) -> None:
        pieces = [item.frame[at : at + item.size] for at in range(0, len(item.frame), item.size)]
        if not item.gap:
            for piece in pieces:
                self._raw(piece)
            self._record(item.frame if item.recorded is None else item.recorded)
            return
        rest: list[Item] = []
        for place, piece in enumerate(pieces[1:], start=2):
            recorded = item.frame if place == len(pieces) else b""
            rest += [Wait(item.gap), Pieces(piece, len(piece), 0.0, recorded)]
        self._raw(pieces[0])
        self._items.extendleft(reversed(rest))

    def _raw(self, data: bytes) -> None:
        if not self.black:
            self._session.write_raw(data)

    def _record(self, data: bytes) -> None:
        recorder = self._session.recorder
        if recorder is not None and data and not self.black:
            recorder.sent(self._session, data)

    def _write(self, batch: list[bytes], *, fill: bool) -> None:
        if not batch or self.black:
            return
        data = b"".join(batch)
        if not fill:
            self._session.write(data)
            return
        empty = len(replies.error(self._session.version, -1, 2106, ""))
        data += replies.error(self._session.version, -1, 2106, "." * (-(len(data) + empty) % PAGE))
        self._raw(data)
        self._record(data)
