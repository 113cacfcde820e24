"""Commands about finished and unfinished runs: report, run list, run prune."""

from __future__ import annotations

from typing import Annotated

import typer

from infrastructure.cli import options as o


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="List and prune runs.", no_args_is_help=True)
    o.add(group, list_runs, "list")
    o.add(group, prune, "prune")
    app.add_typer(group, name="run")
    o.add(app, report)


def report(
    run: Annotated[str | None, typer.Argument(help="Run id or its beginning [last finished run].")] = None,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Show a run's figures and where its HTML report lies.

    trade report
    trade report 3f2a --json
    """
    import json

    from backtesting import runs
    from backtesting.run_errors import RunNotFoundError

    root = o.load(config, runs_dir=runs_dir).runs_dir
    record = runs.find(root, run) if run else runs.latest_finished(root)
    if record is None:
        raise RunNotFoundError(f"no finished run in {root}; `trade backtest` makes one")
    summary = record.path / "summary.json"
    if not summary.is_file():
        raise RunNotFoundError(f"run {record.run_id} has no summary.json: it is {record.state}, not finished")
    figures = {"report": str(record.path / "report.html"), **json.loads(summary.read_text(encoding="utf-8"))}
    if as_json:
        o.print_json(figures)
    else:
        o.print_pairs(f"run {record.run_id}", figures)


def list_runs(config: o.Config = None, runs_dir: o.RunsDir = None, as_json: o.Json = False) -> None:
    """List runs, oldest first.

    trade run list
    """
    from backtesting import runs

    rows = [
        {
            "run_id": record.run_id,
            "profile": record.profile,
            "state": record.state,
            "created": None if record.created is None else record.created.isoformat(timespec="seconds"),
            "in_use": "yes" if record.locked else "",
        }
        for record in runs.list_runs(o.load(config, runs_dir=runs_dir).runs_dir)
    ]
    if as_json:
        o.print_json(rows)
    else:
        o.print_table("runs", rows)


def prune(
    keep_last: Annotated[int | None, typer.Option(min=0, help="Keep so many of the newest runs.")] = None,
    older_than_days: Annotated[
        float | None, typer.Option("--older-than-days", min=0, help="Delete only runs older than this.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Delete old demo and backtest runs; paper and live runs are never touched.

    Give at least one bound.
      trade run prune --keep-last 20 --dry-run
    """
    import pandas as pd

    from backtesting import runs
    from infrastructure.errors import ConfigError

    if keep_last is None and older_than_days is None:
        raise ConfigError(
            "trade run prune deletes nothing without a bound: give --keep-last or --older-than-days"
        )
    decisions = runs.prune(
        o.load(config, runs_dir=runs_dir).runs_dir,
        now=pd.Timestamp.now(tz="UTC"),
        keep_last=keep_last,
        older_than=None if older_than_days is None else pd.Timedelta(days=older_than_days),
        dry_run=dry_run,
    )
    gone = "would be deleted" if dry_run else "deleted"
    rows = [
        {"run_id": made.run.run_id, "decision": gone if made.delete else "kept", "reason": made.reason}
        for made in decisions
    ]
    if as_json:
        o.print_json(rows)
    else:
        o.print_table("runs", rows)
