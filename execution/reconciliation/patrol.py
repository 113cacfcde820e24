"""A look at the broker's books every few minutes, while orders go on.

Connects and restored links are reconciled at once, with the way closed. This one finds what happened in
silence: it closes the way only when there is a difference.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from execution.errors import BrokerUnavailableError, JournalError, NotConnectedError
from execution.executor import IBKROrderExecutor


class Patrol:
    """Reconciles at an interval.

    Parameters
    ----------
    executor
        Whose orders and positions.
    interval
        Seconds between the end of one look and the next.
    sleep
        Waits in between.
    """

    def __init__(
        self,
        executor: IBKROrderExecutor,
        interval: float,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._executor = executor
        self._interval = interval
        self._sleep = sleep
        self._log = structlog.get_logger("patrol")

    async def run(self) -> None:
        """Look again and again, until cancelled."""
        while True:
            await self._sleep(self._interval)
            if self._executor.is_ready:
                await self.look()

    async def look(self) -> None:
        """Look once; what keeps it from looking is reported, and the next look tries again."""
        try:
            await self._executor.check()
        except (BrokerUnavailableError, NotConnectedError, JournalError) as error:
            self._log.warning("not reconciled this time", code=error.code, why=str(error))
