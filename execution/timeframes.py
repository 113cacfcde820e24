"""Bar sizes, under one name each for configuration, files and the wire."""

from __future__ import annotations

import enum

from execution.clocks import NANOS


class Timeframe(enum.StrEnum):
    """Size of a bar."""

    DAY = "1D"
    HOUR = "1h"
    MINUTE = "1m"

    @property
    def seconds(self) -> int:
        """Nominal length in seconds; a daily bar spans its session, whatever its length."""
        return {"1D": 86_400, "1h": 3_600, "1m": 60}[self.value]

    @property
    def nanos(self) -> int:
        """Nominal length in nanoseconds."""
        return self.seconds * NANOS

    @property
    def ib_bar_size(self) -> str:
        """Name of the size in TWS's historical data request."""
        return {"1D": "1 day", "1h": "1 hour", "1m": "1 min"}[self.value]

    @classmethod
    def from_ib(cls, bar_size: str) -> Timeframe:
        """Find the timeframe of a TWS bar size; raise ValueError if it is not offered."""
        for timeframe in cls:
            if timeframe.ib_bar_size == bar_size:
                return timeframe
        raise ValueError(f"bar size {bar_size!r} is not offered; use one of 1 day, 1 hour, 1 min")
