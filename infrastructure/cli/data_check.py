"""The command ``trade data check``: what is wrong with bars, in a folder or in the store."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import data_options as d
from infrastructure.cli import options as o

if TYPE_CHECKING:
    from data.quality import CheckPlan
    from infrastructure.settings import Settings
    from monitoring.bar_report import BarReport, ReportBuilder

_FAILED = 1
_SHOWN = 50
_PULLED_BY = ("data.", "database.", "var_dir")
"""Settings that a pull has to share with the check before it; others may hold secrets."""
_PASSWORD = re.compile(r"(://[^/@:]*):[^@]*@")
_COLUMNS = ("severity", "finding", "bars", "when", "what")


def check_bars(
    folder: Annotated[
        str | None,
        typer.Argument(metavar="[FOLDER]", help="Folder of SYMBOL.csv, .csv.gz or .parquet [store]."),
    ] = None,
    symbols: d.Symbols = None,
    timeframe: Annotated[str | None, o.bar_size("every size")] = None,
    actions: Annotated[
        str | None,
        typer.Option(
            "--actions",
            metavar="FILE|DIR|yahoo|stored|none",
            help="Who knows splits, dividends, changes of ticker; none: there were none "
            "[data.corporate_actions, else what the database holds].",
        ),
    ] = None,
    calendar: d.Calendar = "XNYS",
    as_of: d.AsOf = None,
    futures: d.Futures = None,
    html: Annotated[
        str | None, typer.Option("--html", metavar="FILE", help="Write a page with charts as well.")
    ] = None,
    propose: Annotated[
        str | None,
        typer.Option("--propose", metavar="FILE", help="Write what could mend it, for you to confirm."),
    ] = None,
    store: d.Store = None,
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
    from dataclasses import replace

    from monitoring.bar_report import write

    if folder is not None and (store, timeframe, as_of) != (None, None, None):
        raise typer.BadParameter("--store, --timeframe and --as-of are for stored bars: leave FOLDER out")
    settings = o.load(config, sets=sets)
    report = _checked(
        settings, folder, store, symbols, timeframe, actions, calendar, as_of, futures, as_json=as_json
    )
    if report.proposals.pulls:
        known = actions or settings.data.corporate_actions or _stored(settings) or propose
        flags = _pull_flags(known, calendar, store, config, sets)
        report = replace(report, proposals=report.proposals.pulled_with(flags))
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
    futures: str | None,
    *,
    as_json: bool,
) -> BarReport:
    from data.quality import Against, plan_folder, plan_store
    from infrastructure.data_sources import action_source
    from monitoring.bar_report import ReportBuilder

    size = None if timeframe is None else d.timeframe(timeframe)
    when = None if as_of is None else d.moment("--as-of", as_of)
    known = action_source(settings, actions, calendar, as_of=when)
    against = Against(calendar, known, signed=d.names(futures) or ())
    with ExitStack() as stack:
        if folder is not None:
            plan = plan_folder(Path(folder), d.names(symbols), against)
        else:
            from infrastructure.stores import store_of

            bars = stack.enter_context(store_of(settings, store))
            d.require_held(bars, d.names(symbols), size)
            plan = plan_store(bars, d.names(symbols), size, when, against)
        builder = ReportBuilder(plan.source, calendar)
        _run(plan, builder, shown=not as_json)
    return builder.build()


def _stored(settings: Settings) -> str | None:
    """Return what names the actions of the database, if that is who was asked for want of another."""
    from infrastructure.data_sources import STORED, action_source

    return None if action_source(settings) is None else STORED


def _pull_flags(
    actions: object, calendar: str, store: str | None, config: str | None, sets: list[str] | None
) -> list[str]:
    """Return what a pull has to be told to go where this check looked; no password of a URL is written."""
    flags = ["--source", "yahoo"] if actions is None else ["--actions", str(actions)]
    flags += [] if calendar == "XNYS" else ["--calendar", calendar]
    told = [one for one in sets or () if one.strip().startswith(_PULLED_BY)]
    for option, value in (("--store", store), ("--config", config), *(("--set", one) for one in told)):
        flags += [] if value is None else [option, _PASSWORD.sub(r"\1@", value)]
    return flags


def _run(plan: CheckPlan, builder: ReportBuilder, *, shown: bool) -> None:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("checking {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with d.progress(*columns, shown=shown) as progress:
        task = progress.add_task("", total=plan.total)
        for part in plan.run():
            builder.add(part)
            progress.update(task, description=part.symbol, advance=1)


def _print(report: BarReport, html: str | None, propose: str | None) -> None:
    from data.quality import Severity
    from monitoring.bar_report import when

    rows: list[dict[str, str]] = []
    said = ""
    for severity in Severity:
        for one in report.symbols:
            for found in (found for found in one.findings if found.severity is severity):
                remedy = (
                    "" if found.proposal in ("", said) else f"\n  {found.proposal}"
                )  # once for a run of them
                said = found.proposal
                rows.append(
                    {
                        "severity": severity.value,
                        "finding": found.kind.value,
                        "bars": f"{one.symbol} {one.timeframe}".strip(),
                        "when": when(found, one.timeframe),
                        "what": f"{found.what}{remedy}",
                    }
                )
    if rows:
        o.print_table(report.source, rows[:_SHOWN], columns=_COLUMNS)
    if len(rows) > _SHOWN:
        typer.echo(f"{len(rows) - _SHOWN:,} more findings; --html or --json shows all")
    counts = [(report.count(severity), severity) for severity in Severity]
    counted = ", ".join(f"{count:,} {severity}{'' if count == 1 else 's'}" for count, severity in counts)
    typer.echo(f"{report.source}: {len(report.symbols):,} series, {report.bars:,} bars: {counted}")
    if html is not None:
        typer.echo(f"page: {html}")
    if propose is not None:
        typer.echo(f"proposals: {propose} (confirm each line, then use it as --actions)")
    elif report.proposals.actions or report.proposals.pulls:
        typer.echo("--propose FILE writes what could mend it")
