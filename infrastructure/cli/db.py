"""Commands on the database: migrate, inspect, refresh, import fundamentals, back up, restore."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import data_options as d
from infrastructure.cli import options as o
from infrastructure.cli.db_import import import_actions, import_instruments, import_universe
from infrastructure.cli.db_show import show

if TYPE_CHECKING:
    from data.backup import Progress
    from data.database import Database

File = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", help="SQLite file [database.url, else data.db in var_dir]."),
]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of the backup.")]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Migrate, inspect, back up and restore the database.", no_args_is_help=True)
    for command in (upgrade, downgrade, status, show, check, refresh, rebuild, backup, restore):
        o.add(group, command)
    for taken in (import_fundamentals, import_instruments, import_universe, import_actions):
        o.add(group, taken)
    app.add_typer(group, name="db")


def upgrade(file: File = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False) -> None:
    """Create or migrate the tables, and turn on what this server can do.

    Interrupted, it leaves the tables as they were; again, it changes nothing.
      trade db upgrade
      trade db upgrade --set database.url=postgresql+psycopg://alphec_owner@127.0.0.1/alphec
    """
    with _opened(file, config, sets) as database:
        before = database.revision()
        database.upgrade()
        _print_status(database, as_json=as_json, moved=(before, database.revision()))


def downgrade(
    revision: Annotated[str, typer.Argument(help="Revision to go back to, or base: no tables at all.")],
    file: File = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Take migrations back; the tables and columns they added are removed with their rows.

    It says which rows go before it asks. What a run did comes back from its journal; bars, contracts,
    universes and fundamentals do not: make a backup first.
      trade db backup /backup/before && trade db downgrade 0002 --yes
    """
    with _opened(file, config, sets) as database:
        before, lost = database.revision(), database.losses(revision)
        if not yes:
            rows = ", ".join(f"{count} of {name}" for name, count in lost.items()) or "none"
            typer.confirm(
                f"{database}: go from {before} back to {revision}? Rows removed: {rows}", abort=True, err=True
            )
        database.downgrade(revision)
        _print_status(database, as_json=as_json, moved=(before, database.revision()), removed=lost)


def status(file: File = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False) -> None:
    """Say what the database is, what is on, what is not, and why; change nothing.

    Leaves with 1 if its tables are not those of this program.
      trade db status
      trade db status runs/3f2a/trading.db
    """
    from data.revisions import newest_revision
    from infrastructure.databases import projections

    with _opened(file, config, sets) as database:
        journals: list[dict[str, Any]] = []
        if database.revision() == newest_revision():
            journals = projections(database, o.load(config, sets=sets), file)
        state = _print_status(database, as_json=as_json, journals=journals)
    raise typer.Exit(0 if state == "current" else 1)


def check(file: File = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False) -> None:
    """Compare the tables with this program and verify what is in them; leave with 1 if anything is wrong.

    trade db check
    trade db check --json
    """
    from data.inspection import check as verify

    with _opened(file, config, sets) as database:
        findings = verify(database)
        name = str(database)
    rows = [{"what": f.what, "found": f.detail, "problem": f.problem} for f in findings]
    if as_json:
        o.print_json({"database": name, "ok": not any(row["problem"] for row in rows), "findings": rows})
    else:
        o.print_table(name, rows, columns=("what", "found", "problem"))
    raise typer.Exit(1 if any(row["problem"] for row in rows) else 0)


def refresh(
    file: File = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Compute every aggregate anew, noted as changed or not.")
    ] = False,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Bring bars of 5 and 15 minutes, an hour and a session up to date; remove rows past their retention.

    A server of the community edition does so by itself; elsewhere run it after loads, or nightly.
      trade db refresh
    """
    from data.aggregation import mark_everything
    from data.aggregation import refresh as bring_up
    from execution.clocks import SystemClock, timestamp
    from infrastructure.databases import known_database

    with known_database(o.load(config, sets=sets), file) as database:
        if everything:
            mark_everything(database)
        done = bring_up(database, timestamp(SystemClock().now_ns()))
        answer: dict[str, Any] = {
            "database": str(database),
            "changes": done.changes,
            "without_calendar": list(done.without_calendar),
            "removed": done.removed,
        }
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("refreshed", answer)


def rebuild(
    journal: Annotated[
        str, typer.Argument(metavar="JOURNAL", help="Journal of the run, such as journal.db.")
    ],
    file: File = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Remove what was projected of a journal and project it anew, from its first event.

    For rows that `trade db check` finds wrong, and where the newest journal is lost and an older copy counts.
    Verify the journal first; on a server this needs the owner of the tables. Interrupted, run it again.
      trade audit verify var/paper/DU123/journal.db
      trade db rebuild var/paper/DU123/journal.db
    """
    from pathlib import Path

    from data.projection.events import head_of
    from data.projection.following import projected
    from data.projection.following import rebuild as make_anew
    from infrastructure.databases import known_database

    path = Path(journal)
    head, _ = head_of(path)
    with known_database(o.load(config, sets=sets), file) as database:
        if not yes:
            held = ", ".join(f"{one.run_id} to event {one.last_seq}" for one in projected(database)) or "none"
            typer.confirm(
                f"{database} holds runs: {held}. Remove those of {path} and project its {head} events?",
                abort=True, err=True,
            )  # fmt: skip
        with _progress("projecting", head, as_json=as_json) as tell:
            events = make_anew(database, path, lambda _: tell("events", 1))
        answer = {"database": str(database), "journal": journal, "events": events}
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("rebuilt", answer)


def import_fundamentals(
    csv: Annotated[
        str, typer.Argument(metavar="CSV", help="symbol,item,period_end,known_at,value[,currency]")
    ],
    file: File = None,
    source: Annotated[str | None, typer.Option(help="Where the figures come from [the file's name].")] = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Add quarterly figures, each known from a moment on; a restatement is a row with a later moment.

    All of the file is written or nothing; figures that are there stay, so the same file may come again.
      trade db import-fundamentals figures.csv
      trade db import-fundamentals figures.csv --source filings
    """
    from pathlib import Path

    from data.reference.fundamentals import import_csv
    from infrastructure.databases import known_database

    with known_database(o.load(config, sets=sets), file) as database:
        answer = {"database": str(database), "file": csv, "rows": import_csv(database, Path(csv), source)}
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("fundamentals", answer)


def backup(
    folder: Folder, file: File = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Write every table into a new folder of Parquet files with a checksum of each.

    trade db backup /backup/2026-11-21
    """
    from pathlib import Path

    from data import backup as backups
    from data.backup.writing import count_rows

    with (
        _opened(file, config, sets) as database,
        _progress("backing up", count_rows(database), as_json=as_json) as tell,
    ):
        manifest = backups.backup(database, Path(folder), tell)
    _print_manifest(folder, manifest, as_json=as_json)


def restore(
    folder: Folder, file: File = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Fill an empty database from a backup, prove it equal by its checksums, migrate it, aggregate its bars.

    It may be of another kind than the one backed up. Interrupted, run it again and it finishes.
      trade db restore /backup/2026-11-21 copy.db
    """
    from pathlib import Path

    from data.backup import read_manifest, rows_to_do
    from data.backup import restore as bring_back

    total = rows_to_do(read_manifest(Path(folder)))
    with _opened(file, config, sets) as database, _progress("restoring", total, as_json=as_json) as tell:
        manifest = bring_back(database, Path(folder), tell)
    _print_manifest(folder, manifest, as_json=as_json)


@contextmanager
def _opened(file: str | None, config: str | None, sets: list[str] | None) -> Iterator[Database]:
    from infrastructure.databases import database_of

    database = database_of(o.load(config, sets=sets), file)
    try:
        yield database
    finally:
        database.close()


@contextmanager
def _progress(what: str, total: int, *, as_json: bool) -> Iterator[Progress]:
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with d.progress(*columns, shown=not as_json) as bars:
        task = bars.add_task(what, total=total)
        yield lambda table, rows: bars.update(task, description=f"{what} {table}", advance=rows)


def _print_manifest(folder: str, manifest: dict[str, Any], *, as_json: bool) -> None:
    tables = [
        {"table": name, "rows": told["rows"], "sha256": told["sha256"]}
        for name, told in sorted(manifest["tables"].items())
    ]
    if as_json:
        o.print_json({"folder": folder, "revision": manifest["revision"], "tables": tables})
    else:
        full = [row | {"sha256": row["sha256"][:16]} for row in tables if row["rows"]]
        o.print_table(f"{folder}: revision {manifest['revision']}", full, columns=("table", "rows", "sha256"))


def _print_status(
    database: Database,
    *,
    as_json: bool,
    moved: tuple[str | None, str | None] | None = None,
    journals: list[dict[str, Any]] | None = None,
    removed: dict[str, int] | None = None,
) -> str:
    from data.inspection import status as ask

    found = ask(database)
    if as_json:
        features = [{"name": f.name, "on": f.on, "detail": f.detail, "why": f.why} for f in found.features]
        answer = {
            "database": found.database,
            "server": str(found.edition),
            "revision": found.revision,
            "newest": found.newest,
            "state": found.state,
            "pending": found.pending,
            "features": features,
        }
        told: dict[str, Any] = {} if journals is None else {"journals": journals}
        told |= {} if removed is None else {"removed": removed}
        o.print_json(answer | told | ({"from": moved[0]} if moved else {}))
        return found.state
    typer.echo(f"{found.database}: {found.edition}")
    if moved is not None and moved[0] != moved[1]:
        typer.echo(f"revision {moved[0] or 'none'} -> {moved[1] or 'none'}")
    if removed:
        typer.echo(f"rows removed: {', '.join(f'{count} of {name}' for name, count in removed.items())}")
    typer.echo(f"revision {found.revision or 'none'} of {found.newest}: {_STATES[found.state]}")
    if found.pending:
        typer.echo(f"{found.pending} changes of bars wait for trade db refresh")
    rows = [
        {"feature": f.name, "on": "on" if f.on else "off", "what": f.detail, "why": f.why}
        for f in found.features
    ]
    o.print_table("features", rows, columns=("feature", "on", "what", "why"))
    if journals:
        short = [row | {"journal": row["journal"][:16]} for row in journals]
        columns = ("journal", "run", "event", "recorded", "behind", "seconds", "problem")
        o.print_table(
            "journals projected; events behind, and since when, where the journal lies here",
            short,
            columns=columns,
        )
    return found.state


_STATES = {
    "empty": "no tables yet; run trade db upgrade",
    "current": "current",
    "behind": "run trade db upgrade",
    "newer": "made by a newer version of this program; use that one",
}
