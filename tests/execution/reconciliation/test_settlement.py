"""What a person settles: orders in doubt and positions that differ, over a broker that follows a script."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.errors import InvalidOrderError, JournalError, OrderInDoubtError, SettlementError
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.reconciliation.doubts import DoubtKind, Resolution
from execution.reconciliation.lapses import ASKED

if TYPE_CHECKING:
    from ..conftest import MakeRig, Rig, ScriptedBroker

WHO: dict[str, Any] = {"by": "A. Smith", "reason": "looked in TWS"}


def buy(name: str = "o-1", quantity: str = "10") -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id=name)


async def lost(make: MakeRig, broker: ScriptedBroker) -> Rig:
    """Write an order that nobody ever answers, end, and come back to a broker that knows nothing of it."""
    broker.on_place = lambda order_id, ref: []
    first = make()
    await first.executor.ensure_ready()
    first.executor.submit(buy())
    await first.shut()
    again = make()
    with pytest.raises(OrderInDoubtError):
        await again.executor.ensure_ready()
    return again


async def test_a_doubt_says_what_is_known_what_was_asked_and_what_to_do(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await lost(rig, broker)
    (doubt,) = r.executor.doubts()
    assert (doubt.kind, doubt.name, doubt.session, doubt.last_status) == (DoubtKind.ORDER, "o-1", 1, None)
    assert doubt.asked == ASKED
    assert "never acknowledged" in doubt.reason
    assert "only if it is nowhere: `trade orders resolve o-1 --as not-sent" in doubt.next_step
    assert [line.partition("Z ")[2] or line for line in doubt.evidence]
    assert "recorded before sending, attempt 1" in doubt.evidence[0]
    assert doubt.as_dict()["order"] == "BUY 10 AAA MARKET, UNKNOWN, filled 0"


async def test_a_doubt_that_stands_is_recorded_once_and_again_when_it_comes_back(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await lost(rig, broker)
    for _ in range(3):
        assert not (await r.executor.reconcile()).agrees
    assert r.kinds().count("order_doubted") == 1
    order_id = int(broker.placed[0][1])
    broker.say(broker.open_order(order_id, "o-1"), broker.status(order_id, "Submitted"))
    await broker.until(lambda: r.executor.orders()[0].status is OrderStatus.SUBMITTED)
    assert not (await r.executor.reconcile()).agrees
    assert r.kinds().count("order_doubted") == 2
    assert r.executor.orders()[0].status is OrderStatus.UNKNOWN


async def test_before_the_broker_was_asked_the_next_step_is_to_ask(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    await (await lost(rig, broker)).shut()
    (doubt,) = rig().executor.doubts()
    assert doubt.asked == ()
    assert "trade orders reconcile" in doubt.next_step


async def test_an_order_settled_as_not_sent_may_be_sent_again_and_stays_settled(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await lost(rig, broker)
    settled = await r.executor.resolve("o-1", Resolution.NOT_SENT, **WHO)
    assert settled.status is OrderStatus.NOT_SENT
    assert settled.reason == "settled as not-sent by A. Smith: looked in TWS"
    assert r.executor.is_ready
    assert r.executor.doubts() == []
    (event,) = [e for e in r.journal.events() if e.kind == "order_resolved"]
    assert (event.body["by"], event.body["reason"]) == ("A. Smith", "looked in TWS")
    await r.shut()
    again = rig()
    assert again.executor.orders() == [settled]
    broker.on_place = lambda order_id, ref: [broker.open_order(order_id, ref)]
    assert (await again.executor.submit_order(buy())).status is OrderStatus.SUBMITTED


async def test_an_order_settled_as_filled_is_booked_and_the_positions_must_agree(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await lost(rig, broker)
    settled = await r.executor.resolve("o-1", Resolution.FILLED, price=Decimal("99.5"), **WHO)
    assert (settled.status, settled.average_fill_price) == (OrderStatus.FILLED, Decimal("99.5"))
    assert not r.executor.is_ready
    (doubt,) = r.executor.doubts()
    assert (doubt.kind, doubt.reason) == (
        DoubtKind.POSITION,
        "the journal amounts to 10, the broker holds 0",
    )
    broker.positions = [("AAA", "10", "99.5")]
    await r.executor.ensure_ready()
    await r.shut()
    again = rig()
    assert again.executor.inbox.net == {"AAA": Decimal(10)}
    assert again.executor.orders() == [settled]
    await again.executor.ensure_ready()


async def test_the_brokers_execution_takes_the_place_of_the_one_entered_by_hand(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await lost(rig, broker)
    broker.positions = [("AAA", "4", "99.5")]
    settled = await r.executor.resolve(
        "o-1", Resolution.CANCELLED, quantity=Decimal(4), price=Decimal("99.5"), **WHO
    )
    assert (settled.status, settled.filled_quantity) == (OrderStatus.CANCELLED, Decimal(4))
    order_id = int(broker.placed[0][1])
    broker.say(broker.execution(order_id, "late.01", "4", ref="o-1"))
    await broker.until(lambda: not r.executor.is_ready)
    await r.executor.ensure_ready()
    found = await r.executor.get_order_status("o-1")
    assert (found.status, found.filled_quantity, found.average_fill_price) == (
        OrderStatus.CANCELLED,
        Decimal(4),
        Decimal("100.5"),
    )
    assert r.executor.inbox.net == {"AAA": Decimal(4)}


async def test_an_order_that_turns_out_to_live_is_open_again(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = await lost(rig, broker)
    await r.executor.resolve("o-1", Resolution.CANCELLED, **WHO)
    order_id = int(broker.placed[0][1])
    broker.open_orders = [broker.open_order(order_id, "o-1"), broker.status(order_id, "Submitted")]
    await r.executor.reconcile()
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED


async def test_what_the_broker_can_tell_is_not_settled_by_hand(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = await lost(rig, broker)
    order_id = int(broker.placed[0][1])
    broker.open_orders = [broker.open_order(order_id, "o-1"), broker.status(order_id, "Submitted")]
    with pytest.raises(SettlementError, match="the order is SUBMITTED; there is nothing to settle"):
        await r.executor.resolve("o-1", Resolution.NOT_SENT, **WHO)
    broker.open_orders = [broker.open_order(order_id, "o-1"), broker.status(order_id, "Inactive")]
    with pytest.raises(SettlementError, match="the broker lists it as open"):
        await r.executor.resolve("o-1", Resolution.REJECTED, **WHO)
    assert "order_resolved" not in r.kinds()


@pytest.mark.parametrize("missing", [{"by": " "}, {"reason": ""}, {"by": "x" * 301}])
async def test_a_settlement_needs_a_name_and_a_reason(
    rig: MakeRig, broker: ScriptedBroker, missing: dict[str, str]
) -> None:
    r = await lost(rig, broker)
    with pytest.raises(SettlementError, match="by, reason"):
        await r.executor.resolve("o-1", Resolution.NOT_SENT, **{**WHO, **missing})


@pytest.mark.parametrize(
    ("resolution", "more", "match"),
    [
        (Resolution.NOT_SENT, {"quantity": Decimal(1)}, "has no executions"),
        (Resolution.FILLED, {}, "give a positive price"),
        (Resolution.FILLED, {"quantity": Decimal(4), "price": Decimal(1)}, "use cancelled"),
        (Resolution.CANCELLED, {"quantity": Decimal(11), "price": Decimal(1)}, "at most the 10"),
    ],
)
async def test_figures_that_do_not_fit_the_order_settle_nothing(
    rig: MakeRig, broker: ScriptedBroker, resolution: Resolution, more: dict[str, Any], match: str
) -> None:
    r = await lost(rig, broker)
    with pytest.raises(InvalidOrderError, match=match):
        await r.executor.resolve("o-1", resolution, **WHO, **more)
    assert r.executor.orders()[0].status is OrderStatus.UNKNOWN


async def test_fills_that_the_broker_reports_and_does_not_show_can_be_entered(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.execution(order_id, "e.01", "6", ref="o-1"), broker.status(order_id, "Filled", "10"))
    await broker.until(lambda: "fill" in r.handler.names())
    broker.positions = [("AAA", "10", "100.5")]
    await r.executor.reconcile()
    doubts = {d.name: d for d in r.executor.doubts()}
    assert "find the 4 in the trade log" in doubts["o-1"].next_step
    assert doubts["o-1"].last_status == "Filled"
    settled = await r.executor.resolve("o-1", Resolution.FILLED, price=Decimal(101), **WHO)
    assert (settled.status, settled.average_fill_price) == (OrderStatus.FILLED, Decimal("100.7"))
    assert r.executor.is_ready


async def test_a_broken_position_is_accepted_on_record(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    with pytest.raises(SettlementError, match="nothing to accept"):
        await r.executor.adjust_position("AAA", **WHO)
    broker.positions = [("AAA", "7", "100")]
    adjustment = await r.executor.adjust_position("AAA", **WHO)
    assert (adjustment.quantity, adjustment.price, adjustment.by) == (Decimal(7), Decimal(100), "A. Smith")
    assert r.executor.is_ready
    await r.shut()
    again = rig()
    assert again.executor.inbox.net == {"AAA": Decimal(7)}
    await again.executor.ensure_ready()
    assert "adjustment" in again.kinds()


async def test_a_position_is_not_accepted_while_an_order_in_it_is_in_doubt(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await lost(rig, broker)
    broker.positions = [("AAA", "10", "100")]
    with pytest.raises(SettlementError, match="order o-1 in it is in doubt"):
        await r.executor.adjust_position("AAA", **WHO)


async def acknowledged_and_lost(rig: MakeRig, broker: ScriptedBroker, *more: Any) -> Rig:
    """Come back to a broker that had an order and lists it no more."""
    broker.on_place = lambda order_id, ref: [
        broker.open_order(order_id, ref),
        *(one(order_id) for one in more),
    ]
    first = rig()
    await first.executor.submit_order(buy())
    await first.shut()
    again = rig()
    with pytest.raises(OrderInDoubtError):
        await again.executor.ensure_ready()
    return again


async def test_an_order_that_the_broker_had_is_never_settled_as_not_sent(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await acknowledged_and_lost(rig, broker)
    with pytest.raises(SettlementError, match="sent again it could trade twice"):
        await r.executor.resolve("o-1", Resolution.NOT_SENT, **WHO)
    assert "order_resolved" not in r.kinds()


async def test_an_order_with_executions_is_not_settled_as_rejected(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await acknowledged_and_lost(rig, broker, lambda n: broker.execution(n, "a.01", "4", ref="o-1"))
    broker.positions = [("AAA", "4", "100.5")]
    with pytest.raises(SettlementError, match="it has executions"):
        await r.executor.resolve("o-1", Resolution.REJECTED, **WHO)


async def test_what_the_broker_reported_as_filled_is_not_settled_away(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = await acknowledged_and_lost(rig, broker, lambda n: broker.status(n, "Submitted", "4"))
    (doubt,) = r.executor.doubts()
    assert "`trade orders resolve o-1 --as cancelled --quantity 4 --price PRICE" in doubt.next_step
    with pytest.raises(InvalidOrderError, match="give at least that"):
        await r.executor.resolve("o-1", Resolution.CANCELLED, **WHO)
    settled = await r.executor.resolve(
        "o-1", Resolution.CANCELLED, quantity=Decimal(4), price=Decimal(100), **WHO
    )
    assert (settled.status, settled.filled_quantity) == (OrderStatus.CANCELLED, Decimal(4))


@pytest.mark.parametrize("kind", ["order_resolved", "adjustment"])
async def test_what_was_settled_while_the_journal_failed_is_done_as_a_whole_with_its_next_commit(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    r = await lost(rig, broker)
    if kind == "adjustment":
        await r.executor.resolve("o-1", Resolution.NOT_SENT, **WHO)
        broker.positions = [("AAA", "4", "99.5")]
    note, commit = r.executor.audit.note, r.journal.commit

    def dead() -> None:
        raise JournalError("no space")

    def noted(event: str, /, **body: Any) -> None:
        note(event, **body)
        if event == kind:
            monkeypatch.setattr(r.journal, "commit", dead)

    monkeypatch.setattr(r.executor.audit, "note", noted)
    size: dict[str, Any] = {"quantity": Decimal(4), "price": Decimal(100)}
    settling = (
        r.executor.adjust_position("AAA", **WHO)
        if kind == "adjustment"
        else r.executor.resolve("o-1", Resolution.CANCELLED, **size, **WHO)
    )
    with pytest.raises(JournalError):
        await settling
    assert not r.executor.is_ready
    assert not r.executor.inbox.net.get("AAA")
    assert kind not in r.kinds()
    monkeypatch.setattr(r.journal, "commit", commit)
    broker.positions = [("AAA", "4", "99.5")]
    assert (await r.executor.reconcile()).agrees
    assert r.executor.inbox.net == {"AAA": Decimal(4)}
    assert r.kinds().count(kind) == 1
    before = r.executor.orders()
    await r.shut()
    again = rig()
    assert again.executor.orders() == before
    assert again.executor.inbox.net == {"AAA": Decimal(4)}


@pytest.mark.parametrize("text", ["A\nB", "\x1b[2J", "a\u202eb"])
async def test_a_name_or_reason_that_would_not_show_as_it_is_is_refused(
    rig: MakeRig, broker: ScriptedBroker, text: str
) -> None:
    r = await lost(rig, broker)
    for who in ({**WHO, "by": text}, {**WHO, "reason": text}):
        with pytest.raises(SettlementError, match="one line of plain text"):
            await r.executor.resolve("o-1", Resolution.CANCELLED, **who)


async def test_an_order_that_ended_stays_ended_while_executions_of_it_are_missing(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.execution(order_id, "e.01", "2", ref="o-1"), broker.status(order_id, "Cancelled", "6"))
    await broker.until(lambda: r.executor.orders()[0].status is OrderStatus.CANCELLED)
    broker.positions = [("AAA", "6", "100.5")]
    assert "reports 6 filled, its executions show 2" in (await r.executor.reconcile()).in_doubt["o-1"]
    assert not r.executor.is_ready
    await r.shut()
    again = rig()
    (order,) = again.executor.orders()
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELLED, Decimal(2))
    with pytest.raises(OrderInDoubtError):
        await again.executor.ensure_ready()
    (doubt,) = (d for d in again.executor.doubts() if d.kind is DoubtKind.ORDER)
    assert "find the 4 in the trade log" in doubt.next_step
    settled = await again.executor.resolve(
        "o-1", Resolution.CANCELLED, quantity=Decimal(4), price=Decimal(101), **WHO
    )
    assert (settled.status, settled.filled_quantity) == (OrderStatus.CANCELLED, Decimal(6))
    assert again.executor.is_ready
