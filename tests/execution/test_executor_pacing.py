"""The messages of a second, shared between orders and cancels, over a real socket."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from execution.errors import (
    NotConnectedError,
    PacingError,
)

from .test_executor import buy

if TYPE_CHECKING:
    from .conftest import MakeRig, Rig, ScriptedBroker


def use_up_the_second(r: Rig) -> int:
    """Submit until the pacing limit refuses; return how many were accepted."""
    for count in range(60):
        try:
            r.executor.submit(buy(f"o-many-{count}"))
        except PacingError:
            return count
    raise AssertionError("sixty orders in a second were accepted")


async def test_messages_waiting_behind_the_pacing_limit_refuse_new_orders(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    r.manager.session._ib.client._msgQ.append("71\0")
    with pytest.raises(NotConnectedError, match="within a second"):
        r.executor.submit(buy())
    r.manager.session._ib.client._msgQ.clear()
    assert "order_submitted" not in r.kinds()


async def test_an_order_is_refused_before_the_messages_of_a_second_run_out(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    accepted = use_up_the_second(r)
    await broker.until(lambda: len(broker.placed) == accepted)
    assert not r.manager.session._ib.client._msgQ
    assert len(r.executor.orders()) == accepted


async def test_cancels_have_room_when_orders_have_used_up_theirs(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    use_up_the_second(r)
    await r.executor.cancel_order("o-1")
    await broker.until(lambda: len(broker.cancelled) == 1)
