"""One set of assertions for the mock client and for the real executor over the simulated gateway.

What a strategy's test learns from the mock must hold on the wire; so nothing here knows which of the two it
speaks to. The market is the same for both: AAA and BBB open at 100, 101, … bar by bar.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest

from execution.errors import (
    DuplicateOrderError,
    InvalidOrderError,
    ModificationRejectedError,
    NotModifiableError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.models import Order, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from execution.testing import IBKRClientProtocol, MockIBKRClient, RecordingHandler

if TYPE_CHECKING:
    from .conftest import Floor, MakeFloor

D = Decimal
S = OrderStatus
FAR = D(50)


@dataclass
class Venue:
    """A client, its handler, and a market that trades its next bars when told."""

    client: IBKRClientProtocol
    handler: RecordingHandler
    floor: Floor | None = None
    bar: int = 0

    async def step(self, bars: int = 1) -> None:
        for _ in range(bars):
            if self.floor is not None:
                await self.floor.step()
            elif isinstance(self.client, MockIBKRClient):
                opened = D(100 + self.bar)
                for price in (opened, opened - 1, opened + 1, opened + D("0.25")):
                    for symbol in ("AAA", "BBB"):
                        self.client.trade(symbol, price)
                await self.client.settle()
            self.bar += 1

    async def settled(self) -> None:
        """Hear what was said; in lockstep a request that changes nothing brings it along."""
        if self.floor is not None:
            await self.floor.executor.manager.session.open_orders()
        elif isinstance(self.client, MockIBKRClient):
            await self.client.settle()

    async def drop(self) -> None:
        """Lose the connection behind the client's back."""
        if self.floor is not None:
            self.floor.executor.manager.session.abort("cut")
            self.floor.executor.manager._lost(self.floor.executor.manager._session, "cut")  # type: ignore[arg-type]
        elif isinstance(self.client, MockIBKRClient):
            self.client.disconnect()
            await self.client.settle()

    def ready(self) -> bool:
        return self.client.is_ready

    async def status(self, name: str) -> OrderStatus:
        return (await self.client.get_order_status(name)).status


@pytest.fixture(params=["mock", "gateway"])
async def venue(request: pytest.FixtureRequest, floor: MakeFloor) -> AsyncIterator[Venue]:
    ids = count(1)
    options: dict[str, Any] = {
        "risk_check_callback": lambda order: order.quantity < 1_000,
        "new_id": lambda: f"made-{next(ids)}",
    }
    if request.param == "gateway":
        async with floor(**options) as opened:
            venue = Venue(opened.executor, opened.handler, opened)
            await venue.step()
            yield venue
        return
    handler = RecordingHandler()
    mock = MockIBKRClient(handlers=[handler], **options)
    await mock.ensure_ready()
    handler.events.clear()
    venue = Venue(mock, handler)
    await venue.step()
    yield venue
    await mock.manager.disconnect()


def order(side: Side, quantity: int = 10, name: str | None = "o-1", **more: Any) -> OrderRequest:
    prices: dict[str, Any] = {
        key: D(str(value)) if isinstance(value, int | float) else value for key, value in more.items()
    }
    kind = prices.pop("order_type", OrderType.LIMIT if "limit_price" in prices else OrderType.MARKET)
    symbol = prices.pop("symbol", "AAA")
    return OrderRequest(symbol, D(quantity), kind, side, client_order_id=name, **prices)


def far(name: str = "o-1", **more: Any) -> OrderRequest:
    return order(Side.BUY, name=name, limit_price=FAR, **more)


async def test_a_market_order_fills_and_is_told_once(venue: Venue) -> None:
    sent = await venue.client.submit_order(order(Side.BUY))
    assert sent.status in (S.SUBMITTED, S.FILLED)
    await venue.step()
    filled = await venue.client.get_order_status("o-1")
    assert (filled.status, filled.filled_quantity, filled.remaining_quantity) == (S.FILLED, D(10), D(0))
    assert filled.average_fill_price is not None
    assert await venue.client.get_open_orders() == []
    (position,) = await venue.client.get_positions()
    assert (position.symbol, position.quantity) == ("AAA", D(10))
    assert position.gain == position.value - 10 * position.average_cost
    fills = [subject for name, subject in venue.handler.events if name == "fill"]
    assert len(fills) == 1
    statuses = [s.status for n, s in venue.handler.events if n == "status" and isinstance(s, Order)]
    assert statuses[-1] is S.FILLED
    assert statuses.count(S.FILLED) == 1


async def test_an_order_is_found_by_each_of_its_ids(venue: Venue) -> None:
    sent = await venue.client.submit_order(far())
    assert sent.order_id.isdecimal()
    assert await venue.client.get_order_status(sent.order_id) == await venue.client.get_order_status("o-1")
    assert [known.client_order_id for known in venue.client.orders()] == ["o-1"]


async def test_an_order_without_an_id_is_given_one(venue: Venue) -> None:
    sent = await venue.client.submit_order(order(Side.BUY, name=None, limit_price=FAR))
    assert sent.client_order_id == "made-1"


async def test_a_limit_order_waits_for_its_price(venue: Venue) -> None:
    await venue.client.submit_order(order(Side.SELL, limit_price=104.5))
    await venue.step(2)
    assert await venue.status("o-1") is S.SUBMITTED
    await venue.step(6)
    assert await venue.status("o-1") is S.FILLED


@pytest.mark.parametrize(
    "terms",
    [
        {"order_type": OrderType.STOP, "stop_price": 103.5},
        {"order_type": OrderType.STOP_LIMIT, "stop_price": 103.5, "limit_price": 110},
        {"order_type": OrderType.MARKET_IF_TOUCHED, "stop_price": 95, "side": Side.BUY, "ends": S.SUBMITTED},
        {"order_type": OrderType.LIMIT_IF_TOUCHED, "stop_price": 103, "limit_price": 103, "side": Side.SELL},
        {"order_type": OrderType.TRAIL, "trail_amount": 1, "side": Side.SELL},
        {"order_type": OrderType.TRAIL_LIMIT, "trail_amount": 1, "limit_offset": 3, "side": Side.SELL},
        {"order_type": OrderType.TRAIL, "trail_percent": 30, "side": Side.SELL, "ends": S.SUBMITTED},
    ],
    ids=lambda terms: terms["order_type"].value,
)
async def test_contingent_orders_wait_for_their_trigger(venue: Venue, terms: dict[str, Any]) -> None:
    terms = dict(terms)
    ends, side = terms.pop("ends", S.FILLED), terms.pop("side", Side.BUY)
    sent = await venue.client.submit_order(order(side, time_in_force=TimeInForce.GTC, **terms))
    assert sent.status is S.SUBMITTED
    await venue.step(6)
    assert await venue.status("o-1") is ends


async def test_the_same_id_with_the_same_body_is_sent_once(venue: Venue) -> None:
    first = await venue.client.submit_order(far())
    again = await venue.client.submit_order(far())
    assert (again.order_id, again.status) == (first.order_id, S.SUBMITTED)
    with pytest.raises(DuplicateOrderError):
        await venue.client.submit_order(order(Side.BUY, 11, limit_price=FAR))
    assert len(await venue.client.get_open_orders()) == 1


async def test_a_rule_refuses_before_anything_is_sent(venue: Venue) -> None:
    with pytest.raises(RiskCheckError) as refusal:
        await venue.client.submit_order(far(quantity=1_000))
    assert refusal.value.rule == "CALLBACK"
    assert venue.client.orders() == []


@pytest.mark.parametrize(
    "wrong", [{"limit_price": D("50.001")}, {"limit_price": FAR, "account": "DU999"}, {"quantity": D("1.5")}]
)
async def test_what_the_contract_does_not_take_is_refused_unsent(venue: Venue, wrong: dict[str, Any]) -> None:
    terms: dict[str, Any] = {"limit_price": FAR, "quantity": D(10), **wrong}
    request = OrderRequest(
        "AAA", terms.pop("quantity"), OrderType.LIMIT, Side.BUY, client_order_id="o-1", **terms
    )
    with pytest.raises(InvalidOrderError):
        await venue.client.submit_order(request)
    assert venue.client.orders() == []


async def test_a_cancelled_order_ends_once_and_cannot_be_cancelled_again(venue: Venue) -> None:
    await venue.client.submit_order(far())
    await venue.client.cancel_order("o-1")
    await venue.settled()
    assert await venue.status("o-1") is S.CANCELLED
    ends = [
        s for n, s in venue.handler.events if n == "status" and isinstance(s, Order) and s.status.is_final
    ]
    assert len(ends) == 1
    with pytest.raises(UnknownOrderError):
        await venue.client.cancel_order("o-1")
    with pytest.raises(UnknownOrderError):
        await venue.client.cancel_order("nobody")


async def test_an_order_is_changed_in_place(venue: Venue) -> None:
    sent = await venue.client.submit_order(far())
    changed = await venue.client.modify_order("o-1", limit_price=D(51), quantity=D(7))
    assert (changed.order_id, changed.limit_price, changed.quantity) == (sent.order_id, D(51), D(7))
    assert changed.status is S.SUBMITTED
    await venue.client.modify_order("o-1", order_type=OrderType.MARKET)
    await venue.step()
    assert await venue.status("o-1") is S.FILLED
    with pytest.raises(NotModifiableError):
        await venue.client.modify_order("o-1", quantity=D(8))


async def test_a_change_that_changes_nothing_is_not_sent(venue: Venue) -> None:
    sent = await venue.client.submit_order(far())
    assert await venue.client.modify_order("o-1", limit_price=FAR) == sent


@pytest.mark.parametrize(("profit", "loss", "fills"), [(104.5, 50, "o-1-tp"), (200, 102, "o-1-sl")])
async def test_the_first_exit_of_a_bracket_ends_the_other(
    venue: Venue, profit: float, loss: float, fills: str
) -> None:
    orders = await venue.client.submit_bracket(
        order(Side.BUY),
        order(Side.SELL, name=None, limit_price=profit),
        order(Side.SELL, name=None, order_type=OrderType.STOP, stop_price=loss),
    )
    assert [one.client_order_id for one in orders] == ["o-1", "o-1-tp", "o-1-sl"]
    await venue.step(5)
    ended = {name: await venue.status(name) for name in ("o-1", "o-1-tp", "o-1-sl")}
    other = "o-1-sl" if fills == "o-1-tp" else "o-1-tp"
    assert ended == {"o-1": S.FILLED, fills: S.FILLED, other: S.CANCELLED}
    assert await venue.client.get_positions() == []


async def test_exits_wait_for_their_entry_and_end_with_it(venue: Venue) -> None:
    await venue.client.submit_bracket(
        far(),
        order(Side.SELL, name=None, limit_price=101),
        order(Side.SELL, name=None, order_type=OrderType.STOP, stop_price=40),
    )
    await venue.step(3)
    assert {one.status for one in await venue.client.get_open_orders()} == {S.SUBMITTED}
    assert len(await venue.client.get_open_orders()) == 3
    await venue.client.cancel_order("o-1")
    await venue.settled()
    assert {one.status for one in venue.client.orders()} == {S.CANCELLED}


async def test_a_bracket_can_be_sent_without_waiting(venue: Venue) -> None:
    sent = venue.client.bracket(
        far(),
        order(Side.SELL, name=None, limit_price=101),
        order(Side.SELL, name=None, order_type=OrderType.STOP, stop_price=40),
    )
    assert {one.status for one in sent} == {S.PENDING}
    await venue.settled()
    assert {one.status for one in venue.client.orders()} == {S.SUBMITTED}


@pytest.mark.parametrize("oca_type", [1, 2, 3])
async def test_an_order_that_fills_ends_its_group(venue: Venue, oca_type: int) -> None:
    for name, price, quantity in (("o-1", "104.5", 4), ("o-2", "200", 10)):
        await venue.client.submit_order(
            OrderRequest(
                "AAA",
                D(quantity),
                OrderType.LIMIT,
                Side.SELL,
                limit_price=D(price),
                client_order_id=name,
                time_in_force=TimeInForce.GTC,
                oca_group="g",
                oca_type=oca_type,
            )
        )
    await venue.step(6)
    assert (await venue.status("o-1"), await venue.status("o-2")) == (S.FILLED, S.CANCELLED)


async def test_what_cannot_trade_at_once_ends_at_once_if_it_should(venue: Venue) -> None:
    await venue.client.submit_order(far(time_in_force=TimeInForce.IOC))
    await venue.step()
    assert await venue.status("o-1") is S.CANCELLED


async def test_all_orders_are_cancelled_with_their_ends_confirmed(venue: Venue) -> None:
    for name in ("o-1", "o-2"):
        await venue.client.submit_order(far(name))
    assert await venue.client.cancel_all() == {}
    assert {one.status for one in venue.client.orders()} == {S.CANCELLED}
    assert await venue.client.get_open_orders() == []


async def test_flattening_leaves_neither_orders_nor_positions(venue: Venue) -> None:
    await venue.client.submit_order(order(Side.BUY))
    await venue.client.submit_order(order(Side.SELL, 5, name="o-2", symbol="BBB"))
    await venue.step()
    await venue.client.submit_order(far("o-3"))
    done = await venue.client.flatten()
    assert (done.is_complete, done.cancelled) == (True, ["o-3"])
    assert {(one.symbol, one.side, one.quantity) for one in done.closing} == {
        ("AAA", Side.SELL, D(10)),
        ("BBB", Side.BUY, D(5)),
    }
    await venue.step()
    assert await venue.client.get_positions() == []


async def test_margins_are_told_and_nothing_is_placed(venue: Venue) -> None:
    impact = await venue.client.what_if(order(Side.BUY, limit_price=100))
    assert impact.initial_change is not None
    assert impact.equity_after is not None
    assert venue.client.orders() == []
    await venue.client.submit_order(far())
    assert await venue.status("o-1") is S.SUBMITTED


async def test_the_account_moves_by_fills_and_commissions(venue: Venue) -> None:
    before = await venue.client.get_account_summary()
    assert before["NetLiquidation"] == before["TotalCashValue"] == 1_000_000
    await venue.client.submit_order(order(Side.BUY))
    await venue.step()
    after = await venue.client.get_account_summary()
    assert after["TotalCashValue"] < 1_000_000 - 990
    assert abs(after["NetLiquidation"] - 1_000_000) < 20
    with pytest.raises(InvalidOrderError):
        await venue.client.get_account_summary("DU999")


async def test_a_lost_connection_is_made_anew_and_orders_are_where_they_were(venue: Venue) -> None:
    await venue.client.submit_order(far())
    await venue.drop()
    assert not venue.ready()
    with pytest.raises(ConnectionError):
        venue.client.submit(far("o-2"))
    await venue.client.ensure_ready()
    assert venue.ready()
    assert await venue.status("o-1") is S.SUBMITTED
    assert [one.client_order_id for one in venue.client.orders()] == ["o-1"]
    changed = await venue.client.modify_order("o-1", quantity=D(9))
    assert (changed.quantity, changed.status) == (D(9), S.SUBMITTED)
    await venue.client.cancel_order("o-1")
    await venue.settled()
    assert await venue.status("o-1") is S.CANCELLED


async def test_a_change_too_late_leaves_the_fill(venue: Venue) -> None:
    await venue.client.submit_order(order(Side.BUY, limit_price=FAR))
    await venue.client.modify_order("o-1", limit_price=D(200))
    await venue.step()
    with pytest.raises((NotModifiableError, ModificationRejectedError)):
        await venue.client.modify_order("o-1", limit_price=D(201))
    assert await venue.status("o-1") is S.FILLED
