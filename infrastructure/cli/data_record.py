"""The command ``trade data record``: what streams in, into the store, until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from infrastructure.cli import data_options as d
from infrastructure.cli import options as o

if TYPE_CHECKING:
    from collections.abc import Sequence

    from data.stores import BarStore
    from execution.models import Instrument
    from infrastructure.recording import Recorded, Recording


def record_bars(
    symbols: d.Contracts,
    every: Annotated[
        int, typer.Option("--every", metavar="SECONDS", min=60, max=300, help="Time between two snapshots.")
    ] = 60,
    client_id: d.ClientId = None,
    store: d.Store = None,
    *,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    as_json: o.Json = False,
) -> None:
    """Record minutes as they are traded, and of options quotes and Greeks, until Ctrl-C.

    What streams in is kept in memory and goes into the store at every snapshot, and at the end. Only whole
    minutes are stored: that in which it begins, ends or loses its connection is a gap, which
    trade data pull fills. Run it again and it goes on. Delayed quotes are refused, unless
    data.allow_delayed is set; options need a database. Contracts are written as for trade data pull.
      trade data record SPY,QQQ --every 120
      trade data record SPY,OPT:SPY:20261218:600:C --store sqlite:///var/market.db
      trade data record FUT:ES:20261218:CME:50 --set data.ib.port=4002
    """
    import asyncio

    from execution.clocks import SystemClock
    from infrastructure.contract_text import read_contracts
    from infrastructure.recording import Recording
    from infrastructure.stores import store_of

    contracts = read_contracts(symbols)
    settings = o.load(config, profile, sets)
    o.set_up_logging(settings)
    with store_of(settings, store) as bars:
        recording = Recording(settings, contracts, bars, SystemClock())
        last = _newest(bars, contracts)
        _register_options(bars, contracts)
        report = asyncio.run(_run(recording, contracts, client_id, every, shown=not as_json))
        where = str(bars)
    answer: dict[str, Any] = {
        "store": where,
        "symbols": [one.symbol for one in contracts],
        "newest_before": last,
        "minutes": report.minutes,
        "option_minutes": report.option_minutes,
        "minutes_not_stored": report.lost,
        "delayed_ticks_left_out": report.delayed_ticks,
        "connections": report.connections,
        "refused": report.refused,
    }
    if not (report.minutes or report.option_minutes or report.refused):
        answer["nothing_new"] = (
            "no whole minute has come: the first begins with the next full minute, in a market that is open"
        )
    if as_json:
        o.print_json(answer)
    else:
        o.print_pairs("recorded", answer)
    if report.refused or report.lost:
        raise typer.Exit(1)


def _register_options(store: BarStore, contracts: Sequence[Instrument]) -> None:
    """Write options that the store's database lacks: their Greeks say nothing without the contract's size."""
    from data.sources.history import OPTIONS
    from data.stores import DatabaseBarStore, ParquetBarStore

    options = [one for one in contracts if one.security_type in OPTIONS]
    if options and not isinstance(store, ParquetBarStore) and isinstance(store, DatabaseBarStore):
        from data.reference.instruments import learn
        from execution.ibkr.description import Description

        learn(store.database, [Description(one) for one in options])


def _newest(store: BarStore, contracts: Sequence[Instrument]) -> dict[str, str | None]:
    """Return the end of each contract's newest stored minute: a store that fails does so before it begins."""
    from execution.timeframes import Timeframe

    found: dict[str, str | None] = {}
    for one in contracts:
        rows = store.last(one.symbol, Timeframe.MINUTE).to_pylist()
        found[one.symbol] = rows[0]["end"].isoformat() if rows else None
    return found


async def _run(
    recording: Recording, contracts: Sequence[Instrument], client_id: int | None, every: int, *, shown: bool
) -> Recorded:
    import asyncio
    import signal

    from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with d.progress(*columns, shown=shown) as progress:
        task = progress.add_task(f"recording {len(contracts)} contracts; Ctrl-C ends it", total=None)

        def tell(report: Recorded) -> None:
            stored = report.minutes + report.option_minutes
            progress.update(task, description=f"recorded {stored:,} minutes; Ctrl-C ends it")

        try:
            return await recording.run(stop, client_id=client_id, every_seconds=every, told=tell)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
