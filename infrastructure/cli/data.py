"""Commands on stored bars: import, export, list, head."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import data_check, data_pull, data_record
from infrastructure.cli import data_options as d
from infrastructure.cli import options as o

if TYPE_CHECKING:
    from decimal import Decimal

    import pandas as pd

    from data.bars import BarSeries
    from infrastructure.settings import Settings

Folder = Annotated[str, typer.Argument(metavar="FOLDER", help="Folder of SYMBOL.csv, .csv.gz or .parquet.")]


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
    symbols: d.Symbols = None,
    timeframe: Annotated[str | None, o.bar_size("as the files say")] = None,
    known_at: Annotated[
        str | None,
        typer.Option("--known-at", metavar="TIME", help="When these bars were learnt [now]."),
    ] = None,
    tick: Annotated[str, typer.Option("--tick", help="Price increment to round to.")] = "0.0001",
    calendar: d.Calendar = "XNYS",
    futures: d.Futures = None,
    store: d.Store = None,
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

    learnt = timestamp(SystemClock().now_ns()) if known_at is None else d.moment("--known-at", known_at)
    settings = o.load(config, sets=sets)
    with _at_work("importing", as_json=as_json), store_of(settings, store) as bars:
        loaded = load_bars(
            Path(folder),
            symbols=d.names(symbols),
            timeframe=d.timeframe(timeframe) if timeframe else None,
            tick=_price(tick),
            calendar=calendar,
            regular_hours=False,
            signed=d.names(futures) or (),
        )
        report = bars.write(loaded, known_at=learnt, signed=d.names(futures) or ())
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
    symbols: d.Symbols = None,
    timeframe: o.StoredTimeframe = None,
    as_of: d.AsOf = None,
    calendar: d.Calendar = "XNYS",
    actions: Annotated[
        str | None,
        typer.Option(
            "--actions",
            metavar="FILE|DIR|yahoo|stored",
            help="Adjust prices and volumes for the splits known here, to the last bar; stored: those of "
            "trade db import-actions [as traded].",
        ),
    ] = None,
    parquet: Annotated[bool, typer.Option("--parquet", help="Write Parquet instead of gzip CSV.")] = False,
    store: d.Store = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Write stored bars into a new folder, one file a symbol, as `trade data import` and --bars read them.

    The folder is complete or not there. Prices are those that were traded, as a backtest with --actions takes
    them; for other programs --actions here adjusts them for splits.
      trade data export prices --timeframe 1D
      trade data export adjusted --symbols AAPL --actions actions.csv
      trade data export adjusted --actions stored
      trade data export then --timeframe 1m --symbols SPY --as-of 2024-06-01T12:00Z
    """
    from pathlib import Path

    from data.files import write_bars
    from infrastructure.stores import store_of

    settings, size = o.load(config, sets=sets), d.timeframe(timeframe or "1D")
    when = None if as_of is None else d.moment("--as-of", as_of)
    with _at_work("exporting", as_json=as_json), store_of(settings, store) as bars:
        wanted = d.names(symbols)
        series = bars.read(wanted, size, as_of=when).to_series()
        if not series or (wanted and set(wanted) - set(series)):
            d.require_held(bars, wanted, size)
            raise typer.BadParameter(f"{bars} knew nothing of {symbols or 'these bars'} at {as_of}")
        if actions is not None:
            series = _adjusted(settings, series, actions, calendar, when)
        write_bars(Path(folder), series, calendar=calendar, parquet=parquet)
    answer: dict[str, Any] = {
        "folder": folder,
        "timeframe": size.value,
        "adjusted": actions is not None,
        "bars": {symbol: len(held) for symbol, held in series.items()},
    }
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("exported", answer)


def _adjusted(
    settings: Settings,
    series: dict[str, BarSeries],
    actions: str,
    calendar: str,
    as_of: pd.Timestamp | None,
) -> dict[str, BarSeries]:
    """Return bars in the shares of the day of the last bar of all, to a millionth."""
    import datetime as dt
    from dataclasses import replace

    from data.calendars import ExchangeClock
    from data.corporate_actions import adjusted
    from execution.clocks import timestamp
    from infrastructure.data_sources import action_source

    source = action_source(settings, actions, calendar, as_of=as_of)
    if source is None:
        raise typer.BadParameter("--actions names nobody who knows the splits")
    first = timestamp(min(int(bars.start_ns[0]) for bars in series.values())).date()
    last = timestamp(max(int(bars.end_ns[-1]) for bars in series.values())).date()
    clock = ExchangeClock(calendar, first - dt.timedelta(days=7), last + dt.timedelta(days=7))
    found = {}
    for symbol, bars in series.items():
        view = adjusted(bars, source.actions(symbol, first, last), clock, as_of=last)
        prices = {name: getattr(view, name).round(6) for name in ("open", "high", "low", "close")}
        found[symbol] = replace(view, volume=view.volume.round(6), **prices)
    return found


def list_bars(
    store: d.Store = None, config: o.Config = None, sets: o.Set = None, as_json: o.Json = False
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
    timeframe: o.StoredTimeframe = None,
    count: Annotated[int, typer.Option("--count", "-n", min=1, help="Number of bars.")] = 5,
    newest: Annotated[bool, typer.Option("--last", help="The last bars instead of the first.")] = False,
    store: d.Store = None,
    config: o.Config = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Show the first bars of a symbol, or the last, with the moment each was learnt.

    trade data head SPY
    trade data head SPY --timeframe 1m --last -n 10
    """
    from infrastructure.stores import store_of

    size = d.timeframe(timeframe or "1D")
    with store_of(o.load(config, sets=sets), store) as bars:
        ask = bars.last if newest else bars.head
        rows = ask(symbol, size, count).to_pylist()
        if not rows:
            d.require_held(bars, [symbol], size)
    shown = [{name: _shown(value) for name, value in row.items()} for row in rows]
    if as_json:
        o.print_json({"symbol": symbol, "timeframe": size.value, "bars": shown})
    else:
        o.print_table(f"{symbol} {size.value}", shown, columns=_COLUMNS)


_COLUMNS = ("start", "end", "open", "high", "low", "close", "volume", "known_at")


def _shown(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _price(text: str) -> Decimal:
    from decimal import Decimal, InvalidOperation

    try:
        price = Decimal(text)
    except InvalidOperation:
        price = Decimal(0)
    if not price.is_finite() or price <= 0:
        raise typer.BadParameter(f"--tick {text!r} is no price increment; write one such as 0.01")
    return price


@contextmanager
def _at_work(what: str, *, as_json: bool) -> Iterator[None]:
    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with d.progress(*columns, shown=not as_json) as progress:
        progress.add_task(what, total=None)
        yield
