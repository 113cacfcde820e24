"""Say after how many seeds each mutant of the core is found, and by which invariant.

Run it as a program: ``python tests/backtesting/simulation/mutants/run.py [--seeds N] [NAME ...]``.
Exit status 1 if one survives.
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import sys
import time
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from core_mutants import MUTANTS, mutated  # type: ignore[import-not-found]  # it lies beside this file

from backtesting.simulation.runner import CRASH, run_seed

MOST_SEEDS = 2_000
WORKERS = 2
_CRASHES = (CRASH, "I0")


@dataclass(frozen=True, slots=True)
class Kill:
    """How a mutant ended: `seeds` were run, the last of them found it unless `invariant` is empty."""

    name: str
    seeds: int
    seed: int = 0
    invariant: str = ""
    what: str = ""
    seconds: float = 0.0


def hunt(name: str, seeds: int = MOST_SEEDS, start: int = 1) -> Kill:
    """Run seeds with a mutant until an invariant fails; an error of the program alone is no find."""
    began = time.monotonic()
    with mutated(name):
        for number, seed in enumerate(range(start, start + seeds), 1):
            found = [v for v in run_seed(seed).violations if v.invariant not in _CRASHES]
            if found:
                seconds = time.monotonic() - began
                return Kill(name, number, seed, found[0].invariant, found[0].what, seconds)
            if number % 10 == 0:
                gc.collect()
    return Kill(name, seeds, seconds=time.monotonic() - began)


def _hunt(arguments: tuple[str, int, int]) -> Kill:
    return hunt(*arguments)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="mutants to run; all by default")
    parser.add_argument("--seeds", type=int, default=MOST_SEEDS, help="give up after so many")
    parser.add_argument("--start", type=int, default=1, help="the first seed")
    options = parser.parse_args()
    names = options.names or list(MUTANTS)
    survived = []
    with multiprocessing.get_context("spawn").Pool(WORKERS) as pool:
        jobs = [(name, options.seeds, options.start) for name in names]
        for kill in pool.imap_unordered(_hunt, jobs):
            verdict = f"killed by {kill.invariant} at seed {kill.seed}" if kill.invariant else "SURVIVED"
            print(
                f"{kill.name:36} {kill.seeds:5} seeds {kill.seconds:6.1f} s  {verdict}  {kill.what[:110]}",
                flush=True,
            )
            if not kill.invariant:
                survived.append(kill.name)
    print(f"{len(names) - len(survived)} of {len(names)} mutants killed")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
