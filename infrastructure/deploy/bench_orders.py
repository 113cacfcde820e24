"""Measure the way of an order, each figure beside a floor of the same run.

- ``latency``: from the call to the bytes at the venue, against ib_insync's own placeOrder and one bare
  durable commit, order by order in turns;
- ``pauses``: the garbage collector over 20,000 orders, and our own time without the commit;
- ``reconcile``: 5,000 open orders and 50,000 fills, until orders may be sent;
- ``sustained``: 45 orders a second for 5 minutes, 13,500 in all, and memory. The first 4,000 may take what is
  taken once (the newest 2,000 ended orders stay in memory); past them memory is to be flat: at most 256 bytes
  an order. A run too short for that (``--seconds`` below 90) gets no verdict on memory.

Each figure of which something is asked gets a verdict; the exit status is 1 if an order was lost.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import structlog
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infrastructure.bench import orders, pauses, processes, reconciling, scratch, sustained

PARTS = ("latency", "pauses", "reconcile", "sustained")
TITLES = {
    "latency": "from the call to the bytes at the venue, microseconds; modes in turns, order by order",
    "pauses": "pauses of the garbage collector, and our own time without the commit",
    "reconcile": "until orders may be sent: executions learnt for the first time (missed), and again (known)",
    "sustained": "an even pace of orders, each filled; memory that stays behind",
}
ASKED = (
    # part, figure, whether it may be at most or at least the bound
    ("latency", "ratio", "at most", 1.5),
    ("latency", "memory_ratio", "at most", 2.5),
    ("pauses", "longest_pause_inside_ms", "at most", 5.0),
    ("pauses", "longest_pause_ms", "at most", 5.0),
    ("pauses", "own_p999_us", "at most", 20_000.0),
    ("reconcile", "missed_s", "at most", 5.0),
    ("reconcile", "known_s", "at most", 5.0),
    ("sustained", "orders_a_second", "at least", 44.5),
    ("sustained", "unfilled", "at most", 0.0),
    ("sustained", "memory_bytes_an_order", "at most", 256.0),
)
"""What each figure is held against."""


def main() -> int:
    """Run the parts asked for, print the figures, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--part", choices=PARTS, action="append", help="measure this part only; repeatable")
    parser.add_argument("--orders", type=int, default=3000, help="orders of each mode, latency [3,000]")
    parser.add_argument("--pause-orders", type=int, default=20_000, help="orders of the pauses part [20,000]")
    parser.add_argument("--open", type=int, default=5000, help="open orders to reconcile [5,000]")
    parser.add_argument("--fills", type=int, default=50_000, help="their executions [50,000]")
    parser.add_argument("--seconds", type=float, default=300.0, help="length of the sustained part [300]")
    parser.add_argument("--folder", default=".", help="where to write, on the disk to be measured [here]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    options = parser.parse_args()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    figures = measure(options)
    figures["verdicts"] = verdicts(figures)
    print(processes.to_json(figures) if options.json else table(figures))
    return 1 if figures.get("sustained", {}).get("unfilled") else 0


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Measure the parts asked for, with a progress bar on the error stream."""
    figures: dict[str, Any] = {"machine": processes.machine()}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, ExitStack() as stack:
        folder = stack.enter_context(scratch.folder("bench-orders-", Path(options.folder)))

        def run(part: str, total: int, measured: Callable[[Path, orders.Report], dict[str, float]]) -> None:
            if options.part and part not in options.part:
                return
            bar = progress.add_task(part, total=total)
            own = folder / part
            own.mkdir()
            figures[part] = measured(own, lambda done: progress.update(bar, completed=done))
            progress.update(bar, completed=total)

        memory = orders.memory_folder()
        fast = None if memory is None else stack.enter_context(scratch.folder("bench-orders-", memory))
        # First: it would use again the memory that others have let go, and its slope be too good.
        run(
            "sustained",
            int(options.seconds),
            lambda f, r: sustained.measure(f, seconds=options.seconds, report=r),
        )
        run("latency", options.orders, lambda f, r: orders.measure(f, fast, orders=options.orders, report=r))
        run(
            "pauses",
            options.pause_orders,
            lambda f, r: pauses.measure(f, orders=options.pause_orders, report=r),
        )
        run(
            "reconcile",
            options.open,
            lambda f, r: reconciling.measure(f, orders=options.open, fills=options.fills, report=r),
        )
    return figures


def verdicts(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """Hold each measured figure against what is asked of it."""
    rows = []
    for part, name, way, bound in ASKED:
        value = figures.get(part, {}).get(name)
        if value is not None:
            met = value <= bound if way == "at most" else value >= bound
            rows.append(
                {"part": part, "figure": name, "value": value, "asked": f"{way} {bound:g}", "met": met}
            )
    return rows


def table(figures: dict[str, Any]) -> str:
    """Return the figures for people to read."""
    lines = ["machine: " + ", ".join(f"{name} {value}" for name, value in figures["machine"].items())]
    for part, title in TITLES.items():
        if part in figures:
            lines += ["", title]
            lines += [f"  {name:<28}{value:>16,.2f}" for name, value in figures[part].items()]
    lines += ["", "verdicts"]
    for row in figures["verdicts"]:
        verdict = "met" if row["met"] else "MISSED"
        lines.append(f"  {verdict:<8}{row['figure']:<28}{row['value']:>14,.2f}  {row['asked']}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
