"""Measure the projector against bare COPY of the same rows, or stop the server under it again and again."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from data.errors import ServerNotInstalledError
from infrastructure.bench import processes, projector


def main() -> int:
    """Measure, print the figures, and return the exit status: 1 if a row was lost or doubled."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, help="events of the journal [1,000,000; with --stops 6,000]")
    parser.add_argument("--stops", type=int, default=0, help="crash the server so often instead of measuring")
    parser.add_argument("--json", action="store_true", help="print JSON instead of lines")
    options = parser.parse_args()

    def tell(what: str) -> None:
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\033[K  {what}")
            sys.stderr.flush()

    figures: dict[str, object] = {"machine": processes.machine()}
    with tempfile.TemporaryDirectory(prefix="bench-projector-") as name:
        try:
            if options.stops:
                figures |= projector.crash(Path(name), options.events or 6_000, options.stops, tell)
            else:
                figures |= projector.measure(Path(name), options.events or 1_000_000, tell)
        except ServerNotInstalledError as error:
            print(f"bench-projector: {error}", file=sys.stderr)
            return 1
    tell("")
    if options.json:
        print(json.dumps(figures, indent=2))
    else:
        for key, value in figures.items():
            print(f"  {key:<42}{value:>18,.2f}" if isinstance(value, float) else f"  {key:<42}{value!s:>18}")
    equal = figures.get("rebuilt equal", True) and figures.get("equal to a calm run", True)
    return 0 if equal and not figures["differences from a plain fold"] else 1


if __name__ == "__main__":
    sys.exit(main())
