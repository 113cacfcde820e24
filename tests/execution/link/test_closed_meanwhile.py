"""A connection that is closed while a session is being made has none afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from backtesting.gateway.wire.codec import message
from execution.connection import IBKRConnectionManager
from execution.errors import NotConnectedError
from execution.link.gateway_week import GatewayWeek

if TYPE_CHECKING:
    from ..conftest import MakeRig, ScriptedBroker

LOGIN = "71"


async def test_a_session_that_comes_about_after_the_end_is_closed(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    manager = rig().manager
    broker.mute.add(LOGIN)
    connecting = asyncio.create_task(manager.connect())
    await broker.until(lambda: LOGIN in broker.requests)
    await manager.disconnect()
    broker.say(message(15, 1, "DU1"), message(9, 1, 1))
    with pytest.raises(NotConnectedError, match="closed meanwhile"):
        await connecting
    assert not manager.is_connected()
    broker.mute.clear()
    await manager.connect()  # what is asked for afterwards is made
    assert manager.is_connected()


@pytest.mark.parametrize("planned", [False, True])
async def test_no_try_is_made_after_the_end(broker: ScriptedBroker, planned: bool) -> None:
    pauses = asyncio.Event()

    async def sleep(_: float) -> None:
        pauses.set()
        await asyncio.sleep(0.01)

    await broker.stop()
    manager = IBKRConnectionManager(
        "127.0.0.1",
        broker.port,
        1,
        timeout=1.0,
        sleep=sleep,
        week=GatewayWeek(["always daily 00:00-00:00"]) if planned else None,
    )
    connecting = asyncio.create_task(manager.start())
    await pauses.wait()
    await manager.stop()
    await broker.start()
    with pytest.raises(NotConnectedError, match="closed meanwhile"):
        await connecting
    assert not manager.is_connected()
