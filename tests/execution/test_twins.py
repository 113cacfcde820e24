"""A change that TWS takes for a new order: two orders live under one reference, on the simulated gateway."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from backtesting.gateway.control import GatewayControl
from execution.errors import ExecutionError, OrderInDoubtError
from execution.models import OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.orders.evidence import ExecutionSeen, OpenOrderSeen
from execution.reconciliation.claims import Claim, ClaimPolicy

if TYPE_CHECKING:
    from .conftest import Floor, MakeFloor

CLIENT = 1


async def twinned(f: Floor) -> None:
    """Send an order far from the market, and a change of it that the gateway takes for another order."""
    request = OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, Side.BUY, limit_price=Decimal(50), client_order_id="o"
    )
    await f.executor.submit_order(request)
    (ticket,) = f.book.open_tickets()
    f.book.drop_id(ticket)
    f.book.last_id[ticket.client_id] = ticket.order_id - 1
    with pytest.raises(ExecutionError):
        await f.executor.modify_order("o", limit_price=Decimal(51))
    assert len(f.book.open_tickets()) == 2


async def test_a_second_order_under_our_reference_closes_the_way_and_is_cancelled(floor: MakeFloor) -> None:
    async with floor(acknowledgement_timeout=0.3) as f:
        await twinned(f)
        first, second = f.book.open_tickets()
        found = (await f.executor.reconcile()).describe()
        assert re.search(f"{second.perm_id}.*second order.*{first.perm_id}", found)
        assert not f.executor.is_ready
        await f.executor.ensure_ready()
        assert f.book.open_tickets() == [first]
        assert not f.executor.blotter.entries["o"].status.is_final
        told = [event for event in f.journal.events() if event.kind in ("order_twinned", "twin_cancelled")]
        assert [event.kind for event in told] == ["order_twinned", "twin_cancelled"]
        assert {event.body["client_order_id"] for event in told} == {"o"}
        assert {event.body["perm_id"] for event in told} == {first.perm_id}
        assert told[0].body["twin"]["perm_id"] == told[1].body["twin_perm_id"] == second.perm_id


@pytest.mark.parametrize("hands_off", ["refuse", "readonly"])
async def test_a_second_order_that_is_not_ours_to_end_is_left_to_a_person(
    floor: MakeFloor, hands_off: str
) -> None:
    claim = ClaimPolicy.REFUSE if hands_off == "refuse" else ClaimPolicy.ADOPT
    async with floor(acknowledgement_timeout=0.3, claim=claim) as f:
        await twinned(f)
        f.executor.manager.readonly = hands_off == "readonly"
        first, second = f.book.open_tickets()
        with pytest.raises(OrderInDoubtError, match=f"{second.perm_id}.*second order.*{first.perm_id}"):
            await f.executor.ensure_ready()
        doubt = next(one for one in f.executor.doubts() if str(second.perm_id) in one.reason)
        assert str(first.perm_id) in doubt.reason
        assert "cancel both" in doubt.next_step
        entry = f.executor.blotter.entries["o"]
        assert entry.perm_id == first.perm_id
        assert len(f.book.open_tickets()) == 2
        GatewayControl(f.server).cancel(second.perm_id)
        await f.executor.ensure_ready()
        assert not entry.status.is_final
        assert f.executor.is_ready
        assert "twin_cancelled" not in f.kinds()


def test_what_a_second_order_fills_is_booked_and_is_no_fill_of_the_first() -> None:

    blotter = Blotter(client_id=CLIENT)
    blotter.claim, blotter.book_open = Claim(), True
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o")
    blotter.submitted(Entry(request, order_id=5, submitted_ns=0))
    blotter.apply(OpenOrderSeen(5, CLIENT, 105, "o", "DU1", "AAA", "BUY", Decimal(10)))
    blotter.apply(OpenOrderSeen(5, CLIENT, 106, "o", "DU1", "AAA", "BUY", Decimal(10)))
    filled = ExecutionSeen("e.1.01", 5, CLIENT, 106, "o", "DU1", "AAA", "BUY", Decimal(10), Decimal(100), 1)
    blotter.apply(filled)
    assert blotter.entries["o"].filled == 0
    (twin,) = blotter.externals
    assert (twin.perm_id, twin.filled) == (106, Decimal(10))
    assert blotter.twinned(twin) is blotter.entries["o"]
    assert blotter.knows(filled)
