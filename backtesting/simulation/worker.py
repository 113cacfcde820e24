"""A process that runs seeds: lists of them come as lines of JSON, an outcome a seed goes out as one.

Each list is run in a process that is forked for it, from one in which everything is imported and warm, and
that ends without having collected its garbage: to collect that of a world takes a fifth of its time. Where
processes cannot be forked, the list is run here.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Sequence
from typing import Final, TextIO

from backtesting.simulation.runner import run_seed

_WARM: Final = 0
"""A seed that is run before the first list comes; whatever it comes to."""


def serve(requests: TextIO, answers: TextIO, *, canary: bool = False, forks: bool = False) -> None:
    """Run what is asked for until there are no more requests.

    Parameters
    ----------
    requests, answers
        Lists of seeds and outcomes, a line each.
    canary
        Check an invariant that never holds beside the others.
    forks
        Run each list in a process of its own.

    Raises
    ------
    ChildProcessError
        If such a process did not end well; what it has not answered is lost.
    """
    if forks:
        run_seed(_WARM)
    for line in requests:
        if forks:
            _fork(json.loads(line), answers, canary=canary)
        else:
            answer(json.loads(line), answers, canary=canary, collect=True)


def answer(seeds: Sequence[int], answers: TextIO, *, canary: bool, collect: bool) -> None:
    """Run seeds, one after the other, and write what each came to."""
    for seed in seeds:
        outcome = run_seed(seed, canary=canary, collect=collect)
        row = {
            "seed": outcome.seed,
            "violations": [(v.invariant, v.what) for v in outcome.violations],
            "fired": dict(outcome.fired),
            "trace_hash": outcome.trace_hash,
            "steps": outcome.steps,
            "orders": outcome.orders,
            "simulated_seconds": outcome.simulated_seconds,
            "symbols": outcome.symbols,
            "reconnects": outcome.reconnects,
        }
        answers.write(json.dumps(row) + "\n")
        answers.flush()


def _fork(seeds: Sequence[int], answers: TextIO, *, canary: bool) -> None:
    answers.flush()
    child = os.fork()
    if not child:
        code = 1
        try:
            answer(seeds, answers, canary=canary, collect=False)
            code = 0
        finally:
            os._exit(code)  # nothing of this process is tidied up: that is what it is for
    _, status = os.waitpid(child, 0)
    if status:
        raise ChildProcessError(f"a process for seeds {seeds[0]} to {seeds[-1]} ended with status {status}")


def main() -> None:
    """Serve the standard streams; an interruption ends it at once, without a word: the parent says it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    serve(sys.stdin, sys.stdout, canary="--canary" in sys.argv, forks=hasattr(os, "fork"))


if __name__ == "__main__":
    main()
