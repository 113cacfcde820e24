"""Values at the edge of what the wire, the journal or arithmetic can hold: refused before they do harm."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.errors import InvalidOrderError, NotReadyError
from execution.models import Instrument, OrderRequest, OrderStatus, OrderType, Side

if TYPE_CHECKING:
    from .conftest import MakeRig, ScriptedBroker

LAST_ORDER_ID = 2**31 - 1


def buy(name: str | None = "o-1", quantity: str = "10", **more: Any) -> OrderRequest:
    return OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id=name, **more)


@pytest.mark.parametrize("text", ["g\0EVIL", "g\n1", "gr\u00fcn", "\ud800", "g\x7f", "\u202eg", " "])
def test_a_group_that_the_wire_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(InvalidOrderError, match="oca_group"):
        buy(oca_group=text)


@pytest.mark.parametrize("text", ["\ud800", "a\0b", "x" * 1000, "two\nlines"])
def test_a_strategy_that_the_journal_cannot_carry_is_refused(text: str) -> None:
    with pytest.raises(InvalidOrderError, match="strategy"):
        buy(strategy=text)


@pytest.mark.parametrize(
    "name",
    [
        "exchange",
        "currency",
        "primary_exchange",
        "security_type",
        "expiry",
        "right",
        "local_symbol",
        "trading_class",
        "underlying",
    ],
)
def test_a_contract_that_the_wire_cannot_carry_is_refused(name: str) -> None:
    bad: dict[str, Any] = {name: "X\0EVIL"}
    with pytest.raises(InvalidOrderError, match=name):
        Instrument("AAA", **bad)


async def test_a_client_that_counts_from_far_above_does_not_use_up_our_order_ids(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    broker.open_orders = [broker.open_order(LAST_ORDER_ID, "", client=7, perm=99)]
    r = rig()
    await r.executor.submit_order(buy())
    assert int(broker.placed[0][1]) < 100


async def test_the_last_order_id_is_used_and_none_beyond_it(rig: MakeRig, broker: ScriptedBroker) -> None:
    broker.next_id = LAST_ORDER_ID - 5  # some go to requests
    r = rig()
    await r.executor.ensure_ready()
    left = LAST_ORDER_ID - r.manager.session.next_order_id + 1
    for n in range(left):
        await r.executor.submit_order(buy(f"o-{n}"))
    with pytest.raises(NotReadyError, match="used up"):
        await r.executor.submit_order(buy("o-one-more"))
    assert int(broker.placed[-1][1]) == LAST_ORDER_ID
    assert len(broker.placed) == left


@pytest.mark.parametrize(
    "hostile",
    [
        decimal.Context(prec=3),
        decimal.Context(prec=28, traps=[decimal.Inexact]),
        decimal.Context(prec=28, traps=[decimal.Rounded]),
        decimal.Context(prec=28, rounding=decimal.ROUND_UP),
        decimal.Context(prec=28, traps=[decimal.FloatOperation, decimal.Subnormal, decimal.Clamped]),
    ],
)
async def test_the_callers_decimal_context_changes_no_figure(
    rig: MakeRig, broker: ScriptedBroker, hostile: decimal.Context
) -> None:
    old = decimal.getcontext().copy()
    decimal.setcontext(hostile)
    try:
        r = rig()
        await r.executor.submit_order(buy(quantity="12345"))
        order_id = int(broker.placed[0][1])
        broker.say(
            broker.execution(order_id, "e1.01", "5000"),
            broker.execution(order_id, "e2.01", "7344"),
            broker.execution(order_id, "e3.01", "1"),
            broker.commission("e1.01", "1.23456"),
            broker.status(order_id, "Filled", "12345"),
        )
        await broker.until(lambda: r.handler.names().count("fill") == 3)
        done = await r.executor.get_order_status("o-1")
        assert (done.status, done.filled_quantity) == (OrderStatus.FILLED, Decimal(12345))
        assert done.average_fill_price == Decimal("100.5")
        assert r.executor.booked_positions() == {"AAA": Decimal(12345)}
        assert r.executor.inbox.net == {"AAA": Decimal(12345)}
        broker.positions = [("AAA", "12345", "100.5")]
        assert (await r.executor.reconcile()).agrees
        [held] = await r.executor.get_positions()
        assert (held.quantity, held.average_cost) == (Decimal(12345), Decimal("100.5"))
        await r.shut()
        again = rig()
        assert again.executor.booked_positions() == {"AAA": Decimal(12345)}
        assert again.executor.orders()[0].filled_quantity == 12345
        await again.executor.ensure_ready()
    finally:
        decimal.setcontext(old)


@pytest.mark.parametrize(
    "number",
    ["NaN", "Infinity", "-Infinity", "inf", "1.7976931348623157e308", "1e400", "", "0x10", "1_000", "\u0661"],
)
async def test_a_fill_without_a_size_is_never_guessed(
    rig: MakeRig, broker: ScriptedBroker, number: str
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])
    broker.say(broker.execution(order_id, "e1.01", number))
    await broker.until(lambda: r.manager.session.undecodable == 1)
    assert not r.executor.is_ready
    assert (await r.executor.get_order_status("o-1")).filled_quantity == 0


async def test_a_negative_size_is_no_execution(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    broker.say(broker.execution(int(broker.placed[0][1]), "e1.01", "-10"))
    await broker.until(lambda: r.manager.session.undecodable == 1)
    assert (await r.executor.get_order_status("o-1")).filled_quantity == 0
    assert r.executor.inbox.net == {}
    assert not r.executor.is_ready
