"""What the invariants excuse, and no more: time that nobody had, and positions that corrections moved."""

from __future__ import annotations

from decimal import Decimal
from types import SimpleNamespace
from typing import Any

from backtesting.simulation.invariants import LONGEST_SILENCE_NS, Invariants
from backtesting.simulation.options import Options
from backtesting.simulation.world import World


def silent() -> tuple[Any, Invariants]:
    """Return a world of one connection that carries nothing any more, and its checks."""
    end = SimpleNamespace(is_closing=lambda: False)
    wire = SimpleNamespace(number=1, swallows=True, end=lambda client: end)
    world: Any = SimpleNamespace(
        now_ns=0, loop=SimpleNamespace(stalled=0.0), network=SimpleNamespace(wires=[wire])
    )
    invariants = Invariants(world)
    assert not invariants._silence()
    return world, invariants


def test_a_dead_connection_has_to_be_noticed() -> None:
    world, invariants = silent()
    world.now_ns = LONGEST_SILENCE_NS
    assert not invariants._silence()
    world.now_ns += 1
    assert [found.invariant for found in invariants._silence()] == ["I11"]


def test_time_in_which_the_process_stood_still_is_no_silence() -> None:
    world, invariants = silent()
    world.now_ns, world.loop.stalled = LONGEST_SILENCE_NS + 30_000_000_000, 30.0
    assert not invariants._silence()
    world.now_ns += 1
    assert invariants._silence()


def test_a_correction_excuses_what_it_leads_over_a_limit_and_nothing_after_it() -> None:
    world = World(1, Options.calm())
    assert not world.run().violations
    checks = world.invariants.broker
    cap = world.limits.per_symbol_notional_cap
    assert cap is not None
    checks._excused, checks._lowest = {"AAA": Decimal(50)}, {"AAA": Decimal(100)}
    checks._excuse_less({"AAA": cap + 2_000})
    assert checks._excused == {"AAA": Decimal(20)}
    checks._excuse_less({"AAA": cap + 5_000})
    assert checks._excused == {"AAA": Decimal(20)}
    checks._excuse_less({"AAA": cap})
    assert checks._excused == {}
