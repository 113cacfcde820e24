"""Everything that watches a running trader: counters, heartbeat, live table, database, control socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog
from rich.console import Console

from data.errors import DataError
from execution.clocks import SystemClock
from execution.errors import JournalError
from execution.journal import Journal
from infrastructure.control import ControlServer
from infrastructure.finish import project
from infrastructure.settings import Settings
from monitoring.counters import Counters
from monitoring.heartbeat import Heartbeat
from monitoring.live_table import LiveTable
from strategies.trader import Trader

PROJECTION_SECONDS = 2.0


class Watch:
    """The watchers of one trader, made before it so that it can be told about them."""

    def __init__(self, settings: Settings, console: Console, title: str) -> None:
        clock = SystemClock()
        self.counters = Counters()
        self.table = LiveTable(console, clock, title=title)
        self._settings = settings
        self._log = structlog.get_logger("watch")

    @asynccontextmanager
    async def over(
        self, trader: Trader, journal_path: Path, run_id: str, database: Path
    ) -> AsyncIterator[None]:
        """Watch a trader while the block runs."""
        heartbeat = Heartbeat(
            self.counters,
            lambda: "ready" if trader.executor.is_ready else "not ready",
            trading_clock=trader.clock,
            clock=SystemClock(),
            logger=structlog.get_logger("heartbeat"),
            interval=self._settings.monitoring.heartbeat_seconds,
        )
        trader.executor.manager.add_handler(self.table)
        async with AsyncExitStack() as stack:
            stack.enter_context(self.table)
            await stack.enter_async_context(ControlServer(trader, self._settings, self.counters))
            tasks = [
                asyncio.create_task(self._beat(heartbeat, trader.journal)),
                asyncio.create_task(self._project(journal_path, run_id, database)),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                for ended in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(ended, Exception):
                        self._log.error("a watcher failed; trading went on", why=repr(ended))

    async def _beat(self, heartbeat: Heartbeat, journal: Journal) -> None:
        while True:
            heartbeat.beat()
            journal.maintain()
            await asyncio.sleep(min(1.0, self._settings.monitoring.heartbeat_seconds))

    async def _project(self, journal_path: Path, run_id: str, database: Path) -> None:
        down = False
        while True:
            await asyncio.sleep(PROJECTION_SECONDS)
            try:
                await asyncio.to_thread(project, journal_path, run_id, self._settings, database)
                down = False
            except (DataError, JournalError) as error:
                if not down:
                    self._log.error("database behind the journal; trading goes on", why=str(error))
                down = True
