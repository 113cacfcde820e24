"""Measure the stores of bars against bare operations, in one run: loading, reading, Parquet, a universe."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from data.errors import ServerNotInstalledError
from infrastructure.bench import bars, processes


def main() -> int:
    """Measure, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows", type=int, default=2_000_000, help="one-minute bars of 20 symbols [2,000,000]"
    )
    parser.add_argument("--turns", type=int, default=5, help="turns of which the median is taken [5]")
    parser.add_argument(
        "--symbols", type=int, default=5_000, help="symbols of the daily universe [5,000; 0: leave out]"
    )
    parser.add_argument("--years", type=int, default=20, help="years of the daily universe [20]")
    parser.add_argument("--real", type=Path, help="folder with daily/ and minute/ CSV files, to state sizes")
    parser.add_argument("--folder", help="where to write, for another disk [a temporary folder]")
    parser.add_argument("--no-database", action="store_true", help="measure files alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K  {what}")
            sys.stderr.flush()

    figures: dict[str, object] = {"machine": processes.machine()}
    with tempfile.TemporaryDirectory(prefix="bench-bars-", dir=options.folder) as name:
        figures |= bars.measure_parquet(Path(name), options.rows, options.turns, tell)
        if options.symbols:
            figures |= bars.measure_universe(Path(name), options.symbols, options.years, tell)
        try:
            if not options.no_database:
                figures |= bars.measure_database(options.rows, options.turns, tell)
                if options.real is not None:
                    figures |= bars.measure_sizes(Path(name), options.real, tell)
        except ServerNotInstalledError as error:
            print(f"bench-bars: {error}", file=sys.stderr)
            return 1
    tell("")
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for key, value in figures.items():
            print(f"  {key:<42}{value:>18,.2f}" if isinstance(value, float) else f"  {key:<42}{value!s:>18}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
