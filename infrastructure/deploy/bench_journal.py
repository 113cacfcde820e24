"""Measure the journal: durable events a second, verification, and kills of its writer with ``--kills``.

Leaves with 1 if a kill lost what was acknowledged.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

from infrastructure.bench import journal, processes


def main() -> int:
    """Measure or kill as asked for, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, help="events to write [200,000; with kills 1,000,000]")
    parser.add_argument("--group", type=int, default=100, help="events of one commit [100]")
    parser.add_argument("--kills", type=int, default=0, help="kill the writer so many times [0: measure]")
    parser.add_argument("--seed", type=int, default=1, help="of the moments of the kills [1]")
    parser.add_argument("--folder", help="where to write, for another disk [a temporary folder]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-journal-", dir=options.folder) as name:
        figures: dict[str, object] = {"machine": processes.machine()}
        problem = ""
        if options.kills:
            found = journal.kill(
                Path(name),
                events=options.events or 1_000_000,
                kills=options.kills,
                group=options.group,
                seed=options.seed,
            )
            figures |= asdict(found)
            problem = found.problem
        else:
            figures |= journal.measure(Path(name), events=options.events or 200_000, group=options.group)
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for key, value in figures.items():
            print(f"  {key:<30}{value:>18,.2f}" if isinstance(value, float) else f"  {key:<30}{value!s:>18}")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
