"""What the tests of the simulation share: the mutants, and one run over many seeds."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType

import pytest

from backtesting.simulation.runner import Summary, run_many

HERE = Path(__file__).parent
SEEDS = int(os.environ.get("SIMULATION_SEEDS", "100"))
TWICE = int(os.environ.get("SIMULATION_TWICE", "10"))
FIRST_SEED = 1


@pytest.fixture(scope="session")
def mutants() -> ModuleType:
    """Return the program that hunts mutants; it has `hunt`, `mutated` and `MUTANTS`."""
    spec = importlib.util.spec_from_file_location("hunt_of_mutants", HERE / "mutants" / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def many() -> Summary:
    """Return what many seeds came to."""
    return run_many(range(FIRST_SEED, FIRST_SEED + SEEDS))


@pytest.fixture(scope="session")
def twice() -> Summary:
    """Return what seeds came to that were run twice, under two hash seeds."""
    return run_many(range(FIRST_SEED, FIRST_SEED + TWICE), twice=True)


@pytest.fixture(scope="session")
def kept_seeds() -> dict[int, str]:
    """Return the seeds that once found a fault, with what they found."""
    found = {}
    for line in (HERE / "seeds.txt").read_text(encoding="utf-8").splitlines():
        number, _, why = line.partition("#")
        if number.strip():
            found[int(number)] = why.strip()
    return found
