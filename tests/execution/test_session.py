"""Requests with end marks over the real ib_insync, against the simulated gateway."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from backtesting.gateway.testing import simulated_gateway
from data.samples import sample_bars
from execution.connection import IBKRConnectionManager
from execution.errors import BrokerUnavailableError, NotConnectedError
from execution.models import Bar, Instrument, OrderRequest, OrderStatus, OrderType, Side
from execution.timeframes import Timeframe

if TYPE_CHECKING:
    from .conftest import MakeFloor, MakeRig, ScriptedBroker

FOLDER = sample_bars(["SPXSIM"], end=dt.date(1999, 1, 20))


@pytest.fixture
async def manager() -> AsyncIterator[IBKRConnectionManager]:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        made = IBKRConnectionManager(port=gateway.port, throttled=False, timeout=5)
        await made.connect()
        yield made
        await made.disconnect()


async def test_bars_come_as_history_and_then_as_each_session_ends(manager: IBKRConnectionManager) -> None:
    seen: list[Bar] = []
    manager.on_bar = seen.append
    session = manager.session
    now, history = await session.subscribe_bars(
        Instrument("SPXSIM"), FOLDER.timeframe, FOLDER.clock, duration="1 Y"
    )
    assert [bar for bar in history if bar.end_ns <= now] == []
    await session.current_time()
    times = [await session.current_time() for _ in range(3)]
    expected = list(FOLDER.series["SPXSIM"])
    finished = [bar for bar in seen if bar.end_ns in times]
    assert [bar.close for bar in finished[-3:]] == [bar.close for bar in expected[: len(times)]][-3:]
    assert times == sorted(set(times))


async def test_requests_of_one_kind_take_turns(manager: IBKRConnectionManager) -> None:
    session = manager.session
    answers = await asyncio.gather(*(session.positions() for _ in range(3)))
    assert answers == [[], [], []]
    summary = await session.account_summary()
    assert summary["TotalCashValue"] == 1_000_000
    assert await session.completed_orders() == []
    await asyncio.gather(session.open_orders(), session.executions())


async def test_a_request_over_a_session_that_is_gone_says_so(manager: IBKRConnectionManager) -> None:
    session = manager.session
    await manager.disconnect()
    asked = (
        session.open_orders,
        session.executions,
        session.completed_orders,
        session.positions,
        session.account_summary,
        session.current_time,
        lambda: session.contract_details(Instrument("SPXSIM")),
        lambda: session.subscribe_bars(Instrument("SPXSIM"), Timeframe.DAY, FOLDER.clock, duration="5 D"),
    )
    for ask in asked:
        with pytest.raises(NotConnectedError, match="no session with the broker"):
            await ask()


async def test_contracts_are_described_and_unknown_ones_are_not(manager: IBKRConnectionManager) -> None:
    assert len(await manager.session.contract_details(Instrument("SPXSIM"))) == 1
    assert await manager.session.contract_details(Instrument("NONE")) == []


async def test_a_refused_request_fails_with_the_code_it_was_given(manager: IBKRConnectionManager) -> None:
    with pytest.raises(BrokerUnavailableError, match="200"):
        await manager.session.subscribe_bars(
            Instrument("NONE"), FOLDER.timeframe, FOLDER.clock, duration="1 Y"
        )


async def test_a_warning_does_not_fail_a_request(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.manager.connect()
    request = r.manager.session.next_order_id
    broker.executions = [broker.error(request, 2174, "no zone named"), broker.error(request, 10167)]
    await r.manager.session.executions()
    broker.executions = [broker.error(request + 1, 162, "no data")]
    with pytest.raises(BrokerUnavailableError, match="162"):
        await r.manager.session.executions()


async def test_the_client_librarys_own_book_of_orders_and_fills_stays_empty(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        for number in range(40):
            kind = OrderType.MARKET if number % 2 else OrderType.LIMIT
            f.executor.submit(
                OrderRequest(
                    "AAA",
                    Decimal(1),
                    kind,
                    Side.BUY,
                    None if number % 2 else Decimal(50),
                    client_order_id=f"o-{number}",
                )
            )
        await f.step(2)
        await f.executor.cancel_all()
        await f.executor.reconcile()
        states = {order.status for order in f.executor.orders()}
        assert states == {OrderStatus.FILLED, OrderStatus.CANCELLED}
        library = f.executor.manager.session._ib
        held = {
            name: len(value) for name, value in vars(library.wrapper).items() if hasattr(value, "__len__")
        }
        del held["accounts"]  # the login's
        assert {name for name, size in held.items() if size} == set()
        assert len(library.client._msgQ) == 0


async def test_an_order_id_that_any_client_uses_is_not_given_out_again(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.manager.connect()
    broker.open_orders = [broker.open_order(500, "", client=9)]
    await r.manager.session.open_orders()
    assert r.manager.session.next_order_id > 500


async def test_heartbeats_do_not_pile_up_in_the_count_of_messages(rig: MakeRig) -> None:
    r = rig(heartbeat=None)
    await r.manager.connect()
    client: Any = r.manager.session._ib.client
    client.RequestsInterval = 0.001
    for _ in range(50):
        r.manager.session.ask()
        await asyncio.sleep(0.002)
    assert len(client._timeQ) <= 2
    assert r.manager.session.tally()["heartbeats"] == 50
