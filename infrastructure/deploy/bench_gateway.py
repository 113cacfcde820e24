"""Measure the simulated gateway: latency of an order, orders a second, bars a second in lockstep.

Every figure stands beside a floor of the same run, because a figure alone says more of the machine than of
the program. ``--part`` chooses, ``--json`` prints for programs. Each figure of which something is asked gets
a verdict; the exit status is 1 if an order failed or went unanswered, or a stalled client was not cut off.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from infrastructure.bench import latency, lockstep, processes, throughput

PARTS = ("latency", "lockstep", "throughput")
ASKED = (
    # part, figure, whether it may be at most or at least the bound, whether to fail without it
    ("latency", "gateway_ratio", "at most", 3.0, False),
    ("latency", "one_core_gateway_ratio", "at most", 3.0, False),
    ("lockstep", "gateway_bars_s", "at least", 20_000.0, False),
    ("throughput", "orders_a_second_a_client", "at least", 44.5, False),
    ("throughput", "errors", "at most", 0.0, True),
    ("throughput", "unanswered", "at most", 0.0, True),
    ("throughput", "cut_off_after_s", "at most", 60.0, True),
    ("throughput", "stalled_ratio", "at most", 1.25, False),
    ("throughput", "bytes_an_order", "at most", 10_000.0, False),
    ("throughput", "growth_of_the_second_day", "at most", 0.1, False),
)
"""What each figure is held against; a figure of timing or memory is told and never fails the run."""
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
    figures["verdicts"] = verdicts(figures)
    print(processes.to_json(figures) if options.json else _table(figures))
    if any(not row["met"] and row["required"] for row in figures["verdicts"]):
        raise SystemExit(1)


def verdicts(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold each measured figure against what is asked of it."""
    rows = []
    for part, name, way, bound, required in ASKED:
        value = figures.get(part, {}).get(name)
        if value is not None:
            met = (
                value <= bound if way == "at most" else value >= bound
            )  # not met by a figure that is missing
            asked = f"{way} {bound:g}"
            rows.append(
                {
                    "part": part,
                    "figure": name,
                    "value": value,
                    "asked": asked,
                    "met": met,
                    "required": required,
                }
            )
    return rows


def _table(figures: dict[str, Any]) -> str:
    lines = ["machine: " + ", ".join(f"{name} {value}" for name, value in figures["machine"].items())]
    for part, title in TITLES.items():
        if part in figures:
            lines += ["", title]
            lines += [f"  {name:<28}{_number(value):>16}" for name, value in figures[part].items()]
    lines += ["", "verdicts"]
    for row in figures["verdicts"]:
        verdict = "met" if row["met"] else "MISSED"
        lines.append(f"  {verdict:<8}{row['figure']:<28}{_number(row['value']):>14}  {row['asked']}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:,.2f}" if value < 100 else f"{value:,.0f}"  # noqa: PLR2004  two digits after small numbers


if __name__ == "__main__":
    main()
