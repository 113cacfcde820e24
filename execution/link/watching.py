"""The task that watches over the session in use: its heartbeat, and the broker behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from execution.clocks import MonotonicClock
from execution.ibkr.session import IBSession
from execution.link.heartbeat import Heartbeat, HeartbeatTerms


class Watch:
    """Watches one session at a time.

    Parameters
    ----------
    terms
        How a dead connection is found; None watches nothing.
    clock
        Monotonic time.
    look
        Called at each look while the session lives.
    lost
        Told a session that was given up, and why; what it had not delivered is discarded.
    """

    def __init__(
        self,
        terms: HeartbeatTerms | None,
        clock: MonotonicClock,
        look: Callable[[], None],
        lost: Callable[[IBSession, str], None],
    ) -> None:
        self._terms = terms
        self._clock = clock
        self._look = look
        self._lost = lost
        self._log = structlog.get_logger("connection")
        self._session: IBSession | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, session: IBSession) -> None:
        """Watch this session and no other."""
        self.end()
        if self._terms is not None:
            self._session = session
            heartbeat = Heartbeat(session, self._terms, self._clock)
            self._task = asyncio.create_task(self._listen(session, heartbeat), name="heartbeat")

    def end(self) -> None:
        """Watch nothing."""
        self._session = None
        task, self._task = self._task, None
        if task is not None and task is not asyncio.current_task():
            task.cancel()

    async def _listen(self, session: IBSession, heartbeat: Heartbeat) -> None:
        why = None
        while session is self._session and why is None:
            await asyncio.sleep(heartbeat.terms.look_seconds)
            if session is not self._session:
                return
            try:
                why = heartbeat.check()
                if why is None:
                    self._look()
            except Exception as error:  # noqa: BLE001 - the end of this task: none unwatched is kept
                self._log.exception("the heartbeat stumbled")
                why = f"the heartbeat stumbled: {error!r}"
        if why is not None:
            session.abort(why)
            self._lost(session, why)
