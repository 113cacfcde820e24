"""The link after an outage, over the simulated gateway: bars are subscribed anew and their gap is filled."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import ib_insync
import pytest

from backtesting.gateway.faults.engine import FaultEngine
from backtesting.gateway.faults.table import read_action
from backtesting.gateway.testing import simulated_gateway
from data.ibkr import LiveBars
from data.samples import sample_bars
from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.connection import IBKRConnectionManager
from execution.executor import IBKROrderExecutor
from execution.journal import SqliteJournal
from execution.models import Instrument, OrderRequest, OrderStatus, OrderType, Side, TimeInForce
from strategies.closing import OpenOrders, cancel_open_orders
from strategies.link import Subscription, TradingLink
from strategies.spec import RunSpec

FOLDER = sample_bars(["SPXSIM"], end=dt.date(1999, 1, 29))


class Desk:
    """A link, its bars and its gateway."""

    def __init__(self, server: Any, path: Path) -> None:
        self.engine = FaultEngine(server)
        self.engine.attach()
        self.clock = SteppedClock()
        self.journal = SqliteJournal(path, self.clock.now_ns)
        audit = AuditLogger(self.journal, self.clock)
        self.manager = IBKRConnectionManager(port=server.port, throttled=False, timeout=5, audit=audit)
        instrument = Instrument("SPXSIM")
        self.executor = IBKROrderExecutor(
            self.manager, instruments=[instrument], audit=audit, clock=self.clock, quarantine=0.0
        )
        self.executor.restore()
        self.bars = LiveBars(self.clock, FOLDER.timeframe, {"SPXSIM": instrument})
        spec = RunSpec((instrument,), FOLDER.timeframe, "s")
        subscription = Subscription("1 Y", regular_hours=True, poll_interval_seconds=0.01)
        self.link = TradingLink(self.executor, self.bars, spec, subscription, FOLDER.clock, self.clock)

    async def step(self, count: int = 1) -> None:
        for _ in range(count):
            await self.link.ensure()
            self.link.close_inbox()
            assert await self.link.wait()

    def play(self, *actions: Any) -> None:
        self.engine.fire([read_action(action, "test") for action in actions])

    def ends(self) -> list[int]:
        return [bar.end_ns for bar in self.bars.completed_bars("SPXSIM", FOLDER.timeframe.value, 0)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often history was asked for, by symbol."""
    count: Counter[str] = Counter()
    ask = ib_insync.client.Client.reqHistoricalData

    def counted(client: Any, request_id: int, contract: Any, *rest: Any) -> None:
        count[contract.symbol] += 1
        ask(client, request_id, contract, *rest)

    monkeypatch.setattr(ib_insync.client.Client, "reqHistoricalData", counted)
    return count


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as server:
        made = Desk(server, tmp_path / "journal.db")
        yield made
        await made.manager.disconnect()
        made.journal.close()
        made.engine.detach()


@pytest.mark.parametrize("outage", ["lost socket", "1101", "1102"])
async def test_bars_missed_in_an_outage_are_filled_in_once_and_in_order(
    desk: Desk, asked: Counter[str], outage: str
) -> None:
    await desk.step(4)
    assert asked == {"SPXSIM": 1}
    service = desk.engine.service
    if outage == "lost socket":
        desk.play("drop_all")
        await _until(lambda: not desk.manager.is_connected())
        service.step(3)
    else:
        desk.play("connectivity_lost")
        await _until(lambda: desk.executor.is_frozen)
        service.step(3)
        desk.play({"connectivity_restored": "lost" if outage == "1101" else "kept"})
        await _until(lambda: not desk.executor.is_frozen)
    await desk.step(3)
    assert asked == {"SPXSIM": 2}
    assert len(desk.manager.session._subscriptions) == 1
    expected = [bar.end_ns for bar in FOLDER.series["SPXSIM"] if bar.end_ns <= desk.clock.now_ns()]
    assert desk.ends() == expected
    assert len(expected) >= 9


async def test_the_link_is_woken_when_the_broker_is_back(desk: Desk) -> None:
    await desk.step()
    desk.link._woken.clear()
    desk.play("connectivity_lost", {"connectivity_restored": "kept"})
    await asyncio.wait_for(desk.link._woken.wait(), 5)


@pytest.mark.parametrize(
    ("policy", "left"),
    [
        (OpenOrders.LEAVE, {"day", "opening", "lasting"}),
        (OpenOrders.CANCEL_DAY, {"lasting"}),
        (OpenOrders.CANCEL_ALL, set()),
    ],
)
async def test_open_orders_at_shutdown_are_left_or_cancelled_as_is_asked_for(
    desk: Desk, policy: OpenOrders, left: set[str]
) -> None:
    lives = {"day": TimeInForce.DAY, "opening": TimeInForce.OPG, "lasting": TimeInForce.GTC}
    for name, life in lives.items():
        request = OrderRequest(
            "SPXSIM",
            Decimal(1),
            OrderType.LIMIT,
            Side.BUY,
            limit_price=Decimal("1.00"),
            time_in_force=life,
            client_order_id=name,
        )
        assert (await desk.executor.submit_order(request)).status is OrderStatus.SUBMITTED
    assert await cancel_open_orders(desk.executor, 5.0, policy) == []
    assert {t.order_ref for t in desk.engine.service.book.open_tickets()} == left


async def _until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - what it waits for is seen from outside only
            await asyncio.sleep(0.005)
