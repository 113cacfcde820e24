"""Options and their readers that the commands on bars share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    import pandas as pd
    from rich.progress import Progress, ProgressColumn

    from data.stores import BarStore
    from execution.timeframes import Timeframe

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR|URL",
        help="Folder of Parquet files or database [database.url, else bars in var_dir].",
    ),
]
Contracts = Annotated[str, typer.Argument(metavar="A,B", help="Contracts, comma-separated.")]
Symbols = Annotated[
    str | None, typer.Option("--symbols", metavar="A,B", help="These symbols only, comma-separated.")
]
Calendar = Annotated[str, typer.Option("--calendar", metavar="NAME", help="Exchange of the sessions.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="As it was known at this moment, e.g. 2024-06-01T12:00Z."),
]
Futures = Annotated[
    str | None,
    typer.Option(
        "--futures",
        metavar="A,B",
        help="Symbols whose prices may be zero or negative, beside those like CL 20200519.",
    ),
]
ClientId = Annotated[
    int | None,
    typer.Option("--client-id", min=0, help="Who asks TWS [the trader's id and 50 more, 52 to record]."),
]


def progress(*columns: ProgressColumn, shown: bool) -> Progress:
    """Return a progress bar on stderr, of which nothing is left; none where nobody looks."""
    from rich.progress import Progress

    console = o.error_console()
    return Progress(*columns, console=console, disable=not (shown and console.is_terminal), transient=True)


def names(symbols: str | None) -> list[str] | None:
    """Return the symbols of a list between commas; None for none given."""
    return None if symbols is None else [name.strip() for name in symbols.split(",") if name.strip()]


def require_held(bars: BarStore, symbols: Sequence[str] | None, size: Timeframe | None) -> None:
    """Refuse a question about bars that are not stored: about one of these symbols, or about any at all."""
    import difflib

    held = bars.holdings()
    if not held:
        raise typer.BadParameter(f"{bars} holds no bars: name another --store, or see trade data import")
    fits = {one.symbol for one in held if size in (None, one.timeframe)}
    of = "" if size is None else f" at {size.value}"
    if symbols is None and not fits:
        sizes = sorted({one.timeframe.value for one in held})
        raise typer.BadParameter(f"{bars} holds no bars{of}; it has {', '.join(sizes)}")
    for symbol in symbols or ():
        if symbol in fits:
            continue
        others = [one.timeframe.value for one in held if one.symbol == symbol]
        near = difflib.get_close_matches(symbol.upper(), sorted(fits), n=1)
        hint = f"it has {', '.join(others)}" if others else "see trade data list"
        hint = f"did you mean {near[0]}?" if near and not others else hint
        raise typer.BadParameter(f"{bars} holds no bars of {symbol}{of}; {hint}")


def timeframe(text: str) -> Timeframe:
    """Return the size of a bar that an option names."""
    from execution.timeframes import Timeframe

    return Timeframe(one_of("--timeframe", text, Timeframe))


def one_of(option: str, text: str, offered: Iterable[str]) -> str:
    """Return an option's value, if it is one of those offered."""
    if text not in (known := list(offered)):
        raise typer.BadParameter(f"{option} {text!r}: use {', '.join(known)}")
    return text


def moment(option: str, text: str) -> pd.Timestamp:
    """Return the moment, in UTC, that an option names with its zone."""
    import pandas as pd

    try:
        when = pd.Timestamp(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} is no time; write 2024-06-01T12:00Z") from error
    if when.tzinfo is None:
        raise typer.BadParameter(f"{option} {text!r} has no timezone; write 2024-06-01T12:00Z")
    return when.tz_convert("UTC")
