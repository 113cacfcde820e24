"""Commands that look before anything runs: strategies, plan, doctor."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from infrastructure.cli import options as o

if TYPE_CHECKING:
    from infrastructure.settings import Settings


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    for command in (strategies, plan, doctor):
        o.add(app, command)


def strategies(as_json: o.Json = False) -> None:
    """List the strategies that can be named in strategy.name, with their parameters.

    trade strategies
    trade strategies --json
    """
    from strategies import registry

    rows: list[dict[str, Any]] = []
    for name in registry.strategy_names():
        cls = registry.strategy_class(name)
        params = {
            key: "required" if field.is_required() else field.get_default(call_default_factory=True)
            for key, field in cls.Params.model_fields.items()
        }
        about = (cls.__doc__ or "").strip().splitlines() or [""]
        rows.append({"name": name, "parameters": params, "about": about[0]})
    if as_json:
        o.print_json(rows)
        return
    shown = [
        {**row, "parameters": ", ".join(f"{key}={value}" for key, value in row["parameters"].items())}
        for row in rows
    ]
    o.print_table("strategies", shown, columns=("name", "parameters", "about"))


def plan(
    config: o.Config = None,
    profile: o.Profile = None,
    sets: o.Set = None,
    bars: o.Bars = None,
    symbols: o.Symbols = None,
    timeframe: o.Timeframe = None,
    runs_dir: o.RunsDir = None,
    as_json: o.Json = False,
) -> None:
    """Show what would run: each setting with its source, limits, next session. Starts nothing.

    Secrets are masked. Leaves with 2 if the configuration would be refused.
      trade plan
      trade plan --config config.yaml --profile paper
    """
    settings = o.load(
        config, profile, sets, bars=bars, symbols=symbols, timeframe=timeframe, runs_dir=runs_dir
    )
    facts = _what_would_run(settings)
    values, sources = settings.flat(), settings.sources
    if as_json:
        listing = {key: {"value": values[key], "source": sources[key]} for key in values}
        o.print_json({"run": facts, "settings": listing})
        return
    o.print_pairs("what would run", facts)
    rows = [{"setting": key, "value": _text(values[key]), "source": sources[key]} for key in values]
    o.print_table("settings", rows)


def _what_would_run(settings: Settings) -> dict[str, Any]:
    import os

    from backtesting.runs import config_hash
    from infrastructure.interlock import agreements

    _check_strategy(settings)
    if settings.database.url is not None:
        from infrastructure.run_database import check_url

        check_url(settings)
    values, ib = settings.flat(), settings.data.ib
    money = agreements(
        profile=settings.profile,
        toggle=os.environ.get("ALPHEC_LIVE"),
        port=ib.port,
        account=settings.broker.account,
        live_ports=settings.broker.live_ports,
        prefix=settings.broker.live_account_prefix,
    )
    broker = "a simulated gateway of its own" if settings.profile == "demo" else f"{ib.host}:{ib.port}"
    live = all(agreement.holds for agreement in money)
    return {
        "strategy": f"{settings.strategy.name} {settings.strategy.params}",
        "symbols": ", ".join(settings.symbols) or "all that the bars offer",
        "timeframe": settings.timeframe.value,
        "bars": str(settings.data.bars or {"sample": "built-in sample"}.get(settings.data.source, "broker")),
        "broker": broker,
        "money": "REAL MONEY" if live else "no real money",
        "live agreements": [f"{'yes' if a.holds else 'no'}: {a.state}" for a in money],
        "limits": {key.removeprefix("risk."): values[key] for key in values if key.startswith("risk.")},
        "next session": _next_session(settings),
        "config hash": config_hash(settings.config_for_hash()),
    }


def _check_strategy(settings: Settings) -> None:
    from pydantic import ValidationError

    from infrastructure.errors import ConfigError
    from strategies import registry

    params = registry.strategy_class(settings.strategy.name).Params
    try:
        params.model_validate(settings.strategy.params)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(["strategy.params", *map(str, first["loc"])])
        source = settings.sources.get(key, settings.sources["strategy.name"])
        known, said = ", ".join(params.model_fields), first["msg"].removeprefix("Value error, ")
        raise ConfigError(f"{source}: {key}: {said}; {settings.strategy.name} takes {known}") from error


def _next_session(settings: Settings) -> str:
    import datetime as dt

    from data.calendars import ExchangeClock
    from execution.clocks import SystemClock, timestamp

    now = SystemClock().now_ns()
    today = timestamp(now).date()
    calendar = ExchangeClock(
        settings.data.calendar, today - dt.timedelta(days=1), today + dt.timedelta(days=14)
    )
    session = calendar.session_closing_after(now)
    if session is None:
        return f"none known within 14 days on {settings.data.calendar}"
    opens, closes = (
        timestamp(ns).isoformat(timespec="minutes") for ns in (session.open_ns, session.close_ns)
    )
    note = " (open now)" if session.open_ns <= now else ""
    return f"{settings.data.calendar} {session.date}, {opens} to {closes}{note}"


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "-"
    return "-" if value is None else str(value)


def doctor(
    config: o.Config = None, profile: o.Profile = None, sets: o.Set = None, as_json: o.Json = False
) -> None:
    """Check that this machine is fit to trade, and say what to do where it is not.

    Leaves with 1 if something needed is missing; warnings alone leave with 0.
      trade doctor
      trade doctor --profile paper --json
    """
    from dataclasses import asdict
    from pathlib import Path

    from infrastructure import doctor as checks

    settings = o.load(config, profile, sets)
    found = checks.examine(settings, Path(checks.__file__).resolve().parent.parent)
    if as_json:
        o.print_json([asdict(check) for check in found])
    else:
        o.print_table("doctor", [asdict(check) for check in found])
    raise typer.Exit(1 if any(check.status == "fail" for check in found) else 0)
