"""A world lives for half an hour, trades, reconnects, and is the same whenever its seed is run."""

from __future__ import annotations

import logging

import pytest
import structlog

from backtesting.simulation.market import SYMBOLS
from backtesting.simulation.options import ONCE, PER_MINUTE, PER_OPPORTUNITY, Options
from backtesting.simulation.trader import Trader
from backtesting.simulation.world import World

MOST_SEEDS = 12
COUNTED_AS = {"N3 other": "N3", "P1 reading": "P1"}


def test_without_faults_orders_are_filled_and_nothing_is_found() -> None:
    world = World(3, Options.calm())
    outcome = world.run()
    assert not outcome.violations
    assert not outcome.fired
    assert outcome.orders >= 8
    assert outcome.symbols == 2
    assert outcome.reconnects >= 1
    assert outcome.simulated_seconds >= 1800
    assert {request.symbol for request in world.submitted_requests.values()} == set(SYMBOLS)
    assert len(world.book.executions)
    assert world.acknowledged
    assert world.phase == "quiet"
    assert sum("reconnects once" in line for line in world.trace) == 1
    assert sum("reconciling" in line for line in world.trace) >= 2


def test_a_seed_gives_the_same_trace_again() -> None:
    for seed in (15, 18):
        first, second = World(seed), World(seed)
        assert first.run() == second.run()
        assert first.trace == second.trace
        assert first.fired


def test_other_seeds_are_other_worlds() -> None:
    assert World(1, Options.calm()).run().trace_hash != World(2, Options.calm()).run().trace_hash


def test_a_run_leaves_logging_as_it_was() -> None:
    before = structlog.get_config(), logging.root.manager.disable
    World(1, Options.calm()).run()
    assert (structlog.get_config(), logging.root.manager.disable) == before


@pytest.mark.parametrize("fault", [*PER_OPPORTUNITY, *PER_MINUTE, *ONCE])
def test_each_fault_takes_effect_and_finds_nothing(fault: str) -> None:
    for seed in range(MOST_SEEDS):
        outcome = World(seed, Options.only(fault)).run()
        assert not outcome.violations, (seed, outcome.violations)
        if outcome.fired[COUNTED_AS.get(fault, fault)]:
            return
    pytest.fail(f"{fault} did not come in {MOST_SEEDS} seeds in which nothing else could")


@pytest.mark.parametrize(
    ("faults", "what"),
    [
        (("B9",), "taken over"),
        (("B9",), "split booked"),
        (("B10", "N2"), "cancelled in TWS"),
        (("B10", "N2"), "settled as not-sent"),
    ],
)
def test_the_operator_settles_what_no_reconciliation_can(faults: tuple[str, ...], what: str) -> None:
    for seed in range(4 * MOST_SEEDS):
        world = World(seed, Options.only(*faults))
        assert not world.run().violations
        if any("operator:" in line and line.endswith(what) for line in world.trace):
            return
    pytest.fail(f"nothing was {what} in {4 * MOST_SEEDS} seeds")


def test_a_defect_in_the_trading_process_is_reported_and_ends_the_world(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def broken(_self: Trader) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(Trader, "run", broken)
    world = World(1, Options.calm())
    outcome = world.run()
    assert [found.invariant for found in outcome.violations] == ["I0"]
    assert "a defect" in outcome.violations[0].what
    assert outcome.simulated_seconds < 1
    assert isinstance(world.crash, ZeroDivisionError)
    assert any("VIOLATION I0" in line for line in world.trace)


def test_a_violation_ends_the_world_at_its_step(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = World(1, Options.calm()).run()
    world = World(1, Options.calm())
    world.invariants.canary = True
    outcome = world.run()
    assert outcome.violations
    assert outcome.steps <= whole.steps
