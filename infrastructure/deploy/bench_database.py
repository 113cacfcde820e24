"""Measure the aggregates of bars: a year of minutes made daily, equal to numpy, and asked for both ways."""

from __future__ import annotations

import argparse
import json
import sys

from data.errors import ServerNotInstalledError
from infrastructure.bench import aggregates, processes


def main() -> int:
    """Measure, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--symbols", type=int, default=100, help="symbols with a year of minutes each [100]")
    parser.add_argument("--turns", type=int, default=5, help="queries of which the median is taken [5]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K  {what}")
            sys.stderr.flush()

    figures: dict[str, object] = {"machine": processes.machine()}
    try:
        figures |= aggregates.measure(options.symbols, options.turns, tell)
    except ServerNotInstalledError as error:
        print(f"bench-database: {error}", file=sys.stderr)
        return 1
    tell("")
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for key, value in figures.items():
            print(f"  {key:<30}{value:>18,.2f}" if isinstance(value, float) else f"  {key:<30}{value!s:>18}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
