"""A process that runs seeds: ranges of them come as lines of JSON, an outcome a seed goes out as one."""

from __future__ import annotations

import json
import sys
from typing import TextIO

from backtesting.simulation.runner import run_seed


def serve(requests: TextIO, answers: TextIO, *, canary: bool = False) -> None:
    """Run what is asked for until there are no more requests."""
    for line in requests:
        for seed in json.loads(line):
            outcome = run_seed(seed, canary=canary)
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


def main() -> None:
    """Serve the standard streams."""
    serve(sys.stdin, sys.stdout, canary="--canary" in sys.argv)


if __name__ == "__main__":
    main()
