"""Interactive Brokers' limits on historical requests, kept on our side so that none is ever refused.

Per login: at most 60 in any ten minutes; the same one not again within 15 seconds; fewer than six of one
contract within two seconds (interactivebrokers.github.io, "Historical Data Limitations"). TWS enforces the
first for bars below a minute and slows down larger ones; the same pace is kept for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Hashable

from execution.clocks import MonotonicClock

MOST = 60
SPAN_SECONDS = 600.0
SAME_SECONDS = 15.0
MOST_OF_ONE = 5
ONE_SECONDS = 2.0
MARGIN_SECONDS = 1.0
"""Added to each wait: TWS counts a request when it arrives, not when it left."""


class HistoryPace:
    """What was asked of late, and how long the next question has to wait.

    Parameters
    ----------
    clock
        Wall time.
    """

    def __init__(self, clock: MonotonicClock) -> None:
        self._clock = clock
        self._asked: deque[tuple[float, Hashable, Hashable]] = deque()

    def wait_seconds(self, request: Hashable, contract: Hashable) -> float:
        """Return how long to wait before a request; zero if it may go now."""
        now = self._clock.monotonic()
        while self._asked and now - self._asked[0][0] >= SPAN_SECONDS + MARGIN_SECONDS:
            self._asked.popleft()
        until = now
        if len(self._asked) >= MOST:
            until = max(until, self._asked[-MOST][0] + SPAN_SECONDS + MARGIN_SECONDS)
        same = [at for at, asked, _ in self._asked if asked == request]
        if same:
            until = max(until, same[-1] + SAME_SECONDS + MARGIN_SECONDS)
        of_one = [at for at, _, asked in self._asked if asked == contract][-MOST_OF_ONE:]
        if len(of_one) == MOST_OF_ONE:
            until = max(until, of_one[0] + ONE_SECONDS)
        return until - now

    def note(self, request: Hashable, contract: Hashable) -> None:
        """Take note of a request that goes out now."""
        self._asked.append((self._clock.monotonic(), request, contract))

    def asked_before(self, seconds_ago: float) -> None:
        """Count a request of an earlier run; those come oldest first, before any is noted."""
        self._asked.append((self._clock.monotonic() - seconds_ago, None, None))

    def fill_up(self) -> None:
        """Count as if everything allowed had been asked: TWS says that the pace is broken, by others too."""
        now = self._clock.monotonic()
        self._asked.extend((now, None, None) for _ in range(MOST))

    def seconds_for(self, questions: int) -> float:
        """Return how long the limit of ten minutes makes so many questions wait, at least."""
        if not questions:
            return 0.0
        now = self._clock.monotonic()
        times = [at for at, _, _ in self._asked][-MOST:]
        last = len(times) + questions - 1  # the n-th question goes when the one `MOST` before it has aged
        times += [now] * (MOST - len(times))
        return max(0.0, times[last % MOST] + last // MOST * (SPAN_SECONDS + MARGIN_SECONDS) - now)
