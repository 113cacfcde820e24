"""Commands about finished and unfinished runs: report, run list, run prune."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from backtesting.run_records import RunRecord


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
    """Show a run's figures and where its HTML report lies; with --json all that is on record.

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
        o.print_pairs(f"run {record.run_id}", _readable(figures))


def _readable(summary: dict[str, Any]) -> dict[str, Any]:
    """Return what a person asks of a finished run, in the words of its HTML report."""
    from backtesting.report_figures import FIGURES, figure_text

    known = {**summary.get("metrics", {}), "orders": summary.get("orders")}
    shown: dict[str, Any] = {"report": summary["report"]}
    for name in ("strategy", "profile", "symbols", "timeframe", "data_source", "end"):
        value = summary.get(name)
        if value:
            shown[name.replace("_", " ")] = ", ".join(value) if isinstance(value, list) else value
    shown |= {
        label: figure_text(known[name], kind) for name, (label, kind) in FIGURES.items() if name in known
    }
    if refusals := summary.get("refusals"):
        shown["refused"] = refusals
    if parity := summary.get("parity"):
        agreed = "identical" if parity["identical"] else f"{parity['differences_total']} differences"
        shown["parity"] = f"{parity['left']} | {parity['right']}: {agreed}"
    if isinstance(verdict := summary.get("verdict"), dict):
        differ = [
            f"{line['name']} ({line['ours']} | {line['theirs']})"
            for line in verdict["lines"]
            if not line["ok"]
        ]
        shown["verdict"] = "everything agrees" if verdict["ok"] else f"NOT EQUAL: {', '.join(differ)}"
    return shown


def list_runs(config: o.Config = None, runs_dir: o.RunsDir = None, as_json: o.Json = False) -> None:
    """List runs, oldest first.

    trade run list
    """
    from backtesting import runs

    records = runs.list_runs(o.load(config, runs_dir=runs_dir).runs_dir)
    if as_json:
        o.print_json(
            [
                {
                    "run_id": record.run_id,
                    "profile": record.profile,
                    "state": record.state,
                    "created": _to_the_second(record.created_text),
                    "in_use": "yes" if record.locked else "",
                }
                for record in records
            ]
        )
        return
    o.print_table("runs, created in UTC", [_row(record) for record in records])


def _row(record: RunRecord) -> dict[str, str | None]:
    import datetime as dt

    born = record.created_text
    created = born and f"{dt.datetime.fromisoformat(born).astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
    state = {"running": "at work" if record.locked else "interrupted"}.get(record.state, record.state)
    return {"run_id": record.run_id, "profile": record.profile, "state": state, "created": created}


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


def _to_the_second(moment: str | None) -> str | None:
    import datetime as dt

    return None if moment is None else dt.datetime.fromisoformat(moment).isoformat(timespec="seconds")
