"""Legs of a bracket that was cut off before its last part are cancelled, on the simulated gateway."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from execution.desk.desk import Desk
from execution.errors import AcknowledgementTimeoutError, NotConnectedError, OrderInDoubtError
from execution.ibkr.session import IBSession
from execution.link.connection_errors import ReadOnlyApiError
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.entries import Entries
from execution.orders.entry import Entry
from execution.orders.evidence import OrderStatusSeen
from execution.reconciliation.claims import Claim
from execution.reconciliation.leftovers import Leftovers
from execution.reconciliation.policies import Unanswered
from execution.reconciliation.reconcile import Reconciliation

if TYPE_CHECKING:
    from ..conftest import Floor, MakeFloor, MakeRig, ScriptedBroker


class Killed(BaseException):
    """The end of the process: nothing in it handles that."""


def leg(name: str, kind: OrderType = OrderType.MARKET, side: Side = Side.BUY, **prices: Any) -> OrderRequest:
    return OrderRequest("AAA", Decimal(10), kind, side, client_order_id=name, **prices)


def bracket() -> tuple[OrderRequest, OrderRequest, OrderRequest]:
    return (
        leg("o", OrderType.LIMIT, Side.BUY, limit_price=Decimal(50)),
        leg("o-tp", OrderType.LIMIT, Side.SELL, limit_price=Decimal(200)),
        leg("o-sl", OrderType.STOP, Side.SELL, stop_price=Decimal(20)),
    )


def cut_off(monkeypatch: pytest.MonkeyPatch, written: int, how: BaseException) -> None:
    """Let writes end with `how` after so many orders."""
    place, count = IBSession.place, 0

    def counting(self: IBSession, *arguments: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        if count > written:
            raise how
        place(self, *arguments, **named)

    monkeypatch.setattr(IBSession, "place", counting)


def held(f: Floor) -> list[str]:
    """Return what the gateway holds back and could still transmit."""
    return [each.order_ref for each in f.book.tickets.values() if not each.told and each.completed_ns is None]


async def end_in_a_bracket(f: Floor, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be killed after the second leg of a bracket was written."""
    with monkeypatch.context() as patch:
        cut_off(patch, 2, Killed())
        with pytest.raises(Killed):
            f.executor.bracket(*bracket())
    await f.executor.manager.session.current_time()
    await f.shut()


@pytest.mark.parametrize("written", [1, 2])
@pytest.mark.parametrize("released", [False, True])
async def test_legs_that_a_killed_process_left_behind_are_cancelled_by_the_next(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, written: int, released: bool
) -> None:
    async with floor() as f:
        with monkeypatch.context() as patch:
            cut_off(patch, written, Killed())
            with pytest.raises(Killed):
                f.executor.bracket(*bracket())
        await f.executor.manager.session.current_time()
        assert held(f) == ["o", "o-tp"][:written]
        await f.shut()
        f.another(release_absent=released)
        await f.executor.ensure_ready()  # a second look has what TWS answered to the cancels
        await f.executor.manager.session.current_time()
        assert held(f) == []
        asked = [event.body for event in f.journal.events() if event.kind == "order_cancelled"]
        assert [body["client_order_id"] for body in asked] == ["o-sl", "o-tp", "o"]
        assert all("cut off" in body["reason"] for body in asked)
        await f.executor.reconcile()
        assert f.kinds().count("order_cancelled") == 3  # once in a session
        if released:
            return
        lapsed = [
            event.body["client_order_id"] for event in f.journal.events() if event.kind == "order_lapsed"
        ]
        assert lapsed == ["o", "o-tp", "o-sl"][written:]  # TWS has none of what was never written
        assert {order.status for order in f.executor.orders()} == {OrderStatus.CANCELLED}
        assert f.executor.is_ready
        ended = f.executor.orders()
        await f.shut()
        assert f.another().orders() == ended  # the record alone says so too


async def test_the_answer_to_a_number_of_another_client_id_is_not_a_legs(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor() as f:
        await end_in_a_bracket(f, monkeypatch)
        f.another(client_id=2)
        with pytest.raises(OrderInDoubtError):
            await f.executor.ensure_ready()
        assert "order_cancelled" not in f.kinds()
        assert held(f) == ["o", "o-tp"]
        assert all("written under client id 1" in doubt.evidence[-1] for doubt in f.executor.doubts())
        assert not (await f.executor.reconcile()).agrees


async def test_a_leg_stays_in_doubt_while_its_cancel_is_not_answered(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor() as f:
        await end_in_a_bracket(f, monkeypatch)
        f.another()
        monkeypatch.setattr(IBSession, "cancel", lambda self, number: None)
        await f.executor.manager.connect()
        for _ in range(2):
            assert set((await f.executor.reconcile()).in_doubt) == {"o", "o-tp", "o-sl"}


async def test_legs_of_a_bracket_that_found_no_room_are_cancelled_in_the_same_session(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor() as f:
        with monkeypatch.context() as patch:
            cut_off(patch, 2, NotConnectedError("gone"))
            with pytest.raises(NotConnectedError):
                f.executor.bracket(*bracket())
        await f.executor.ensure_ready()
        assert held(f) == []
        assert [order.status for order in f.executor.orders()] == [
            OrderStatus.CANCELLED,
            OrderStatus.CANCELLED,
            OrderStatus.NOT_SENT,
        ]


def test_legs_are_found_without_a_look_at_the_other_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    blotter = Blotter(client_id=1, keep_ended=0)
    for number in range(1, 2_000):
        blotter.submitted(Entry(leg(f"many-{number}"), number, 1))
        blotter.apply(OrderStatusSeen(number, 1, number, "Cancelled", Decimal(0), Decimal(10)))
    for number, name in enumerate(("o", "o-tp", "o-sl"), 2_000):
        blotter.submitted(Entry(leg(name), number, 1, parent="o" if name != "o" else ""))
    blotter.submitted(Entry(leg("alone"), 2_003, 1))
    blotter.released("o-sl", "the session was gone before the write")
    desk = cast(Desk, SimpleNamespace(blotter=blotter))
    walks = 0

    def walk(self: Entries) -> Iterator[tuple[str, Entry]]:
        nonlocal walks
        walks += 1
        return old(self)

    old = Entries.walk
    monkeypatch.setattr(Entries, "walk", walk)
    doubted = Reconciliation(in_doubt={"o": "", "o-tp": "", "alone": ""}, released=["o-sl"])
    found = list(Leftovers(desk, Claim())._legs(doubted))
    assert [entry.client_order_id for entry in found] == ["o-sl", "o-tp", "o"]
    assert walks == 0


@pytest.mark.parametrize("policy", Unanswered)
async def test_an_order_that_nobody_answered_is_asked_for_by_its_number_where_that_is_wished(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, policy: Unanswered
) -> None:
    async with floor() as f:
        with monkeypatch.context() as patch:
            cut_off(patch, 0, Killed())
            with pytest.raises(Killed):
                f.executor.submit(bracket()[0])
        await f.shut()
        f.another(unanswered=policy)
        if policy is Unanswered.DOUBT:
            with pytest.raises(OrderInDoubtError):
                await f.executor.ensure_ready()
            assert "order_cancelled" not in f.kinds()
        else:
            await f.executor.ensure_ready()
            (order,) = f.executor.orders()
            assert order.status is OrderStatus.CANCELLED
            assert "TWS has no such order at work (10147: " in (order.reason or "")


@pytest.mark.parametrize(
    ("code", "text"),
    [
        (321, "Error validating request:-'bW' : cause - The API interface is currently in Read-Only mode."),
        (10149, "Invalid order id"),
        (201, "Order rejected - reason: no connection to the exchange"),
    ],
)
async def test_what_tws_answers_to_the_question_for_an_order_is_no_rejection_of_it(
    rig: MakeRig, broker: ScriptedBroker, code: int, text: str
) -> None:
    broker.on_place = lambda order_id, ref: []  # it takes the order and says nothing
    r = rig(acknowledgement_timeout=0.05, unanswered=Unanswered.CANCEL)
    placed = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    with pytest.raises(AcknowledgementTimeoutError):
        await r.executor.submit_order(placed)
    await r.shut()
    plain = broker._answer

    def answer(fields: list[str]) -> list[bytes]:
        return [broker.error(int(fields[2]), code, text)] if fields[0] == "4" else plain(fields)

    broker._answer = answer  # type: ignore[method-assign]
    r = rig(unanswered=Unanswered.CANCEL)
    with pytest.raises((OrderInDoubtError, ReadOnlyApiError)):
        await r.executor.ensure_ready()
    await broker.until(lambda: any(e.body.get("code") == code for e in r.journal.events()))
    with pytest.raises((OrderInDoubtError, ReadOnlyApiError)):
        await r.executor.ensure_ready()
    (doubt,) = r.executor.doubts()
    assert any(f"code {code}" in line for line in doubt.evidence)
    assert r.executor.orders()[0].status is OrderStatus.UNKNOWN
    stand = r.executor.orders()
    await r.shut()
    assert rig().executor.orders() == stand


async def test_that_tws_has_no_such_order_at_work_does_not_say_that_it_was_not_executed(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: []
    r = rig(acknowledgement_timeout=0.05)
    placed = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    with pytest.raises(AcknowledgementTimeoutError):
        await r.executor.submit_order(placed)
    await r.shut()
    broker.positions = [("AAA", "10", "100")]  # and its executions are out of reach
    plain = broker._answer

    def answer(fields: list[str]) -> list[bytes]:
        return [broker.error(int(fields[2]), 10147, "not found")] if fields[0] == "4" else plain(fields)

    broker._answer = answer  # type: ignore[method-assign]
    r = rig(unanswered=Unanswered.CANCEL)
    with pytest.raises(OrderInDoubtError):
        await r.executor.ensure_ready()
    assert r.executor.orders()[0].status is OrderStatus.UNKNOWN
    doubt = next(one for one in r.executor.doubts() if one.order is not None)
    assert doubt.evidence[-1].endswith("the positions differ, by what it could have filled")
    assert "--as filled --price PRICE" in doubt.next_step
