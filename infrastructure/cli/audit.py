"""Commands that read the journal: audit verify, audit show, explain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from pathlib import Path

JOURNAL = "journal.db"

Where = Annotated[
    str | None,
    typer.Argument(metavar="[RUN|FILE]", help="Run id (or its beginning) or journal file [last run]."),
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Verify and read the audit trail.", no_args_is_help=True)
    o.add(group, verify, "verify")
    o.add(group, show, "show")
    app.add_typer(group, name="audit")
    o.add(app, explain)


def verify(
    where: Where = None, config: o.Config = None, runs_dir: o.RunsDir = None, as_json: o.Json = False
) -> None:
    """Check that no event of a journal was altered, removed or inserted.

    Leaves with 1 if the hash chain is broken.
      trade audit verify
      trade audit verify var/paper/DU123/journal.db
    """
    from execution import journal

    path = find_journal(where, config, runs_dir)
    report = journal.verify(path)
    answer = {
        "journal": str(path),
        "ok": report.ok,
        "events": report.events,
        "head": report.head,
        "problem": report.problem,
    }
    if as_json:
        o.print_json(answer)
    elif report.ok:
        typer.echo(f"{path}: chain intact, {report.events} events, head {report.head}")
    else:
        typer.echo(f"{path}: CHAIN BROKEN after {report.events} events: {report.problem}", err=True)
    raise typer.Exit(0 if report.ok else 1)


def show(
    where: Where = None,
    kind: Annotated[str | None, typer.Option(help="Only events of this kind, e.g. fill.")] = None,
    order: Annotated[str | None, typer.Option(help="Only events of this client order id.")] = None,
    after: Annotated[int, typer.Option(metavar="SEQ", help="Only events after this sequence number.")] = 0,
    limit: Annotated[int, typer.Option(min=1, help="At most so many events.")] = 50,
    config: o.Config = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Print events of a journal; with --json one object a line.

    trade audit show --kind fill
    trade audit show 3f2a --order ma-SPY-20200102-1 --json
    """
    import json
    from itertools import islice

    from execution import journal

    events = journal.read(find_journal(where, config, runs_dir), after)
    chosen = (
        event
        for event in events
        if (kind is None or event.kind == kind)
        and (order is None or event.body.get("client_order_id") == order)
    )
    for event in islice(chosen, limit):
        body = json.dumps(event.body, sort_keys=True)
        if as_json:
            line = {"seq": event.seq, "time_ns": event.time_ns, "kind": event.kind, "body": event.body}
            typer.echo(json.dumps({**line, "hash": event.hash}, sort_keys=True))
        else:
            typer.echo(f"{event.seq:>8} {event.kind:<16} {body}")


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
