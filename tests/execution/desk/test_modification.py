"""Changes of orders at work, over a real socket: on the simulated gateway, and against scripted answers."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.wire.codec import message, split
from execution.errors import (
    AcknowledgementTimeoutError,
    InvalidOrderError,
    JournalError,
    ModificationRejectedError,
    NotConnectedError,
    NotModifiableError,
    NotReadyError,
    RiskCheckError,
    UnknownOrderError,
)
from execution.journal import SqliteJournal
from execution.models import OrderRequest, OrderStatus, OrderType, Side

from ..test_executor import Ledger

if TYPE_CHECKING:
    from ..conftest import MakeFloor, MakeRig, Rig, ScriptedBroker


def limit(price: str = "90", quantity: str = "10", name: str = "o-1", **more: Any) -> OrderRequest:
    return OrderRequest(
        "AAA",
        Decimal(quantity),
        OrderType.LIMIT,
        Side.BUY,
        limit_price=Decimal(price),
        client_order_id=name,
        **more,
    )


async def test_price_and_size_are_changed_under_the_same_permanent_id(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        before = await f.executor.submit_order(limit())
        after = await f.executor.modify_order("o-1", quantity=Decimal(20), limit_price=Decimal(91))
        assert (after.order_id, after.quantity, after.limit_price) == (
            before.order_id,
            Decimal(20),
            Decimal(91),
        )
        assert after.status is OrderStatus.SUBMITTED
        assert len(f.book.open_tickets()) == 1
        kinds = f.kinds()
        assert kinds.index("order_modifying") < kinds.index("order_modified")
        assert (await f.executor.reconcile()).agrees
        again = await f.executor.submit_order(limit())  # the id still names the order that was asked for
        assert again.quantity == 20


async def test_a_limit_order_becomes_a_market_order_and_fills(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(limit())
        after = await f.executor.modify_order("o-1", order_type=OrderType.MARKET)
        assert (after.order_type, after.limit_price) == (OrderType.MARKET, None)
        await f.step(2)
        assert (await f.executor.get_order_status("o-1")).status is OrderStatus.FILLED


@pytest.mark.parametrize(
    ("request_", "change"),
    [
        (
            OrderRequest(
                "AAA", Decimal(10), OrderType.STOP, Side.SELL, stop_price=Decimal(80), client_order_id="o-1"
            ),
            {"stop_price": Decimal(81)},
        ),
        (
            OrderRequest(
                "AAA", Decimal(10), OrderType.TRAIL, Side.SELL, trail_amount=Decimal(9), client_order_id="o-1"
            ),
            {"trail_amount": Decimal(8)},
        ),
    ],
    ids=["stop", "trail"],
)
async def test_a_stop_and_a_trailing_distance_are_changed(
    floor: MakeFloor, request_: OrderRequest, change: dict[str, Decimal]
) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(request_)
        await f.executor.modify_order("o-1", **change)  # type: ignore[arg-type]  # a row of the table
        entry = f.executor.blotter.entries["o-1"]
        assert {name: getattr(entry.request, name) for name in change} == change


async def test_what_changes_nothing_sends_nothing(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.executor.submit_order(limit())
        await f.executor.modify_order("o-1", limit_price=Decimal(90))
        assert "order_modifying" not in f.kinds()


async def test_the_state_is_checked_before_anything_is_sent(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(limit(name="o-1"))
    order_id = int(broker.placed[0][1])
    with pytest.raises(UnknownOrderError):
        await r.executor.modify_order("o-9", quantity=Decimal(5))
    with pytest.raises(InvalidOrderError, match="tick"):
        await r.executor.modify_order("o-1", limit_price=Decimal("90.123"))
    with pytest.raises(InvalidOrderError, match="stop_price"):
        await r.executor.modify_order("o-1", stop_price=Decimal(80))
    broker.say(broker.execution(order_id, "e.01", "4"), broker.status(order_id, "Submitted", "4"))
    await broker.until(lambda: "fill" in r.handler.names())
    with pytest.raises(InvalidOrderError, match="4 of order o-1 are filled"):
        await r.executor.modify_order("o-1", quantity=Decimal(4))
    broker.say(broker.status(order_id, "Cancelled", "4"))
    await broker.until(lambda: r.executor.blotter.entries["o-1"].status.is_final)
    with pytest.raises(NotModifiableError, match="CANCELLED"):
        await r.executor.modify_order("o-1", quantity=Decimal(20))
    assert len(broker.placed) == 1
    assert "order_modifying" not in r.kinds()


@pytest.mark.parametrize("code", [104, 105, 110, 201, 321, 329, 10052])
async def test_a_rejecting_code_leaves_the_original_at_work(
    rig: MakeRig, broker: ScriptedBroker, code: int
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda number, _ref: [broker.error(number, code)]
    with pytest.raises(ModificationRejectedError, match=str(code)) as caught:
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    order = caught.value.context["order"]
    assert (order.status, order.quantity, order.reason) == (OrderStatus.SUBMITTED, Decimal(10), None)
    assert validator.held == {"o-1": 10}
    assert r.executor.is_ready
    assert int(broker.placed[1][1]) == order_id
    broker.say(broker.execution(order_id, "e.01"))
    await broker.until(lambda: r.executor.blotter.entries["o-1"].status is OrderStatus.FILLED)


async def test_a_change_the_rules_refuse_is_not_sent_and_the_reservation_stays(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    validator = Ledger(limit=25)
    r = rig(validator=validator)
    await r.executor.submit_order(limit())
    with pytest.raises(RiskCheckError, match="too much"):
        await r.executor.modify_order("o-1", quantity=Decimal(26))
    assert (validator.held, len(broker.placed)) == ({"o-1": Decimal(10)}, 1)
    assert r.kinds()[-1] == "order_modify_refused"


async def test_the_larger_of_old_and_new_is_reserved_until_the_answer(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    validator = Ledger()
    r = rig(validator=validator, acknowledgement_timeout=5.0)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    for wanted, held in (("30", 30), ("5", 30)):
        broker.on_place = lambda *_: []
        change = asyncio.create_task(r.executor.modify_order("o-1", quantity=Decimal(wanted)))
        await broker.until(lambda: r.executor.blotter.entries["o-1"].modification is not None)
        assert validator.held == {"o-1": held}
        with pytest.raises(NotModifiableError, match="under way"):
            await r.executor.modify_order("o-1", quantity=Decimal(12))
        broker.say(open_order(broker, order_id, wanted, "90"))
        assert (await change).quantity == Decimal(wanted)
        assert validator.held == {"o-1": Decimal(wanted)}


async def test_a_fill_before_the_answer_counts_against_the_larger_size(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda number, _ref: [
        broker.execution(number, "e.01", "10"),
        broker.status(number, "Filled", "10"),
        broker.error(number, 104),
    ]
    with pytest.raises(ModificationRejectedError, match="filled before"):
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    order = await r.executor.get_order_status("o-1")
    assert (order.status, order.filled_quantity, validator.held) == (OrderStatus.FILLED, Decimal(10), {})
    assert order_id == int(broker.placed[1][1])


async def test_more_than_the_old_size_filled_shows_that_the_change_was_made(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(limit())
    broker.on_place = lambda number, _ref: [broker.execution(number, "e.01", "12")]
    order = await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert (order.status, order.quantity) == (OrderStatus.PARTIALLY_FILLED, Decimal(30))


async def test_an_unknown_code_makes_the_order_unknown_and_asks(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(acknowledgement_timeout=0.3)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda number, _ref: [broker.error(number, 9999)]
    with pytest.raises(AcknowledgementTimeoutError) as caught:
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert caught.value.order.status is OrderStatus.UNKNOWN
    assert not r.executor.is_ready
    broker.open_orders = [open_order(broker, order_id, "30", "90"), broker.status(order_id, "Submitted")]
    await r.executor.ensure_ready()
    order = await r.executor.get_order_status("o-1")
    assert (order.status, order.quantity) == (OrderStatus.SUBMITTED, Decimal(30))


async def test_silence_makes_it_unknown_and_the_old_terms_in_the_list_end_the_change(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    validator = Ledger()
    r = rig(acknowledgement_timeout=0.3, validator=validator)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda *_: []
    with pytest.raises(TimeoutError):
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert validator.held == {"o-1": 30}
    broker.open_orders = [open_order(broker, order_id, "10", "90"), broker.status(order_id, "Submitted")]
    await r.executor.ensure_ready()
    order = await r.executor.get_order_status("o-1")
    assert (order.status, order.quantity, validator.held) == (
        OrderStatus.SUBMITTED,
        Decimal(10),
        {"o-1": Decimal(10)},
    )
    assert r.executor.blotter.entries["o-1"].modification is None


async def test_while_tws_has_lost_the_broker_no_change_is_sent(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.say(broker.error(-1, 1100))
    await broker.until(lambda: r.executor.is_frozen)
    with pytest.raises(NotReadyError):
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert len(broker.placed) == 1
    broker.say(broker.error(-1, 1102))
    await broker.until(lambda: not r.executor.is_frozen)
    broker.open_orders = [open_order(broker, order_id, "10", "90")]
    broker.on_place = lambda number, _ref: [open_order(broker, number, "30", "90")]
    assert (await r.executor.modify_order("o-1", quantity=Decimal(30))).quantity == 30


async def test_a_read_only_connection_changes_nothing(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(readonly=True)
    with pytest.raises(RiskCheckError, match="read-only"):
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert broker.placed == []


async def test_a_session_gone_before_the_write_leaves_the_order_as_it_was(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.submit_order(limit())

    def gone(*_: Any, **_more: Any) -> None:
        raise NotConnectedError("gone")

    monkeypatch.setattr(r.manager.session, "place", gone)
    with pytest.raises(NotConnectedError):
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert (validator.held, len(broker.placed)) == ({"o-1": Decimal(10)}, 1)
    assert r.executor.blotter.entries["o-1"].modification is None


async def test_a_journal_that_cannot_be_written_stops_the_change(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.submit_order(limit())

    def dead() -> None:
        raise JournalError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(r.journal, "commit", dead)
        with pytest.raises(JournalError):
            await r.executor.modify_order("o-1", quantity=Decimal(30))
    assert (validator.held, len(broker.placed)) == ({"o-1": Decimal(10)}, 1)
    r.executor.audit.commit()
    assert r.kinds()[-2:] == ["order_modifying", "order_modified"]


async def test_terms_changed_by_somebody_else_are_taken(rig: MakeRig, broker: ScriptedBroker) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.say(open_order(broker, order_id, "6", "89"))
    await broker.until(lambda: "order_modified" in r.kinds())
    order = await r.executor.get_order_status("o-1")
    assert (order.quantity, order.limit_price, validator.held) == (
        Decimal(6),
        Decimal(89),
        {"o-1": Decimal(6)},
    )
    broker.say(broker.execution(order_id, "e.01", "6"))
    await broker.until(lambda: r.executor.blotter.entries["o-1"].status is OrderStatus.FILLED)


async def test_an_order_whose_cancel_is_asked_for_is_not_changed_any_more(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    await r.executor.cancel_order("o-1")  # the broker does not answer: it may have ended the order
    with pytest.raises(NotModifiableError, match="cancel"):
        await r.executor.modify_order("o-1", quantity=Decimal(30))
    await broker.until(lambda: bool(broker.cancelled))
    assert (len(broker.placed), "order_modifying" in r.kinds()) == (1, False)
    await broker.drop()  # the next session's list says whether the cancel arrived
    broker.open_orders = [open_order(broker, order_id, "10", "90"), broker.status(order_id, "Submitted")]
    broker.next_id = order_id + 1
    await r.manager.connect()
    await r.executor.ensure_ready()
    broker.on_place = lambda number, _ref: [open_order(broker, number, "30", "90")]
    assert (await r.executor.modify_order("o-1", quantity=Decimal(30))).quantity == 30


async def test_an_order_of_before_is_not_changed_where_the_brokers_ids_count_from_lower_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.next_id = 40
    r = rig()
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda number, _ref: [open_order(broker, number, "30", "90")]
    await r.executor.modify_order("o-1", quantity=Decimal(30))  # TWS counts on from what is sent to it
    await broker.drop()
    broker.next_id = 20
    broker.open_orders = [open_order(broker, order_id, "30", "90"), broker.status(order_id, "Submitted")]
    await r.manager.connect()
    await r.executor.ensure_ready()
    with pytest.raises(
        NotModifiableError, match=rf"from 20 again, below this order's {order_id}.*Cancel it.*anew"
    ):
        await r.executor.modify_order("o-1", quantity=Decimal(40))
    assert (len(broker.placed), r.kinds().count("order_modifying")) == (2, 1)
    await r.executor.cancel_order("o-1")
    await broker.until(lambda: broker.cancelled == [str(order_id)])
    broker.on_place = lambda number, ref: [broker.open_order(number, ref), broker.status(number, "Submitted")]
    await r.executor.submit_order(limit(name="o-2"))  # this session's own can be changed
    broker.on_place = lambda number, _ref: [open_order(broker, number, "40", "90", "o-2")]
    assert (await r.executor.modify_order("o-2", quantity=Decimal(40))).quantity == 40


async def test_after_a_refused_cancel_an_order_shown_at_work_can_be_changed_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    for name in ("o-1", "o-2"):
        await r.executor.submit_order(limit(name=name, oca_group="g"))
    order_id = int(broker.placed[0][1])
    await r.executor.cancel_order("o-1")
    broker.say(broker.status(order_id, "Submitted"), broker.error(order_id, 10148))
    await broker.until(lambda: not r.executor.is_ready)
    entry = r.executor.blotter.entries["o-1"]
    assert r.executor._rooms.desk.gate.may_be_ending(entry)  # the refusal alone does not say that it lives
    broker.open_orders = [
        shown
        for number, name in ((order_id, "o-1"), (order_id + 1, "o-2"))
        for shown in (open_order(broker, number, "10", "90", name), broker.status(number, "Submitted"))
    ]
    await r.executor.ensure_ready()
    for name in ("o-1", "o-2"):

        def shows_it(number: int, _ref: str, ref: str = name) -> list[bytes]:
            return [open_order(broker, number, "30", "90", ref)]

        broker.on_place = shows_it
        assert (await r.executor.modify_order(name, quantity=Decimal(30))).quantity == 30


async def test_of_two_cancels_the_refusal_of_one_says_nothing_of_the_other(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    await r.executor.cancel_order("o-1")
    await r.executor.cancel_order("o-1")
    broker.say(broker.error(order_id, 10148))
    await broker.until(lambda: not r.executor.is_ready)
    broker.open_orders = [open_order(broker, order_id, "10", "90"), broker.status(order_id, "Submitted")]
    await r.executor.ensure_ready()
    with pytest.raises(NotModifiableError, match="cancel"):
        await r.executor.modify_order("o-1", quantity=Decimal(30))


async def test_a_cancel_of_one_order_of_a_group_bars_changes_of_the_others(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    for name in ("o-1", "o-2"):
        await r.executor.submit_order(limit(name=name, oca_group="g"))
    await r.executor.submit_order(limit(name="o-3"))
    await r.executor.cancel_order("o-1")
    with pytest.raises(NotModifiableError, match="cancel"):
        await r.executor.modify_order("o-2", quantity=Decimal(30))
    broker.on_place = lambda number, _ref: [broker.error(number, 105)]
    with pytest.raises(ModificationRejectedError):
        await r.executor.modify_order("o-3", quantity=Decimal(30))


async def test_a_session_that_ends_amid_a_change_makes_the_order_unknown(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(acknowledgement_timeout=0.5)
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda *_: []
    change = asyncio.create_task(r.executor.modify_order("o-1", quantity=Decimal(30)))
    await broker.until(lambda: len(broker.placed) == 2)
    await broker.drop()
    with pytest.raises(TimeoutError):
        await change
    await r.manager.connect()
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.UNKNOWN
    with pytest.raises(NotModifiableError):
        r.executor._rooms.modifying.write(r.executor.blotter.entries["o-1"], {"quantity": Decimal(12)})
    broker.open_orders = [open_order(broker, order_id, "30", "90"), broker.status(order_id, "Submitted")]
    await r.executor.ensure_ready()
    assert (await r.executor.get_order_status("o-1")).quantity == 30
    assert len(broker.placed) == 2


async def test_the_journal_cut_after_any_event_of_a_change_is_never_resent(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(limit())
    order_id = int(broker.placed[0][1])
    broker.on_place = lambda number, _ref: [open_order(broker, number, "30", "91")]
    await r.executor.modify_order("o-1", quantity=Decimal(30), limit_price=Decimal(91))
    events = [(event.kind, event.body) for event in r.journal.events()]
    await r.shut()
    sent = len(broker.placed)
    begun = [kind for kind, _ in events].index("order_submitted") + 1
    for cut in range(begun, len(events) + 1):
        path = r.journal.path.with_name(f"cut-{cut}.db")
        restarted = cut_rig(r, broker, path, events[:cut])
        broker.open_orders = [
            open_order(broker, order_id, "30", "91"),
            broker.status(order_id, "Submitted"),
        ]
        entry = restarted.executor.blotter.entries["o-1"]
        assert entry.larger.quantity == (30 if "order_modifying" in restarted.kinds() else 10)
        await restarted.executor.ensure_ready()
        order = await restarted.executor.get_order_status("o-1")
        assert (order.status, order.quantity, order.limit_price) == (
            OrderStatus.SUBMITTED,
            Decimal(30),
            Decimal(91),
        )
        assert len(broker.placed) == sent
        await restarted.shut()


def cut_rig(r: Rig, broker: ScriptedBroker, path: Any, events: list[tuple[str, Any]]) -> Rig:
    """Return a rig on a journal that ends after these events."""
    journal = SqliteJournal(path, r.clock.now_ns)
    for kind, body in events:
        journal.append(kind, body)
    journal.commit()
    journal.close()
    return type(r)(broker, path)


def open_order(broker: ScriptedBroker, order_id: int, quantity: str, price: str, ref: str = "o-1") -> bytes:
    fields = split(broker.open_order(order_id, ref)[4:])
    fields[14], fields[15], fields[16], fields[17] = quantity, "LMT", price, "0.0"
    return message(*fields)
