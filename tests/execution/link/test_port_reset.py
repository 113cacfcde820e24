"""1300: TWS says that it drops the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..conftest import MakeRig, ScriptedBroker


async def test_a_connection_that_tws_drops_is_given_up_also_where_its_socket_stands(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    text = "TWS socket port has been reset and this connection is being dropped."
    broker.say(broker.error(-1, 1300, text), broker.error(-1, 2104, "is read as well"))
    await broker.until(lambda: not r.manager.is_connected())
    assert r.manager.outage is not None
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.manager.epoch == 2
    told = [e.body for e in r.journal.events() if e.kind == "connection"]
    assert [body["event"] for body in told] == ["connected", "disconnected", "connected", "thawed"]
    assert told[1]["details"]["reason"] == f"1300: {text}"
    assert [e.body["code"] for e in r.journal.events() if "code" in e.body] == [1300, 2104]
