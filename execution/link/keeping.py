"""The task that makes a new session whenever one is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from execution.errors import NotConnectedError


class Keeping:
    """Keeps a connection, from `begin` to `end`.

    Parameters
    ----------
    connect
        Makes a session, with as many tries as are made at once.
    pause
        Waits before it is tried again.
    """

    def __init__(self, connect: Callable[[], Awaitable[None]], pause: Callable[[], Awaitable[None]]) -> None:
        self._connect = connect
        self._pause = pause
        self._log = structlog.get_logger("connection")
        self._down = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_on(self) -> bool:
        """Whether a lost session is followed by a new one."""
        return self._task is not None

    def begin(self, *, connected: bool) -> None:
        """Make a new session whenever one is lost from now on; a second call does nothing."""
        if self._task is None:
            self._down = asyncio.Event()  # of this event loop; the connection may have been used in another
            if not connected:
                self._down.set()
            self._task = asyncio.create_task(self._keep(), name="connection")

    async def end(self) -> None:
        """Make no more sessions."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def made(self) -> None:
        """Take note that there is a session."""
        self._down.clear()

    def lost(self) -> None:
        """Take note that there is none."""
        self._down.set()

    async def _keep(self) -> None:
        while True:
            await self._down.wait()
            try:
                await self._connect()
            except NotConnectedError:
                await self._pause()
            except Exception:  # noqa: BLE001 - the end of this task: nobody else makes sessions
                self._log.exception("a try for a session stumbled")
                await self._pause()
