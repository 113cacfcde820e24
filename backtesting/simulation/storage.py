"""A journal on a simulated disk: what was committed survives the process, and a commit can fail in any way.

The disk keeps the events of every incarnation of the trading process, as text; a journal is one incarnation's
hold on it. At each commit the disk asks what is to happen.

1. ``FAIL``: nothing is stored and the commit raises (a full disk, an I/O error, a lock that is not given).
2. ``LOSE_ANSWER``: everything is stored and the commit raises all the same. What is held is then stored
   already: the next commit of it succeeds, as with a file.
3. ``KILL_BEFORE``, ``KILL_AFTER``: the process is gone before or after the moment of durability.
4. A slow commit is one during which time passes for the process.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from execution.errors import JournalError, JournalLockedError
from execution.journal import JournalEvent, MemoryJournal


class KilledError(BaseException):
    """The process that runs is gone; nothing of it may go on."""


class Fate(enum.Enum):
    """What a commit comes to."""

    STORE = "store"
    FAIL = "fail"
    LOSE_ANSWER = "lose answer"
    KILL_BEFORE = "kill before"
    KILL_AFTER = "kill after"


class SimulatedDisk:
    """Durable events of one journal.

    Attributes
    ----------
    fate
        Decides what a commit of these events comes to.
    stored
        Called when events have become durable.
    kill
        Ends the running process; it does not return.
    opens
        Called when the journal is opened; may raise.
    """

    def __init__(self) -> None:
        self.events: list[JournalEvent] = []
        self.fate: Callable[[list[JournalEvent]], Fate] = lambda _: Fate.STORE
        self.stored: Callable[[list[JournalEvent]], None] = lambda _: None
        self.kill: Callable[[str], NoReturn] = _killed
        self.opens: Callable[[], None] = lambda: None
        self.texts: list[str] = []
        """Bodies of the events, as they are written."""
        self._read: list[JournalEvent] = []
        self.holder: SimulatedJournal | None = None

    def error(self, what: str) -> JournalError:
        """Return the error of a disk that does not do its work."""
        return JournalError(f"the simulated journal: {what}; no order is sent until it can be written")

    @property
    def last_seq(self) -> int:
        """Number of the last durable event."""
        return self.events[-1].seq if self.events else 0

    def store(self, pending: list[tuple[JournalEvent, str]]) -> None:
        """Make events durable; those that are durable already are passed over."""
        last = self.last_seq
        fresh = [(event, text) for event, text in pending if event.seq > last]
        self.events.extend(event for event, _ in fresh)
        self.texts.extend(text for _, text in fresh)
        if fresh:
            self.stored([event for event, _ in fresh])

    def read(self) -> list[JournalEvent]:
        """Return the events as they are read back: each was parsed once, none is to be changed."""
        for place in range(len(self._read), len(self.events)):
            event, body = self.events[place], json.loads(self.texts[place])
            self._read.append(
                JournalEvent(event.seq, event.time_ns, event.kind, body, event.prev_hash, event.hash)
            )
        return list(self._read)


class SimulatedJournal(MemoryJournal):
    """One incarnation's hold on the disk.

    Parameters
    ----------
    disk
        Where events are kept.
    now_ns
        Wall time of recording.

    Raises
    ------
    JournalLockedError
        If another process holds it.
    JournalError
        If the disk does not let itself be opened.
    """

    def __init__(self, disk: SimulatedDisk, now_ns: Callable[[], int]) -> None:
        if disk.holder is not None:
            raise JournalLockedError("the simulated journal is held by another trader")
        disk.opens()
        super().__init__(now_ns)
        self._disk = disk
        disk.holder = self
        if disk.events:
            self._seq, self._head = disk.events[-1].seq, disk.events[-1].hash

    def append(self, kind: str, body: dict[str, Any]) -> None:
        """Chain an event; a process that is gone writes nothing."""
        self._require_held()
        super().append(kind, body)

    def commit(self) -> None:
        """Make what is held durable, or meet the fate that the disk has for it."""
        self._require_held()
        if not self._pending:
            return
        disk, pending = self._disk, self._pending
        fate = disk.fate([event for event, _ in pending])
        if fate is Fate.FAIL:
            raise disk.error("it cannot be written")
        if fate is Fate.KILL_BEFORE:
            disk.kill("before a commit")
        disk.store(pending)
        if fate is Fate.KILL_AFTER:
            disk.kill("after a commit")
        if fate is Fate.LOSE_ANSWER:
            raise disk.error("it gave no answer")
        self._pending = []

    def events(self) -> Iterator[JournalEvent]:
        """Yield every durable event in order."""
        yield from self._disk.read()

    def close(self) -> None:
        """Commit what is held and let go."""
        if self._disk.holder is self:
            try:
                self.commit()
            finally:
                self._disk.holder = None

    def cut(self) -> int:
        """Lose what is not durable, as a kill does; return how many events that are."""
        if self._disk.holder is self:
            self._disk.holder = None
        lost, self._pending = len(self._pending), []
        return lost

    def _require_held(self) -> None:
        if self._disk.holder is not self:
            raise KilledError


def _killed(_where: str) -> NoReturn:
    raise KilledError
