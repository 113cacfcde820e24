"""Commands on stored bars: import, export, list, head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import data_check, data_pull, data_record
from infrastructure.cli import options as o

if TYPE_CHECKING:
    from decimal import Decimal

    import pandas as pd

    from execution.timeframes import Timeframe

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR|URL",
        help="Folder of Parquet files or database [database.url, else bars in var_dir].",
    ),
]
Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of SYMBOL.csv, .csv.gz or .parquet.")]
Symbols = Annotated[
    str | None, typer.Option("--symbols", metavar="A,B", help="These symbols only, comma-separated.")
]
Calendar = Annotated[str, typer.Option("--calendar", metavar="NAME", help="Exchange of the sessions.")]
AsOf = Annotated[
    str | None,
    typer.Option("--as-of", metavar="TIME", help="As it was known at this moment, e.g. 2024-06-01T12:00Z."),
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    group = typer.Typer(help="Store bars, and look at what is stored.", no_args_is_help=True)
    o.add(group, data_pull.pull_bars, "pull")
    o.add(group, data_record.record_bars, "record")
    o.add(group, import_bars, "import")
    o.add(group, export_bars, "export")
    o.add(group, data_check.check_bars, "check")
    o.add(group, list_bars, "list")
    o.add(group, head)
    app.add_typer(group, name="data")


def import_bars(
    folder: Folder,
    symbols: Symbols = None,
    timeframe: o.Timeframe = None,
    known_at: Annotated[
        str | None,
        typer.Option("--known-at", metavar="TIME", help="When these bars were learnt [now]."),
    ] = None,
    tick: Annotated[str, typer.Option("--tick", help="Price increment to round to.")] = "0.0001",
    calendar: Calendar = "XNYS",
    futures: Annotated[
        str | None,
        typer.Option("--futures", metavar="A,B", help="Symbols whose prices may be zero or negative."),
    ] = None,
    store: Store = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Check the bars of a folder and store them, all or nothing; again, it changes nothing.

    A bar that is stored with other values is revised; the old values stay for questions about the past.
      trade data import prices/daily
      trade data import vendor/2024-06-01 --known-at 2024-06-01T22:00Z
    """
    from pathlib import Path

    from data.files import load_bars
    from execution.clocks import SystemClock, timestamp
    from infrastructure.stores import store_of

    learnt = timestamp(SystemClock().now_ns()) if known_at is None else _moment(known_at, "--known-at")
    settings = o.load(config, sets=sets)
    with _at_work("importing", as_json=as_json), store_of(settings, store) as bars:
        loaded = load_bars(
            Path(folder),
            symbols=_names(symbols),
            timeframe=_timeframe(timeframe) if timeframe else None,
            tick=_price(tick),
            calendar=calendar,
            regular_hours=False,
            signed=_names(futures) or (),
        )
        report = bars.write(loaded, known_at=learnt, signed=_names(futures) or ())
        where = str(bars)
    answer: dict[str, Any] = {
        "store": where,
        "timeframe": loaded.timeframe.value,
        "symbols": list(loaded.symbols),
        "inserted": report.inserted,
        "revised": report.revised,
        "unchanged": report.unchanged,
        "outside_sessions": sum(loaded.dropped.values()),
        "known_at": learnt.isoformat(),
    }
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("imported", answer)


def export_bars(
    folder: Folder,
    symbols: Symbols = None,
    timeframe: o.Timeframe = None,
    as_of: AsOf = None,
    calendar: Calendar = "XNYS",
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet instead of gzip CSV.")] = False,
    store: Store = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Write stored bars into a new folder, one file a symbol, as `trade data import` and --bars read them.

    The folder is complete or not there.
      trade data export prices --timeframe 1D
      trade data export then --timeframe 1m --symbols SPY --as-of 2024-06-01T12:00Z
    """
    from pathlib import Path

    from data.file_export import write_bars
    from infrastructure.stores import store_of

    settings, size = o.load(config, sets=sets), _timeframe(timeframe or "1D")
    when = None if as_of is None else _moment(as_of, "--as-of")
    with _at_work("exporting", as_json=as_json), store_of(settings, store) as bars:
        series = bars.read(_names(symbols), size, as_of=when).to_series()
        if not series:
            raise typer.BadParameter(f"{bars} holds no such bars of {size.value}; see trade data list")
        write_bars(Path(folder), series, calendar=calendar, parquet=parquet)
    answer = {"folder": folder, "timeframe": size.value, "bars": {s: len(b) for s, b in series.items()}}
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("exported", answer)


def list_bars(
    store: Store = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Show which symbols are stored, from when to when, and how many bars.

    trade data list
    trade data list --store prices --json
    """
    from infrastructure.stores import store_of

    with store_of(o.load(config, sets=sets), store) as bars:
        where, held = str(bars), bars.holdings()
    rows: list[dict[str, Any]] = [
        {
            "symbol": holding.symbol,
            "timeframe": holding.timeframe.value,
            "first": holding.first.isoformat(),
            "last": holding.last.isoformat(),
            "bars": holding.bars,
        }
        for holding in held
    ]
    if as_json:
        o.print_json({"store": where, "holdings": rows})
    else:
        o.print_table(where, rows)


def head(
    symbol: Annotated[str, typer.Argument(help="Symbol, such as SPY.")],
    timeframe: o.Timeframe = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of bars.")] = 5,
    newest: Annotated[bool, typer.Option("--last", help="The last bars instead of the first.")] = False,
    store: Store = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Show the first bars of a symbol, or the last, with the moment each was learnt.

    trade data head SPY
    trade data head SPY --timeframe 1m --last -n 10
    """
    from infrastructure.stores import store_of

    size = _timeframe(timeframe or "1D")
    with store_of(o.load(config, sets=sets), store) as bars:
        ask = bars.last if newest else bars.head
        rows = ask(symbol, size, count).to_pylist()
        if not rows:
            raise typer.BadParameter(f"{bars} holds no bars of {symbol} at {size.value}; see trade data list")
    shown = [{name: _shown(value) for name, value in row.items()} for row in rows]
    if as_json:
        o.print_json({"symbol": symbol, "timeframe": size.value, "bars": shown})
    else:
        o.print_table(f"{symbol} {size.value}", shown, columns=_COLUMNS)


_COLUMNS = ("start", "end", "open", "high", "low", "close", "volume", "known_at")


def _shown(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _names(symbols: str | None) -> list[str] | None:
    return None if symbols is None else [name.strip() for name in symbols.split(",") if name.strip()]


def _timeframe(text: str) -> Timeframe:
    from execution.timeframes import Timeframe

    try:
        return Timeframe(text)
    except ValueError as error:
        raise typer.BadParameter(f"timeframe {text!r}: use {', '.join(Timeframe)}") from error


def _price(text: str) -> Decimal:
    from decimal import Decimal, InvalidOperation

    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(0)
    if not price.is_finite() or price <= 0:
        raise typer.BadParameter(f"--tick {text!r} is no price increment; write one such as 0.01")
    return price


def _moment(text: str, option: str) -> pd.Timestamp:
    import pandas as pd

    try:
        when = pd.Timestamp(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} is no time; write 2024-06-01T12:00Z") from error
    if when.tzinfo is None:
        raise typer.BadParameter(f"{option} {text!r} has no timezone; write 2024-06-01T12:00Z")
    return when.tz_convert("UTC")


@contextmanager
def _at_work(what: str, *, as_json: bool) -> Iterator[None]:
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=o.error_console(), disable=as_json, transient=True) as progress:
        progress.add_task(what, total=None)
        yield
