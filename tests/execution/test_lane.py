"""What leaves within a second: orders below the pace of TWS, and room that is kept for cancels."""

from __future__ import annotations

import asyncio
from collections import deque
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from execution.errors import PacingError
from execution.ibkr.lane import KEPT_FOR_CANCELS, MOST_A_SECOND, Lane
from execution.models import OrderRequest, OrderType, Side

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


def buy(number: int) -> OrderRequest:
    return OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=f"o-{number}")


async def test_45_orders_leave_within_a_second_and_cancels_still_find_room(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    client: Any = r.manager.session._ib.client
    client.RequestsInterval = 3600  # the second does not end here
    client._timeQ.clear()
    for number in range(MOST_A_SECOND - KEPT_FOR_CANCELS):
        r.executor.submit(buy(number))
    with pytest.raises(PacingError, match="46 messages went out within a second"):
        r.executor.submit(buy(99))
    assert r.executor.known("o-99") is None
    for number in range(KEPT_FOR_CANCELS):
        r.manager.session.cancel(number + 1)
    with pytest.raises(PacingError):
        r.manager.session.cancel(9)
    assert not client._msgQ  # nothing waits in a queue that a lost connection empties
    await broker.until(lambda: len(broker.placed) >= 45 and len(broker.cancelled) == KEPT_FOR_CANCELS)
    assert len(broker.placed) + len(broker.cancelled) == MOST_A_SECOND < 50


async def test_what_left_exactly_a_second_ago_still_counts_as_the_client_library_counts_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client: Any = SimpleNamespace(MaxRequests=MOST_A_SECOND, RequestsInterval=1.0, serverVersion=lambda: 176)
    client._timeQ, client._msgQ = deque([10.0] * (MOST_A_SECOND - KEPT_FOR_CANCELS)), deque()
    lane = Lane(client, lambda: True, lambda *_: None)
    with monkeypatch.context() as clock:
        clock.setattr(asyncio.get_running_loop(), "time", lambda: 11.0, raising=False)
        with pytest.raises(PacingError):
            lane.require()  # the library would let it wait in its queue
        clock.setattr(asyncio.get_running_loop(), "time", lambda: 11.001, raising=False)
        lane.require()
