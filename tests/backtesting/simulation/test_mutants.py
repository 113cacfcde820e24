"""Defects put into the core are found; `make mutants` hunts all of them over many more seeds."""

from __future__ import annotations

from types import ModuleType

import pytest

from backtesting.simulation.invariants import CANARY
from backtesting.simulation.runner import run_seed

LEAST = 15
MOST_SEEDS = 40
QUICKEST = (
    "same_id_sent_again",
    "nothing_reserved",
    "state_changed_off_the_record",
    "audited_after_it_was_sent",
    "executions_not_deduplicated",
)


def test_there_are_enough_mutants_and_each_says_its_defect(mutants: ModuleType) -> None:
    assert len(mutants.MUTANTS) >= LEAST
    assert all(function.__doc__ for function in mutants.MUTANTS.values())


@pytest.mark.parametrize("name", QUICKEST)
def test_a_defect_in_the_core_is_found(mutants: ModuleType, name: str) -> None:
    kill = mutants.hunt(name, MOST_SEEDS)
    assert kill.invariant, f"{name} survived {kill.seeds} seeds"


def test_a_mutant_leaves_nothing_behind(mutants: ModuleType) -> None:
    before = run_seed(1).trace_hash
    for name in mutants.MUTANTS:
        with mutants.mutated(name):
            pass
    assert run_seed(1).trace_hash == before


def test_the_canary_is_found_in_a_sound_seed() -> None:
    assert [violation.invariant for violation in run_seed(1, canary=True).violations] == [CANARY]
