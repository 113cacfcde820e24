"""What is not known closes the way for orders until broker and journal agree, over a real socket."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.errors import (
    AcknowledgementTimeoutError,
    BrokerUnavailableError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
)
from execution.models import OrderStatus

from .test_executor import Ledger, buy

if TYPE_CHECKING:
    from .conftest import MakeRig, Rig, ScriptedBroker


def is_ready(r: Rig) -> bool:
    """Look again: to the type checker a property keeps the value of its last assertion."""
    return r.executor.is_ready


async def test_a_code_nobody_knows_makes_the_order_unknown_until_it_is_asked_about(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.error(order_id, 9999))
    await r.manager.session.current_time()
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.UNKNOWN
    broker.open_orders = [broker.open_order(order_id, "o-1"), broker.status(order_id, "Submitted")]
    assert (await r.executor.reconcile()).agrees
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED


async def test_a_missing_acknowledgement_carries_the_unknown_order_and_closes_the_way(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: []
    r = rig(acknowledgement_timeout=0.02, validator=(validator := Ledger()))
    with pytest.raises(TimeoutError) as late:
        await r.executor.submit_order(buy())
    assert isinstance(late.value, AcknowledgementTimeoutError)
    assert late.value.order.status is OrderStatus.UNKNOWN
    assert validator.held == {"o-1": Decimal(10)}
    with pytest.raises(NotReadyError):
        r.executor.submit(buy("o-2"))
    with pytest.raises(OrderInDoubtError, match="o-1"):
        await r.executor.submit_order(buy("o-3"))
    assert len(broker.placed) == 1
    # Folding the journal knows it as unknown too, although no fact of the broker says so.
    await r.shut()
    again = rig()
    assert again.executor.orders()[0].status is OrderStatus.UNKNOWN
    # When the broker shows it, trading goes on.
    order_id = int(broker.placed[0][1])
    broker.open_orders = [broker.open_order(order_id, "o-1")]
    await again.executor.ensure_ready()
    assert again.executor.orders()[0].status is OrderStatus.SUBMITTED


async def test_an_order_never_acknowledged_is_released_only_where_that_is_opted_for(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: []
    r = rig()
    await r.executor.ensure_ready()
    r.executor.submit(buy())
    await r.shut()
    held = rig()
    with pytest.raises(OrderInDoubtError, match="never acknowledged"):
        await held.executor.ensure_ready()
    await held.shut()
    free = rig(release_absent=True)
    await free.executor.ensure_ready()
    assert free.executor.orders()[0].status is OrderStatus.NOT_SENT
    broker.on_place = lambda order_id, ref: [broker.open_order(order_id, ref)]
    order = await free.executor.submit_order(buy())
    assert order.status is OrderStatus.SUBMITTED
    attempts = [e.body["attempt"] for e in free.journal.events() if e.kind == "order_submitted"]
    assert attempts == [1, 2]
    ids = [int(fields[1]) for fields in broker.placed]
    assert ids[0] < ids[1]


async def test_an_acknowledged_order_that_vanished_is_never_released(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(release_absent=True)
    await r.executor.submit_order(buy())
    await r.shut()
    again = rig(release_absent=True)
    with pytest.raises(OrderInDoubtError, match="acknowledged before"):
        await again.executor.ensure_ready()


async def test_after_a_lost_socket_it_reconciles_and_duplicates_nothing(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    await broker.drop()
    await broker.until(lambda: not r.manager.is_connected())
    with pytest.raises(NotConnectedError):
        r.executor.submit(buy("o-2"))
    broker.executions = [broker.execution(order_id, "e.01", ref="o-1"), broker.commission("e.01")]
    broker.positions = [("AAA", "10", "100.5")]
    await r.executor.ensure_ready()
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.FILLED
    await r.executor.reconcile()
    assert r.handler.names().count("fill") == 1
    assert len(broker.placed) == 1
    assert r.manager.epoch == 2


async def test_a_position_break_refuses(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.positions = [("AAA", "7", "100")]
    result = await r.executor.reconcile()
    assert result.breaks == {"AAA": (Decimal(0), Decimal(7))}
    with pytest.raises(NotReadyError):
        r.executor.submit(buy())
    with pytest.raises(OrderInDoubtError, match="position AAA: journal 0, broker 7"):
        await r.executor.ensure_ready()


async def test_the_opening_book_is_adopted_once(rig: MakeRig, broker: ScriptedBroker) -> None:
    broker.positions = [("AAA", "7", "100.25"), ("BBB", "-3", "50")]
    r = rig()
    await r.executor.ensure_ready()
    assert r.executor.opening == {
        "positions": {
            "AAA": {"quantity": "7", "average_cost": "100.25"},
            "BBB": {"quantity": "-3", "average_cost": "50"},
        },
        "cash": "1000000",
        "trading_time": r.clock.now_ns(),
    }
    held = {p.symbol: p.quantity for p in await r.executor.get_positions()}
    assert held == {"AAA": 7, "BBB": -3}
    await r.shut()
    again = rig()
    await again.executor.ensure_ready()
    assert again.kinds().count("opening") == 1


async def test_an_account_without_cash_figure_is_not_taken_as_empty(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.cash = None
    with pytest.raises(BrokerUnavailableError, match="cash"):
        await rig().executor.ensure_ready()


@pytest.mark.parametrize("request_kind", ["16", "99", "7", "61", "62"])
async def test_an_answer_that_does_not_come_concludes_nothing(
    rig: MakeRig, broker: ScriptedBroker, request_kind: str
) -> None:
    broker.mute = {request_kind}
    r = rig(timeout=0.2)
    with pytest.raises(BrokerUnavailableError):
        await r.executor.ensure_ready()
    assert not r.executor.is_ready
    assert "reconciled" not in r.kinds()
    assert not r.manager.is_connected()  # a late end mark must not answer the next request


async def test_1100_freezes_and_1102_needs_a_reconciliation(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.say(broker.error(-1, 1100))
    await r.manager.session.current_time()
    with pytest.raises(NotReadyError):
        r.executor.submit(buy())
    with pytest.raises(NotReadyError, match="lost"):
        await r.executor.ensure_ready()
    await r.executor.reconcile()
    assert not r.executor.is_ready
    broker.say(broker.error(-1, 1102))
    await r.manager.session.current_time()
    with pytest.raises(NotReadyError):
        r.executor.submit(buy())
    before = broker.requests.count("16")
    assert (await r.executor.submit_order(buy())).status is OrderStatus.SUBMITTED
    assert broker.requests.count("16") == before + 1
    assert not r.manager.session.market_data_lost
    broker.say(broker.error(-1, 1101))
    await r.manager.session.current_time()
    assert r.manager.session.market_data_lost


async def test_a_freeze_during_a_reconciliation_is_not_forgotten(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.manager.connect()
    broker.executions = [broker.error(-1, 1100), broker.error(-1, 1102)]
    await r.executor.reconcile()
    assert not r.executor.is_ready
    broker.executions = []
    await r.executor.ensure_ready()
    assert r.executor.is_ready


async def test_an_unreadable_message_forces_a_reconciliation(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.say(broker.execution(1, "e.01", shares="many"))
    await r.manager.session.current_time()
    assert r.manager.session.undecodable == 1
    with pytest.raises(NotReadyError):
        r.executor.submit(buy())
    assert (await r.executor.submit_order(buy())).status is OrderStatus.SUBMITTED


async def test_status_filled_without_executions_keeps_the_order_and_its_reservation(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(validator=(validator := Ledger()))
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.status(order_id, "Filled", "10"))
    await r.manager.session.current_time()
    assert [o.client_order_id for o in await r.executor.get_open_orders()] == ["o-1"]
    broker.positions = [("AAA", "10", "100.5")]
    r.executor._rooms.desk.gate.close()
    with pytest.raises(OrderInDoubtError, match="reports 10 filled"):
        await r.executor.ensure_ready()
    assert validator.held == {"o-1": Decimal(10)}
    broker.executions = [broker.execution(order_id, "e.01", ref="o-1")]
    await r.executor.ensure_ready()
    assert validator.held == {}


async def test_a_cancel_that_reports_more_filled_than_is_known_keeps_the_reservation(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(validator=(validator := Ledger()))
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.status(order_id, "Cancelled", "4"))
    await r.manager.session.current_time()
    assert validator.held == {"o-1": Decimal(10)}
    await r.shut()
    again = rig(validator=(restored := Ledger()))
    assert restored.held == {"o-1": Decimal(10)}
    await again.manager.connect()
    broker.executions = [broker.execution(order_id, "e.01", "4", ref="o-1")]
    broker.positions = [("AAA", "4", "100.5")]
    await again.executor.ensure_ready()
    assert restored.held == {}
    (order,) = again.executor.orders()
    assert (order.status, order.filled_quantity) == (OrderStatus.CANCELLED, Decimal(4))


async def test_an_order_taken_as_never_sent_that_turns_out_working_is_reserved_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: []
    r = rig(release_absent=True, validator=(validator := Ledger()))
    await r.executor.ensure_ready()
    r.executor.submit(buy())
    await r.executor.reconcile()
    assert (r.executor.orders()[0].status, validator.held) == (OrderStatus.NOT_SENT, {})
    broker.say(broker.open_order(int(broker.placed[0][1]), "o-1"))
    await r.manager.session.current_time()
    assert r.executor.orders()[0].status is OrderStatus.SUBMITTED
    assert validator.held == {"o-1": Decimal(10)}
    assert r.executor.submit(buy()).status is OrderStatus.SUBMITTED
    assert len(broker.placed) == 1


async def test_what_was_on_its_way_is_found_by_a_later_look(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(quarantine=0.3)
    broker.on_place = lambda order_id, ref: []
    await r.executor.ensure_ready()
    r.executor.submit(buy())
    await broker.until(lambda: len(broker.placed) == 1)
    order_id = int(broker.placed[0][1])
    asyncio.get_running_loop().call_later(
        0.1,
        broker.open_orders.extend,
        [broker.open_order(order_id, "o-1"), broker.status(order_id, "Submitted")],
    )
    result = await r.executor.reconcile()
    assert result.agrees
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED


async def test_an_order_without_an_answer_makes_a_reconciliation_due(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(acknowledgement_timeout=0.1)
    broker.on_place = lambda order_id, ref: []
    await r.executor.ensure_ready()
    r.executor.submit(buy())
    assert is_ready(r)
    await asyncio.sleep(0.15)
    assert not is_ready(r)
    with pytest.raises(NotReadyError):
        r.executor.submit(buy("o-2"))


@pytest.mark.parametrize("code", [10147, 4711, 201])
async def test_an_error_that_leaves_an_order_open_to_question_makes_a_reconciliation_due(
    rig: MakeRig, broker: ScriptedBroker, code: int
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    broker.say(broker.error(int(broker.placed[0][1]), code))
    await broker.until(lambda: not r.executor.is_ready)
    with pytest.raises(NotReadyError):
        r.executor.submit(buy("o-2"))


async def test_a_corrected_execution_is_booked_and_submissions_wait_until_the_positions_agree(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.execution(order_id, "e.01", "10", ref="o-1"), broker.status(order_id, "Filled", "10"))
    broker.say(broker.execution(order_id, "e.02", "7", ref="o-1"))
    await broker.until(lambda: not r.executor.is_ready)
    broker.positions = [("AAA", "10", "100.5")]
    with pytest.raises(OrderInDoubtError, match="position AAA: journal 7, broker 10"):
        await r.executor.ensure_ready()
    broker.positions = [("AAA", "7", "100.5")]
    await r.executor.ensure_ready()
    assert r.executor.is_ready
    assert r.executor.inbox.net == {"AAA": Decimal(7)}


async def test_a_position_in_another_kind_of_contract_is_not_added_up(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    row = broker._position(("AAA", "5", "210")).replace(b"STK", b"OPT")
    monkeypatch.setattr(broker, "_position", lambda _: row)
    broker.positions = [("AAA", "5", "210")]
    assert (await r.executor.reconcile()).agrees
    assert await r.executor.get_positions() == []


async def test_an_error_is_weighed_for_the_order_it_concerns_whatever_others_are_called(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.on_place = lambda order_id, ref: [
        broker.open_order(order_id, "2"),
        broker.execution(order_id, "a.01", ref="2"),
    ]
    await r.executor.submit_order(buy("2"))
    broker.on_place = lambda order_id, ref: [
        broker.open_order(order_id, ref),
        broker.status(order_id, "Submitted"),
    ]
    working = await r.executor.submit_order(buy("o-9"))
    number = r.executor.blotter.entries["o-9"].order_id
    r.executor.blotter.entries[str(number)] = r.executor.blotter.entries["2"]
    assert working.status is OrderStatus.SUBMITTED
    broker.say(broker.error(number, 9999))
    await broker.until(lambda: r.executor.blotter.entries["o-9"].status is OrderStatus.UNKNOWN)
    assert not r.executor.is_ready
