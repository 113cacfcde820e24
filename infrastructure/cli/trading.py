"""Commands that run a strategy, backtest and live; and those that reach a running trader."""

from __future__ import annotations

from typing import Annotated

import typer

from infrastructure.cli import options as o

KeepBars = Annotated[
    bool, typer.Option("--keep-bars", help="Copy the bars into the run's folder, for --bars of a later run.")
]


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (backtest, live, stop, status, flatten):
        o.add(app, command)


def backtest(
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    bars: o.Bars = None,
    symbols: o.Symbols = None,
    timeframe: o.Timeframe = None,
    actions: Annotated[
        str | None,
        typer.Option(
            "--actions",
            metavar="FILE|DIR|yahoo|stored|none",
            help="Who knows splits and dividends, which the run books; none: there were none "
            "[data.corporate_actions].",
        ),
    ] = None,
    runs_dir: o.RunsDir = None,
    keep_bars: KeepBars = False,
) -> None:
    """Run the configured strategy over past bars and write ledgers and a report.

    The strategy, risk rules, matching and accounts are those of live trading.

    With --actions the bars are those that were traded. When an ex date begins, a split multiplies the
    position, ends open orders as Interactive Brokers does, and is told to the strategy; a dividend is paid
    in cash. Without it bars that hold a split are refused.
      trade backtest
      trade backtest --config config.yaml --symbols SPY,IWM
      trade backtest --bars bars/daily --set strategy.params.fast=10
      trade backtest --bars bars/daily --actions actions.csv
      trade backtest --keep-bars
    """
    named = [*(sets or []), *([] if actions is None else [f"data.corporate_actions={actions}"])]
    settings = o.load(
        config, profile, named, bars=bars, symbols=symbols, timeframe=timeframe, runs_dir=runs_dir
    )
    o.set_up_logging(settings)
    from infrastructure.backtests import run_backtest

    raise typer.Exit(run_backtest(settings, o.console(), keep_bars=keep_bars))


def live(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Do everything but write orders to the broker's socket.")
    ] = False,
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    bars: o.Bars = None,
    symbols: o.Symbols = None,
    timeframe: o.Timeframe = None,
    runs_dir: o.RunsDir = None,
    keep_bars: KeepBars = False,
) -> None:
    """Trade: against the simulated gateway (demo), a paper account, or with real money.

    Real money needs four agreements: --profile live, ALPHEC_LIVE=I_UNDERSTAND in the
    environment, a port from broker.live_ports, and an account with the live prefix.
      trade live --profile demo
      trade live --profile demo --bars bars/daily
      trade live --profile paper --config config.yaml --dry-run
    """
    settings = o.load(
        config, profile, sets, bars=bars, symbols=symbols, timeframe=timeframe, runs_dir=runs_dir
    )
    o.set_up_logging(settings)
    if settings.profile == "demo":
        from infrastructure.demo import run_demo

        raise typer.Exit(
            run_demo(settings, dry_run=dry_run, console=o.lasting_console(), keep_bars=keep_bars)
        )
    if keep_bars:
        raise typer.BadParameter(
            f"--keep-bars: a run of profile {settings.profile} has no bars of its own to copy; keep what it "
            "trades on with trade data record"
        )
    from infrastructure.compose import run_live
    from infrastructure.data_sources import trading_actions

    corporate_actions = trading_actions(settings)
    raise typer.Exit(
        run_live(settings, dry_run=dry_run, console=o.lasting_console(), corporate_actions=corporate_actions)
    )


def stop(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Ask the running trader to finish its step, cancel nothing, and leave.

    trade stop --profile paper
    """
    o.show_answer("stop", o.load(config, profile, sets), as_json=as_json)


def status(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Show what the running trader is doing: connection, trading time, orders, equity.

    trade status
    trade status --profile paper --json
    """
    o.show_answer("status", o.load(config, profile, sets), as_json=as_json)


def flatten(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Cancel every open order, wait for the ends, and close every position by market orders.

    The answer says what could not be flattened, and why; run it again once that is settled. It also names the
    open orders that others have in the account: they stay, and may trade against it. The strategy goes on:
    stop the trader too if it must not enter again.
      trade flatten --profile paper
      trade flatten --json
    """
    o.show_answer("flatten", o.load(config, profile, sets), as_json=as_json)
