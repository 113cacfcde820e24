"""A trader that waits for a person: asked and told over its control socket, and at rest in its journal."""

from __future__ import annotations

import asyncio
import datetime as dt
import tempfile
from collections.abc import AsyncIterator, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from backtesting.gateway.control import GatewayControl
from backtesting.gateway.server import GatewayServer
from backtesting.gateway.testing import simulated_gateway
from data.samples import sample_bars
from execution.audit import AuditLogger
from execution.clocks import timestamp
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError, JournalLockedError, SettlementError
from execution.events import KillSwitchEvent, RiskDecision
from execution.journal import SqliteJournal, read
from execution.models import Instrument, OrderRequest, OrderType, Side
from execution.orders.entry import Entry
from execution.reconciliation.claims import ClaimPolicy
from execution.testing import FixedClock
from infrastructure.control import ControlClient, ControlServer
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings, load_settings
from infrastructure.settling import reset_at_rest
from monitoring.counters import Counters
from risk.limits import RiskLimits
from strategies.live import LoopEnd
from strategies.spec import RunSpec
from strategies.trader import Trader, TraderOptions

FOLDER = sample_bars(end=dt.date(1999, 2, 5))
ACCOUNT = "DU0000001"
SIGNED = {"by": "A. Smith", "reason": "looked in TWS"}
LOST = OrderRequest("SPXSIM", Decimal(5), OrderType.MARKET, Side.BUY, client_order_id="lost")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="alphec-") as runtime:  # short: a socket's path is
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        named = {"runs_dir": str(tmp_path / "runs"), "run_id": "r-1", "var_dir": str(tmp_path / "var")}
        yield load_settings("paper", None, named, {}, None)


@pytest.fixture
async def gateway() -> AsyncIterator[GatewayServer]:
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as server:
        yield server


class Waiting:
    """A trader whose loop runs, and the command line's client on its socket."""

    def __init__(self, trader: Trader, settings: Settings) -> None:
        self.trader = trader
        self._client = ControlClient.for_settings(settings)
        self.running = asyncio.create_task(trader.run())

    async def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        return await asyncio.to_thread(self._client.request, command, **arguments)

    async def until_it_waits(self) -> None:
        async with asyncio.timeout(20):
            while self.trader.orchestrator.waits_for is None:
                assert not self.running.done(), self.running
                await asyncio.sleep(0.01)

    async def end(self) -> LoopEnd:
        async with asyncio.timeout(60):
            return await self.running


@pytest.fixture
async def start(tmp_path: Path, gateway: GatewayServer, settings: Settings) -> AsyncIterator[Any]:
    """Start a trader that waits rather than give up."""
    journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
    manager = IBKRConnectionManager("127.0.0.1", gateway.port, 1, throttled=False, timeout=10)
    spec = RunSpec(
        instruments=tuple(Instrument(symbol) for symbol in sorted(FOLDER.series)),
        timeframe=FOLDER.timeframe,
        strategy="ma_crossover",
        params={"fast": 2, "slow": 4},
        limits=RiskLimits(max_daily_loss=Decimal(1_000_000)),
    )
    servers: list[ControlServer] = []
    made: list[Waiting] = []

    async def begin(**more: Any) -> Waiting:
        options = TraderOptions(
            account=ACCOUNT, lockstep=True, give_up=False, warmup="1 Y", started={"run_id": "r"}, **more
        )
        trader = Trader(spec, manager, journal, FOLDER.clock, options)
        servers.append(ControlServer(trader, settings, Counters()))
        await servers[0].__aenter__()
        made.append(Waiting(trader, settings))
        return made[0]

    begin.journal = journal  # type: ignore[attr-defined]
    yield begin
    for waiting in made:
        waiting.trader.stop()
        await waiting.end()
    for server in servers:
        await server.__aexit__(None, None, None)
    await manager.disconnect()
    journal.close()


async def test_a_trader_in_doubt_stays_up_is_asked_and_goes_on_when_it_is_settled(start: Any) -> None:
    AuditLogger(start.journal, FixedClock()).log_intent(Entry(LOST, 1, 7), RiskDecision(True))
    waiting = await start()
    await waiting.until_it_waits()
    told = await waiting.ask("doubts")
    assert (told["ready"], [doubt["name"] for doubt in told["doubts"]]) == (False, ["lost"])
    assert "order lost: recorded before sending, never acknowledged" in told["waits_for"]
    assert (await waiting.ask("status"))["waits_for"] == told["waits_for"]
    with pytest.raises(ExecutionError, match="by, reason") as caught:
        await waiting.ask("resolve", order="lost", outcome="not-sent", by="", reason="x")
    assert caught.value.code == "SETTLEMENT"
    settled = await waiting.ask("resolve", order="lost", outcome="not-sent", **SIGNED)
    assert (settled["status"], settled["ready"]) == ("NOT_SENT", True)
    assert await waiting.end() is LoopEnd.COMPLETED
    assert (await waiting.ask("doubts"))["doubts"] == []
    assert waiting.trader.orchestrator.waits_for is None


async def test_an_order_of_somebody_else_is_listed_and_the_trader_waits_where_none_may_trade(
    start: Any, gateway: GatewayServer
) -> None:
    GatewayControl(gateway).order(symbol="SPXSIM", quantity=5, side="BUY", type="LMT", limit="1.50")
    waiting = await start(claim=ClaimPolicy.REFUSE)
    await waiting.until_it_waits()
    (other,) = (await waiting.ask("externals"))["externals"]
    assert (other["symbol"], other["remaining"], other["client_id"]) == ("SPXSIM", "5", 0)
    found = await waiting.ask("reconcile")
    assert (found["agrees"], list(found["refused"])) == (False, [other["key"]])
    GatewayControl(gateway).cancel(other["order_id"])
    assert (await waiting.ask("reconcile"))["agrees"]
    assert await waiting.end() is LoopEnd.COMPLETED


async def test_a_split_told_over_the_socket_ends_the_wait(start: Any, gateway: GatewayServer) -> None:
    ledger = gateway.service.book.broker.ledgers[ACCOUNT]
    waiting = await start()
    async with asyncio.timeout(20):
        while not (ledger.position("SPXSIM") and waiting.trader.executor.inbox.net):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0)
    GatewayControl(gateway).split("SPXSIM", "2")
    waiting.trader.executor._rooms.desk.gate.close()
    await waiting.until_it_waits()
    with pytest.raises(ExecutionError, match="give one of --split"):
        await waiting.ask("adjust", symbol="SPXSIM", **SIGNED)
    with pytest.raises(ExecutionError, match="it does not lead to"):
        await waiting.ask("adjust", symbol="SPXSIM", split="3", **SIGNED)
    done = await waiting.ask("adjust", symbol="SPXSIM", split="2", **SIGNED)
    assert done["what"].startswith("split: SPXSIM ")
    assert done["ready"]
    assert await waiting.end() is LoopEnd.COMPLETED
    assert waiting.trader.portfolio.position("SPXSIM") == ledger.position("SPXSIM")
    for row in (await waiting.ask("positions"))["positions"]:
        assert row["journal"] == row["quantity"]


async def test_a_dividend_is_paid_on_what_was_held_at_its_ex_date(start: Any) -> None:
    waiting = await start()
    assert await waiting.end() is LoopEnd.COMPLETED
    first = next(e.body for e in start.journal.events() if e.kind == "fill" and e.body["symbol"] == "SPXSIM")
    bought = timestamp(first["time"]).date()

    async def pay(**more: Any) -> dict[str, Any]:
        answer: dict[str, Any] = await waiting.ask(
            "adjust", symbol="SPXSIM", dividend="1.55", **SIGNED, **more
        )
        return answer

    for wrong, says in (
        ({}, "give its --ex-date too"),
        ({"ex_date": "5 May"}, "--ex-date '5 May': write a date"),
        ({"ex_date": "2026-05-05"}, "it has not come yet"),
        ({"ex_date": "1990-01-02"}, "what was held before is not on record"),
        ({"ex_date": str(bought)}, "the journal holds none for it"),  # bought on the day: too late
    ):
        with pytest.raises(ExecutionError, match=says):
            await pay(**wrong)
    cash = waiting.trader.portfolio.ledger.cash
    day_after = str(bought + dt.timedelta(days=1))
    assert (await pay(ex_date=day_after))["adjusted"] == "SPXSIM"
    due = (Decimal("1.55") * Decimal(first["quantity"])).quantize(Decimal("0.01"))
    assert waiting.trader.portfolio.ledger.cash - cash == due
    with pytest.raises(ExecutionError, match="booked already"):
        await pay(ex_date=day_after)


def tripped(settings: Settings, account: str = ACCOUNT) -> Path:
    """Leave a journal behind whose kill switch is tripped."""
    path = settings.var_dir / "paper" / account / "journal.db"
    path.parent.mkdir(parents=True)
    journal = SqliteJournal(path, lambda: 7)
    event = KillSwitchEvent(timestamp(5), Decimal(6000), Decimal(5000))
    AuditLogger(journal, FixedClock()).log_kill_switch(event)
    journal.close()
    return path


def test_the_kill_switch_of_a_trader_that_ended_is_reset_in_its_journal(settings: Settings) -> None:
    path = tripped(settings)
    with pytest.raises(SettlementError, match="by, reason"):
        reset_at_rest(settings, "", "why not")
    assert reset_at_rest(settings, **SIGNED) == path
    (event,) = [e for e in read(path) if e.kind == "kill_switch_reset"]
    assert (event.body["by"], event.body["reason"]) == ("A. Smith", "looked in TWS")
    with pytest.raises(SettlementError, match="not tripped"):
        reset_at_rest(settings, **SIGNED)


def test_the_journal_of_a_running_trader_is_left_alone(settings: Settings) -> None:
    held = SqliteJournal(tripped(settings), lambda: 7)
    with pytest.raises(JournalLockedError):
        reset_at_rest(settings, **SIGNED)
    held.close()


def test_which_journal_is_meant_must_be_plain(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="0 journals"):
        reset_at_rest(settings, **SIGNED)
    tripped(settings)
    tripped(settings, "DU2")
    with pytest.raises(ConfigError, match="2 journals"):
        reset_at_rest(settings, **SIGNED)
