"""The heartbeat: finds out that a connection is dead although its socket looks alive.

A cable that is cut, a firewall that forgot the connection or a gateway that hangs sends no end. So:

1. Bytes of any kind are a sign of life, but only an answer shows that the gateway listens. When there was
   none for `interval`, something is asked for. Rows of a long answer count as answers.
2. When no byte comes within `deadline` of that, or of the last byte since, the connection is dead.
3. When bytes come, but no answer within `deaf_after`, the gateway no longer listens: it is deaf.

Time in which this process itself stood still does not count: what came meanwhile has not been read yet.
Time is of the monotonic clock; whether simulated time is fast, slow or paused makes no difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from execution.clocks import MonotonicClock

_DEAF_AFTER = 10.0


@dataclass(frozen=True, slots=True)
class HeartbeatTerms:
    """How often is asked and how long is waited, in seconds.

    With the defaults a dead connection is found within nine seconds, a deaf gateway within fourteen.
    `deaf_after` is by default ten, or twice the deadline if that is more.
    """

    interval: float = 3.0
    deadline: float = 5.0
    deaf_after: float = 0.0
    looks: int = 10
    """Looks at the clock within the shorter of interval and deadline."""

    def __post_init__(self) -> None:
        if not self.deaf_after:
            object.__setattr__(self, "deaf_after", max(_DEAF_AFTER, 2 * self.deadline))
        if not (self.interval > 0 and self.deadline > 0 and self.deaf_after >= self.deadline):
            raise ValueError(
                f"heartbeat {self}: interval and deadline are positive, deaf_after is not below deadline"
            )

    @property
    def look_seconds(self) -> float:
        """Pause between two looks at the clock."""
        return min(self.interval, self.deadline) / self.looks

    @property
    def longest_silence(self) -> float:
        """Within how many seconds of its last byte a connection is found dead."""
        return self.interval + self.deadline + 3 * self.look_seconds

    @property
    def longest_deafness(self) -> float:
        """Within how many seconds of its last answer a gateway is found deaf, though bytes come."""
        return self.interval + self.deaf_after + 3 * self.look_seconds


class Pulse(Protocol):
    """What the heartbeat sees of a session."""

    @property
    def bytes_received(self) -> int:
        """Bytes received so far."""

    @property
    def answers(self) -> int:
        """Answers so far, and rows of answers."""

    def ask(self) -> None:
        """Send the request whose answer is the heartbeat."""


class Heartbeat:
    """Judges one session; `check` is called every `look_seconds`.

    Parameters
    ----------
    pulse
        The session.
    terms
        How long is waited.
    clock
        Monotonic time.
    """

    def __init__(self, pulse: Pulse, terms: HeartbeatTerms, clock: MonotonicClock) -> None:
        self.terms = terms
        self._pulse = pulse
        self._now: Callable[[], float] = clock.monotonic
        self._looked = self._heard = self._answered = self._now()
        self._bytes, self._answers = pulse.bytes_received, pulse.answers
        self._asked: float | None = None

    def check(self) -> str | None:
        """Look once; return why the connection is dead, or None while it lives."""
        now = self._now()
        self._forgive(now)
        if self._pulse.bytes_received != self._bytes:
            self._bytes, self._heard = self._pulse.bytes_received, now
        if self._pulse.answers != self._answers:
            self._answers, self._answered, self._asked = self._pulse.answers, now, None
        if self._asked is None:
            if now - min(self._heard, self._answered) >= self.terms.interval:
                self._pulse.ask()
                self._asked = now
            return None
        quiet = now - max(self._asked, self._heard)
        if quiet >= self.terms.deadline:
            return f"no byte came for {now - self._heard:.1f} s, though it was asked"
        if now - self._asked >= self.terms.deaf_after:
            return f"bytes come, but nothing was answered for {now - self._answered:.1f} s"
        return None

    def _forgive(self, now: float) -> None:
        """Shift what is remembered by the time in which nobody could look."""
        lost = now - self._looked - 2 * self.terms.look_seconds
        self._looked = now
        if lost > 0:
            self._heard += lost
            self._answered += lost
            if self._asked is not None:
                self._asked += lost
