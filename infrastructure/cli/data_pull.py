"""The command ``trade data pull``: bars from Interactive Brokers or Yahoo into the store."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import data_options as d
from infrastructure.cli import options as o

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import pandas as pd

    from data.calendars import ExchangeClock
    from data.database import Database
    from data.sources.history import HistorySource
    from data.sources.pull import Progress
    from data.stores import BarStore
    from data.stores.option_minutes import OptionMinutes
    from execution.ibkr.description import Description
    from execution.models import Instrument
    from infrastructure.settings import Settings

_RECORD = "pulls.jsonl"
_OWN_CLIENT = 50
_MINUTE, _HOUR = 60, 3_600


def pull_bars(
    symbols: d.Contracts,
    timeframe: o.StoredTimeframe = None,
    start: Annotated[
        str | None, typer.Option("--start", metavar="DATE", help="First date [where the source begins].")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--end", metavar="DATE", help="Last date, included [now].")
    ] = None,
    source: Annotated[str, typer.Option("--source", metavar="ibkr|yahoo", help="Where from.")] = "ibkr",
    actions: Annotated[
        str | None,
        typer.Option(
            "--actions",
            metavar="FILE|yahoo|stored|none",
            help="Who knows the splits of the stocks; none: there were none "
            "[data.corporate_actions, else what the database holds].",
        ),
    ] = None,
    all_hours: Annotated[
        bool, typer.Option("--all-hours", help="Ask for bars outside regular trading hours, too.")
    ] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Ask for what was answered before: finds what was revised.")
    ] = False,
    client_id: d.ClientId = None,
    calendar: d.Calendar = "XNYS",
    *,
    store: d.Store = None,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Pull bars into the store, within the source's limits; stopped anywhere, run it again and it goes on.

    TWS or IB Gateway is found by data.ib.host and data.ib.port; it takes at most 60 questions in ten
    minutes, and a question brings a week of minutes, 12 weeks of hours or 5 years of days of one stock.
    A contract is a stock's symbol, FUT:ES:20261218:CME:50, OPT:SPY:20261218:600:C or IND:SPX:CBOE; NAME=
    before it chooses under which name it is stored. --calendar names its exchange, such as CMES.
    Yahoo needs the extra: pip install 'alphec-street[yahoo]'.

    With a database, contracts that `instruments` lacks are written there, with what the source says of them
    and --calendar: their bars of a session follow it.

    What is stored are the prices that were traded. Interactive Brokers adjusts a stock's for its splits, so
    the splits have to be known: by --actions, or data.corporate_actions.
      trade data pull SPY,QQQ --start 2015-01-01 --actions actions.csv
      trade data pull SPY --timeframe 1m --start 2024-01-01 --actions none --set data.ib.port=4002
      trade data pull FUT:ES:20261218:CME:50 --timeframe 1h --calendar CMES
      trade data pull AAPL --source yahoo
    """
    import asyncio

    from data.sources.pull import pull
    from data.sources.record import PullRecord
    from execution.clocks import SystemClock
    from infrastructure.contract_text import read_contracts
    from infrastructure.stores import store_of

    size = d.timeframe(timeframe or "1D")
    contracts = read_contracts(symbols)
    settings, clock = o.load(config, profile, sets), SystemClock()
    o.set_up_logging(settings)
    first = None if start is None else _day("--start", start)
    last = None if end is None else _day("--end", end)
    if first is not None and last is not None and last.date() < first.date():
        raise typer.BadParameter(f"--end {end} is before --start {start}: no day lies between them")
    exchange = _exchange(calendar, clock.now_ns())
    start_ns = 0 if first is None else _beginning_ns(exchange, first)
    end_ns = clock.now_ns() if last is None else _beginning_ns(exchange, last + _one_day())
    asked = _source(source, settings, exchange, client_id, actions, regular_hours=not all_hours)
    with (
        store_of(settings, store) as bars,
        _register(settings, bars) as register,
        _interruptible(),
        _Bar(shown=not as_json) as bar,
    ):
        report = asyncio.run(
            pull(
                asked,
                bars,
                PullRecord(settings.var_dir / _RECORD),
                contracts,
                size,
                clock,
                start_ns=start_ns,
                end_ns=end_ns,
                options=option_minutes(bars),
                describe=_undescribed(register, contracts),
                again=again,
                progress=bar.tell,
            )
        )
        where = str(bars)
        registered = _learn(register, report.contracts, calendar)
    answer: dict[str, Any] = {
        "store": where,
        "source": asked.name,
        "timeframe": size.value,
        "symbols": [one.symbol for one in contracts],
        "questions": report.asked,
        "without_bars": report.empty,
        "answered_before": report.skipped,
        "inserted": report.inserted,
        "revised": report.revised,
        "unchanged": report.unchanged,
        "contracts_registered": registered,
        "nothing_new": report.notes,
        "refused": report.refused,
    }
    if as_json:
        o.print_json(answer)
    else:
        said = {name: value for name, value in answer.items() if value is not None and value != {}}
        o.print_pairs("pulled", said)
    if report.refused:
        raise typer.Exit(1)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Say, when Ctrl-C ends a pull, that nothing of it is lost."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("what came is stored; run the same command again, and it goes on", err=True)
        raise


@contextmanager
def _register(settings: Settings, store: BarStore) -> Iterator[Database | None]:
    """Open the database that keeps contracts: the store's own, else that of the settings, if any."""
    from data.stores import DatabaseBarStore, ParquetBarStore

    if not isinstance(store, ParquetBarStore) and isinstance(store, DatabaseBarStore):
        yield store.database
    elif settings.database.url is None:
        yield None
    else:
        from infrastructure.databases import known_database

        with known_database(settings) as database:
            yield database


def _undescribed(register: Database | None, contracts: Sequence[Instrument]) -> list[str]:
    if register is None:
        return []
    from data.reference.instruments import undescribed

    return undescribed(register, [one.symbol for one in contracts])


def _learn(register: Database | None, contracts: Sequence[Description], calendar: str) -> int | None:
    if register is None:
        return None
    from data.reference.instruments import learn

    return learn(register, contracts, calendar)


def option_minutes(store: BarStore) -> OptionMinutes | None:
    """Return where a store's minutes of options go; None for files, which keep them like all others."""
    from data.stores import DatabaseBarStore, ParquetBarStore

    if isinstance(store, ParquetBarStore) or not isinstance(store, DatabaseBarStore):
        return None  # asked first: the database's drivers take a second to import
    from data.stores.option_minutes import OptionMinutes

    return OptionMinutes(store.database)


def _source(
    name: str,
    settings: Settings,
    exchange: ExchangeClock,
    client_id: int | None,
    named_actions: str | None,
    *,
    regular_hours: bool,
) -> HistorySource:
    from execution.clocks import SystemClock

    d.one_of("--source", name, ("ibkr", "yahoo"))
    if name == "yahoo":
        if named_actions is not None:
            raise typer.BadParameter("--actions is for --source ibkr: Yahoo tells its splits itself")
        from data.corporate_actions import YahooActionSource
        from data.sources.yahoo import YahooHistory

        actions = YahooActionSource(settings.data.cache_dir / "yahoo", SystemClock())
        return YahooHistory(exchange, SystemClock(), actions, regular_hours=regular_hours)
    from data.corporate_actions import AsTraded
    from data.sources.ibkr import IbkrHistory
    from infrastructure.data_sources import action_source

    known = action_source(settings, named_actions, exchange.name)
    ib = settings.data.ib
    own = ib.client_id + _OWN_CLIENT if client_id is None else client_id
    return IbkrHistory(
        ib.host,
        ib.port,
        own,
        exchange,
        SystemClock(),
        as_traded=None if known is None else AsTraded(known, exchange, SystemClock()),
        regular_hours=regular_hours,
        timeout=max(60.0, ib.timeout_seconds),
    )


def _exchange(name: str, now_ns: int) -> ExchangeClock:
    import datetime as dt

    from data.calendars import ExchangeClock
    from execution.clocks import timestamp

    return ExchangeClock(name, dt.date(1980, 1, 1), timestamp(now_ns).date() + dt.timedelta(days=7))


def _day(option: str, text: str) -> pd.Timestamp:
    import pandas as pd

    try:
        day = pd.Timestamp(text)
    except ValueError as error:
        raise typer.BadParameter(f"{option} {text!r} is no date; write 2024-01-31") from error
    if pd.isna(day):
        raise typer.BadParameter(f"{option} {text!r} is no date; write 2024-01-31")
    return day.normalize()


def _beginning_ns(exchange: ExchangeClock, day: pd.Timestamp) -> int:
    """Return when a date begins: at midnight, or with its session where that opens the evening before."""
    midnight_ns = exchange.midnight_ns(day.date())
    session = exchange.session_closing_after(midnight_ns)
    if session is None or session.date < day.date():
        return midnight_ns
    return min(midnight_ns, session.open_ns)


def _one_day() -> pd.Timedelta:
    import pandas as pd

    return pd.Timedelta(days=1)


class _Bar:
    """The progress of a pull on stderr, with the time that the source's limits leave."""

    def __init__(self, *, shown: bool) -> None:
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn

        left = TextColumn("{task.fields[left]}")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), left)
        self._progress = d.progress(*columns, shown=shown)
        self._task = self._progress.add_task("connecting", total=None, left="")

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, at: Progress) -> None:
        """Show how far it is: the longer of what the limits and what the pace so far make it take."""
        task = self._progress.tasks[0]
        each = (task.elapsed or 0.0) / at.done if at.done else 0.0
        seconds = max(at.waiting_seconds, each * (at.total - at.done))
        left = f"{time_text(seconds)} left" if at.total and at.done < at.total else ""
        name = f"pulling {at.symbol}" if at.total else f"asking for {at.symbol}"
        self._progress.update(
            self._task, description=name, completed=at.done, total=at.total or None, left=left
        )


def time_text(seconds: float) -> str:
    """Write a time to wait in hours, minutes or seconds."""
    if seconds >= _HOUR:
        return f"{seconds / _HOUR:.1f} h"
    return f"{seconds / _MINUTE:.0f} min" if seconds >= _MINUTE else f"{max(1, round(seconds))} s"
