"""What comes once in a world: a night, a window of the gateway's week, an order that TWS doubles."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from backtesting.simulation.market import CLIENT_ID, shared_market
from backtesting.simulation.options import ONCE, Options
from backtesting.simulation.world import World
from execution.journal import JournalEvent
from execution.models import OrderStatus

MOST_SEEDS = 12


def found(fault: str, is_there: Callable[[World], bool]) -> World:
    """Return a world with this fault alone in which something is there; nothing is violated until then."""
    for seed in range(MOST_SEEDS):
        world = World(seed, Options.only(fault))
        outcome = world.run()
        assert not outcome.violations, (seed, outcome.violations)
        if outcome.fired[fault] and is_there(world):
            return world
    pytest.fail(f"it was not there in {MOST_SEEDS} seeds of {fault}")


def recorded(world: World, kind: str) -> list[JournalEvent]:
    return [event for event in world.disk.events if event.kind == kind]


# -- the night


def test_a_night_ends_day_orders_and_puts_executions_out_of_reach() -> None:
    def left_over(world: World) -> bool:
        close = shared_market().close_ns()
        return any(
            placed.ticket.completed_ns == close and placed.ticket.status == "Cancelled"
            for placed in world.invariants.broker.placed.values()
        )

    world = found("B12", left_over)
    assert world.fired["B12.midnight"] == 1
    assert world.now_ns > shared_market().open_ns(1)
    ever = world.invariants.broker.executions
    assert len(world.book.executions) < len(ever)


def test_orders_that_ended_in_the_night_are_settled_by_a_person_and_trading_goes_on() -> None:
    world = found("B12", lambda world: bool(recorded(world, "order_resolved")))
    settled = recorded(world, "order_resolved")
    assert {event.body["status"] for event in settled} <= {OrderStatus.CANCELLED, OrderStatus.FILLED}
    assert settled[0].seq < recorded(world, "order_submitted")[-1].seq


# -- the gateway's week


def test_an_absence_in_a_planned_window_is_expected() -> None:
    world = found(
        "G9", lambda world: any("planned" in str(each.body) for each in recorded(world, "connection"))
    )
    assert world.week is not None
    assert [window.name for window in world.week.windows] == ["planned"]


def test_a_world_without_such_a_window_plans_none() -> None:
    world = World(1, Options.calm())
    world.run()
    assert world.week is None


# -- a doubled order


def test_a_doubled_order_is_on_record_and_its_twin_is_cancelled() -> None:
    world = found("G6", lambda world: bool(recorded(world, "twin_cancelled")))
    (perm_id,) = world.twins
    (told,) = recorded(world, "order_twinned")
    assert told.body["twin"]["perm_id"] == perm_id
    assert recorded(world, "twin_cancelled")[0].body["twin_perm_id"] == perm_id
    assert not [each for each in world.book.open_tickets(CLIENT_ID) if each.perm_id == perm_id]


# -- streams


def test_seeds_without_them_draw_what_they_drew_before() -> None:
    drawn = {seed: Options.draw(seed).rates for seed in range(200)}
    with_them = [seed for seed, rates in drawn.items() if ONCE.keys() & rates.keys()]
    assert 20 < len(with_them) < 80
    counted = Counter(fault for seed in with_them for fault in ONCE if fault in drawn[seed])
    assert counted.keys() == ONCE.keys()
