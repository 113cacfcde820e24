"""The link: the broker's clock, and subscriptions that are made once a session."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from execution.clocks import NANOS, SteppedClock, TradingClock
from execution.errors import BrokerUnavailableError, UnknownOrderError
from execution.executor import IBKROrderExecutor
from execution.models import Instrument, Order
from execution.testing import FixedClock
from execution.timeframes import Timeframe
from strategies.closing import cancel_open_orders
from strategies.link import BrokerClock, Subscription, TradingLink
from strategies.spec import RunSpec


class Manager:
    """A connection whose session notes what is asked for; a symbol can be refused once."""

    def __init__(self) -> None:
        self.epoch = 1
        self.asked: list[str] = []
        self.refused: set[str] = set()
        self.bars_missed = False
        self.time = 0
        self.on_bar: Any = None
        self.session = self

    def add_handler(self, handler: object) -> None:
        self.handler = handler

    async def ensure_connected(self) -> None:
        """Be connected."""

    async def subscribe_bars(self, instrument: Instrument, *_: Any, **__: Any) -> tuple[int, list[Any]]:
        self.asked.append(instrument.symbol)
        if instrument.symbol in self.refused:
            self.refused.remove(instrument.symbol)
            raise BrokerUnavailableError("bars 7: the broker answered 162: pacing violation")
        return 0, []

    async def current_time(self) -> int:
        self.asked.append("time")
        return self.time


def link(manager: Manager, clock: TradingClock) -> TradingLink:
    return TradingLink(
        cast("IBKROrderExecutor", SimpleNamespace(manager=manager)),
        cast("Any", SimpleNamespace(extend=lambda bars: None, on_bar=lambda bar: None)),
        RunSpec((Instrument("BBB"), Instrument("AAA")), Timeframe.MINUTE, "s"),
        Subscription("1 D", regular_hours=True, poll_interval_seconds=0.0),
        cast("Any", None),
        clock,
    )


async def test_a_symbol_that_was_subscribed_is_not_subscribed_again_when_another_one_fails() -> None:
    manager = Manager()
    manager.refused = {"BBB"}
    joined = link(manager, SteppedClock())
    with pytest.raises(BrokerUnavailableError):
        await joined.subscribe()
    await joined.subscribe()
    await joined.subscribe()
    assert manager.asked == ["AAA", "BBB", "BBB", "time"]


async def test_a_new_session_subscribes_anew_and_lost_market_data_does_without_moving_time() -> None:
    manager = Manager()
    joined = link(manager, SteppedClock())
    await joined.subscribe()
    manager.epoch = 2
    await joined.subscribe()
    manager.bars_missed = True
    await joined.subscribe()
    assert manager.asked == ["AAA", "BBB", "time", "AAA", "BBB", "time", "AAA", "BBB"]


async def test_trading_time_is_the_brokers_and_small_differences_are_left_alone() -> None:
    machine, manager = FixedClock(), Manager()
    clock = BrokerClock(machine)
    manager.time = machine.ns - NANOS
    await link(manager, clock).subscribe()
    assert clock.now_ns() == machine.ns
    manager.time = machine.ns - 86_400 * NANOS
    await link(manager, clock).subscribe()
    assert clock.now_ns() == manager.time
    machine.advance(5)
    assert clock.now_ns() == manager.time + 5 * NANOS


class Orders:
    """An executor with open orders that end when told, or never."""

    def __init__(self, *names: str, deaf: bool = False) -> None:
        self.open = list(names)
        self.deaf = deaf
        self.asked: list[str] = []
        self.manager = SimpleNamespace(session=SimpleNamespace(open_orders=self._list))
        self.inbox = SimpleNamespace(close=lambda: None)

    async def _list(self) -> None:
        """Be asked for the open orders."""

    async def get_open_orders(self) -> list[Order]:
        return [cast("Order", SimpleNamespace(client_order_id=name)) for name in self.open]

    async def cancel_order(self, name: str) -> None:
        self.asked.append(name)
        if name == "gone":
            self.open.remove(name)
            raise UnknownOrderError("it ended meanwhile")
        if not self.deaf:
            self.open.remove(name)


async def test_each_open_order_is_cancelled_once_and_what_nobody_confirms_is_reported() -> None:
    orders = Orders("a", "gone", "b")
    assert await cancel_open_orders(cast("IBKROrderExecutor", orders), 10) == []
    assert orders.asked == ["a", "gone", "b"]
    deaf = Orders("a", "b", deaf=True)
    assert await cancel_open_orders(cast("IBKROrderExecutor", deaf), 0.15) == ["a", "b"]
    assert deaf.asked == ["a", "b"]
