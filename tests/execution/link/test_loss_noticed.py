"""A loss that a caller notices before the event loop tells of it is a loss like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from execution.testing import RecordingHandler

if TYPE_CHECKING:
    from ..conftest import MakeRig, ScriptedBroker


async def test_a_socket_that_is_closing_is_told_as_lost_before_another_is_opened(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    told = RecordingHandler()
    r = rig(handlers=[told])
    await r.executor.ensure_ready()
    transport = r.manager.session._ib.client.conn.transport
    assert transport is not None
    transport.abort()  # as after a reset: the protocol hears of it only in the next turn of the loop
    await r.executor.ensure_ready()
    names = [name for name in told.names() if name in ("connected", "disconnected")]
    assert names == ["connected", "disconnected", "connected"]
    changes = [event.body["event"] for event in r.journal.events() if event.kind == "connection"]
    assert changes == ["connected", "disconnected", "connected", "thawed"]
    assert len(broker._writers) >= 1
