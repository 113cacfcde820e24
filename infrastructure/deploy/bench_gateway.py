"""Measure the simulated gateway: latency of an order, orders a second, bars a second in lockstep.

Every figure stands beside a floor of the same run, because a figure alone says more of the machine than of
the program. ``--part`` chooses, ``--json`` prints for programs.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from infrastructure.bench import latency, lockstep, processes, throughput

PARTS = ("latency", "lockstep", "throughput")
TITLES = {
    "latency": "order to first orderStatus of a raw-socket client (ratio: at most 3 without a journal)",
    "lockstep": "one-minute bars in lockstep, bars a second (at least 20,000 with a raw-socket client)",
    "throughput": "45 orders a second from each of 8 clients (no error; memory released at the day's roll)",
}


def main() -> None:
    """Run the parts asked for and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this part only; repeatable")
    parser.add_argument("--orders", type=int, default=2000, help="orders of the latency part [2000]")
    parser.add_argument("--days", type=int, default=10, help="sessions of the lockstep part [10]")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of the lockstep part [3]")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the throughput part [300]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-gateway-") as name:
        folder = Path(name)
        processes.write_minute_bars(folder / "bars", symbols=10, days=options.days)
        figures: dict[str, Any] = {"machine": processes.machine()}
        for part in options.part or PARTS:
            if part == "latency":
                figures[part] = latency.measure(folder, orders=options.orders)
            elif part == "lockstep":
                figures[part] = lockstep.measure(folder, rounds=options.rounds)
            else:
                figures[part] = throughput.measure(folder, seconds=options.seconds)
    print(processes.to_json(figures) if options.json else _table(figures))


def _table(figures: dict[str, Any]) -> str:
    lines = ["machine: " + ", ".join(f"{name} {value}" for name, value in figures["machine"].items())]
    for part, title in TITLES.items():
        if part in figures:
            lines += ["", title]
            lines += [f"  {name:<28}{_number(value):>16}" for name, value in figures[part].items()]
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004  two digits after small numbers


if __name__ == "__main__":
    main()
