"""The command that shows what a database has on record, table by table."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import data_options as d
from infrastructure.cli import options as o

if TYPE_CHECKING:
    import pandas as pd

_WIDEST = 60


def show(
    table: Annotated[
        str | None, typer.Argument(metavar="[TABLE]", help="What to show; without it, what there is to show.")
    ] = None,
    file: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="SQLite file [database.url, else data.db in var_dir]."),
    ] = None,
    where: Annotated[
        list[str] | None,
        typer.Option("--where", metavar="COLUMN=VALUE", help="Only rows with this value; may be repeated."),
    ] = None,
    since: Annotated[str | None, typer.Option(help="Only rows from this moment on, with its zone.")] = None,
    until: Annotated[str | None, typer.Option(help="Only rows before this moment, with its zone.")] = None,
    newest: Annotated[int, typer.Option("--newest", min=1, help="So many rows at most, the last ones.")] = 20,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Show rows of a table: orders, signals, risk, profit by day, fundamentals, option minutes and more.

    With --json every column is printed whole.
      trade db show
      trade db show signals --where strategy=momentum --where symbol=SPY --since 2024-06-01T00:00Z
      trade db show daily_pnl runs/3f2a/trading.db --newest 250
    """
    from data.records import TABLES, records
    from infrastructure.databases import known_database

    if table is None:
        rows = [{"table": name, "what": what} for name, what in TABLES.items()]
        if as_json:
            o.print_json(rows)
        else:
            o.print_table("tables that can be shown", rows)
        return
    with known_database(o.load(config, sets=sets), file) as database:
        frame = records(
            database,
            table,
            where=_conditions(where or []),
            since=None if since is None else d.moment("--since", since),
            until=None if until is None else d.moment("--until", until),
            newest=newest,
        )
        name = str(database)
    if as_json:
        o.print_json(_plain(frame))
    else:
        _print(f"{table} of {name}", frame)


def _conditions(texts: list[str]) -> dict[str, str]:
    found = {}
    for text in texts:
        column, equals, value = text.partition("=")
        if not equals:
            raise typer.BadParameter(f"--where {text!r}: write COLUMN=VALUE, such as symbol=SPY")
        found[column.strip()] = value
    return found


def _plain(frame: pd.DataFrame) -> list[dict[str, Any]]:
    import pandas as pd

    def plain(value: Any) -> Any:
        missing = value is None or value is pd.NaT or (isinstance(value, float) and math.isnan(value))
        return None if missing else value

    names = list(frame.columns)
    rows = zip(*(frame[name].tolist() for name in names), strict=True)
    return [dict(zip(names, map(plain, row), strict=True)) for row in rows]


def _print(title: str, frame: pd.DataFrame) -> None:
    """Print each row as a table's, or, where columns are many, as a block of names and values."""
    rows = [
        {name: _short(value) for name, value in row.items() if value is not None} for row in _plain(frame)
    ]
    shown = tuple(name for name in frame.columns if any(name in row for row in rows))
    if len(shown) <= _MOST_COLUMNS:
        o.print_table(title, rows, columns=shown)
        return
    typer.echo(title)
    for row in rows:
        typer.echo("  " + "  ".join(f"{name}={value}" for name, value in row.items()))


_MOST_COLUMNS = 8


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}\N{HORIZONTAL ELLIPSIS}"
