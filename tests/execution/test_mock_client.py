"""The mock client's own part: what its broker is told to do, and that it does the same every time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import pytest

from execution.blocking import BlockingOrderExecutor
from execution.errors import (
    AcknowledgementTimeoutError,
    ModificationRejectedError,
    NotConnectedError,
    OrderInDoubtError,
    OrderRejectedError,
    UnknownOrderError,
)
from execution.ibkr.session import IBSession
from execution.models import Bar, Fill, Order, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from execution.testing import START, FixedClock, MockIBKRClient, RecordingHandler
from execution.testing.memory_session import MemorySession

D = Decimal
S = OrderStatus


def buy(name: str = "o-1", quantity: int = 10, limit: str | None = "50", **more: Any) -> OrderRequest:
    kind = OrderType.MARKET if limit is None else OrderType.LIMIT
    return OrderRequest(
        "SPY",
        D(quantity),
        more.pop("order_type", kind),
        more.pop("side", Side.BUY),
        limit_price=None if limit is None else D(limit),
        client_order_id=name,
        **more,
    )


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


@pytest.fixture
async def client(handler: RecordingHandler) -> AsyncIterator[MockIBKRClient]:
    made = MockIBKRClient(handlers=[handler])
    await made.ensure_ready()
    yield made
    await made.manager.disconnect()


async def status(client: MockIBKRClient, name: str = "o-1") -> OrderStatus:
    return (await client.get_order_status(name)).status


async def test_a_scripted_refusal_is_raised_and_told(
    client: MockIBKRClient, handler: RecordingHandler
) -> None:
    client.reject_next("no permission")
    with pytest.raises(OrderRejectedError, match="no permission"):
        await client.submit_order(buy())
    assert handler.names()[-1] == "rejected"
    assert (await client.submit_order(buy("o-2"))).status is S.SUBMITTED


async def test_a_market_order_fills_as_soon_as_there_is_a_price(client: MockIBKRClient) -> None:
    await client.submit_order(buy(limit=None))
    assert await status(client) is S.SUBMITTED
    client.trade("SPY", D("101.5"))
    await client.settle()
    filled = await client.get_order_status("o-1")
    assert (filled.status, filled.average_fill_price) == (S.FILLED, D("101.5"))
    await client.submit_order(buy("o-2", limit=None))
    await client.settle()
    assert await status(client, "o-2") is S.FILLED


async def test_a_part_fills_and_the_rest_when_it_is_told(
    client: MockIBKRClient, handler: RecordingHandler
) -> None:
    client.trade("SPY", D(49))
    client.partial_next(D(4))
    await client.submit_order(buy())
    await client.settle()
    partly = await client.get_order_status("o-1")
    assert (partly.status, partly.filled_quantity) == (S.PARTIALLY_FILLED, D(4))
    client.trade("SPY", D(48))
    client.fill("o-1", D(1), D("48.5"))
    await client.settle()
    assert (await client.get_order_status("o-1")).remaining_quantity == 5
    client.fill("o-1")
    await client.settle()
    assert await status(client) is S.FILLED
    fills = [subject for _, subject in handler.events if isinstance(subject, Fill)]
    assert [(fill.quantity, fill.price) for fill in fills if fill.commission is None] == []
    assert sum(fill.quantity for fill in fills) == 10
    assert len({fill.fill_id for fill in fills}) == 3


async def test_an_order_that_is_held_back_arrives_when_it_is_released(client: MockIBKRClient) -> None:
    client.delay_next()
    client.submit(buy())
    client.trade("SPY", D(49))
    await client.settle()
    assert await status(client) is S.PENDING
    client.release("o-1")
    await client.settle()
    assert await status(client) is S.FILLED


async def test_silence_makes_an_order_unknown_and_asking_finds_it(client: MockIBKRClient) -> None:
    client.ignore_next()
    with pytest.raises(AcknowledgementTimeoutError) as caught:
        await client.submit_order(buy())
    assert caught.value.order.status is S.UNKNOWN
    assert not client.is_ready
    await client.ensure_ready()
    assert await status(client) is S.SUBMITTED
    client.trade("SPY", D(49))
    await client.settle()
    assert await status(client) is S.FILLED


async def test_an_order_lost_on_its_way_stays_in_doubt(client: MockIBKRClient) -> None:
    client.lose_next()
    with pytest.raises(TimeoutError):
        await client.submit_order(buy())
    with pytest.raises(OrderInDoubtError, match="o-1"):
        await client.ensure_ready()
    with pytest.raises(ConnectionError):
        client.submit(buy("o-2"))


async def test_an_order_lost_on_its_way_is_released_where_that_is_opted_for() -> None:
    client = MockIBKRClient(release_absent=True)
    await client.ensure_ready()
    client.lose_next()
    with pytest.raises(TimeoutError):
        await client.submit_order(buy())
    await client.ensure_ready()
    assert await status(client) is S.NOT_SENT
    await client.manager.disconnect()


async def test_a_cut_after_the_order_was_taken_loses_nothing(
    client: MockIBKRClient, handler: RecordingHandler
) -> None:
    client.trade("SPY", D(49))
    client.cut_next()
    client.submit(buy())
    await client.settle()
    assert handler.names()[-1] in ("disconnected", "status")
    assert await status(client) in (S.PENDING, S.UNKNOWN)
    await client.ensure_ready()
    assert await status(client) is S.FILLED
    assert [name for name in handler.names() if name == "fill"] == ["fill"]


async def test_a_connection_that_is_refused_is_tried_again_by_the_next_call(client: MockIBKRClient) -> None:
    client.disconnect()
    await client.settle()
    assert not client.manager.is_connected()
    client.refuse_connections(1)
    with pytest.raises(NotConnectedError, match="refused as scripted"):
        await client.ensure_ready()
    await client.ensure_ready()
    assert client.is_ready


async def test_a_refused_change_leaves_the_order_and_a_refused_cancel_is_asked_about(
    client: MockIBKRClient,
) -> None:
    await client.submit_order(buy())
    client.reject_change_next()
    with pytest.raises(ModificationRejectedError):
        await client.modify_order("o-1", limit_price=D(51))
    kept = await client.get_order_status("o-1")
    assert (kept.status, kept.limit_price) == (S.SUBMITTED, D(50))
    client.reject_cancel_next()
    await client.cancel_order("o-1")
    await client.settle()
    assert not client.is_ready
    await client.ensure_ready()
    assert await status(client) is S.SUBMITTED


async def test_the_end_of_a_day_fills_what_trades_on_the_close_and_ends_the_days_orders(
    client: MockIBKRClient,
) -> None:
    client.trade("SPY", D(100))
    for request in (
        buy("moc", limit=None, order_type=OrderType.MARKET_ON_CLOSE),
        buy("loc", limit="99", order_type=OrderType.LIMIT_ON_CLOSE),
        buy("day"),
        buy("gtc", time_in_force=TimeInForce.GTC),
    ):
        await client.submit_order(request)
    client.end_day()
    await client.settle()
    ends = {order.client_order_id: order.status for order in client.orders()}
    assert ends == {"moc": S.FILLED, "loc": S.CANCELLED, "day": S.CANCELLED, "gtc": S.SUBMITTED}


@pytest.mark.parametrize(("oca_type", "left"), [(1, None), (2, 14), (3, 14)])
async def test_a_part_that_fills_shrinks_its_group(
    client: MockIBKRClient, oca_type: int, left: int | None
) -> None:
    for name, quantity in (("o-1", 10), ("o-2", 21)):
        await client.submit_order(buy(name, quantity, oca_group="g", oca_type=oca_type))
    client.fill("o-1", D(3), D(50))
    await client.settle()
    mate = await client.get_order_status("o-2")
    if left is None:
        assert mate.status is S.CANCELLED
    else:  # seven tenths of 21, rounded down to a share
        assert (mate.status, mate.quantity) == (S.SUBMITTED, D(left))


async def test_a_bracket_ends_where_one_of_its_orders_is_refused(client: MockIBKRClient) -> None:
    client.partial_next(D(10))
    client.reject_next("no exit")
    with pytest.raises(OrderRejectedError):
        await client.submit_bracket(
            buy(),
            buy("tp", limit="60", side=Side.SELL),
            OrderRequest("SPY", D(10), OrderType.STOP, Side.SELL, stop_price=D(40), client_order_id="sl"),
        )
    await client.settle()
    assert {order.status for order in client.orders()} == {S.CANCELLED, S.REJECTED}


async def test_two_runs_tell_the_same_story() -> None:
    stories = []
    for _ in range(2):
        handler = RecordingHandler()
        client = MockIBKRClient(handlers=[handler], clock=FixedClock())
        await client.ensure_ready()
        client.trade("SPY", D(100))
        await client.submit_order(buy(None, limit=None))  # type: ignore[arg-type]
        await client.submit_order(buy("far"))
        client.clock.advance(60)
        await client.cancel_order("far")
        await client.settle()
        stories.append(
            [*map(str, handler.events), *(str((e.kind, e.body)) for e in client.audit.journal.events())]
        )
        await client.manager.disconnect()
    assert stories[0] == stories[1]
    assert any("mock-1" in line for line in stories[0])


async def test_several_accounts_are_kept_apart() -> None:
    client = MockIBKRClient(accounts=("DU1", "DU2"), cash=D(1000), commission=D(0))
    await client.ensure_ready()
    client.trade("SPY", D(10))
    await client.submit_order(buy(limit=None, account="DU2"))
    await client.settle()
    assert [(p.account, p.quantity) for p in await client.get_positions()] == [("DU2", D(10))]
    client.trade("SPY", D(11))
    assert await client.get_account_summary("DU1") == {"NetLiquidation": 1000, "TotalCashValue": 1000}
    assert await client.get_account_summary("DU2") == {"NetLiquidation": 1010, "TotalCashValue": 900}
    await client.manager.disconnect()


async def test_bars_that_are_pushed_arrive(client: MockIBKRClient) -> None:
    seen: list[Bar] = []
    client.manager.on_bar = seen.append
    bar = Bar("SPY", int(START.value), int(START.value) + 1, 1.0, 1.0, 1.0, 1.0)
    client.push_bar(bar)
    client.disconnect()
    client.push_bar(bar)
    assert seen == [bar]


async def test_what_is_not_there_cannot_be_moved(client: MockIBKRClient) -> None:
    await client.submit_order(buy(limit=None))
    with pytest.raises(UnknownOrderError, match="no price"):
        client.fill("o-1")
    await client.cancel_order("o-1")
    await client.settle()
    for call in (client.fill, client.release):
        with pytest.raises(UnknownOrderError, match="at work"):
            call("o-1")


def test_code_that_blocks_uses_it_through_the_blocking_face() -> None:
    made: list[MockIBKRClient] = []

    def make() -> MockIBKRClient:
        made.append(MockIBKRClient())
        made[0].broker.prices["SPY"] = D(100)
        return made[0]

    with BlockingOrderExecutor(make) as executor:
        sent: Order = executor.submit_order(buy())
        assert sent.status is S.SUBMITTED
        made[0].trade("SPY", D(49))
        assert [(p.symbol, p.quantity) for p in executor.get_positions()] == [("SPY", D(10))]
        assert executor.get_order_status("o-1").status is S.FILLED


def test_no_face_of_the_real_session_is_left_on_its_wire() -> None:
    harmless = {"patience", "tally"}
    faces = {name for name in vars(IBSession) if not name.startswith("_")}
    assert faces - set(vars(MemorySession)) <= harmless
