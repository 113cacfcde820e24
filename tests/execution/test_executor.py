"""The order path over the real ib_insync and a real socket, against a broker that follows a script."""

from __future__ import annotations

import asyncio
import inspect
import sqlite3
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.broker import BrokerAdapter, ExecutionEngine
from execution.connection import IBKRConnectionManager
from execution.errors import (
    AcknowledgementTimeoutError,
    BrokerUnavailableError,
    DuplicateOrderError,
    InvalidOrderError,
    JournalError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
    OrderRejectedError,
    PacingError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.events import RiskDecision
from execution.executor import IBKROrderExecutor
from execution.models import Fill, Order, OrderRequest, OrderStatus, OrderType, Side
from execution.testing import RecordingHandler

if TYPE_CHECKING:
    from .conftest import MakeRig, Rig, ScriptedBroker


def buy(name: str | None = "o-1", quantity: str = "10", **more: Any) -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id=name, **more)


class Ledger:
    """A validator that keeps reservations as plain quantities."""

    def __init__(self, limit: int = 100) -> None:
        self.limit = Decimal(limit)
        self.held: dict[str, Decimal] = {}
        self.prices: list[Decimal | None] = []

    def evaluate(self, request: OrderRequest) -> RiskDecision:
        if sum(self.held.values(), request.quantity) > self.limit:
            return RiskDecision(False, "LIMIT", "too much", (("LIMIT", str(self.limit), "more"),))
        return RiskDecision(True)

    def reserve(self, request: OrderRequest, price: Decimal | None = None) -> Decimal | None:
        assert request.client_order_id not in self.held
        self.held[request.client_order_id or ""] = request.quantity
        self.prices.append(price)
        return Decimal("99.5") if price is None else price

    def release(self, client_order_id: str) -> None:
        self.held.pop(client_order_id, None)

    def on_fill(self, fill: Fill) -> None:
        if fill.client_order_id in self.held:
            self.held[fill.client_order_id] -= fill.quantity


def test_the_interface_is_the_one_that_was_asked_for() -> None:
    executor = inspect.signature(IBKROrderExecutor.__init__).parameters
    assert list(executor)[1:3] == ["connection_manager", "risk_check_callback"]
    assert executor["risk_check_callback"].default is None
    manager = inspect.signature(IBKRConnectionManager.__init__).parameters
    assert [manager[n].default for n in ("host", "port", "client_id", "readonly")] == [
        "127.0.0.1",
        7497,
        1,
        False,
    ]
    for name in ("submit_order", "cancel_order", "get_order_status", "get_open_orders", "get_positions"):
        assert inspect.iscoroutinefunction(getattr(IBKROrderExecutor, name))
    for name in ("connect", "disconnect", "ensure_connected"):
        assert inspect.iscoroutinefunction(getattr(IBKRConnectionManager, name))
    assert issubclass(IBKROrderExecutor, ExecutionEngine)
    assert issubclass(IBKROrderExecutor, BrokerAdapter)


async def test_an_order_is_submitted_acknowledged_filled_and_told(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    order = await r.executor.submit_order(buy())
    assert (order.status, order.order_id) == (OrderStatus.SUBMITTED, str(1000 + int(broker.placed[0][1])))
    order_id = int(broker.placed[0][1])
    broker.say(
        broker.execution(order_id, "e.01"), broker.commission("e.01"), broker.status(order_id, "Filled", "10")
    )
    await broker.until(lambda: "fill" in r.handler.names())
    fill = next(item for name, item in r.handler.events if name == "fill")
    assert isinstance(fill, Fill)
    assert (fill.fill_id, fill.commission, fill.client_order_id) == ("o-1-1", Decimal("1.25"), "o-1")
    done = await r.executor.get_order_status("o-1")
    assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, Decimal(10))
    assert await r.executor.get_open_orders() == []
    assert await r.executor.get_order_status(done.order_id) == done


async def test_the_intent_is_durable_before_a_byte_is_sent(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    seen: list[list[str]] = []
    reader = sqlite3.connect(r.journal.path)
    place = r.manager.session.place

    def watched(*args: Any, **more: Any) -> None:
        seen.append([kind for (kind,) in reader.execute("SELECT kind FROM events")])
        place(*args, **more)

    monkeypatch.setattr(r.manager.session, "place", watched)
    r.executor.submit(buy())
    reader.close()
    assert seen[0][-1] == "order_submitted"


async def test_nothing_is_written_to_the_socket_while_the_journal_is_dead(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.ensure_ready()
    blocker = sqlite3.connect(r.journal.path, isolation_level=None)
    r.journal._db.execute("PRAGMA busy_timeout=0")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError):
        r.executor.submit(buy())
    assert validator.held == {}
    blocker.execute("ROLLBACK")
    blocker.close()
    await r.executor.manager.session.current_time()
    assert broker.placed == []
    # Once it can be written again the same order goes out, as a second attempt.
    assert (await r.executor.submit_order(buy())).status is OrderStatus.SUBMITTED
    assert [e.body["attempt"] for e in r.journal.events() if e.kind == "order_submitted"] == [1, 2]
    assert len(broker.placed) == 1


async def test_the_same_id_returns_the_stored_order_and_another_body_is_refused(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    first = await r.executor.submit_order(buy())
    assert await r.executor.submit_order(buy()) == first
    with pytest.raises(DuplicateOrderError, match="o-1"):
        r.executor.submit(buy(quantity="11"))
    assert len(broker.placed) == 1


async def test_a_request_without_id_gets_one(rig: MakeRig) -> None:
    r = rig(new_id=lambda: "o-made")
    assert (await r.executor.submit_order(buy(None))).client_order_id == "o-made"


async def test_a_refusal_is_audited_stored_and_sends_nothing(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(validator=Ledger(limit=5))
    with pytest.raises(RiskCheckError) as refused:
        await r.executor.submit_order(buy())
    assert refused.value.rule == "LIMIT"
    (event,) = [e for e in r.journal.events() if e.kind == "order_refused"]
    assert event.body["decision"]["checks"] == [["LIMIT", "5", "more"]]
    await r.shut()
    again = rig(validator=Ledger(limit=500))
    await again.executor.ensure_ready()
    with pytest.raises(RiskCheckError, match="too much"):
        again.executor.submit(buy())
    again.executor.record_refusal(buy(), RiskDecision(False, "LIMIT", "too much"))
    assert again.kinds().count("order_refused") == 1
    assert broker.placed == []


async def test_a_refusal_told_by_the_risk_manager_stands_for_the_same_order(rig: MakeRig) -> None:
    r = rig()
    await r.executor.ensure_ready()
    r.executor.record_refusal(buy(), RiskDecision(False, "LIMIT", "too much"))
    with pytest.raises(RiskCheckError):
        r.executor.submit(buy())


async def test_a_callback_that_says_no_refuses(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(risk_check_callback=lambda request: request.quantity < 5)
    with pytest.raises(RiskCheckError):
        await r.executor.submit_order(buy())
    assert (await r.executor.submit_order(buy("o-2", "4"))).status is OrderStatus.SUBMITTED


async def test_a_read_only_connection_sends_no_order_and_no_cancel(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(readonly=True)
    with pytest.raises(RiskCheckError) as refused:
        await r.executor.submit_order(buy())
    assert refused.value.rule == "READ_ONLY"
    with pytest.raises(RiskCheckError):
        await r.executor.cancel_order("o-1")
    assert broker.placed == []


async def test_a_size_that_the_wire_cannot_carry_is_refused_before_anything_is_recorded(rig: MakeRig) -> None:
    r = rig()
    await r.executor.ensure_ready()
    with pytest.raises(InvalidOrderError, match="quantity"):
        r.executor.submit(buy(quantity="1.5"))
    assert "order_submitted" not in r.kinds()


async def test_no_session_means_nothing_sent(rig: MakeRig) -> None:
    r = rig()
    with pytest.raises(NotConnectedError):
        r.executor.submit(buy())
    await r.manager.connect()
    with pytest.raises(NotReadyError):
        r.executor.submit(buy())


async def test_a_broker_reject_of_a_new_order_raises_with_its_reason(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: [broker.error(order_id, 201, "margin")]
    r = rig(validator=(validator := Ledger()))
    with pytest.raises(OrderRejectedError, match="201: margin"):
        await r.executor.submit_order(buy())
    assert r.handler.names() == ["status", "rejected"]
    assert validator.held == {}


@pytest.mark.parametrize("code", [10349, 161, 110, 201, 103, 105, 399, 2109, 10148, 202])
async def test_a_code_on_an_acknowledged_order_does_not_end_it(
    rig: MakeRig, broker: ScriptedBroker, code: int
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    broker.say(broker.error(int(broker.placed[0][1]), code))
    await r.manager.session.current_time()
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.SUBMITTED


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


async def test_cancel_is_recorded_and_asked_for_and_the_broker_decides(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    order = await r.executor.submit_order(buy())
    await r.executor.cancel_order(order.order_id)
    await broker.until(lambda: broker.cancelled == [broker.placed[0][1]])
    assert "order_cancelled" in r.kinds()
    broker.say(broker.status(int(broker.placed[0][1]), "Cancelled"))
    await r.manager.session.current_time()
    with pytest.raises(UnknownOrderError, match="CANCELLED"):
        await r.executor.cancel("o-1")
    with pytest.raises(UnknownOrderError):
        await r.executor.get_order_status("nobody")


async def test_a_handler_that_raises_does_not_stop_the_others(rig: MakeRig, broker: ScriptedBroker) -> None:
    class Broken:
        def on_order_status(self, order: Order) -> None:
            raise RuntimeError("a bug of a receiver")

        def on_fill(self, fill: Fill) -> None: ...

        def on_order_rejected(self, order: Order, reason: str) -> None: ...

    r = rig()
    r.executor.inbox.add_handler(Broken())
    r.executor.inbox.add_handler(last := RecordingHandler())
    await r.executor.submit_order(buy())
    assert r.handler.names() == last.names() == ["status"]
    assert r.executor.inbox.failures == 1


async def test_a_dry_run_sends_no_bytes_and_is_audited_as_such(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(dry_run=True)
    order = await r.executor.submit_order(buy())
    assert order.status is OrderStatus.NOT_SENT
    assert r.executor.submit(buy()) == order
    await r.manager.session.current_time()
    assert broker.placed == []
    (event,) = [e for e in r.journal.events() if e.kind == "order_submitted"]
    assert event.body["dry_run"] is True


async def test_an_order_of_another_client_with_the_same_order_id_is_not_ours(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.on_place = lambda order_id, ref: []
    r = rig()
    await r.executor.ensure_ready()
    order = r.executor.submit(buy())
    order_id = int(order.order_id)
    broker.say(broker.status(order_id, "Cancelled", client=9, perm=77))
    await r.manager.session.current_time()
    assert r.executor.orders()[0].status is OrderStatus.PENDING


async def test_grouped_facts_wait_until_the_inbox_is_closed(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(grouped=True)
    await r.executor.ensure_ready()
    r.executor.submit(buy())
    await r.manager.session.current_time()
    assert r.executor.orders()[0].status is OrderStatus.PENDING
    r.executor.close_inbox()
    assert r.executor.orders()[0].status is OrderStatus.SUBMITTED
    broker.say(broker.execution(int(broker.placed[0][1]), "e.01"))
    await r.manager.session.current_time()
    r.executor.close_inbox()
    assert r.kinds()[-1] == "barrier"
    r.executor.close_inbox()
    assert r.kinds().count("barrier") == 1


async def test_the_broker_face_gives_orders_positions_and_account(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    assert [o.client_order_id for o in await r.executor.open_orders()] == ["o-1"]
    assert await r.executor.positions() == []
    assert await r.executor.get_account_summary() == {"TotalCashValue": Decimal("1000000.00")}


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


async def test_a_session_gone_before_the_write_gives_the_order_up_as_not_sent(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()

    def gone(*_: Any, **_more: Any) -> None:
        raise NotConnectedError("gone")

    monkeypatch.setattr(r.manager.session, "place", gone)
    with pytest.raises(NotConnectedError):
        r.executor.submit(buy())
    assert r.executor.orders()[0].status is OrderStatus.NOT_SENT


def use_up_the_second(r: Rig) -> int:
    """Submit until the pacing limit refuses; return how many were accepted."""
    for count in range(60):
        try:
            r.executor.submit(buy(f"o-many-{count}"))
        except PacingError:
            return count
    raise AssertionError("sixty orders in a second were accepted")


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


async def test_a_reference_that_another_journal_used_is_not_sent_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.open_orders = [broker.open_order(7, "o-1"), broker.status(7, "Submitted")]
    r = rig()
    await r.executor.ensure_ready()
    with pytest.raises(OrderInDoubtError, match="knows nothing of"):
        r.executor.submit(buy("o-1"))
    assert broker.placed == []
    assert (await r.executor.submit_order(buy("o-2"))).status is OrderStatus.SUBMITTED


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


def is_ready(r: Rig) -> bool:
    """Look again: to the type checker a property keeps the value of its last assertion."""
    return r.executor.is_ready


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


async def test_numbers_of_a_new_session_begin_above_those_of_earlier_orders(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    used = int(broker.placed[0][1])
    await r.manager.disconnect()
    broker.next_id = 1
    await r.manager.connect()
    assert r.manager.session.next_order_id > used


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


async def test_a_commit_that_fails_on_arrival_is_owed_and_submissions_wait(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])

    def fail() -> None:
        raise JournalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(r.journal, "commit", fail)
        broker.say(broker.execution(order_id, "e.01", "10", ref="o-1"))
        await broker.until(lambda: not r.executor.is_ready)
    assert r.handler.names().count("fill") == 0
    broker.positions = [("AAA", "10", "100.5")]
    await r.executor.ensure_ready()
    assert r.handler.names().count("fill") == 1


async def test_a_reservation_is_restored_at_the_price_it_was_made_at(rig: MakeRig) -> None:
    first = rig(validator=Ledger())
    await first.executor.submit_order(buy())
    (sent,) = [event.body for event in first.journal.events() if event.kind == "order_submitted"]
    assert sent["reserved_price"] == "99.5"
    await first.shut()
    again = Ledger()
    rig(validator=again)
    assert again.held == {"o-1": Decimal(10)}
    assert again.prices == [Decimal("99.5")]


async def test_a_grouped_executor_finds_the_answer_that_waits_in_its_own_inbox(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(grouped=True, acknowledgement_timeout=1.0)
    assert (await r.executor.submit_order(buy("o-1"))).status is OrderStatus.SUBMITTED
    exits = (
        OrderRequest("AAA", Decimal(10), OrderType.LIMIT, Side.SELL, limit_price=Decimal(200)),
        OrderRequest("AAA", Decimal(10), OrderType.STOP, Side.SELL, stop_price=Decimal(50)),
    )
    legs = await r.executor.submit_bracket(buy("o-2"), *exits)
    assert {leg.status for leg in legs} == {OrderStatus.SUBMITTED}


def let_the_journal_die_after_a_write(r: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every commit fail from the next order that is written."""
    place = r.manager.session.place

    def dead() -> None:
        raise JournalError("no space")

    def place_and_die(*args: Any, **options: Any) -> None:
        place(*args, **options)
        monkeypatch.setattr(r.journal, "commit", dead)

    monkeypatch.setattr(r.manager.session, "place", place_and_die)


async def test_an_order_that_is_sent_is_never_said_to_be_unsent_by_a_journal_that_dies_then(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(acknowledgement_timeout=0.4)
    await r.executor.ensure_ready()
    commit = r.journal.commit
    let_the_journal_die_after_a_write(r, monkeypatch)
    broker.on_place = lambda order_id, ref: []
    with pytest.raises(AcknowledgementTimeoutError) as raised:
        await r.executor.submit_order(buy("o-1"))
    assert raised.value.order.status is OrderStatus.UNKNOWN
    assert not r.executor.is_ready
    monkeypatch.setattr(r.journal, "commit", commit)
    r.executor.inbox.close()
    assert r.handler.names() == ["status"]


async def test_an_order_whose_news_could_not_be_committed_in_time_is_what_they_say_and_not_unknown(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(acknowledgement_timeout=0.4)
    await r.executor.ensure_ready()
    commit = r.journal.commit
    let_the_journal_die_after_a_write(r, monkeypatch)
    with suppress(AcknowledgementTimeoutError, JournalError):
        await r.executor.submit_order(buy("o-1"))
    monkeypatch.setattr(r.journal, "commit", commit)
    r.executor.inbox.close()
    order = r.executor.known("o-1")
    assert order is not None
    assert order.status is OrderStatus.SUBMITTED
    assert "order_doubted" not in {event.kind for event in r.journal.events()}


async def test_an_opening_that_could_not_be_committed_at_once_opens_the_book_all_the_same(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    log = r.executor.audit.log

    def fails_after(kind: str, **body: Any) -> None:
        r.executor.audit.note(kind, **body)
        if kind == "opening":
            raise JournalError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(r.executor.audit, "log", fails_after)
        with pytest.raises(JournalError):
            await r.executor.ensure_ready()
    assert r.executor.audit.log == log
    await r.executor.ensure_ready()
    assert r.executor.blotter.book_open
    assert r.kinds().count("opening") == 1


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
