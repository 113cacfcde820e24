"""Brackets and OCA groups: orders as a whole, on the simulated gateway and after every kind of break."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.config import GatewayConfig
from execution.desk.submission import bracket_of
from execution.errors import (
    AcknowledgementTimeoutError,
    DuplicateOrderError,
    InvalidOrderError,
    JournalError,
    NotConnectedError,
    OrderInDoubtError,
    PacingError,
    RiskCheckError,
)
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from strategies.spec import CostSpec

from .desk.test_modification import cut_rig
from .test_executor import Ledger

if TYPE_CHECKING:
    from .conftest import MakeFloor, MakeRig, ScriptedBroker

T = OrderType


def leg(
    kind: OrderType, side: Side, name: str | None = None, quantity: int = 10, **prices: Any
) -> OrderRequest:
    amounts: dict[str, Any] = {
        key: Decimal(str(value)) if key.endswith("price") else value for key, value in prices.items()
    }
    return OrderRequest("AAA", Decimal(quantity), kind, side, client_order_id=name, **amounts)


def bracket(profit: float = 106, loss: float = 80) -> tuple[OrderRequest, OrderRequest, OrderRequest]:
    return (
        leg(T.MARKET, Side.BUY, "o-1"),
        leg(T.LIMIT, Side.SELL, limit_price=profit),
        leg(T.STOP, Side.SELL, stop_price=loss),
    )


@pytest.mark.parametrize(("profit", "loss", "fills"), [(102.5, 80, "o-1-tp"), (200, 100.5, "o-1-sl")])
async def test_the_exit_that_fills_ends_the_other(
    floor: MakeFloor, profit: float, loss: float, fills: str
) -> None:
    async with floor() as f:
        await f.step()
        orders = await f.executor.submit_bracket(*bracket(profit, loss))
        assert [order.client_order_id for order in orders] == ["o-1", "o-1-tp", "o-1-sl"]
        assert {order.status for order in orders} == {OrderStatus.SUBMITTED}
        await f.step(5)
        ends = {order.client_order_id: order.status for order in f.executor.orders()}
        other = {"o-1-tp": "o-1-sl", "o-1-sl": "o-1-tp"}[fills]
        assert ends == {
            "o-1": OrderStatus.FILLED,
            fills: OrderStatus.FILLED,
            other: OrderStatus.CANCELLED,
        }
        assert (await f.executor.reconcile()).agrees
        assert await f.executor.get_positions() == []


async def test_a_bracket_ends_with_its_entry(floor: MakeFloor) -> None:
    async with floor() as f:
        entry, profit, loss = bracket()
        entry = leg(T.LIMIT, Side.BUY, "o-1", limit_price=50)
        await f.executor.submit_bracket(entry, profit, loss)
        assert await f.executor.cancel_all() == {}
        assert {order.status for order in f.executor.orders()} == {OrderStatus.CANCELLED}


async def test_an_exit_of_a_bracket_is_changed_and_stays_in_it(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_bracket(*bracket(200, 80))
        await f.executor.modify_order("o-1-tp", limit_price=Decimal("102.5"))
        await f.step(5)
        ends = {order.client_order_id: order.status for order in f.executor.orders()}
        assert (ends["o-1-tp"], ends["o-1-sl"]) == (OrderStatus.FILLED, OrderStatus.CANCELLED)


async def test_three_intents_are_one_commit_and_only_the_last_order_transmits(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    commits: list[int] = []
    commit = r.journal.commit

    def counted() -> None:
        commits.append(len(broker.placed))
        commit()

    monkeypatch.setattr(r.journal, "commit", counted)
    order_ids = [order.order_id for order in r.executor._rooms.submission.submit_bracket(_named())]
    assert commits == [0]
    await broker.until(lambda: len(broker.placed) == 3)
    assert [fields[1] for fields in broker.placed] == order_ids
    assert [flags(fields) for fields in broker.placed] == [
        ("0", "0"),
        ("0", order_ids[0]),
        ("1", order_ids[0]),
    ]


def flags(fields: list[str]) -> tuple[str, str]:
    """Transmit flag and parent id of an order on the wire: they follow its reference."""
    at = next(i for i, field in enumerate(fields) if field.startswith("o-1"))
    return fields[at + 1], fields[at + 2]


def _named() -> list[OrderRequest]:
    return bracket_of(*bracket(), "o-x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({1: leg(T.LIMIT, Side.BUY, limit_price=110)}, "opposite"),
        ({1: leg(T.LIMIT, Side.SELL, quantity=9, limit_price=110)}, "quantity"),
        ({1: leg(T.MARKET, Side.SELL)}, "no limit"),
        ({2: leg(T.MARKET, Side.SELL)}, "no stop"),
        ({2: leg(T.STOP, Side.SELL, stop_price=80, account="DU9")}, "account"),
        ({2: leg(T.STOP, Side.SELL, stop_price=80, oca_group="g")}, "group"),
        ({2: leg(T.STOP, Side.SELL, "o-1", stop_price=80)}, "three client order ids"),
        ({2: leg(T.STOP, Side.SELL, stop_price=80.123)}, "tick"),
    ],
)
async def test_what_is_no_bracket_is_refused_whole(
    rig: MakeRig, broker: ScriptedBroker, change: dict[int, OrderRequest], message: str
) -> None:
    r = rig()
    legs = [change.get(number, part) for number, part in enumerate(bracket())]
    with pytest.raises(InvalidOrderError, match=message):
        await r.executor.submit_bracket(*legs)
    assert (broker.placed, r.executor.orders()) == ([], [])


async def test_a_refused_entry_sends_none_and_reserves_nothing(rig: MakeRig, broker: ScriptedBroker) -> None:
    validator = Ledger(limit=5)
    r = rig(validator=validator)
    with pytest.raises(RiskCheckError):
        await r.executor.submit_bracket(*bracket())
    assert (broker.placed, validator.held) == ([], {})
    assert r.kinds().count("order_refused") == 3
    with pytest.raises(RiskCheckError):
        await r.executor.submit_bracket(*bracket())


async def test_a_callback_is_asked_about_all_three(floor: MakeFloor) -> None:
    asked: list[str | None] = []

    def rule(request: OrderRequest) -> bool:
        asked.append(request.client_order_id)
        return request.order_type is not OrderType.STOP

    async with floor(risk_check_callback=rule) as f:
        with pytest.raises(RiskCheckError):
            await f.executor.submit_bracket(*bracket())
        assert asked == ["o-1", "o-1-tp", "o-1-sl"]
        assert f.book.open_tickets() == []


async def test_the_same_bracket_again_sends_nothing(floor: MakeFloor) -> None:
    async with floor() as f:
        first = await f.executor.submit_bracket(*bracket())
        assert await f.executor.submit_bracket(*bracket()) == first
        assert len(f.book.open_tickets()) == 3
        with pytest.raises(DuplicateOrderError, match="stands outside"):
            await f.executor.submit_bracket(
                bracket()[0],
                leg(T.LIMIT, Side.SELL, "p-2", limit_price=106),
                leg(T.STOP, Side.SELL, "p-3", stop_price=80),
            )


async def test_all_three_must_find_room_in_the_second(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    client: Any = r.manager.session._ib.client
    client.MaxRequests = len(client._timeQ) + 5  # three are kept for cancels: two orders would go
    with pytest.raises(PacingError):
        await r.executor.submit_bracket(*bracket())
    assert (broker.placed, r.executor.orders()) == ([], [])


async def test_a_session_gone_between_the_writes_leaves_the_first_in_doubt(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    place = r.manager.session.place

    def once(*args: Any, **more: Any) -> None:
        if more["parent_id"]:
            raise NotConnectedError("gone")
        place(*args, **more)

    monkeypatch.setattr(r.manager.session, "place", once)
    with pytest.raises(NotConnectedError):
        await r.executor.submit_bracket(*bracket())
    assert [order.status for order in r.executor.orders()] == [
        OrderStatus.UNKNOWN,
        OrderStatus.NOT_SENT,
        OrderStatus.NOT_SENT,
    ]
    assert not r.executor.is_ready


async def test_a_dead_journal_stops_all_three(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.ensure_ready()

    def dead() -> None:
        raise JournalError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(r.journal, "commit", dead)
        with pytest.raises(JournalError):
            await r.executor.submit_bracket(*bracket())
    assert (broker.placed, validator.held) == ([], {})
    assert {order.status for order in r.executor.orders()} == {OrderStatus.NOT_SENT}


async def test_silence_leaves_the_orders_unknown(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(acknowledgement_timeout=0.2)
    broker.on_place = lambda *_: []
    with pytest.raises(AcknowledgementTimeoutError):
        await r.executor.submit_bracket(*bracket())
    assert r.executor.orders()[0].status is OrderStatus.UNKNOWN
    with pytest.raises(OrderInDoubtError):
        await r.executor.ensure_ready()
    assert {order.status for order in r.executor.orders()} == {OrderStatus.UNKNOWN}


async def test_the_journal_cut_after_any_event_of_a_bracket_never_sends_it_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    """A process died between the commit and the last answer; the broker has nothing."""
    r = rig()
    await r.executor.submit_bracket(*bracket())
    events = [(event.kind, event.body) for event in r.journal.events()]
    await r.shut()
    sent = len(broker.placed)
    kinds = [kind for kind, _ in events]
    begun = kinds.index("order_submitted") + 3  # one commit: all three or none
    assert kinds[begun - 3 : begun] == ["order_submitted"] * 3
    for cut in range(begun, len(events) + 1):
        restarted = cut_rig(r, broker, r.journal.path.with_name(f"cut-{cut}.db"), events[:cut])
        orders = restarted.executor.orders()
        assert [order.client_order_id for order in orders] == ["o-1", "o-1-tp", "o-1-sl"]
        assert restarted.executor.blotter.entries["o-1-sl"].parent == "o-1"
        with pytest.raises(OrderInDoubtError):
            await restarted.executor.ensure_ready()
        assert {order.status for order in restarted.executor.orders()} == {OrderStatus.UNKNOWN}
        with pytest.raises(OrderInDoubtError):
            await restarted.executor.submit_bracket(*bracket())
        assert len(broker.placed) == sent
        await restarted.shut()


async def test_a_bracket_is_found_again_after_a_restart(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_bracket(*bracket(200, 80))
        await f.shut()
        f.another()
        await f.executor.ensure_ready()
        await f.executor.modify_order("o-1-tp", limit_price=Decimal("102.5"))
        await f.step(5)
        assert (await f.executor.get_order_status("o-1-tp")).status is OrderStatus.FILLED
        assert (await f.executor.reconcile()).agrees


@pytest.mark.parametrize(("oca_type", "end"), [(1, OrderStatus.CANCELLED), (2, OrderStatus.CANCELLED)])
async def test_the_first_of_an_oca_group_to_fill_ends_the_others(
    floor: MakeFloor, oca_type: int, end: OrderStatus
) -> None:
    async with floor() as f:
        await f.step()
        for name, price in (("o-1", 200), ("o-2", 50)):
            await f.executor.submit_order(
                leg(T.LIMIT, Side.BUY, name, limit_price=price, oca_group="pair", oca_type=oca_type)
            )
        await f.step(2)
        assert (await f.executor.get_order_status("o-1")).status is OrderStatus.FILLED
        assert (await f.executor.get_order_status("o-2")).status is end
        assert (await f.executor.reconcile()).agrees


async def test_a_partial_fill_reduces_the_mates_of_an_oca_group(floor: MakeFloor) -> None:
    config = GatewayConfig(costs=CostSpec(participation=Decimal("0.004")))  # of 1000 a bar
    async with floor(config=config) as f:
        await f.step()
        group: dict[str, Any] = {"oca_group": "pair", "oca_type": 3}
        await f.executor.submit_order(leg(T.LIMIT, Side.BUY, "o-1", limit_price=200, **group))
        await f.executor.submit_order(leg(T.LIMIT, Side.BUY, "o-2", limit_price=50, **group))
        await f.step()
        order = await f.executor.get_order_status("o-2")
        assert (order.status, order.quantity) == (OrderStatus.SUBMITTED, Decimal(6))
        assert (await f.executor.reconcile()).agrees
