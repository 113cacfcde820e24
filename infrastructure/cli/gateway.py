"""The simulated gateway: `trade gateway` serves it, its subcommands control it and read what it wrote."""

from __future__ import annotations

from typing import Annotated

import typer

from infrastructure.cli import options as o

HELP = """Serve a simulated IB Gateway that any TWS API client can trade against.

Without --bars it serves two index series that are built in. Simulated time starts inside the first session
and runs as fast as yours (--speed 1); it stands while nobody is connected. It prints "listening on HOST:PORT"
when it is ready, and leaves in order on Ctrl-C or SIGTERM.
  trade gateway --port 4002
  trade gateway --port 4002 --bars bars/minute --bars bars/daily --start 2018-01-03
  trade gateway --port 0 --json --state-dir var/gw --account DU1:50000:margin --account DU2
  trade gateway --speed 60 --faults nightly_reset --frames frames.jsonl

While it runs, and afterwards:
  trade gateway control var/gw status
  trade gateway faults
  trade gateway frames show frames.jsonl
"""

_BarFolders = Annotated[
    list[str] | None,
    typer.Option(
        "--bars",
        metavar="DIR",
        help="Folder of CSV or Parquet bars instead of the sample; repeat it for bars of another size.",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the group."""
    group = typer.Typer(invoke_without_command=True, no_args_is_help=False, subcommand_metavar="[COMMAND]")
    group.callback(help=o.with_examples(HELP))(serve)
    from infrastructure.cli import gateway_tools

    gateway_tools.register(group)
    app.add_typer(group, name="gateway")


def serve(
    context: typer.Context,
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 chooses a free one.")] = 0,
    bars: _BarFolders = None,
    symbols: Annotated[
        str | None, typer.Option(metavar="A,B", help="Serve these symbols only, comma-separated.")
    ] = None,
    timeframe: o.Timeframe = None,
    speed: Annotated[
        str,
        typer.Option(metavar="N|max|lockstep", help="Simulated seconds a second, or a pace set by clients."),
    ] = "1",
    start: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="When time starts, New York; a date means its opening."),
    ] = None,
    paused: Annotated[
        bool, typer.Option("--paused", help="Let time stand until control resumes it.")
    ] = False,
    server_version: Annotated[int, typer.Option(metavar="157..178", help="Highest version offered.")] = 176,
    account: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:CASH[:KIND]]",
            help="An account: margin (if not said), cash, unchecked; repeatable.",
        ),
    ] = None,
    commissions: Annotated[
        str,
        typer.Option(metavar="PLAN", help="custom (the settings' own), ibkr_fixed or ibkr_tiered."),
    ] = "custom",
    read_only: Annotated[bool, typer.Option("--read-only", help="Refuse orders, as Read-Only API.")] = False,
    master_client_id: Annotated[
        int | None, typer.Option(metavar="ID", help="The client that is told of every order.")
    ] = None,
    market_data: Annotated[
        str, typer.Option(metavar="live|delayed|none", help="What the login is entitled to.")
    ] = "live",
    contracts: Annotated[
        str | None, typer.Option(metavar="FILE", help="Contracts beyond stocks, YAML or CSV.")
    ] = None,
    quotes: Annotated[
        str | None, typer.Option(metavar="FILE", help="Quotes instead of those derived from bars.")
    ] = None,
    corporate_actions: Annotated[
        str | None,
        typer.Option(metavar="FILE", help="Splits and dividends: CSV of date,symbol,kind,value."),
    ] = None,
    faults: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="What goes wrong: a script, or a preset's name.")
    ] = None,
    frames: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write every frame of both directions here.")
    ] = None,
    control: Annotated[
        str | None, typer.Option(metavar="PATH", help="Unix socket for control [STATE_DIR/control.sock].")
    ] = None,
    state_dir: Annotated[
        str | None, typer.Option(metavar="DIR", help="Folder for address, lock and statement.")
    ] = None,
    idle_exit: Annotated[
        float, typer.Option(metavar="SECONDS", min=0, help="Leave after so long without a client; 0 stays.")
    ] = 0.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, a line an event.")] = False,
    config: o.Config = None,
    sets: o.Set = None,
) -> None:
    """Serve, unless a subcommand was called."""
    if context.invoked_subcommand is not None:
        return
    first, more = (bars[0], bars[1:]) if bars else (None, [])
    settings = o.load(config, "demo", sets, bars=first, symbols=symbols, timeframe=timeframe)
    o.set_up_logging(settings)
    from pathlib import Path

    from infrastructure.gateway import GatewayOptions, run_gateway

    def path(text: str | None) -> Path | None:
        return Path(text) if text else None

    options = GatewayOptions(
        host=host,
        port=port,
        state_dir=path(state_dir),
        idle_exit=idle_exit,
        speed=speed,
        start=start,
        paused=paused,
        server_version=server_version,
        accounts=tuple(account or ()),
        commissions=commissions,
        read_only=read_only,
        master_client_id=master_client_id,
        market_data=market_data,
        more_bars=tuple(Path(folder) for folder in more),
        contracts=path(contracts),
        quotes=path(quotes),
        corporate_actions=path(corporate_actions),
        faults=faults,
        frames=path(frames),
        control=path(control),
    )
    raise typer.Exit(run_gateway(settings, options, as_json=as_json))
