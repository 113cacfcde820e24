"""A checklist for a real paper TWS: what it must answer, with every frame recorded.

It says what it will do and asks before it begins. It trades one share of one symbol in a paper account,
places limit orders far from the market, and cleans up after itself. Live ports are refused before a
connection is made, and an account whose id does not begin with DU or DF before anything is asked of it.

    python -m execution.examples.paper_checklist --simulated --yes
    python -m execution.examples.paper_checklist --port 7497 --symbol SPY --low 300 --high 900

The frames are written in the form of recorded fixtures, without account names, permanent ids, execution ids
and references of other programs. docs/test-paper.md says what TWS has to be set to.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime as dt
import logging
import os
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from backtesting.gateway.config import GatewayConfig
from backtesting.gateway.testing import simulated_gateway
from data.bars import BarSeries
from data.calendars import ExchangeClock
from execution import journal
from execution.audit import AuditLogger
from execution.clocks import SteppedClock, SystemClock, timestamp
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError, NotConnectedError
from execution.examples.broker import LIVE_PORTS
from execution.examples.frame_recorder import FrameRecorder, scrub
from execution.examples.paper_steps import STEPS, Step
from execution.examples.paper_trial import NotApplicable, Trial, Wrong
from execution.executor import IBKROrderExecutor
from execution.models import ZERO, Instrument, OrderType, Side
from execution.numbers import parse_decimal
from execution.timeframes import Timeframe

PAPER_ACCOUNTS = ("DU", "DF")
PASSED, FAILED, NOT_APPLICABLE = "passed", "failed", "not applicable"
_COLOURS = {PASSED: "green", FAILED: "bold red", NOT_APPLICABLE: "yellow"}
_SIMULATED_SYMBOL = "AAA"
_SIMULATED_DAYS = (dt.date(2018, 1, 2), dt.date(2018, 1, 31))
_SECONDS_PER_SECOND = "60"
_PAUSE = 0.15
"""Seconds between steps: TWS takes 50 messages a second."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step."""

    about: str
    verdict: str
    detail: str


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; leave with status 2 if it points at real money or lacks a price."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    read = os.environ.get
    parser.add_argument(
        "--simulated", action="store_true", help="run against a simulated gateway in this process"
    )
    parser.add_argument(
        "--host", default=read("TWS_HOST", "127.0.0.1"), help="host of TWS [TWS_HOST, 127.0.0.1]"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=int(read("TWS_PORT", "7497")),
        help="7497 TWS paper, 4002 gateway [TWS_PORT]",
    )
    parser.add_argument(
        "--account", default=read("TWS_ACCOUNT"), help="the paper account [TWS_ACCOUNT, the only one]"
    )
    parser.add_argument("--client-id", type=int, default=77, help="a client id that no other program uses")
    parser.add_argument(
        "--symbol", default=read("TWS_SYMBOL", "SPY"), help="US stock or ETF [TWS_SYMBOL, SPY]"
    )
    parser.add_argument(
        "--low", default=read("TWS_LOW"), help="buy limit far below the market, in whole cents [TWS_LOW]"
    )
    parser.add_argument("--high", default=read("TWS_HIGH"), help="price far above the market [TWS_HIGH]")
    parser.add_argument(
        "--frames", type=Path, default=Path("paper-frames.jsonl"), help="where the scrubbed frames go"
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parsed = parser.parse_args(given)
    if parsed.simulated:
        parsed.low, parsed.high = "50.00", "200.00"
        return parsed
    if parsed.port in LIVE_PORTS:
        parser.error(f"port {parsed.port} belongs to a live account; this trades paper accounts only")
    if parsed.account and not parsed.account.startswith(PAPER_ACCOUNTS):
        parser.error(f"account {parsed.account} is not a paper account: those begin with DU or DF")
    if not parsed.low or not parsed.high:
        parser.error("--low and --high are needed: prices far below and far above the market")
    return parsed


@asynccontextmanager
async def simulated_day() -> AsyncIterator[int]:
    """Yield the port of a gateway that plays one trading day by the minute, a minute a second."""
    calendar = ExchangeClock("XNYS", *_SIMULATED_DAYS)
    minutes = int((calendar.closes_ns[0] - calendar.opens_ns[0]) // 60_000_000_000)
    opens_ns = calendar.opens_ns[0] + np.arange(minutes) * 60_000_000_000
    opens = np.round(100 + np.sin(np.arange(minutes) / 7.0), 2)
    series = BarSeries(
        _SIMULATED_SYMBOL,
        Timeframe.MINUTE,
        opens_ns,
        opens_ns + 60_000_000_000,
        opens,
        opens + 0.05,
        opens - 0.05,
        opens,
        np.full(minutes, 10_000.0),
    )
    config = GatewayConfig(speed=_SECONDS_PER_SECOND, start=timestamp(int(opens_ns[30])))
    async with simulated_gateway({_SIMULATED_SYMBOL: series}, config=config, sessions=calendar) as server:
        yield server.port


async def run_checklist(given: argparse.Namespace, console: Console, folder: Path) -> list[Outcome]:
    """Run every step over a recording relay and write the scrubbed frames; return the outcomes."""
    wall = SystemClock()
    prefix = f"check-{wall.now_ns() // 1_000_000_000}-"
    frames = folder / "frames.jsonl"
    async with FrameRecorder(given.host, given.port, frames, wall.now_ns) as recorder:
        record = journal.SqliteJournal(folder / "journal.db", wall.now_ns)
        clock = SteppedClock()
        audit = AuditLogger(record, clock)
        manager = IBKRConnectionManager(
            "127.0.0.1",
            recorder.port,
            given.client_id,
            audit=audit,
            reconnect_max_attempts=3,
            reconnect_backoff=1.0,
        )
        instrument = Instrument(_SIMULATED_SYMBOL if given.simulated else given.symbol.upper())
        executor = IBKROrderExecutor(
            manager, instruments=[instrument], audit=audit, clock=clock, account=given.account
        )
        try:
            await manager.connect()
            account = paper_account(manager.session.accounts, given.account)
            clock.advance_to(await manager.session.current_time())
            low, high = (
                parse_decimal(text, name=name)
                for text, name in ((given.low, "--low"), (given.high, "--high"))
            )
            trial = Trial(executor, recorder, clock, account, instrument, low, high, prefix)
            executor.inbox.add_handler(trial)
            await executor.ensure_ready()
            try:
                return await _run_steps(trial, console)
            finally:
                await clean_up(trial)
        finally:
            await manager.disconnect()
            record.close()
            given.recorded = frames
            given.prefix = prefix


def paper_account(offered: Sequence[str], wanted: str | None) -> str:
    """Return the paper account to trade.

    Raises
    ------
    NotConnectedError
        If it is none, is not offered, or there are several and none was named; nothing was sent.
    """
    chosen = wanted or (offered[0] if len(offered) == 1 else None)
    if chosen is None or chosen not in offered:
        raise NotConnectedError(f"this login has {', '.join(offered)}: name one of them with --account")
    if not all(name.startswith(PAPER_ACCOUNTS) for name in offered):
        raise NotConnectedError(
            f"this login has {', '.join(offered)}: paper accounts begin with DU or DF; nothing was sent"
        )
    return chosen


async def _run_steps(trial: Trial, console: Console) -> list[Outcome]:
    outcomes: list[Outcome] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=len(STEPS))
        for step in STEPS:
            progress.update(task, description=step.about[:60])
            outcomes.append(await _tried(step, trial))
            await asyncio.sleep(_PAUSE)
            progress.advance(task)
    return outcomes


async def _tried(step: Step, trial: Trial) -> Outcome:
    try:
        detail = await step.run(trial)
    except NotApplicable as reason:
        return Outcome(step.about, NOT_APPLICABLE, str(reason))
    except (Wrong, ExecutionError, ConnectionError, TimeoutError) as finding:
        return Outcome(step.about, FAILED, f"{type(finding).__name__}: {finding}")
    return Outcome(step.about, PASSED, detail)


async def clean_up(trial: Trial) -> None:
    """Cancel what is open of this checklist and sell what it bought; other orders and positions stay."""
    executor = trial.executor
    await executor.ensure_ready()
    await executor.cancel_all()
    left = executor.inbox.net.get(trial.symbol, ZERO)
    if left:
        side = Side.SELL if left > 0 else Side.BUY
        await executor.submit_order(trial.request(OrderType.MARKET, side, quantity=abs(left)))


def show(outcomes: Sequence[Outcome], console: Console) -> None:
    """Print the table of outcomes and the sum."""
    table = Table(box=box.SIMPLE_HEAD, header_style="bright_black")
    table.add_column("#", justify="right")
    table.add_column("step", overflow="fold")
    table.add_column("verdict", no_wrap=True)
    table.add_column("detail", overflow="fold")
    for number, outcome in enumerate(outcomes, start=1):
        colour = _COLOURS[outcome.verdict]
        verdict = f"[{colour}]{outcome.verdict}[/]"
        table.add_row(str(number), escape(outcome.about), verdict, escape(outcome.detail))
    console.print(table)
    sums = {verdict: sum(o.verdict == verdict for o in outcomes) for verdict in _COLOURS}
    console.print(", ".join(f"{number} {verdict}" for verdict, number in sums.items()))


def agreed(given: argparse.Namespace, console: Console) -> bool:
    """Say what will be done, and ask unless that was waived."""
    where = "a simulated gateway" if given.simulated else f"{given.host}:{given.port}"
    console.print(
        f"{len(STEPS)} steps at {where}: orders of one share, limits at {given.low}, stops at {given.high}, "
        "one share bought at the market and sold again. Every order of this checklist is cancelled at the "
        f"end; other orders and positions stay. Frames go to {given.frames}, scrubbed."
    )
    if given.yes:
        return True
    console.print("Go on? (y/n) ", end="")
    return sys.stdin.readline().strip().lower() in ("y", "yes")


async def check(given: argparse.Namespace, console: Console) -> int:
    """Run the checklist where the command line says; return the exit status."""
    if not agreed(given, console):
        console.print("nothing was done")
        return 2
    with tempfile.TemporaryDirectory() as folder:
        if given.simulated:
            async with simulated_day() as port:
                given.host, given.port = "127.0.0.1", port
                outcomes = await run_checklist(given, console, Path(folder))
        else:
            outcomes = await run_checklist(given, console, Path(folder))
        source = "simulated gateway" if given.simulated else "paper account"
        number = scrub(given.recorded, given.frames, prefix=given.prefix, source=source)
    show(outcomes, console)
    console.print(f"{number} frames in {given.frames}")
    return 1 if any(outcome.verdict == FAILED for outcome in outcomes) else 0


def main() -> int:
    """Run the checklist."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )  # what happens is in the table
    logging.getLogger("ib_insync").setLevel(logging.CRITICAL)
    console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
    try:
        return asyncio.run(check(arguments(), console))
    except ExecutionError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3


if __name__ == "__main__":
    sys.exit(main())
