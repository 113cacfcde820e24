"""Clocks, identifiers and randomness as parameters: nothing in the core asks the machine for them.

`TradingClock` is the market's time (the gateway's in a simulation): sessions, bars, expiries, the day of
the daily loss. `MonotonicClock` is the wall's: heartbeats, backoff, deadlines.
"""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd

NANOS = 1_000_000_000


class TradingClock(Protocol):
    """Market time."""

    def now_ns(self) -> int:
        """Return UTC nanoseconds since the epoch."""


class MonotonicClock(Protocol):
    """Wall time that never steps back."""

    def monotonic(self) -> float:
        """Return seconds from an arbitrary origin."""


class SystemClock:
    """The machine's clocks, for paper and live."""

    def now_ns(self) -> int:
        """Return the machine's UTC time in nanoseconds."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Return the machine's monotonic seconds."""
        return time.monotonic()


class SteppedClock:
    """A trading clock that is told the time: by the gateway in lockstep, by the engine in a backtest."""

    def __init__(self, start_ns: int = 0) -> None:
        self._now_ns = start_ns

    def now_ns(self) -> int:
        """Return the time it was last told, in UTC nanoseconds."""
        return self._now_ns

    def advance_to(self, now_ns: int) -> None:
        """Move forward to `now_ns`; a time in the past is ignored, time never runs back."""
        self._now_ns = max(self._now_ns, now_ns)


IdFactory = Callable[[], str]
"""Makes a fresh identifier, for example a run id."""


def random_id() -> str:
    """Return a random UUIDv4."""
    return str(uuid.uuid4())


def random_fraction() -> float:
    """Return a random number in [0, 1); for jitter, never for secrets."""
    return random.random()  # noqa: S311  # nosec B311  # jitter needs no secrecy


@lru_cache(maxsize=4096)  # the same few moments are asked for again and again, and each costs microseconds
def timestamp(ns: int) -> pd.Timestamp:
    """Return UTC nanoseconds as a timezone-aware `pandas.Timestamp`."""
    return pd.Timestamp(ns, unit="ns", tz="UTC")


def utc_ns(moment: pd.Timestamp) -> int:
    """Return a timezone-aware Timestamp as UTC nanoseconds; raise ValueError if it is naive."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no timezone: use pandas.Timestamp(..., tz='UTC')")
    return int(moment.as_unit("ns").value)
