"""``trade simulate``: the fault simulation, from the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from backtesting.simulation.runner import Summary

_DEFAULT_SEEDS = 200


def register(app: typer.Typer) -> None:
    """Add the command."""
    o.add(app, simulate)


def simulate(
    seeds: Annotated[
        int, typer.Option("--seeds", "-n", min=1, metavar="N", help="How many seeds to run.")
    ] = _DEFAULT_SEEDS,
    start: Annotated[int, typer.Option("--start", min=0, metavar="S", help="The first seed.")] = 1,
    seed: Annotated[
        int | None,
        typer.Option("--seed", min=0, metavar="S", help="Run this one seed only, in this process."),
    ] = None,
    trace: Annotated[
        bool, typer.Option("--trace", help="With --seed: print what happened, step by step.")
    ] = False,
    twice: Annotated[
        bool,
        typer.Option(
            "--twice", help="Run each seed in two processes of different hash seeds; compare traces."
        ),
    ] = False,
    canary: Annotated[
        bool, typer.Option("--canary", help="Add an invariant that never holds: is a violation reported?")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Processes.")] = 2,
    as_json: o.Json = False,
) -> None:
    """Trade through faults in simulated time, and check that no order is lost or sent twice.

    Each seed is half an hour or more of trading in a world of its own: this library, the real ib_insync, the
    simulated gateway, the risk rules and the journal in one process, with the faults of network, gateway,
    broker, disk and process that the seed draws. Fourteen invariants are checked after every step.
    A violation prints the one command that replays it. Exit status 1 if there was one.

    Run many, run one, look into it:
      trade simulate --seeds 1000
      trade simulate --seed 17
      trade simulate --seed 17 --trace
      trade simulate --seeds 100 --twice
    """
    if trace and seed is None:
        raise typer.BadParameter("--trace needs --seed: name the one seed to look into")
    if seed is not None:
        summary = _one(seed, trace=trace, canary=canary)
    else:
        summary = _many(start, seeds, twice=twice, canary=canary, workers=workers)
    if as_json:
        o.print_json(summary.as_dict())
    elif not trace:
        _show(summary)
    _say_failures(summary, quiet=as_json)
    if summary.failures:
        raise typer.Exit(1)


def _one(seed: int, *, trace: bool, canary: bool) -> Summary:
    import time

    from backtesting.simulation.runner import Summary, run_seed
    from backtesting.simulation.world import World

    summary = Summary()
    began = time.monotonic()
    if trace:
        world = World(seed)
        try:
            summary.add(world.run())
        finally:
            for line in world.trace:
                typer.echo(line)
    else:
        summary.add(run_seed(seed, canary=canary))
    summary.seconds = time.monotonic() - began
    return summary


def _many(start: int, seeds: int, *, twice: bool, canary: bool, workers: int) -> Summary:
    import sys

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from backtesting.simulation.outcome import Outcome
    from backtesting.simulation.runner import run_many

    console = Console(stderr=True)
    with Progress(
        TextColumn("seeds {task.fields[first]}…"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[found]}"),
        console=console,
        transient=True,
        disable=not sys.stderr.isatty(),
    ) as progress:
        task = progress.add_task("", total=seeds, first=start, found="")
        violations = 0

        def on_outcome(outcome: Outcome) -> None:
            nonlocal violations
            violations += len(outcome.violations)
            progress.update(task, advance=1, found=f"{violations} violations" if violations else "")

        return run_many(
            range(start, start + seeds), workers=workers, twice=twice, canary=canary, on_outcome=on_outcome
        )


def _show(summary: Summary) -> None:
    from backtesting.simulation.catalogue import FAULTS

    rows = [
        {
            "fault": fault.id,
            "what goes wrong": fault.what,
            "fired": summary.faults[fault.id],
            "in seeds": summary.seeds_with[fault.id],
        }
        for fault in FAULTS
        if fault.injected
    ]
    o.print_table("Faults", rows)
    absent = ", ".join(fault.id for fault in FAULTS if not fault.injected)
    typer.echo(f"Not injected: {absent}; docs/simulation.md says why.")
    typer.echo(
        f"{summary.seeds} seeds in {summary.seconds:.1f} s ({summary.seeds_per_second:.1f} a second): "
        f"{summary.simulated_hours:.1f} simulated hours, {summary.orders} orders, "
        f"{sum(summary.faults.values())} faults, {len(summary.failures)} violations"
    )


def _say_failures(summary: Summary, *, quiet: bool) -> None:
    shown: set[int] = set()
    for failure in summary.failures:
        typer.echo(f"seed {failure.seed}: {failure.invariant}: {failure.what}", err=True)
        shown.add(failure.seed)
    if not quiet:
        for seed in sorted(shown):
            typer.echo(f"replay: trade simulate --seed {seed} --trace", err=True)
