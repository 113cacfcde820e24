"""Cancelling everything and flattening: what the broker confirms, and what it does not."""

from __future__ import annotations

import asyncio
from decimal import Context, Decimal, localcontext
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from backtesting.gateway.config import AccountConfig, GatewayConfig
from backtesting.gateway.control import GatewayControl
from execution.desk import flattening
from execution.errors import NotReadyError, RiskCheckError
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.reconciliation.claims import ClaimPolicy

from ..test_executor import Ledger, buy
from .test_modification import limit

if TYPE_CHECKING:
    from ..conftest import MakeFloor, MakeRig, ScriptedBroker


async def test_all_orders_are_cancelled_and_their_ends_confirmed(floor: MakeFloor) -> None:
    async with floor() as f:
        for number in range(3):
            await f.executor.submit_order(limit(name=f"o-{number}"))
        assert await f.executor.cancel_all() == {}
        assert {order.status for order in f.executor.orders()} == {OrderStatus.CANCELLED}
        assert await f.executor.cancel_all() == {}


async def test_an_end_that_is_not_confirmed_is_said(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(acknowledgement_timeout=0.3)
    await r.executor.submit_order(buy("o-1"))
    await r.executor.submit_order(buy("o-2"))
    cancelling = asyncio.create_task(r.executor.cancel_all())
    await broker.until(lambda: len(broker.cancelled) == 2)
    broker.say(broker.status(int(broker.placed[0][1]), "Cancelled"))
    assert list(await cancelling) == ["o-2"]


async def test_cancels_wait_for_room_and_are_all_sent(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    client: Any = r.manager.session._ib.client
    client.MaxRequests, client.RequestsInterval = 1, 0.2
    cancelling = asyncio.create_task(r.executor.cancel_all())
    await broker.until(lambda: len(broker.cancelled) == 1)
    broker.say(broker.status(int(broker.placed[0][1]), "Cancelled"))
    assert await cancelling == {}


async def test_flatten_cancels_first_and_then_closes_long_and_short(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.executor.submit_order(OrderRequest("BBB", Decimal(7), OrderType.MARKET, Side.SELL))
        await f.executor.submit_order(limit(name="o-3"))
        await f.step()
        done = await f.executor.flatten()
        assert (done.is_complete, done.cancelled) == (True, ["o-3"])
        closing = {order.symbol: (order.side, order.quantity) for order in done.closing}
        assert closing == {"AAA": (Side.SELL, Decimal(10)), "BBB": (Side.BUY, Decimal(7))}
        await f.step(2)
        assert await f.executor.get_positions() == []
        assert (await f.executor.flatten()).closing == []


async def test_flatten_says_what_risk_would_not_close(floor: MakeFloor) -> None:
    validator = Ledger(limit=20)
    async with floor(validator=validator) as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.step()
        validator.limit = Decimal(1)
        done = await f.executor.flatten()
        assert (done.is_complete, done.left) == (False, {"AAA": "too much"})


async def test_a_symbol_with_an_order_in_the_air_is_not_closed(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(acknowledgement_timeout=0.3)
    broker.positions = [("AAA", "4", "100"), ("BBB", "3", "100")]
    await r.executor.submit_order(buy("o-1"))
    done = await r.executor.flatten()
    assert set(done.left) == {"o-1", "AAA"}
    assert [order.symbol for order in done.closing] == ["BBB"]


async def test_a_position_without_an_instrument_is_said(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    told = broker._position

    def option(row: tuple[str, str, str]) -> bytes:
        return told(row).replace(b"STK", b"OPT")

    broker._position = option  # type: ignore[method-assign]
    broker.positions = [("AAA", "4", "100")]
    done = await r.executor.flatten()
    assert done.left == {"AAA OPT": "no instrument was given for it"}
    assert broker.placed == []


async def test_orders_of_others_that_may_trade_against_it_are_named(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.step()
        await f.executor.submit_order(limit(name="o-2"))
        gateway = GatewayControl(f.server)
        gateway.order(symbol="AAA", side="BUY", quantity=5, type="LMT", limit="50")
        with capture_logs() as lines:
            done = await f.executor.flatten()
        ((key, what),) = done.others.items()
        assert key.startswith("external-")
        assert what.endswith("of a person in TWS: BUY 5 AAA")
        assert (done.is_complete, done.cancelled, len(done.closing)) == (True, ["o-2"], 1)
        told = [line for line in lines if line["event"].startswith("others have open orders")]
        assert [line["orders"] for line in told] == [[what]]
        (flat,) = [line for line in lines if line["event"] == "flattening"]
        assert (flat["cancelled"], flat["closing"]) == (["o-2"], ["SELL 10 AAA"])
        assert key in {order.key for order in f.executor.blotter.externals.open()}


async def test_positions_of_others_in_a_shared_account_are_not_closed(floor: MakeFloor) -> None:
    async with floor(claim=ClaimPolicy.IGNORE, claim_symbols=["BBB"]) as f:
        gateway = GatewayControl(f.server)
        gateway.order(symbol="AAA", side="BUY", quantity=3, type="MKT")
        gateway.order(symbol="BBB", side="BUY", quantity=5, type="MKT")
        await f.step(2)
        await f.executor.reconcile()
        done = await f.executor.flatten()
        assert [(order.symbol, order.quantity) for order in done.closing] == [("BBB", Decimal(5))]
        assert done.is_complete


async def test_the_callers_decimal_context_changes_no_size(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    broker.positions = [("AAA", "12345", "100"), ("BBB", "-6789.0", "100")]
    await r.executor.ensure_ready()
    with localcontext(Context(prec=3)):
        done = await r.executor.flatten()
    assert [order.quantity for order in done.closing] == [Decimal(12345), Decimal(6789)]


async def test_two_at_once_close_each_position_once(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.step()
        first, second = await asyncio.gather(f.executor.flatten(), f.executor.flatten())
        assert [len(first.closing), len(second.closing)] == [1, 1]
        assert second.cancelled == [first.closing[0].client_order_id]
        await f.step(2)
        assert await f.executor.get_positions() == []


async def test_a_position_that_an_execution_is_not_in_yet_is_asked_for_again(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Closing it at the size that the list shows would trade it twice."""
    monkeypatch.setattr(flattening, "_BETWEEN_LOOKS", 0.01)
    r = rig()
    broker.positions = [("AAA", "10", "100"), ("BBB", "3", "100")]
    await r.executor.submit_order(
        OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.SELL, client_order_id="o-1")
    )
    number = int(broker.placed[0][1])
    broker.say(
        broker.execution(number, "e1.01").replace(b"BOT", b"SLD"), broker.status(number, "Filled", "10")
    )
    await broker.until(lambda: "fill" in r.handler.names())
    done = await r.executor.flatten()  # the broker's list still has it
    assert [order.symbol for order in done.closing] == ["BBB"]
    assert done.left == {"AAA": "the broker shows 10 of it and the journal 0; reconcile, then flatten again"}
    broker.positions = [("BBB", "3", "100")]
    again = await r.executor.flatten()
    assert "AAA" not in again.left


async def test_a_position_that_is_in_no_list_yet_is_said(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flattening, "_BETWEEN_LOOKS", 0.01)
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    number = int(broker.placed[0][1])
    broker.say(broker.execution(number, "e1.01"), broker.status(number, "Filled", "10"))
    await broker.until(lambda: "fill" in r.handler.names())
    done = await r.executor.flatten()
    assert done.left == {"AAA": "the broker shows 0 of it and the journal 10; reconcile, then flatten again"}


async def test_what_somebody_else_traded_meanwhile_is_closed_too(floor: MakeFloor) -> None:
    async with floor() as f:
        gateway = GatewayControl(f.server)
        gateway.order(symbol="AAA", side="BUY", quantity=3, type="MKT")
        await f.step(2)
        done = await f.executor.flatten()
        assert [(order.symbol, order.quantity) for order in done.closing] == [("AAA", Decimal(3))]
        assert done.is_complete


async def test_what_is_less_than_a_lot_is_said(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(round_orders=True)
    broker.positions = [("AAA", "10.5", "100")]
    await r.executor.ensure_ready()
    done = await r.executor.flatten()
    assert [order.quantity for order in done.closing] == [Decimal(10)]
    assert done.left == {"AAA": "0.5 of it are less than a lot; close them in TWS"}


async def test_each_account_is_flattened_by_orders_of_its_own(floor: MakeFloor) -> None:
    config = GatewayConfig(accounts=(AccountConfig("DU1"), AccountConfig("DU2")))
    async with floor(config=config) as f:
        await f.step()
        for account, quantity in (("DU1", "3"), ("DU2", "4")):
            await f.executor.submit_order(buy(f"o-{account}", quantity, account=account))
        await f.step()
        only = await f.executor.flatten("DU2")
        assert [(order.account, order.quantity) for order in only.closing] == [("DU2", Decimal(4))]
        await f.step(2)
        done = await f.executor.flatten()
        assert [(order.account, order.quantity) for order in done.closing] == [("DU1", Decimal(3))]


async def test_nothing_is_flattened_while_tws_has_lost_the_broker_or_may_only_read(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.executor.submit_order(buy("o-1"))
    broker.say(broker.error(-1, 1100))
    await broker.until(lambda: r.executor.is_frozen)
    with pytest.raises(NotReadyError):
        await r.executor.flatten()
    with pytest.raises(NotReadyError):
        await r.executor.cancel_all()
    r.manager.readonly = True
    for ending in (r.executor.flatten, r.executor.cancel_all):
        with pytest.raises(RiskCheckError, match="read-only"):
            await ending()
    assert broker.cancelled == []
