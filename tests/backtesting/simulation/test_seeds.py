"""Seeds find nothing, whatever goes wrong in them; the same seed is the same world."""

from __future__ import annotations

from backtesting.simulation.catalogue import INJECTED
from backtesting.simulation.runner import Summary, run_many

LEAST_ORDERS = 8


def test_no_seed_violates_an_invariant(many: Summary) -> None:
    assert not many.failures, "\n".join(f"{f.replay}: {f.invariant}: {f.what}" for f in many.failures[:10])


def test_the_faults_that_fire_are_the_injected_ones_of_the_catalogue(many: Summary) -> None:
    fired = {fault for fault in many.faults if "." not in fault}
    assert fired == set(INJECTED)


def test_a_seed_is_half_an_hour_with_at_least_eight_orders(many: Summary) -> None:
    assert many.simulated_seconds >= many.seeds * 1800
    assert not many.thin
    assert many.orders >= many.seeds * LEAST_ORDERS


def test_a_seed_gives_the_same_trace_in_another_process_under_another_hash_seed(twice: Summary) -> None:
    assert twice.seeds
    assert not twice.failures, [f"{f.seed}: {f.what}" for f in twice.failures]


def test_seeds_that_once_found_a_fault_find_none_any_more(kept_seeds: dict[int, str]) -> None:
    summary = run_many(kept_seeds) if kept_seeds else Summary()
    assert not summary.failures, [f"{f.seed} ({kept_seeds[f.seed]}): {f.what}" for f in summary.failures]


def test_every_kept_seed_says_what_it_found(kept_seeds: dict[int, str]) -> None:
    assert all(kept_seeds.values())
