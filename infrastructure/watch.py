"""Everything that watches a running trader: counters, heartbeat, alerts, table, database, control socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console

from data.projection.events import head_of
from data.projection.following import JournalFollower, ProjectionState
from execution.clocks import SystemClock
from execution.errors import JournalError
from execution.journal import Journal
from infrastructure.control import ControlServer
from infrastructure.run_database import follower
from infrastructure.settings import Settings
from monitoring.alerts import Alert, JournalAlerts
from monitoring.counters import Counters
from monitoring.heartbeat import Heartbeat
from monitoring.live_table import LiveTable
from strategies.trader import Trader

_ALERT_SECONDS = 1.0


class Watch:
    """The watchers of one trader, made before it so that it can be told about them."""

    def __init__(self, settings: Settings, console: Console, title: str) -> None:
        clock = SystemClock()
        self.counters = Counters()
        self.table = LiveTable(console, clock, title=title)
        self.projection = ProjectionState()
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
            beyond=self._behind,
        )
        alerts = JournalAlerts(journal_path, head_of(journal_path)[0], self._on_alert, self.counters.on_alert)
        following = follower(journal_path, run_id, self._settings, database, observe=self._on_projection)
        trader.executor.manager.add_handler(self.table)
        async with AsyncExitStack() as stack:
            stack.enter_context(self.table)
            control = ControlServer(trader, self._settings, self.counters, self._behind)
            await stack.enter_async_context(control)
            tasks = [
                asyncio.create_task(self._beat(heartbeat, trader.journal)),
                asyncio.create_task(following.run()),
                asyncio.create_task(self._alert(alerts)),
            ]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                for ended in await asyncio.gather(*tasks, return_exceptions=True):
                    if isinstance(ended, Exception):
                        self._log.error("a watcher failed; trading went on", why=repr(ended))
                await asyncio.to_thread(self._catch_up, following)
                await self._read_alerts(alerts)

    async def _beat(self, heartbeat: Heartbeat, journal: Journal) -> None:
        while True:
            heartbeat.beat()
            journal.maintain()
            await asyncio.sleep(min(1.0, self._settings.monitoring.heartbeat_seconds))

    async def _alert(self, alerts: JournalAlerts) -> None:
        while True:
            await self._read_alerts(alerts)
            await asyncio.sleep(_ALERT_SECONDS)

    async def _read_alerts(self, alerts: JournalAlerts) -> None:
        try:
            found = await asyncio.to_thread(alerts.read)
        except JournalError as error:
            self._log.error("the journal cannot be read for alerts; trading goes on", why=str(error))
        else:
            alerts.tell(found)

    def _on_alert(self, alert: Alert) -> None:
        if not alert.is_logged:
            self._log.warning("alert", kind=alert.kind, what=alert.text)
        self.table.note(alert.text)

    def _catch_up(self, following: JournalFollower) -> None:
        """Project the end of the session, a batch at most: what else is behind follows at the next start."""
        if not self.projection.problem:
            self._on_projection(following.attempt())
        following.close()

    def _behind(self) -> dict[str, Any]:
        return self.projection.as_dict()

    def _on_projection(self, state: ProjectionState) -> None:
        before, self.projection = self.projection, state
        told = {name: value for name, value in state.as_dict().items() if name != "database_problem"}
        if state.problem and not before.problem:
            self._log.error("database behind the journal; trading goes on", why=state.problem, **told)
        elif before.problem and not state.problem:
            self._log.info("the database is back and has caught up", **told)
