"""Options that several commands share, and the way from them to settings."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import Console

    from infrastructure.settings import Settings

Config = Annotated[
    str | None,
    typer.Option(
        "--config", "-c", metavar="FILE", envvar="ALPHEC_CONFIG", help="YAML configuration file [none]."
    ),
]
Profile = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        metavar="demo|paper|live",
        help="Which broker this is meant for [paper where data.source is ib, else demo].",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option(
        "--set", metavar="KEY=VALUE", help="Set one setting, e.g. risk.max_daily_loss=5000; repeatable."
    ),
]
Bars = Annotated[
    str | None,
    typer.Option("--bars", metavar="DIR", help="Folder of CSV or Parquet bars [data.bars, else the sample]."),
]
Symbols = Annotated[
    str | None,
    typer.Option("--symbols", metavar="A,B", help="Trade these only, comma-separated [all the bars offer]."),
]


def bar_size(default: str) -> Any:
    """Return the option that names the size of a bar; `default` says what is taken without it."""
    return typer.Option("--timeframe", metavar="1D|1h|1m", help=f"Size of a bar [{default}].")


Timeframe = Annotated[str | None, bar_size("timeframe: 1D")]
StoredTimeframe = Annotated[str | None, bar_size("1D")]
RunsDir = Annotated[
    str | None, typer.Option("--runs-dir", metavar="DIR", help="Folder of runs [runs_dir: runs].")
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of tables.")]


def with_examples(text: str) -> str:
    """Keep the lines of paragraphs that hold indented ones: typer would otherwise flow them together."""
    return "\n\n".join(_kept(part) for part in inspect.cleandoc(text).split("\n\n"))


def _kept(part: str) -> str:
    lines = part.split("\n")
    if all(line.startswith("trade ") for line in lines):  # their indent was the margin of the docstring
        lines = [f"  {line}" for line in lines]
    return "\n".join(["\b", *lines]) if any(line.startswith("  ") for line in lines) else part


def add(app: typer.Typer, command: Callable[..., None], name: str | None = None) -> None:
    """Add a command whose help is its docstring."""
    app.command(name, help=with_examples(command.__doc__ or ""))(command)


def load(
    config: str | None = None,
    profile: str | None = None,
    sets: list[str] | None = None,
    *,
    bars: str | None = None,
    symbols: str | None = None,
    timeframe: str | None = None,
    runs_dir: str | None = None,
) -> Settings:
    """Return the settings for a command's options, read from the process's environment and ``.env``."""
    import os
    from pathlib import Path

    from infrastructure.errors import ConfigError
    from infrastructure.settings import load_settings

    overrides: dict[str, str] = {}
    for item in sets or ():
        key, equals, value = item.partition("=")
        if not equals:
            raise ConfigError(f"--set {item}: write KEY=VALUE, such as --set risk.max_daily_loss=5000")
        overrides[key.strip()] = value.strip()
    named = {"data.bars": bars, "symbols": symbols, "timeframe": timeframe, "runs_dir": runs_dir}
    overrides |= {key: value for key, value in named.items() if value is not None}
    path = Path(config) if config else None
    return load_settings(profile, path, overrides, os.environ, Path(".env"))


def set_up_logging(settings: Settings) -> None:
    """Configure logging of this process from its settings."""
    from infrastructure.logging import configure

    configure(settings.logging.format, settings.logging.level, settings.run_id)


def console() -> Console:
    """Return the console that tables and progress go to."""
    import sys

    from rich.console import Console

    return Console(highlight=False, width=None if sys.stdout.isatty() else 160)


def lasting_console() -> Console:
    """Return a console for a program that goes on when nobody reads what it prints."""
    import sys
    from typing import IO, cast

    from rich.console import Console

    from infrastructure.cli.streams import LastingStream

    stream = cast("IO[str]", LastingStream(sys.stdout))
    return Console(file=stream, highlight=False, width=None if sys.stdout.isatty() else 160)


def error_console() -> Console:
    """Return the console of progress that must not mix with what a command prints."""
    from rich.console import Console

    return Console(highlight=False, stderr=True)


def print_json(value: Any) -> None:
    """Print one JSON document on stdout; Decimals and times become text."""
    import json

    typer.echo(json.dumps(value, indent=2, default=str, ensure_ascii=False))


def print_table(title: str, rows: list[dict[str, Any]], *, columns: tuple[str, ...] | None = None) -> None:
    """Print rows as a table that fits the terminal; `columns` fixes which and in which order."""
    from infrastructure.cli.tables import print_rows

    if not rows:
        console().print(f"{title}: none")
        return
    names = columns or tuple(dict.fromkeys(name for row in rows for name in row))
    print_rows(console(), title, names, rows)


def print_pairs(title: str, pairs: dict[str, Any]) -> None:
    """Print names and values, indented where a value has parts of its own."""
    typer.echo(title)
    _pairs(pairs, "  ")


def _pairs(value: Any, indent: str) -> None:
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        for item in value:
            typer.echo(f"{indent}- {item}")
        return
    items = (
        value.items() if isinstance(value, dict) else ((f"- {n + 1}", item) for n, item in enumerate(value))
    )
    for name, item in items:
        if isinstance(item, dict | list) and item:
            typer.echo(f"{indent}{name}:")
            _pairs(item, indent + "  ")
        else:
            shown = "" if item is None or item in ({}, []) else item
            typer.echo(f"{indent}{name}: {shown}".rstrip())


def ask(settings: Settings, command: str, **arguments: Any) -> dict[str, Any]:
    """Send a command to the running trader of these settings and return its answer."""
    from infrastructure.control_client import ControlClient

    answer: dict[str, Any] = ControlClient.for_settings(settings).request(command, **arguments)
    return answer


def show_answer(command: str, settings: Settings, *, as_json: bool, **arguments: Any) -> None:
    """Ask the running trader and print its answer."""
    answer = ask(settings, command, **arguments)
    if as_json:
        print_json(answer)
    else:
        print_pairs(command, answer)
