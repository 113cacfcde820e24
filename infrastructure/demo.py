"""The paper day: a strategy trades over the TWS wire against the simulated gateway.

1. Find the unfinished run of the same configuration and bars, or begin a new one.
2. Start the gateway as a process of its own, or find the one that the run left behind.
3. Trade until the bars end; the loop resumes by itself after an interruption.
4. Record the broker's closing book; make the gateway write its statement and leave.
5. Judge, compare with the backtest, write ledgers, database, summary and report; close the run.

Every stage can be interrupted and done again.
"""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING, Any

import pandas as pd
from rich.console import Console

from backtesting import runs
from backtesting.runs import RunFolder
from execution.journal import SqliteJournal
from infrastructure.audit_trail import open_journal
from infrastructure.errors import ConfigError
from infrastructure.gateway_process import ACCOUNT, GatewayProcess
from infrastructure.logging import configure
from infrastructure.market import Market, load_market, run_hash, run_spec
from infrastructure.provenance import manifest_of
from infrastructure.run_actions import warn_of_splits
from infrastructure.settings import Settings
from strategies import registry

if TYPE_CHECKING:
    from execution.connection import IBKRConnectionManager
    from infrastructure.finish import Outcome
    from infrastructure.watch import Watch
    from monitoring.counters import Counters
    from strategies.live import LoopEnd
    from strategies.spec import RunSpec
    from strategies.trader import Trader

JOURNAL, DATABASE = "journal.db", "trading.db"
OK, FAILED, HALTED, INTERRUPTED = 0, 1, 4, 130
HALT_NOTICE = "halted: the daily loss limit (risk.max_daily_loss) was reached"
_WHOLE_HISTORY = "50 Y"


def run_demo(settings: Settings, *, dry_run: bool, console: Console, keep_bars: bool = False) -> int:
    """Run the demo or resume it; return the exit status. With `keep_bars` the run gets a copy of its bars."""
    market = load_market(settings)
    warn_of_splits(settings, market)
    spec = run_spec(settings, market)
    registry.check(spec.strategy, spec.params)
    if settings.database.url is not None:
        from infrastructure.run_database import require_database

        require_database(settings)
    while True:
        run = _open_run(settings, market, dry_run, console)
        with run:
            own = settings.model_copy(update={"run_id": run.run_id})  # a resumed run keeps its id
            configure(own.logging.format, own.logging.level, run.run_id)
            day = PaperDay(own, market, spec, run, dry_run=dry_run, console=console, keep_bars=keep_bars)
            if not day.can_go_on():
                run.end("abandoned", now=_now())
                console.print(f"run {run.run_id}: its gateway has left; the run is given up")
                continue
            return asyncio.run(day.run_to_the_end())


class PaperDay:
    """One run of the demo."""

    def __init__(
        self,
        settings: Settings,
        market: Market,
        spec: RunSpec,
        run: RunFolder,
        *,
        dry_run: bool,
        console: Console,
        keep_bars: bool = False,
    ) -> None:
        self._settings = settings
        self._keep_bars = keep_bars
        self._market = market
        self._spec = spec
        self._run = run
        self._dry_run = dry_run
        self._console = console
        self._gateway = GatewayProcess(run.path / "gateway")
        self._journal_path = run.path / JOURNAL
        self._database = run.path / DATABASE
        self._counters: Counters | None = None

    def can_go_on(self) -> bool:
        """Return whether what the run needs still exists: its gateway, or that gateway's last word."""
        if self._gateway.is_alive() or not self._journal_path.exists():
            return True
        if self._gateway.statement.exists():
            return self._closed()
        return not self._has_traded()

    async def run_to_the_end(self) -> int:
        """Trade what is left to trade, then write what the run leaves behind."""
        started = time.monotonic()
        if not self._closed():
            self._gateway.launch(self._settings)
            end = await self._trade()
            if end == "stopped":
                self._console.print(f"run {self._run.run_id} stopped; the same command goes on with it")
                return INTERRUPTED
        self._gateway.stop()
        return self._finish(time.monotonic() - started)

    async def _trade(self) -> LoopEnd:
        from execution.connection import IBKRConnectionManager
        from infrastructure.watch import Watch

        title = f"{self._spec.strategy} on {', '.join(self._spec.symbols)} [simulated contracts]"
        watch = Watch(self._settings, self._console, title)
        self._counters = watch.counters
        host, port = self._gateway.address()
        journal = open_journal(self._journal_path, self._settings)
        manager = IBKRConnectionManager(
            host,
            port,
            self._settings.data.ib.client_id,
            timeout=self._settings.data.ib.timeout_seconds,
            reconnect_max_attempts=self._settings.data.ib.reconnect_max_attempts,
            reconnect_backoff=min(1.0, self._settings.data.ib.reconnect_backoff_seconds),
            throttled=False,
        )
        try:
            trader = self._trader(manager, journal, watch)
            trader.restore()
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, trader.stop)
            async with watch.over(trader, self._journal_path, self._run.run_id, self._database):
                end = await trader.run()
                if end != "stopped":
                    await trader.close_session()
            return end
        finally:
            await manager.disconnect()
            journal.close()

    def _trader(self, manager: IBKRConnectionManager, journal: SqliteJournal, watch: Watch) -> Trader:
        from infrastructure.daily_returns import returns_of
        from strategies.trader import Trader, TraderOptions

        settings = self._settings
        return Trader(
            self._spec,
            manager,
            journal,
            self._market.bars.clock,
            TraderOptions(
                account=settings.broker.account or ACCOUNT,
                lockstep=True,
                dry_run=self._dry_run,
                release_absent=settings.execution.release_absent_orders,
                regular_hours=settings.data.regular_hours,
                warmup=_WHOLE_HISTORY,
                poll_interval_seconds=settings.execution.poll_interval_seconds,
                acknowledgement_timeout=settings.execution.acknowledgement_timeout_seconds,
                unfilled=settings.execution.unfilled,
                total=self._market.total_steps,
                until_ns=self._market.last_end_ns,
                risk_metrics=settings.monitoring.risk_metrics,
                daily_returns=returns_of(settings, self._market.bars),
                minimum_returns=settings.monitoring.minimum_returns,
                started=started_event(self._run, settings, self._spec),
            ),
            handlers=(watch.counters, watch.table),
            progress=(watch.counters, watch.table),
        )

    def _finish(self, seconds: float) -> int:
        from infrastructure import finish
        from infrastructure.run_database import project

        broker = finish.read_statement(self._gateway.statement)
        tables = finish.live_tables(self._journal_path)
        verdict = finish.judge(self._journal_path, broker)
        parity = None if self._dry_run else finish.compared(tables, self._spec, self._market)
        project(self._journal_path, self._run.run_id, self._settings, self._database)
        if self._keep_bars:
            finish.keep_bars(self._run, self._spec, self._market)
        outcome = finish.write_outcome(
            self._run,
            self._settings,
            self._spec,
            tables,
            labels=self._market.labels,
            verdict=verdict,
            parity=parity,
            facts={
                "counters": self._counters.as_dict() if self._counters else None,
                "wall_seconds": round(seconds, 3),
                "end": "halted" if self._knows("kill_switch") else "completed",
            },
        )
        agreed = verdict.ok and (parity is None or parity.identical)
        print_outcome(self._console, outcome)
        self._run.end("finished" if agreed else "failed", now=_now())
        if not agreed:
            return FAILED
        if self._knows("kill_switch"):
            self._console.print(HALT_NOTICE)
            return HALTED
        return OK

    def _closed(self) -> bool:
        return self._knows("session_closed")

    def _has_traded(self) -> bool:
        return self._knows("opening")

    def _knows(self, kind: str) -> bool:
        from execution import journal

        if not self._journal_path.exists():
            return False
        return any(event.kind == kind for event in journal.read(self._journal_path))


def _open_run(settings: Settings, market: Market, dry_run: bool, console: Console) -> RunFolder:
    digest = run_hash(settings, market) + ("-dry" if dry_run else "")
    named = settings.run_id if settings.is_set("run_id") else None
    if named is not None and (settings.runs_dir / named).exists():
        run = RunFolder.resume(settings.runs_dir, named)
        if run.manifest["config_hash"] != digest:
            run.close()
            raise ConfigError(
                f"run_id {named}: that run has another configuration or other bars (config hash "
                f"{run.manifest['config_hash'][:12]}, here {digest[:12]}); name another run id, or none"
            )
        return run
    unfinished = runs.find_unfinished(settings.runs_dir, digest) if named is None else None
    if unfinished is not None:
        console.print(f"going on with run {unfinished.run_id}, which was interrupted")
        return RunFolder.resume(settings.runs_dir, unfinished.run_id)
    manifest = manifest_of(settings, market, digest, profile=settings.profile, dry_run=dry_run)
    run = RunFolder.create(settings.runs_dir, settings.run_id, manifest, now=_now())
    console.print(f"run {run.run_id}: {market.bars.source}", soft_wrap=True)
    return run


def started_event(run: RunFolder, settings: Settings, spec: RunSpec) -> dict[str, Any]:
    """Return the first event of a run's journal."""
    return {
        "run_id": run.run_id,
        "config_hash": run.manifest["config_hash"],
        "git_sha": run.manifest["git_sha"],
        "profile": settings.profile,
        "account": settings.broker.account or ACCOUNT,
        "symbols": list(spec.symbols),
        "timeframe": spec.timeframe.value,
        "strategy": spec.strategy,
        "initial_cash": format(spec.initial_cash, "f"),
    }


def print_outcome(console: Console, outcome: Outcome) -> None:
    """Print where the report lies, parity, and last the verdict."""
    for name, digest in outcome.hashes.items():
        console.print(f"{name + '.parquet':20} sha256 {digest}", soft_wrap=True)
    console.print(f"report: {outcome.report}", soft_wrap=True)
    if outcome.parity is not None:
        console.print(outcome.parity.text(), markup=False)
    if outcome.verdict is not None:
        console.print(outcome.verdict.text(), markup=False)


def _now() -> pd.Timestamp:
    return pd.Timestamp.now(tz="UTC")
