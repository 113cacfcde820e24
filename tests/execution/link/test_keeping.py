"""A lost session is followed by a new one, from the beginning to the end and not beyond."""

from __future__ import annotations

import asyncio

import pytest

from execution.errors import NotConnectedError
from execution.link.keeping import Keeping


class Gateway:
    """Refuses so many tries, and counts them."""

    def __init__(self, refuses: int = 0) -> None:
        self.tries = self.pauses = 0
        self.refuses = refuses
        self.keeping = Keeping(self.connect, self.pause)
        self.connected = asyncio.Event()

    async def connect(self) -> None:
        self.tries += 1
        if self.tries <= self.refuses:
            raise NotConnectedError("refused")
        self.keeping.made()
        self.connected.set()

    async def pause(self) -> None:
        self.pauses += 1


async def test_it_tries_until_there_is_a_session() -> None:
    gateway = Gateway(refuses=3)
    gateway.keeping.begin(connected=True)
    gateway.keeping.begin(connected=False)  # it is on
    await asyncio.sleep(0)
    assert gateway.tries == 0
    gateway.keeping.lost()
    await gateway.connected.wait()
    assert (gateway.tries, gateway.pauses) == (4, 3)
    await gateway.keeping.end()


async def test_what_is_lost_after_the_end_is_not_made_anew() -> None:
    gateway = Gateway()
    gateway.keeping.begin(connected=True)
    assert gateway.keeping.is_on
    await gateway.keeping.end()
    gateway.keeping.lost()
    await asyncio.sleep(0)
    assert gateway.tries == 0
    assert not gateway.keeping.is_on


@pytest.mark.parametrize("connected", [True, False])
def test_it_begins_in_one_event_loop_after_another(connected: bool) -> None:
    gateway = Gateway()

    async def once() -> None:
        gateway.connected = asyncio.Event()
        gateway.keeping.begin(connected=connected)
        await asyncio.sleep(0)
        gateway.keeping.lost()
        await gateway.connected.wait()
        await gateway.keeping.end()

    asyncio.run(once())
    asyncio.run(once())
    assert gateway.tries >= 2


async def test_a_try_that_stumbles_is_not_the_last_one() -> None:
    gateway = Gateway()
    plain = gateway.connect

    async def connect() -> None:
        if gateway.tries < 2:
            gateway.tries += 1
            raise ZeroDivisionError("nobody foresaw this")
        await plain()

    gateway.keeping = Keeping(connect, gateway.pause)
    gateway.keeping.begin(connected=False)
    async with asyncio.timeout(5):
        await gateway.connected.wait()
    assert gateway.pauses == 2
    await gateway.keeping.end()
