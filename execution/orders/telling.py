"""Tell receivers what happened: one that raises is reported, and told again until it takes it.

Each receiver has a line of its own. What it did not take waits there, and what follows waits behind it, so a
receiver sees events in their order and at least once; it must take an event it has seen before without harm,
or raise before it changes anything. The other receivers are told at once. After the last attempt the event is
put aside, reported as given up, and the line moves on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

MOST_ATTEMPTS = 8
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0

Later = Callable[[float, Callable[[], None]], None]
"""Calls back after a number of seconds."""


@dataclass(slots=True)
class Told:
    """One event for one receiver: the hook, its arguments, and how often it was tried in vain."""

    hook: str
    arguments: tuple[object, ...]
    attempts: int = 0


@dataclass(frozen=True, slots=True)
class HandlerFailure:
    """A receiver raised; `gave_up` marks the last attempt."""

    handler: str
    told: Told
    error: Exception
    gave_up: bool


def on_running_loop(seconds: float, action: Callable[[], None]) -> None:
    """Call back on the running event loop; without one the next `Receiver.retry` has to do."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return
    loop.call_later(seconds, action)


class Receiver:
    """A handler with the line of what it has not taken yet.

    Parameters
    ----------
    handler
        Any object; hooks that it lacks are passed over.
    report
        Takes each failure.
    later
        Schedules the next attempt.

    Attributes
    ----------
    undelivered
        What was given up.
    """

    def __init__(
        self, handler: object, report: Callable[[HandlerFailure], None], later: Later = on_running_loop
    ) -> None:
        self.handler = handler
        self.undelivered: list[Told] = []
        self._report = report
        self._later = later
        self._line: deque[Told] = deque()
        self._trying = False

    @property
    def line(self) -> tuple[Told, ...]:
        """What waits to be told again."""
        return tuple(self._line)

    def tell(self, hook: str, *arguments: object) -> None:
        """Call a hook, or line the call up behind one that failed."""
        if getattr(self.handler, hook, None) is None:
            return
        self._line.append(Told(hook, arguments))
        if len(self._line) == 1:
            self.retry()

    def retry(self) -> None:
        """Tell what waits, in order, until the handler raises again."""
        if self._trying:  # the handler itself made something happen: it is told that afterwards
            return
        self._trying = True
        try:
            while self._line and self._told(self._line[0]):
                self._line.popleft()
        finally:
            self._trying = False
        if self._line:
            pause = _FIRST_PAUSE * 2 ** (self._line[0].attempts - 1)
            self._later(min(_LONGEST_PAUSE, pause), self.retry)

    def _told(self, told: Told) -> bool:
        try:
            getattr(self.handler, told.hook)(*told.arguments)
        except Exception as error:  # noqa: BLE001 - one receiver's bug must not keep the others from being told
            told.attempts += 1
            gave_up = told.attempts >= MOST_ATTEMPTS
            if gave_up:
                self.undelivered.append(told)
            self._report(HandlerFailure(type(self.handler).__name__, told, error, gave_up))
            return gave_up
        return True
