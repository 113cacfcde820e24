"""The command ``trade data check``: what is wrong with bars, in a folder or in the store."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    import pandas as pd

    from data.quality import CheckPlan
    from execution.timeframes import Timeframe
    from infrastructure.settings import Settings
    from monitoring.bar_report import BarReport, ReportBuilder

_FAILED = 1
_SHOWN = 50
_COLUMNS = ("severity", "finding", "symbol", "bars", "first", "last", "what")


def check_bars(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="[FOLDER]", help="Folder of SYMBOL.csv, .csv.gz or .parquet [store]."),
    ] = None,
    symbols: Annotated[
        str | None, typer.Option("--symbols", metavar="A,B", help="These symbols only, comma-separated.")
    ] = None,
    timeframe: o.Timeframe = None,
    actions: Annotated[
        str | None,
        typer.Option("--actions", metavar="FILE|DIR", help="Known splits, dividends, changes of ticker."),
    ] = None,
    calendar: Annotated[
        str, typer.Option("--calendar", metavar="NAME", help="Exchange of the sessions.")
    ] = "XNYS",
    as_of: Annotated[
        str | None,
        typer.Option("--as-of", metavar="TIME", help="Stored bars as they were known at this moment."),
    ] = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with charts as well.")
    ] = None,
    propose: Annotated[
        str | None,
        typer.Option("--propose", metavar="FILE", help="Write what could mend it, for you to confirm."),
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(
            "--store", metavar="DIR|URL", help="Folder or database [database.url, else var_dir/bars]."
        ),
    ] = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Hold bars against the calendar, the corporate actions and themselves; nothing is changed.

    It finds gaps, duplicates, rows that are no bars, spikes, prices that stand still, bars without volume
    and jumps by the ratio of a split. It leaves with 1 if it found errors; warnings and notes do not count.
    --propose writes corporate actions that would explain jumps and ranges to pull: no bar is invented.
      trade data check
      trade data check prices/daily --actions actions.csv --html check.html
      trade data check --symbols SPY --timeframe 1m --json
    """
    from monitoring.bar_report import write

    if folder is not None and (store, timeframe, as_of) != (None, None, None):
        raise typer.BadParameter("--store, --timeframe and --as-of are for stored bars: leave FOLDER out")
    settings = o.load(config, sets=sets)
    report = _checked(settings, folder, store, symbols, timeframe, actions, calendar, as_of, as_json=as_json)
    if html is not None:
        write(report, Path(html))
    if propose is not None:
        Path(propose).write_text(report.proposals.to_text(), encoding="utf-8")
    if as_json:
        o.print_json(report.to_dict())
    else:
        _print(report, html, propose)
    if not report.ok:
        raise typer.Exit(_FAILED)


def _checked(
    settings: Settings,
    folder: str | None,
    store: str | None,
    symbols: str | None,
    timeframe: str | None,
    actions: str | None,
    calendar: str,
    as_of: str | None,
    *,
    as_json: bool,
) -> BarReport:
    from data.corporate_actions import FileActionSource
    from data.quality import Against, plan_folder, plan_store
    from infrastructure.stores import store_of
    from monitoring.bar_report import ReportBuilder

    names = None if symbols is None else [name.strip() for name in symbols.split(",") if name.strip()]
    known = None if actions is None else FileActionSource(Path(actions), calendar)
    against = Against(calendar, known)
    with ExitStack() as stack:
        if folder is not None:
            plan = plan_folder(Path(folder), names, against)
        else:
            bars = stack.enter_context(store_of(settings, store))
            plan = plan_store(bars, names, _timeframe(timeframe), _moment(as_of), against)
        builder = ReportBuilder(plan.source, calendar)
        _run(plan, builder, shown=not as_json)
    return builder.build()


def _run(plan: CheckPlan, builder: ReportBuilder, *, shown: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("checking {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=o.error_console(), disable=not shown, transient=True) as progress:
        task = progress.add_task("", total=plan.total)
        for part in plan.run():
            builder.add(part)
            progress.update(task, description=part.symbol, advance=1)


def _print(report: BarReport, html: str | None, propose: str | None) -> None:
    from data.quality import Severity
    from monitoring.bar_report import when

    rows = [
        {
            "severity": found.severity.value,
            "finding": found.kind.value,
            "symbol": one.symbol,
            "bars": one.timeframe,
            "first": when(found.first),
            "last": when(found.last),
            "what": found.what if not found.proposal else f"{found.what}\n  {found.proposal}",
        }
        for severity in Severity
        for one in report.symbols
        for found in one.findings
        if found.severity is severity
    ]
    if rows:
        o.print_table(report.source, rows[:_SHOWN], columns=_COLUMNS)
    if len(rows) > _SHOWN:
        typer.echo(f"{len(rows) - _SHOWN:,} more findings; --html or --json shows all")
    counted = ", ".join(f"{report.count(severity):,} {severity}s" for severity in Severity)
    typer.echo(f"{report.source}: {len(report.symbols):,} series, {report.bars:,} bars: {counted}")
    if html is not None:
        typer.echo(f"page: {html}")
    if propose is not None:
        typer.echo(f"proposals: {propose} (confirm each line, then use it as --actions)")
    elif report.proposals.actions or report.proposals.pulls:
        typer.echo("--propose FILE writes what could mend it")


def _timeframe(text: str | None) -> Timeframe | None:
    from execution.timeframes import Timeframe

    try:
        return None if text is None else Timeframe(text)
    except ValueError as error:
        raise typer.BadParameter(f"timeframe {text!r}: use {', '.join(Timeframe)}") from error


def _moment(text: str | None) -> pd.Timestamp | None:
    import pandas as pd

    if text is None:
        return None
    try:
        moment = pd.Timestamp(text)
    except ValueError as error:
        raise typer.BadParameter(f"--as-of {text!r} is no time; write 2024-06-01T12:00Z") from error
    if moment.tzinfo is None:
        raise typer.BadParameter(f"--as-of {text!r} has no timezone; write 2024-06-01T12:00Z")
    return moment.tz_convert("UTC")
