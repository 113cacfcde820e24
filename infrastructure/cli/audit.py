"""Commands on the audit trail: verify, show, export, anchor, prune; and explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from execution.journal import AnchorFile, JournalEvent

JOURNAL = "journal.db"

Where = Annotated[
    str | None,
    typer.Argument(metavar="[RUN|FILE]", help="Run id (or its beginning) or journal file [last run]."),
]
Anchors = Annotated[
    str | None,
    typer.Option("--anchors", metavar="FILE", help="File of anchors [as audit.anchor_dir says]."),
]
Kind = Annotated[str | None, typer.Option(help="Only events of this kind, e.g. fill.")]
OrderId = Annotated[str | None, typer.Option("--order", help="Only events of this client order id.")]
After = Annotated[int, typer.Option(metavar="SEQ", help="Only events after this sequence number.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Verify, read and keep the audit trail.", no_args_is_help=True)
    o.add(group, verify, "verify")
    o.add(group, show, "show")
    o.add(group, export, "export")
    o.add(group, anchor, "anchor")
    o.add(group, prune, "prune")
    app.add_typer(group, name="audit")
    o.add(app, explain)


def verify(
    where: Where = None,
    anchors: Anchors = None,
    anchored: Annotated[
        bool, typer.Option("--anchored", help="Fail unless authenticated anchors cover the record.")
    ] = False,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Check that no event of a journal was altered, removed or inserted, and that its tail was not cut.

    Leaves with 1 if the hash chain is broken or an anchor does not fit.
      trade audit verify
      trade audit verify var/paper/DU123/journal.db --anchored
    """
    from execution import journal

    path = find_journal(where, config, runs_dir)
    noted = _anchors(path, anchors, config, runs_dir)
    report = journal.verify(path, noted)
    problem = report.problem
    if problem is None and anchored and not (report.anchors and noted.key):
        problem = f"no authenticated anchor in {noted.path}" + ("" if noted.key else "; set audit.anchor_key")
    answer = {
        "journal": str(path),
        "ok": problem is None,
        "events": report.events,
        "head": report.head,
        "problem": problem,
        "segments": len(journal.segments_of(path)),
        "removed": report.removed,
        "anchors": report.anchors,
        "anchor_file": str(noted.path),
        "authenticated": bool(noted.key),
    }
    if as_json:
        o.print_json(answer)
    elif problem is None:
        typer.echo(f"{path}: chain intact, {report.events} events, head {report.head}")
        typer.echo(_anchor_line(report.anchors, noted))
    else:
        typer.echo(f"{path}: CHAIN BROKEN after {report.events} events: {problem}", err=True)
    raise typer.Exit(1 if problem else 0)


def show(
    where: Where = None,
    kind: Kind = None,
    order: OrderId = None,
    after: After = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many events.")] = 50,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Print events of a journal, one a line: number, time (UTC), kind and facts; with --json all of it.

    trade audit show --kind fill
    trade audit show --kind api_request
    trade audit show 3f2a --order ma-SPY-20200102-1 --json
    """
    import json
    from itertools import islice

    from execution import journal

    path = find_journal(where, config, runs_dir)
    chosen = list(islice(filter(_chooser(kind, order, after), journal.read(path, after)), limit))
    for event in chosen:
        if as_json:
            line = {"seq": event.seq, "time_ns": event.time_ns, "kind": event.kind, "body": event.body}
            typer.echo(json.dumps({**line, "hash": event.hash}, sort_keys=True))
        else:
            typer.echo(journal.readable(event))
    if not chosen:
        kinds = ", ".join(sorted({event.kind for event in journal.read(path)}))
        typer.echo(f"{path}: no event was asked for; its kinds are {kinds or 'none: it is empty'}", err=True)


def export(
    to: Annotated[str, typer.Argument(metavar="TARGET", help="File to write: .jsonl or .csv.")],
    where: Where = None,
    kind: Kind = None,
    order: OrderId = None,
    after: After = 0,
    anchors: Anchors = None,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Write events to a file of JSON lines or CSV, with a digest file that sha256sum --check reads.

    The journal is verified first; one that does not verify is not exported.
      trade audit export day.jsonl
      trade audit export fills.csv 3f2a --kind fill
    """
    from pathlib import Path

    from execution.journal.export import export as write
    from execution.journal.export import format_of

    path, target = find_journal(where, config, runs_dir), Path(to)
    form = format_of(target)
    noted = _anchors(path, anchors, config, runs_dir)
    done = write(path, target, form, chosen=_chooser(kind, order, after), anchors=noted)
    answer = {
        "journal": str(path),
        "file": str(done.path),
        "digest_file": str(done.digest_path),
        "events": done.events,
        "sha256": done.sha256,
    }
    if as_json:
        o.print_json(answer)
    else:
        typer.echo(f"{done.path}: {done.events} events, sha256 {done.sha256}, digest in {done.digest_path}")


def anchor(
    where: Where = None,
    anchors: Anchors = None,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Verify a journal and note its head, signed, in the file of anchors; a running trader goes on.

    trade audit anchor
    trade audit anchor var/paper/DU123/journal.db --anchors /mnt/worm/DU123.jsonl
    """
    from execution import journal
    from execution.clocks import SystemClock
    from execution.errors import JournalError
    from execution.journal.verification import require_sound

    path = find_journal(where, config, runs_dir)
    noted = _anchors(path, anchors, config, runs_dir, make_key=True)
    report = journal.verify(path, noted)
    require_sound(report, path)
    if not report.events:
        raise JournalError(f"journal {path} has no event yet; there is nothing to anchor")
    mark = noted.append(report.events, report.head, SystemClock().now_ns(), "command")
    answer = {"journal": str(path), "anchor_file": str(noted.path), "seq": mark.seq, "head": mark.head}
    if as_json:
        o.print_json(answer)
    else:
        typer.echo(f"{path}: event {mark.seq}, head {mark.head} anchored in {noted.path}")


def prune(
    older_than: Annotated[
        str, typer.Option("--older-than", metavar="7y|3000d", help="Age of what goes; at least 7 years.")
    ],
    where: Where = None,
    anchors: Anchors = None,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Remove old segments of a journal; a signed checkpoint stays, so that the chain still verifies.

    Refuses whatever is younger than seven years, and a journal that a trader holds.
      trade audit prune --older-than 7y var/live/U123/journal.db
    """
    from execution.clocks import SystemClock
    from execution.retention import prune as remove

    path = find_journal(where, config, runs_dir)
    now_ns = SystemClock().now_ns
    done = remove(path, older_than, now_ns, _anchors(path, anchors, config, runs_dir, make_key=True))
    answer = {
        "journal": str(path),
        "events": done.events,
        "segments": done.segments,
        "through": done.through_seq,
        "before": str(done.cutoff),
    }
    if as_json:
        o.print_json(answer)
    else:
        typer.echo(
            f"{path}: {done.events} events in {done.segments} segments of before {done.cutoff.date()} removed"
        )


def explain(
    order: Annotated[str, typer.Argument(help="Client order id.")],
    run: Annotated[
        str | None, typer.Option("--run", metavar="RUN|FILE", help="Run id or journal file [last run].")
    ] = None,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Tell an order's story: signal, risk decision, order, fills, profit and loss.

    trade explain ma_crossover-SPXSIM-20000103-1
    """
    from infrastructure.explain import explain_order

    answer = explain_order(find_journal(run, config, runs_dir), order)
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs(f"order {order}", answer)


def find_journal(where: str | None, config: str | None, runs_dir: str | None) -> Path:
    """Return the journal of a run, a file, or the last run that has one.

    Raises
    ------
    backtesting.run_errors.RunNotFoundError
        If there is none.
    """
    from pathlib import Path

    from backtesting import runs
    from backtesting.run_errors import RunNotFoundError

    if where and Path(where).is_file():
        return Path(where)
    if where and (Path(where).name != where or Path(where).suffix):
        raise RunNotFoundError(
            f"{where}: no such file; name a journal, or a run as `trade run list` shows it"
        )
    root = o.load(config, runs_dir=runs_dir).runs_dir
    records = [runs.find(root, where)] if where else list(reversed(runs.list_runs(root)))
    for record in records:
        path = Path(str(record.manifest.get("journal", record.path / JOURNAL)))
        if path.is_file():
            return path
    missing = f"run {where} has no journal" if where else f"no run in {root} has a journal"
    raise RunNotFoundError(
        f"{missing}; `trade run list` shows the runs, `trade live --profile demo` makes one"
    )


def _anchors(
    path: Path, file: str | None, config: str | None, runs_dir: str | None, *, make_key: bool = False
) -> AnchorFile:
    from pathlib import Path

    from infrastructure.audit_trail import anchors_of

    settings = o.load(config, runs_dir=runs_dir)
    return anchors_of(path, settings, Path(file) if file else None, make_key=make_key)


def _anchor_line(count: int, noted: AnchorFile) -> str:
    if not count:
        return f"not anchored: {noted.path} has no anchors, so a cut tail would not be seen"
    checked = "" if noted.key else ", NOT AUTHENTICATED (set audit.anchor_key)"
    return f"{count} anchors agree{checked}: {noted.path}"


def _chooser(kind: str | None, order: str | None, after: int) -> Callable[[JournalEvent], bool]:
    def chosen(event: JournalEvent) -> bool:
        return (
            event.seq > after
            and (kind is None or event.kind == kind)
            and (order is None or event.body.get("client_order_id") == order)
        )

    return chosen
