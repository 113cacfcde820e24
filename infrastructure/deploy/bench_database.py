"""Measure the aggregates of bars: a year of minutes made daily, equal to numpy, and asked for both ways.

With the programs of TimescaleDB's community edition also its continuous aggregates and its compression:
  bench_database.py --programs /usr/lib/postgresql/17/bin
  bench_database.py --programs /usr/lib/postgresql/17/bin --bars prices/minute --bars prices/daily
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from data.errors import BarFileError, ServerNotInstalledError
from infrastructure.bench import aggregates, compression, processes


def main() -> int:
    """Measure, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--symbols", type=int, default=100, help="symbols with a year of minutes each [100]")
    parser.add_argument("--turns", type=int, default=5, help="queries of which the median is taken [5]")
    parser.add_argument(
        "--programs", type=Path, metavar="DIR", help="folder of initdb and postgres [the Apache edition]"
    )
    parser.add_argument(
        "--bars", type=Path, action="append", metavar="DIR",
        help="instead, compress the bars of this folder (again for more); needs the community edition",
    )  # fmt: skip
    parser.add_argument("--only", nargs="+", metavar="SYMBOL", help="of those folders, these symbols [all]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K  {what}")
            sys.stderr.flush()

    figures: dict[str, object] = {"machine": processes.machine()}
    if options.bars and options.programs is None:
        parser.error("--bars needs --programs, the folder of a server of the community edition")
    try:
        if options.bars:
            figures |= compression.measure(options.bars, options.only, options.programs, tell)
        else:
            figures |= aggregates.measure(options.symbols, options.turns, tell, options.programs)
    except (ServerNotInstalledError, BarFileError) as error:
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
