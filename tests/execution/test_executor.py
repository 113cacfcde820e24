"""The order path over the real ib_insync and a real socket, against a broker that follows a script."""

from __future__ import annotations

import inspect
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.broker import BrokerAdapter, ExecutionEngine
from execution.connection import IBKRConnectionManager
from execution.errors import (
    DuplicateOrderError,
    InvalidOrderError,
    NotConnectedError,
    NotReadyError,
    OrderInDoubtError,
    OrderRejectedError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.events import RiskDecision
from execution.executor import IBKROrderExecutor
from execution.models import Fill, Order, OrderRequest, OrderStatus, OrderType, Side
from execution.testing import RecordingHandler

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker


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


async def test_the_broker_face_gives_orders_positions_and_account(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    assert [o.client_order_id for o in await r.executor.open_orders()] == ["o-1"]
    assert await r.executor.positions() == []
    assert await r.executor.get_account_summary() == {"TotalCashValue": Decimal("1000000.00")}


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
