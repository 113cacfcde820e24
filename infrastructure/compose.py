"""Settings become parts here: a trader on a paper or live account."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
from pathlib import Path

import pandas as pd
from rich.console import Console

from backtesting.runs import RunFolder
from data.calendars import ExchangeClock
from execution.book.adjustments import CorporateActionSource
from execution.clocks import SystemClock, timestamp
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError
from execution.link.gateway_week import GatewayWeek
from execution.link.heartbeat import HeartbeatTerms
from execution.models import Instrument
from execution.orders.codes import CodeTable, read_codes
from infrastructure import finish
from infrastructure.audit_trail import open_journal
from infrastructure.backtests import new_run
from infrastructure.data_sources import require_market_data
from infrastructure.demo import (
    DATABASE,
    HALTED,
    INTERRUPTED,
    JOURNAL,
    OK,
    print_outcome,
    started_event,
)
from infrastructure.errors import ConfigError
from infrastructure.interlock import authorise_settings
from infrastructure.provenance import manifest_of
from infrastructure.risk_inputs import RiskInputs
from infrastructure.run_database import check_url
from infrastructure.settings import Settings
from infrastructure.watch import Watch
from strategies import registry
from strategies.closing import OpenOrders
from strategies.live import LoopEnd
from strategies.spec import RunSpec
from strategies.trader import Trader, TraderOptions

_SESSIONS_A_YEAR = 240
_CALENDAR_MARGIN = dt.timedelta(days=400)


def run_live(
    settings: Settings,
    *,
    dry_run: bool,
    console: Console,
    corporate_actions: CorporateActionSource | None = None,
) -> int:
    """Trade on a paper or live account until stopped; return the exit status.

    `corporate_actions` knows of splits, dividends and new symbols; None leaves them to a person.

    Raises
    ------
    LiveInterlockError
        If the agreements for real money do not all hold, or a paper run points at a live broker.
    """
    authorise_settings(settings, os.environ)
    if not settings.symbols:
        raise ConfigError("symbols: name what to trade, for example --symbols SPY,QQQ")
    registry.check(settings.strategy.name, settings.strategy.params)
    check_url(settings)  # no more than that: a trader starts while its database is away, and catches up
    return asyncio.run(
        _trade(settings, dry_run=dry_run, console=console, corporate_actions=corporate_actions)
    )


async def _trade(
    settings: Settings, *, dry_run: bool, console: Console, corporate_actions: CorporateActionSource | None
) -> int:
    manager = _connection(settings)
    await manager.connect(wait_planned=True)
    try:
        account = _account(settings, manager.session.accounts)
        authorise_settings(settings, os.environ, account=account)
        folder = settings.var_dir / settings.profile / account
        spec = settings.to_run_spec(Instrument(symbol) for symbol in settings.symbols)
        await require_market_data(settings, spec.instruments)
        manifest = manifest_of(settings, None, "", profile=settings.profile, dry_run=dry_run)
        with new_run(settings, manifest) as run:
            return await _trade_in(
                run, settings, spec, manager, account, folder, dry_run, console, corporate_actions
            )
    finally:
        await manager.disconnect()


async def _trade_in(
    run: RunFolder,
    settings: Settings,
    spec: RunSpec,
    manager: IBKRConnectionManager,
    account: str,
    folder: Path,
    dry_run: bool,
    console: Console,
    corporate_actions: CorporateActionSource | None,
) -> int:
    path = folder / JOURNAL
    rests_on = RiskInputs(settings, spec.symbols, SystemClock())
    await rests_on.read()
    journal = open_journal(path, settings)
    watch = Watch(settings, console, f"{spec.strategy} on {', '.join(spec.symbols)} [{settings.profile}]")
    # The broker's day: a simulated gateway may be in another year than this machine.
    today = timestamp(await manager.session.current_time()).date()
    sessions = ExchangeClock(spec.calendar, today - _CALENDAR_MARGIN, today + _CALENDAR_MARGIN)
    following = asyncio.ensure_future(rests_on.follow())
    try:
        trader = Trader(
            spec,
            manager,
            journal,
            sessions,
            TraderOptions(
                account=account,
                dry_run=dry_run,
                release_absent=settings.execution.release_absent_orders,
                regular_hours=settings.data.regular_hours,
                warmup=_duration(settings),
                poll_interval_seconds=settings.execution.poll_interval_seconds,
                acknowledgement_timeout=settings.execution.acknowledgement_timeout_seconds,
                unfilled=settings.execution.unfilled,
                claim=settings.execution.claim,
                claim_symbols=settings.execution.claim_symbols or None,
                corporate_actions=corporate_actions,
                expired_day=settings.execution.expired_day,
                unanswered=settings.execution.unanswered_orders,
                reconcile_interval_seconds=settings.execution.reconcile_interval,
                at_shutdown=OpenOrders(settings.broker.open_orders_at_shutdown),
                risk_metrics=settings.monitoring.risk_metrics,
                daily_returns=rests_on.returns,
                greeks=rests_on.greeks,
                minimum_returns=settings.monitoring.minimum_returns,
                started=started_event(run, settings, spec),
            ),
            handlers=(watch.counters, watch.table),
            progress=(watch.counters, watch.table),
        )
        trader.restore()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, trader.stop)
        run.update_manifest(journal=str(path.resolve()))
        async with watch.over(trader, path, run.run_id, folder / DATABASE):
            end = await trader.run()
            try:
                await trader.close_session()
            except ExecutionError as error:
                console.print(f"the broker's closing book could not be recorded: {error}", style="red")
        outcome = finish.write_outcome(
            run,
            settings,
            spec,
            finish.live_tables(path),
            labels={symbol: symbol for symbol in spec.symbols},
            facts={"counters": watch.counters.as_dict(), "end": end.value},
        )
        print_outcome(console, outcome)
        run.end("finished", now=_now())
    finally:
        following.cancel()
        await manager.disconnect()  # before the journal closes: the end of the session belongs into it
        journal.close()
    if end is LoopEnd.HALTED:
        return HALTED
    return INTERRUPTED if end is LoopEnd.STOPPED else OK


def _connection(settings: Settings) -> IBKRConnectionManager:
    ib = settings.data.ib
    return IBKRConnectionManager(
        ib.host,
        ib.port,
        ib.client_id,
        settings.broker.readonly,
        timeout=ib.timeout_seconds,
        reconnect_max_attempts=ib.reconnect_max_attempts,
        reconnect_backoff=ib.reconnect_backoff_seconds,
        longest_pause=ib.reconnect_longest_pause_seconds,
        client_id_wait=ib.client_id_wait_seconds,
        heartbeat=HeartbeatTerms(ib.heartbeat_seconds, ib.heartbeat_deadline_seconds),
        week=GatewayWeek(ib.week, ib.week_time_zone),
        link_alarm_seconds=ib.link_alarm_seconds,
        codes=CodeTable(read_codes(ib.code_classes)),
    )


def _account(settings: Settings, offered: list[str]) -> str:
    wanted = settings.broker.account
    if wanted is None and len(offered) == 1:
        return offered[0]
    if wanted is None or wanted not in offered:
        raise ConfigError(
            f"broker.account {wanted or 'is not set'}: this login trades {', '.join(offered)}; name one"
        )
    return wanted


def _duration(settings: Settings) -> str:
    """Return the history to ask for at start, as TWS spells it, long enough for the warm-up bars."""
    bars_a_day = {"1D": 1, "1h": 7, "1m": 390}[settings.timeframe.value]
    days = -(-max(settings.data.warmup, 1) // bars_a_day)
    if days > _SESSIONS_A_YEAR:  # TWS wants longer spans in years
        return f"{-(-days // _SESSIONS_A_YEAR)} Y"
    return f"{days * 7 // 5 + 5} D"


def _now() -> pd.Timestamp:
    return pd.Timestamp.now(tz="UTC")
