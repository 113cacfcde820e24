"""What TWS says in the moment of the login counts for the session that it begins."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from execution.desk.gate import GateState
from execution.errors import NotReadyError

if TYPE_CHECKING:
    from ..conftest import MakeRig, ScriptedBroker


def says_at_login(broker: ScriptedBroker, *codes: int) -> None:
    """Let the broker say codes in the packet that accepts the login."""
    plain = broker._answer

    def answer(fields: list[str]) -> list[bytes]:
        told = [broker.error(-1, code) for code in codes] if fields[0] == "71" else []
        return [*plain(fields), *told]

    broker._answer = answer  # type: ignore[method-assign]


@pytest.mark.parametrize("code", [1100, 2110])
async def test_a_tws_that_is_without_the_broker_at_login_freezes_the_way(
    rig: MakeRig, broker: ScriptedBroker, code: int
) -> None:
    says_at_login(broker, 2104, code, 2106)
    r = rig()
    with pytest.raises(NotReadyError, match="lost its connection"):
        await r.executor.ensure_ready()
    assert r.executor.gate_state is GateState.FROZEN
    assert r.manager.outage is not None
    told = [e.body["event"] for e in r.journal.events() if e.kind == "connection"]
    assert told == ["connected", "frozen"]
    broker.say(broker.error(-1, 1102))
    await broker.until(lambda: r.executor.gate_state is not GateState.FROZEN)
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.manager.outage is None


async def test_a_link_that_is_back_before_the_login_is_over_freezes_nothing(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    says_at_login(broker, 2110, 1102)
    r = rig()
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.manager.outage is None


async def test_what_one_login_said_does_not_freeze_the_next(rig: MakeRig, broker: ScriptedBroker) -> None:
    plain = broker._answer
    says_at_login(broker, 2110)
    r = rig()
    await r.manager.connect()
    assert r.executor.gate_state is GateState.FROZEN
    broker._answer = plain  # type: ignore[method-assign]
    await broker.drop()
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.manager.outage is None
