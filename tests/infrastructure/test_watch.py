"""What watches a trader hears of what happens in its account, from the journal."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from backtesting.gateway.control import GatewayControl
from backtesting.gateway.testing import simulated_gateway
from data.samples import sample_bars
from execution.connection import IBKRConnectionManager
from execution.journal import SqliteJournal
from execution.models import Instrument
from infrastructure.control import ControlClient
from infrastructure.settings import Settings, load_settings
from infrastructure.watch import Watch
from strategies.spec import RunSpec
from strategies.trader import Trader, TraderOptions

FOLDER = sample_bars(end=dt.date(1999, 2, 5))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="alphec-") as runtime:  # short: a socket's path is
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        named = {"runs_dir": str(tmp_path / "runs"), "run_id": "r", "var_dir": str(tmp_path / "var")}
        yield load_settings("demo", None, named, {}, None)


async def test_an_order_of_somebody_else_is_an_alert_when_it_appears_and_when_it_ends(
    tmp_path: Path, settings: Settings
) -> None:
    spec = RunSpec(
        instruments=tuple(Instrument(symbol) for symbol in sorted(FOLDER.series)),
        timeframe=FOLDER.timeframe,
        strategy="ma_crossover",
    )
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
        manager = IBKRConnectionManager("127.0.0.1", gateway.port, 1, throttled=False, timeout=10)
        options = TraderOptions(account="DU0000001", lockstep=True, warmup="1 Y", started={"run_id": "r"})
        trader = Trader(spec, manager, journal, FOLDER.clock, options)
        watch = Watch(settings, Console(file=io.StringIO()), "a run")
        try:
            trader.restore()
            with capture_logs() as lines:
                async with watch.over(trader, tmp_path / "journal.db", "r", tmp_path / "data.db"):
                    await trader.executor.ensure_ready()
                    by_hand = GatewayControl(gateway)
                    by_hand.order(symbol="SPXSIM", quantity=5, side="BUY", type="LMT", limit="1.50")
                    await trader.executor.reconcile()
                    (order,) = trader.executor.blotter.externals.open()
                    by_hand.cancel(order.perm_id)
                    await trader.executor.reconcile()
                    async with asyncio.timeout(20):
                        while len(watch.counters.alerts) < 2:  # noqa: ASYNC110 - it is found out by looking
                            await asyncio.sleep(0.05)
                    status = await asyncio.to_thread(ControlClient.for_settings(settings).request, "status")
        finally:
            await manager.disconnect()
            journal.close()
    assert [alert["what"] for alert in status["alerts"]] == [
        "order of somebody else appeared: BUY 5 SPXSIM, a person in TWS",
        "order of somebody else ended: BUY 5 SPXSIM, a person in TWS",
    ]
    about = [line for line in lines if "SPXSIM" in str(line.get("what", ""))]
    assert [(line["event"], line["log_level"]) for line in about] == [
        ("somebody else trades in this account", "warning"),  # once: the alert of it is no second line
        ("alert", "warning"),  # its end
    ]
