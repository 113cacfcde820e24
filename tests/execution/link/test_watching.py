"""A session is watched for as long as it is used."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from execution.clocks import SystemClock
from execution.ibkr.session import IBSession
from execution.link.heartbeat import HeartbeatTerms
from execution.link.watching import Watch

QUICK = HeartbeatTerms(interval=0.02, deadline=0.02, deaf_after=0.1)


class Pulse:
    """A session that is asked for its pulse."""

    def __init__(self, error: Exception | None = None) -> None:
        self.bytes_received = self.answers = 0
        self.error = error
        self.aborted = ""

    def ask(self) -> None:
        if self.error is not None:
            raise self.error

    def abort(self, why: str) -> None:
        self.aborted = why


@pytest.mark.parametrize("where", ["ask", "look"])
async def test_a_session_whose_heartbeat_stumbles_is_given_up_and_not_left_unwatched(where: str) -> None:
    error = OSError("nobody foresaw this")
    pulse = Pulse(error if where == "ask" else None)
    lost: list[tuple[Any, str]] = []
    over = asyncio.Event()

    def look() -> None:
        if where == "look":
            raise error

    def take(session: IBSession, why: str) -> None:
        lost.append((session, why))
        over.set()

    watch = Watch(QUICK, SystemClock(), look, take)
    watch.begin(cast(IBSession, pulse))
    async with asyncio.timeout(5):
        await over.wait()
    why = "the heartbeat stumbled: OSError('nobody foresaw this')"
    assert lost == [(pulse, why)]
    assert pulse.aborted == why
    watch.end()


async def test_a_session_that_is_no_longer_watched_is_not_given_up() -> None:
    pulse = Pulse()
    lost: list[str] = []
    watch = Watch(QUICK, SystemClock(), lambda: None, lambda _, why: lost.append(why))
    watch.begin(cast(IBSession, pulse))
    watch.end()
    await asyncio.sleep(0.1)
    assert lost == []
    assert pulse.aborted == ""
