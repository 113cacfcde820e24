"""Lets simulated time pass with the wall clock.

The flow wakes every tenth of a second and plays what the time since then amounts to at the gateway's pace.
Time stands while nobody is connected. It falls behind rather than leap: where the machine was busy or asleep
for more than a second, or what is due exceeds an hour of simulated time, the rest is left out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from math import isfinite
from typing import Final

from backtesting.gateway.service import GatewayService
from execution.clocks import NANOS, MonotonicClock

QUANTUM: Final = 0.1
"""Wall seconds between two looks at the clock."""

LONGEST_LEAP: Final = 1.0
"""Wall seconds made up for at once, at most."""

LONGEST_QUANTUM: Final = 3600.0
"""Simulated seconds played at once, at most."""


class TimeFlow:
    """The passing of time of one gateway.

    Parameters
    ----------
    service
        Gives the gateway whose time passes; it may be another after a restart.
    clock
        Wall time.
    quantum
        Wall seconds between two looks at the clock.
    """

    def __init__(
        self, service: Callable[[], GatewayService], clock: MonotonicClock, quantum: float = QUANTUM
    ) -> None:
        self._service = service
        self._clock = clock
        self._quantum = quantum
        self._moving = asyncio.Event()
        self._since = 0.0
        self.occupied = False
        """Whether somebody is connected."""

    def look(self) -> None:
        """Take note that somebody came or went, or that time was stopped, let go or given another pace."""
        if not (self.occupied and self._service().flows):
            self._moving.clear()
        elif not self._moving.is_set():
            self._since = self._clock.monotonic()
            self._moving.set()

    def due(self) -> int:
        """Return the simulated nanoseconds that have become due since the last call."""
        now = self._clock.monotonic()
        elapsed, self._since = min(now - self._since, LONGEST_LEAP), now
        return round(min(elapsed * (self._service().pace or 0.0), LONGEST_QUANTUM) * NANOS)

    async def run(self) -> None:
        """Let time pass until cancelled."""
        while True:
            await self._moving.wait()
            service = self._service()
            pace = service.pace or 1.0
            if not isfinite(pace):
                if not service.play_step():
                    self._moving.clear()  # the end of the data
                await asyncio.sleep(0)
                continue
            await asyncio.sleep(min(self._quantum, LONGEST_QUANTUM / pace))
            service = self._service()  # a restart may have replaced it
            if not self._moving.is_set() or service.pace != pace:
                continue
            for _ in service.play_until(service.clock.now_ns() + self.due()):
                await asyncio.sleep(0)
                if not self._moving.is_set() or service.pace != pace or service is not self._service():
                    break
