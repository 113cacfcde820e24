"""Many seeds in processes of their own, and what they came to together.

Each worker is a fresh interpreter (`backtesting.simulation.worker`) that is given ranges of seeds and answers
with one line of JSON a seed; so a worker can have a hash seed of its own, and nothing is inherited. A seed is
the same wherever it runs: run twice, in two workers of different hash seeds, its traces must be equal.
"""

from __future__ import annotations

import json
import queue
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from backtesting.simulation.outcome import Outcome, Violation

CRASH: Final = "CRASH"
"""Stands for an invariant where a seed ended in an error of the simulation itself."""

NOT_REPRODUCED: Final = "TWICE"
"""Stands for an invariant where a seed gave two different traces."""

WORKERS: Final = 2
LEAST_ORDERS: Final = 8
LEAST_SYMBOLS: Final = 2
_CHUNK: Final = 40
"""Seeds that a worker is given at once, at most: towards the end fewer, so that both are busy until it."""
_HASH_SEEDS: Final = (1, 4242)


@dataclass(frozen=True, slots=True)
class Failure:
    """A violation with its seed."""

    seed: int
    invariant: str
    what: str

    @property
    def replay(self) -> str:
        """The one command that replays it."""
        return f"trade simulate --seed {self.seed} --trace"


@dataclass(slots=True)
class Summary:
    """What many seeds came to; `seconds` are of the wall, all else is of the simulation."""

    seeds: int = 0
    seconds: float = 0.0
    simulated_seconds: float = 0.0
    steps: int = 0
    orders: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    seeds_with: Counter[str] = field(default_factory=Counter)
    """Number of seeds in which a fault fired at all."""
    failures: list[Failure] = field(default_factory=list)
    thin: list[int] = field(default_factory=list)
    """Seeds with fewer than eight orders or two symbols, or without a reconnect; there should be none."""

    def add(self, outcome: Outcome) -> None:
        """Count one seed."""
        self.seeds += 1
        self.simulated_seconds += outcome.simulated_seconds
        if outcome.orders < LEAST_ORDERS or outcome.symbols < LEAST_SYMBOLS or not outcome.reconnects:
            self.thin.append(outcome.seed)
        self.steps += outcome.steps
        self.orders += outcome.orders
        self.faults.update(outcome.fired)
        self.seeds_with.update(outcome.fired.keys())
        self.failures += [Failure(outcome.seed, v.invariant, v.what) for v in outcome.violations]

    @property
    def seeds_per_second(self) -> float:
        """Seeds in a second of the wall."""
        return self.seeds / self.seconds if self.seconds else 0.0

    @property
    def simulated_hours(self) -> float:
        """Hours that passed in the worlds."""
        return self.simulated_seconds / 3600

    def as_dict(self) -> dict[str, object]:
        """Return it as plain values; `violations` is their number, `failures` says which."""
        return {
            "seeds": self.seeds,
            "violations": len(self.failures),
            "faults": dict(sorted(self.faults.items())),
            "seconds": round(self.seconds, 3),
            "seeds_per_second": round(self.seeds_per_second, 2),
            "simulated_hours": round(self.simulated_hours, 2),
            "orders": self.orders,
            "steps": self.steps,
            "failures": [
                {"seed": f.seed, "invariant": f.invariant, "what": f.what, "replay": f.replay}
                for f in self.failures
            ],
        }


def run_seed(seed: int, *, canary: bool = False, collect: bool = True) -> Outcome:
    """Run one seed; an error of the simulation itself is reported like a violation.

    With `canary` an invariant that never holds is checked beside the others. Without `collect` the world's
    garbage stays: for a process that soon ends.
    """
    from backtesting.simulation.world import World  # noqa: PLC0415  heavy: only workers need it

    try:
        world = World(seed)
        world.invariants.canary = canary
        return world.run(collect=collect)
    except Exception as error:  # noqa: BLE001  the outermost boundary of a seed: the other seeds go on
        return Outcome(seed, [Violation(CRASH, f"{type(error).__name__}: {error}")])


def run_many(
    seeds: Iterable[int],
    *,
    workers: int = WORKERS,
    twice: bool = False,
    canary: bool = False,
    on_outcome: Callable[[Outcome], None] | None = None,
) -> Summary:
    """Run seeds in worker processes.

    Parameters
    ----------
    seeds
        Which; each is run once.
    workers
        Number of processes.
    twice
        Run each seed a second time, in a process with another hash seed, and compare the traces.
    canary
        Check an invariant that never holds beside the others.
    on_outcome
        Told each outcome as it comes, in no particular order.

    Returns
    -------
    Summary
        With its failures sorted by seed.
    """
    summary = Summary()
    began = time.monotonic()
    wanted = list(seeds)
    for outcome in outcomes(wanted, workers=workers, twice=twice, canary=canary):
        summary.add(outcome)
        if on_outcome is not None:
            on_outcome(outcome)
    summary.seconds = time.monotonic() - began
    summary.failures.sort(key=lambda failure: failure.seed)
    return summary


def outcomes(
    seeds: list[int], *, workers: int = WORKERS, twice: bool = False, canary: bool = False
) -> Iterator[Outcome]:
    """Yield the outcome of each seed as it comes; with `twice` when both of its runs have."""
    jobs: list[queue.SimpleQueue[list[int]]] = []
    lines: queue.SimpleQueue[Outcome | BaseException | None] = queue.SimpleQueue()
    for _ in _HASH_SEEDS if twice else (None,):
        jobs.append(queue.SimpleQueue())
        for chunk in _chunks(seeds, workers):
            jobs[-1].put(chunk)
    number = max(workers, len(jobs))
    for n in range(number):
        hash_seed = _HASH_SEEDS[n % len(_HASH_SEEDS)]
        options = ["--canary"] if canary else []
        job = jobs[n % len(jobs)], lines, hash_seed, options
        threading.Thread(target=_serve, args=job, daemon=True).start()
    yield from _paired(_until_done(lines, number), twice=twice)


def _chunks(seeds: list[int], workers: int) -> Iterator[list[int]]:
    """Cut seeds into lists that become shorter towards the end."""
    first = 0
    while first < len(seeds):
        size = max(1, min(_CHUNK, (len(seeds) - first) // (workers * 4)))
        yield seeds[first : first + size]
        first += size


def _paired(found: Iterable[Outcome], *, twice: bool) -> Iterator[Outcome]:
    waiting: dict[int, Outcome] = {}
    for outcome in found:
        if not twice:
            yield outcome
        elif (first := waiting.pop(outcome.seed, None)) is None:
            waiting[outcome.seed] = outcome
        else:
            if first.trace_hash != outcome.trace_hash:
                what = f"two runs gave two traces: {first.trace_hash[:12]} and {outcome.trace_hash[:12]}"
                outcome.violations.append(Violation(NOT_REPRODUCED, what))
            yield outcome


def _until_done(lines: queue.SimpleQueue[Outcome | BaseException | None], workers: int) -> Iterator[Outcome]:
    while workers:
        line = lines.get()
        if line is None:
            workers -= 1
        elif isinstance(line, BaseException):
            raise line
        else:
            yield line


def _serve(
    jobs: queue.SimpleQueue[list[int]],
    lines: queue.SimpleQueue[Outcome | BaseException | None],
    hash_seed: int,
    options: list[str],
) -> None:
    """Feed one worker process until no job is left."""
    # One thread is enough for a market of two symbols, and a process with one can be forked.
    settings = [f"PYTHONHASHSEED={hash_seed}", "OPENBLAS_NUM_THREADS=1", "OMP_NUM_THREADS=1"]
    command = ["/usr/bin/env", *settings, sys.executable]
    try:
        with subprocess.Popen(
            [*command, "-m", "backtesting.simulation.worker", *options],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None  # noqa: S101  both are pipes
            assert process.stdout is not None  # noqa: S101
            while not jobs.empty():
                try:
                    chunk = jobs.get_nowait()
                except queue.Empty:
                    break
                process.stdin.write(json.dumps(chunk) + "\n")
                process.stdin.flush()
                for seed in chunk:
                    lines.put(_read(process.stdout.readline(), seed))
            process.stdin.close()
        lines.put(None)
    except (OSError, ValueError) as error:
        lines.put(error)


def _read(line: str, seed: int) -> Outcome:
    if not line:
        raise ValueError(f"the worker ended at seed {seed}; run `trade simulate --seed {seed}` to see why")
    found = json.loads(line)
    found["violations"] = [Violation(*each) for each in found["violations"]]
    found["fired"] = Counter(found["fired"])
    return Outcome(**found)
