"""Commands that take files of what is traded into the database: contracts, universes, corporate actions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from data.database import Database

File = Annotated[
    str | None,
    typer.Argument(metavar="[FILE]", help="SQLite file [database.url, else data.db in var_dir]."),
]


def import_instruments(
    csv: Annotated[str, typer.Argument(metavar="CSV", help="symbol[,calendar,security_type,currency,…]")],
    file: File = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Write contracts, or replace what is known of them; daily bars follow the sessions of their calendar.

    Columns: symbol, calendar [XNYS], security_type [STK], exchange [SMART], primary_exchange, currency [USD],
    con_id, name, tick, lot, multiplier, underlying, expiry, strike, right, sector, industry, listed_on,
    delisted_on; only symbol is required.
      trade db import-instruments contracts.csv
    """
    from data.reference import files

    _take("instruments", csv, file, config, sets, files.import_instruments, as_json=as_json)


def import_universe(
    csv: Annotated[
        str, typer.Argument(metavar="CSV", help="universe,symbol,from_date[,until_date,known_at]")
    ],
    file: File = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Say which symbols belonged to a universe, from which day until before which; an empty end is open.

    trade db import-universe members.csv
    """
    from data.reference import files
    from execution.clocks import SystemClock, timestamp

    now = timestamp(SystemClock().now_ns())
    _take(
        "universe members",
        csv,
        file,
        config,
        sets,
        lambda database, path: files.import_universe(database, path, now),
        as_json=as_json,
    )


def import_actions(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="File or folder, as data.corporate_actions takes it.")
    ],
    file: File = None,
    source: Annotated[str | None, typer.Option(help="Where they come from [the file's name].")] = None,
    calendar: Annotated[
        str, typer.Option(help="Exchange that turns a last cum date into an ex date.")
    ] = "XNYS",
    withdraw: Annotated[
        bool, typer.Option("--withdraw", help="The rows of the file were wrong: take them back from now on.")
    ] = False,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Take in splits, dividends and changes of name: all of the file or nothing; again, it changes nothing.

    Pulls, checks and traders use them where nobody else is named (--actions, data.corporate_actions).
    An action with another value than before is a correction: known from now on, the old value for the past.
    One that never was is taken back by a file that lists it as it was imported, with --withdraw and the
    --source of then; for questions about the past it stays.
      trade db import-actions actions.csv
      trade db import-actions vendor/2024 --source vendor
      trade db import-actions wrong.csv --withdraw --source actions.csv
    """
    from data.corporate_actions.stored_source import import_actions as take_in
    from data.corporate_actions.stored_source import withdraw_actions
    from execution.clocks import SystemClock, timestamp

    now = timestamp(SystemClock().now_ns())
    change = withdraw_actions if withdraw else take_in
    _take(
        "corporate actions withdrawn" if withdraw else "corporate actions",
        path,
        file,
        config,
        sets,
        lambda database, named: change(database, named, now, calendar, source),
        as_json=as_json,
    )


def _take(
    what: str,
    named: str,
    file: str | None,
    config: str | None,
    sets: list[str] | None,
    load: Callable[[Database, Path], int],
    *,
    as_json: bool,
) -> None:
    from infrastructure.databases import known_database

    with known_database(o.load(config, sets=sets), file) as database:
        answer = {"database": str(database), "file": named, "rows": load(database, Path(named))}
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs(what, answer)
