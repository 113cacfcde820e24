"""Connecting, losing the session, and making a new one."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from execution.connection import IBKRConnectionManager
from execution.errors import BrokerUnavailableError, NotConnectedError
from execution.events import ConnectionEventHandler, OrderEventHandler
from execution.testing import RecordingHandler

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


class Broken:
    def on_connected(self) -> None:
        raise RuntimeError("a bug of a receiver")

    on_disconnected = on_connected


def test_the_recording_handler_honours_both_protocols() -> None:
    assert isinstance(RecordingHandler(), OrderEventHandler)
    assert isinstance(RecordingHandler(), ConnectionEventHandler)


async def test_receivers_are_told_of_connection_and_loss_even_if_one_raises(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    handler = RecordingHandler()
    r = rig(handlers=[])
    r.manager.add_handler(Broken())
    r.manager.add_handler(handler)
    await r.manager.connect()
    await r.manager.connect()
    assert r.manager.session.accounts == ["DU1"]
    await broker.drop()
    await broker.until(lambda: not r.manager.is_connected())
    await r.manager.ensure_connected()
    await r.manager.disconnect()
    await r.manager.disconnect()
    assert handler.names() == ["connected", "disconnected", "connected", "disconnected"]
    events = [e.body["event"] for e in r.journal.events() if e.kind == "connection"]
    assert events == ["connected", "disconnected", "connected", "disconnected"]


async def test_tries_are_repeated_with_growing_pauses_and_then_given_up() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    manager = IBKRConnectionManager(
        port=port,
        reconnect_max_attempts=6,
        reconnect_backoff=5.0,
        timeout=2.0,
        sleep=sleep,
        randomness=lambda: 0.0,
    )
    with pytest.raises(ConnectionError, match=str(port)):
        await manager.connect()
    assert pauses == [5.0, 10.0, 20.0, 40.0, 60.0]
    assert not manager.is_connected()
    with pytest.raises(NotConnectedError, match="connect"):
        _ = manager.session


async def test_a_gateway_that_never_answers_the_handshake_is_no_session(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.mute = {"71"}
    handler = RecordingHandler()
    r = rig(timeout=0.1, handlers=[handler])
    with pytest.raises(NotConnectedError, match="no answer in time"):
        await r.manager.connect()
    assert handler.events == []


async def test_a_request_cut_off_by_the_loss_of_the_session_fails(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.manager.connect()
    session = r.manager.session
    broker.mute = {"61"}
    broker.say()
    import asyncio

    asking = asyncio.create_task(session.positions())
    await broker.until(lambda: "61" in broker.requests)
    await broker.drop()
    with pytest.raises(BrokerUnavailableError, match="lost"):
        await asking
    with pytest.raises(NotConnectedError):
        session.cancel(1)
    with pytest.raises(NotConnectedError):
        session.require_open_lane()
    with pytest.raises(NotConnectedError):
        await session.positions()


async def test_order_ids_start_where_the_gateway_says(rig: MakeRig, broker: ScriptedBroker) -> None:
    broker.next_id = 77
    r = rig()
    await r.manager.connect()
    assert r.manager.session.next_order_id == 77
