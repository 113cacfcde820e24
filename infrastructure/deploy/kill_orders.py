"""Kill traders with SIGKILL at every step of an order's way, restart them, and compare with the broker.

Each trader restores the journal of the one before, reconciles with a simulated gateway that lives on,
trades, and is killed at one step: before or after a commit, a write, a record, a change of state, a handler,
an answer of the reconciliation, a step of the journal's rotation. In the end no acknowledged order may be
lost, none may be at the broker twice, positions and fills must be equal, and the journal must verify. Leaves
with 1 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from infrastructure.bench import kill_child, kill_orders, processes


def main() -> int:
    """Kill as often as asked for, print what was found, and return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kills", type=int, default=1000, help="how many [1,000]")
    parser.add_argument("--lanes", type=int, default=2, help="traders at a time, each with a gateway [2]")
    parser.add_argument("--seed", type=int, default=1, help="of what they do, and where they are killed [1]")
    parser.add_argument("--folder", help="where the journals lie, for another disk [a temporary folder]")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--lane", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kill-orders-", dir=options.folder) as name:
        if options.lane:
            return asyncio.run(_lane(Path(name), options.kills, options.seed))
        found = asyncio.run(_all(Path(name), options.kills, options.lanes, options.seed))
    print(json.dumps(found, indent=2) if options.json else table(found))
    return 1 if found["problems"] or found["kills"] < options.kills else 0


async def _lane(folder: Path, kills: int, seed: int) -> int:
    """Kill in this process, saying how far it is in lines of JSON."""
    found = await kill_orders.play(
        folder, kills=kills, seed=seed, report=lambda done: print(json.dumps({"done": done}), flush=True)
    )
    print(json.dumps({"found": found.as_dict()}), flush=True)
    return 0


async def _all(folder: Path, kills: int, lanes: int, seed: int) -> dict[str, Any]:
    shares = [kills // lanes + (lane < kills % lanes) for lane in range(lanes)]
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        bars = progress.add_task("traders killed", total=kills)
        done = [0] * lanes

        def report(lane: int) -> Callable[[int], None]:
            def told(count: int) -> None:
                done[lane] = count
                progress.update(bars, completed=sum(done))

            return told

        parts = await asyncio.gather(
            *(
                _run_lane(folder, share, seed * 100 + lane, report(lane))
                for lane, share in enumerate(shares)
                if share
            )
        )
    return joined(parts)


async def _run_lane(folder: Path, kills: int, seed: int, report: Callable[[int], None]) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "infrastructure.deploy.kill_orders",
        *("--lane", "--kills", str(kills), "--seed", str(seed), "--folder", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 22,
    )
    assert process.stdout is not None  # noqa: S101  asked for above
    found: dict[str, Any] = {"kills": 0, "problems": ["a lane ended without a word; its error stands above"]}
    async for line in process.stdout:
        told = json.loads(line)
        if "done" in told:
            report(told["done"])
        else:
            found = told["found"]
    await process.wait()
    return found


def joined(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Add up what the lanes found; they ran at the same time."""
    total: dict[str, Any] = {"machine": processes.machine()}
    for part in parts:
        for key, value in part.items():
            if isinstance(value, dict):
                total[key] = dict(Counter(total.get(key, {})) + Counter(value))
            elif isinstance(value, list):
                total[key] = total.get(key, []) + value
            elif key == "seconds":
                total[key] = max(total.get(key, 0.0), value)
            else:
                total[key] = total.get(key, 0) + value
    if total.get("seconds"):
        total["kills_a_second"] = total["kills"] / total["seconds"]
    return total


def table(found: dict[str, Any]) -> str:
    """Return what was found for people to read."""
    lines = [
        f"  {key.replace('_', ' '):<28}{value:>14,.2f}"
        if isinstance(value, float)
        else f"  {key.replace('_', ' '):<28}{value:>14,}"
        for key, value in found.items()
        if isinstance(value, int | float)
    ]
    lines += ["", "kills by step"]
    by_step = found.get("by_step", {})
    lines += [f"  {step:<36}{by_step.get(step, 0):>6}" for step in kill_child.STEPS]
    lines += ["", *(f"PROBLEM: {problem}" for problem in found["problems"])]
    if not found["problems"]:
        lines[-1:] = ["", "nothing lost, nothing doubled; positions and fills equal, journals verified"]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
