"""Simulated time: how it runs with the wall clock, and the operations that move it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import ib_insync as ibi
import pandas as pd
import pytest

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.errors import GatewayError
from backtesting.gateway.flow import LONGEST_LEAP, TimeFlow
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import WireClient, simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution.clocks import timestamp
from execution.models import Instrument

Bars = dict[str, BarSeries]
SECOND = 1_000_000_000
MINUTE = 60 * SECOND
AAA = ibi.Stock("AAA", "SMART", "USD")


class FastWall:
    """A wall clock on which every look comes a tenth of a second after the one before."""

    def __init__(self, stride: float = 0.1) -> None:
        self.now = 0.0
        self.stride = stride

    def monotonic(self) -> float:
        self.now += self.stride
        return self.now


@pytest.fixture
def server(minute_bars: Bars, sessions: ExchangeClock) -> Callable[..., GatewayServer]:
    """Make a gateway over minute bars that is not listening."""

    def make(**settings: object) -> GatewayServer:
        config = GatewayConfig(**settings)  # type: ignore[arg-type]  # each test names settings that exist
        return GatewayServer(config, minute_bars, sessions, [Instrument("AAA")], clock=FastWall())

    return make


@pytest.fixture
async def running(minute_bars: Bars, sessions: ExchangeClock) -> AsyncIterator[GatewayServer]:
    """A gateway whose market runs at a second a second, every quantum at once."""
    gateway = GatewayServer(
        GatewayConfig(speed="1"), minute_bars, sessions, [Instrument("AAA")], clock=FastWall(), quantum=0.0
    )
    await gateway.start()
    yield gateway
    await gateway.stop()


async def test_a_strangers_market_order_fills_in_the_next_part_of_a_bar(running: GatewayServer) -> None:
    ib = ibi.IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync("127.0.0.1", running.port, clientId=7, timeout=10)
    trade = ib.placeOrder(AAA, ibi.MarketOrder("BUY", 10))
    placed_ns = running.service.clock.now_ns()
    async with asyncio.timeout(10):
        while not trade.isDone():  # noqa: ASYNC110  the gateway offers no event for it
            await asyncio.sleep(0)
    (fill,) = trade.fills
    waited = fill.execution.time.timestamp() - placed_ns / SECOND
    assert trade.orderStatus.status == "Filled"
    assert waited < 2.0
    assert 99.0 <= fill.execution.price <= 101.1
    ib.disconnect()


async def test_time_runs_only_while_somebody_is_connected_and_time_is_not_stopped(
    running: GatewayServer,
) -> None:
    service = running.service
    start_ns = service.clock.now_ns()
    for _ in range(20):
        await asyncio.sleep(0)
    assert service.clock.now_ns() == start_ns
    client = await WireClient.connect(running.port)
    await client.until("4", "2", "-1", "2158")
    while service.clock.now_ns() < start_ns + SECOND:  # noqa: ASYNC110  the gateway offers no event for it
        await asyncio.sleep(0)
    service.pause()
    await asyncio.sleep(0)
    stopped_ns = service.clock.now_ns()
    for _ in range(20):
        await asyncio.sleep(0)
    assert service.clock.now_ns() == stopped_ns
    assert service.step() == 1
    assert service.clock.now_ns() == start_ns + MINUTE
    service.resume()
    while service.clock.now_ns() < start_ns + 2 * MINUTE:  # noqa: ASYNC110  the gateway offers no event for it
        await asyncio.sleep(0)
    await client.close()


async def test_what_the_wall_clock_leaps_is_not_made_up_for(server: Callable[..., GatewayServer]) -> None:
    gateway = server(speed="2")
    wall = FastWall(0.1)
    flow = TimeFlow(lambda: gateway.service, wall)
    flow.occupied = True
    flow.look()
    assert flow.due() == SECOND // 5
    wall.now += 3600.0
    assert flow.due() == LONGEST_LEAP * 2 * SECOND
    gateway.service.set_speed("1e9")
    assert flow.due() == 3600 * SECOND


async def test_a_day_order_ends_at_the_close_even_if_no_bar_comes(running: GatewayServer) -> None:
    client = await WireClient.connect(running.port)
    await client.until("4", "2", "-1", "2158")
    running.service.pause()
    ib = ibi.IB()
    ib.client.MaxRequests = 0
    await ib.connectAsync("127.0.0.1", running.port, clientId=7, timeout=10)
    trade = ib.placeOrder(AAA, ibi.LimitOrder("BUY", 10, 1.0))
    await ib.reqCurrentTimeAsync()
    session = running.service.state.calendar.session_at(running.service.clock.now_ns())
    assert session is not None
    running.service.jump_to(session.close_ns - SECOND)
    await ib.reqCurrentTimeAsync()
    assert not trade.isDone()
    running.service.jump_to(session.close_ns + SECOND)
    await ib.reqCurrentTimeAsync()
    assert trade.orderStatus.status == "Cancelled"
    ib.disconnect()
    await client.close()


def test_time_starts_with_the_session_or_where_it_is_told_to(
    server: Callable[..., GatewayServer], sessions: ExchangeClock
) -> None:
    first = int(sessions.opens_ns[0])
    assert server().service.clock.now_ns() == first
    later = server(start=timestamp(first + 2 * MINUTE)).service
    assert later.clock.now_ns() == first + 2 * MINUTE
    assert later.market.completed("AAA") == 2
    with pytest.raises(GatewayError, match="the last bar ends"):
        server(start=timestamp(int(sessions.opens_ns[2])))
    with pytest.raises(GatewayError, match="name its zone"):
        server(start=pd.Timestamp("2018-01-02 09:30"))


def test_flat_out_and_in_lockstep_a_jump_plays_whole_steps(
    server: Callable[..., GatewayServer], sessions: ExchangeClock
) -> None:
    service = server().service
    target = int(sessions.opens_ns[0]) + 3 * MINUTE + SECOND
    service.jump_to(target)
    assert service.market.completed("AAA") == 3
    assert service.clock.now_ns() == target
    service.jump_to(target - MINUTE)
    assert service.clock.now_ns() == target
    assert service.market.forming("AAA") is None
    assert service.step(100) == 7
    assert service.step() == 0


def test_time_stands_where_the_calendar_ends(
    server: Callable[..., GatewayServer], sessions: ExchangeClock
) -> None:
    service = server(speed="60").service
    service.jump_to(int(sessions.closes_ns[-1]) + 365 * 86_400 * SECOND)
    assert service.clock.now_ns() == int(sessions.closes_ns[-1])
    assert service.market.completed("AAA") == 10


async def test_the_speed_can_change_and_nobody_waits_for_ever(
    gateway: GatewayServer, wire: WireClient
) -> None:
    service = gateway.service
    other = await WireClient.connect(gateway.port, 2)
    await other.until("4", "2", "-1", "2158")
    for client in (wire, other, wire):
        client.send(49, 1)
        client.send(8, 1, 1)
        await client.until("9")
    service.set_speed("1")  # the second request of the first client waits for the other one
    assert (await wire.receive())[0] == "49"
    assert service.state.running
    with pytest.raises(GatewayError, match="use lockstep, max or a positive number"):
        service.set_speed("soon")
    assert service.pace == 1.0
    service.set_speed("lockstep")
    assert not service.flows
    await other.close()


async def test_in_lockstep_a_pause_holds_the_step_until_time_goes_on(
    gateway: GatewayServer, wire: WireClient
) -> None:
    wire.send(49, 1)
    joined = await wire.receive()
    gateway.service.pause()
    wire.send(49, 1)
    wire.send(8, 1, 1)
    assert (await wire.receive())[0] == "9"
    gateway.service.resume()
    assert int((await wire.receive())[2]) > int(joined[2])


@pytest.mark.parametrize("how", ["fin", "rst"])
async def test_a_restart_keeps_what_it_is_told_to(gateway: GatewayServer, wire: WireClient, how: str) -> None:
    gateway.service.step(2)
    now_ns = gateway.service.clock.now_ns()
    book = gateway.service.book
    gateway.restart(how=how)  # type: ignore[arg-type]  # the parameters are its two values
    with pytest.raises(EOFError):
        await wire.receive()
    assert gateway.service.book is book
    book.last_id[1] = 5
    gateway.restart(roll_back_ids=2)
    assert book.next_id(1) == 4
    gateway.restart(keep_state=False)
    assert gateway.service.book is not book
    assert gateway.service.clock.now_ns() == now_ns
    assert gateway.service.market.completed("AAA") == 2
    client = await WireClient.connect(gateway.port)
    assert ["9", "1", "1"] in await client.until("4", "2", "-1", "2158")
    await client.close()


async def test_daily_and_minute_bars_are_served_side_by_side(
    bars: Bars, minute_bars: Bars, sessions: ExchangeClock
) -> None:
    mixed = {"AAA": minute_bars["AAA"], "BBB": bars["BBB"]}
    async with simulated_gateway(mixed, sessions=sessions) as gateway:
        gateway.service.step(6)
        assert gateway.service.market.completed("AAA") == 5
        assert gateway.service.market.completed("BBB") == 1
        assert gateway.service.market.quote("BBB").last == 50.5


async def test_a_restart_without_state_after_the_last_bar_comes_up_again(gateway: GatewayServer) -> None:
    gateway.service.step(1000)
    now_ns = gateway.service.clock.now_ns()
    assert now_ns == gateway.service.market.last_end_ns
    gateway.restart(keep_state=False)
    assert gateway.service.clock.now_ns() == now_ns
    client = await WireClient.connect(gateway.port)
    await client.until("4", "2", "-1", "2158")
    await client.close()


async def test_after_a_restart_those_who_left_before_do_not_stop_the_time_of_those_who_came(
    running: GatewayServer,
) -> None:
    old = await WireClient.connect(running.port, 1)
    await old.until("4", "2", "-1", "2158")
    (session,) = running.service.connections
    session.close = lambda: None  # type: ignore[method-assign]  # a client whose end takes its time
    running.restart(keep_state=False)
    new = await WireClient.connect(running.port, 2)
    await new.until("4", "2", "-1", "2158")
    await old.close()
    for _ in range(20):
        await asyncio.sleep(0)
    start_ns = running.service.clock.now_ns()
    async with asyncio.timeout(10):
        while running.service.clock.now_ns() < start_ns + SECOND:  # noqa: ASYNC110  it offers no event for it
            await asyncio.sleep(0)
    await new.close()


async def test_a_defect_that_ends_the_passing_of_time_ends_the_gateway(
    server: Callable[..., GatewayServer],
) -> None:
    gateway = server(speed="1")

    def defect() -> None:
        raise ZeroDivisionError

    gateway.service.after_step.append(defect)
    await gateway.start()
    client = await WireClient.connect(gateway.port)
    with pytest.raises(ZeroDivisionError):
        await asyncio.wait_for(gateway.serve_until_stopped(), 10)
    await client.close()
