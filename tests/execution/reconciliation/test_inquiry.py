"""What is left open about an order is asked for without anybody's call, on the simulated gateway."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from execution.desk.gate import GateState
from execution.errors import BrokerUnavailableError
from execution.models import OrderStatus
from execution.reconciliation import inquiry
from execution.reconciliation.inquiry import Inquiry

from ..test_executor import buy
from ..test_reconnect import play, resting

if TYPE_CHECKING:
    from ..conftest import MakeRig, Rig, ScriptedBroker
    from ..test_reconnect import Play, Scene

__all__ = ["play"]


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first question be asked after a moment."""
    monkeypatch.setattr(inquiry, "FIRST_PAUSE", 0.05)


def state(scene: Scene | Rig) -> OrderStatus:
    known = scene.executor.known("o-1")
    assert known is not None
    return known.status


def asked(scene: Scene) -> int:
    """Return how often the broker's books were read."""
    assert scene.journal is not None
    return sum(event.kind == "reconciled" for event in scene.journal.events())


def error(scene: Scene, code: int, text: str) -> None:
    """Let the gateway send a code about the only order of the executor."""
    (entry,) = scene.executor.blotter.open_entries()
    scene.play({"error": {"id": entry.order_id, "code": code, "text": text}})


async def test_an_order_hit_by_an_unknown_code_is_asked_for_and_the_way_opens_again(play: Play) -> None:
    async with play() as scene:
        order = await scene.executor.submit_order(resting())
        before = asked(scene)
        error(scene, 10999, "nobody knows")
        await scene.until(lambda: not scene.executor.is_ready)
        await scene.until(lambda: scene.executor.is_ready)
        assert (await scene.executor.get_order_status(order.order_id)).status is OrderStatus.SUBMITTED
        assert asked(scene) == before + 1
        scene.executor.submit(resting("o-2"))


async def test_a_cancel_told_by_its_code_alone_is_asked_for(play: Play) -> None:
    script = "rules: [{when: {message: orderStatus, status: Cancelled}, do: drop}]"
    async with play(script) as scene:
        await scene.executor.submit_order(resting())
        await scene.executor.cancel_order("o-1")
        await scene.until(lambda: state(scene) is OrderStatus.CANCELLED)
        assert scene.executor.is_ready
        assert await scene.executor.get_open_orders() == []


async def test_a_cancel_told_by_status_and_code_asks_nothing(play: Play) -> None:
    async with play() as scene:
        await scene.executor.submit_order(resting())
        before = asked(scene)
        assert await scene.executor.cancel_all() == {}
        await asyncio.sleep(0.2)
        assert asked(scene) == before


async def test_an_order_without_an_answer_is_asked_for(play: Play) -> None:
    script = "rules: [{when: {message: openOrder}, do: drop}, {when: {message: orderStatus}, do: drop}]"
    async with play(script) as scene:
        await scene.executor.ensure_ready()
        with pytest.raises(TimeoutError):
            await scene.executor.submit_order(resting())
        assert state(scene) is OrderStatus.UNKNOWN
        scene.engine.detach()
        await scene.until(lambda: scene.executor.is_ready)
        assert state(scene) is OrderStatus.SUBMITTED


async def test_an_order_that_nobody_waits_for_is_asked_for_when_its_answer_is_overdue(play: Play) -> None:
    script = "rules: [{when: {message: openOrder}, do: drop}, {when: {message: orderStatus}, do: drop}]"
    async with play(script) as scene:
        await scene.executor.ensure_ready()
        scene.executor.submit(resting())
        await scene.until(lambda: not scene.executor.is_ready)
        scene.engine.detach()
        await scene.until(lambda: scene.executor.is_ready)
        assert state(scene) is OrderStatus.SUBMITTED


async def test_a_restored_link_is_followed_by_a_question(play: Play) -> None:
    async with play() as scene:
        await scene.executor.ensure_ready()
        scene.play("connectivity_lost")
        await scene.until(lambda: scene.executor.is_frozen)
        before = asked(scene)
        await asyncio.sleep(0.2)
        assert asked(scene) == before
        scene.play({"connectivity_restored": "kept"})
        await scene.until(lambda: scene.executor.is_ready)


async def test_what_stays_open_is_asked_for_ever_less_often(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    pauses: list[float] = []
    wait = Inquiry._wait

    def waiting(self: Inquiry, loop: asyncio.AbstractEventLoop) -> None:
        pauses.append(self._pause)
        wait(self, loop)

    monkeypatch.setattr(Inquiry, "_wait", waiting)
    monkeypatch.setattr(inquiry, "LONGEST_PAUSE", 0.2)
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    broker.say(broker.error(int(broker.placed[0][1]), 10999))
    await broker.until(lambda: len(pauses) > 4)
    assert pauses[:5] == [0.05, 0.1, 0.2, 0.2, 0.2]
    assert r.executor.gate_state is GateState.NOT_RECONCILED
    broker.open_orders = [
        broker.open_order(int(broker.placed[0][1]), "o-1"),
        broker.status(int(broker.placed[0][1]), "Submitted"),
    ]
    await broker.until(lambda: r.executor.is_ready)
    count = len(pauses)
    await asyncio.sleep(0.5)
    assert len(pauses) == count


async def test_an_answer_that_does_not_come_is_asked_for_again(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    number = int(broker.placed[0][1])
    broker.open_orders = [broker.open_order(number, "o-1"), broker.status(number, "Submitted")]
    positions: Any = r.manager.session.positions
    failures = [1, 1]

    async def failing() -> Any:
        if failures:
            failures.pop()
            raise BrokerUnavailableError("positions: not now")
        return await positions()

    r.manager.session.positions = failing  # type: ignore[method-assign]
    broker.say(broker.error(number, 10999))
    await broker.until(lambda: not failures and r.executor.is_ready)


async def test_nothing_is_asked_by_itself_before_the_first_reconciliation_of_a_session(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    number = int(broker.placed[0][1])
    await broker.drop()
    await r.manager.connect()
    before = broker.requests.count("16")
    broker.say(broker.open_order(number, "o-1"), broker.error(number, 10999))
    await broker.until(lambda: state(r) is OrderStatus.UNKNOWN)
    await asyncio.sleep(0.2)
    assert broker.requests.count("16") == before
