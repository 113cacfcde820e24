"""The control socket of a real trader on a gateway in the same loop."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import json
import socket
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.console import Console

from backtesting.gateway.testing import simulated_gateway
from data.samples import sample_bars
from execution.connection import IBKRConnectionManager
from execution.errors import ExecutionError
from execution.journal import SqliteJournal
from execution.models import Instrument
from infrastructure.cli import app
from infrastructure.cli.boundary import guard
from infrastructure.control import ControlClient, ControlServer, socket_path
from infrastructure.errors import TraderUnreachableError
from infrastructure.settings import Settings, load_settings
from infrastructure.watch import Watch
from monitoring.counters import Counters
from risk.limits import RiskLimits
from strategies.spec import RunSpec
from strategies.trader import Trader, TraderOptions

FOLDER = sample_bars(end=dt.date(1999, 2, 5))
LIMITS = RiskLimits(max_order_quantity=Decimal(100))


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    with tempfile.TemporaryDirectory(prefix="alphec-") as runtime:  # short: a socket's path is
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        yield load_settings("demo", None, {"runs_dir": str(tmp_path / "runs"), "run_id": "r-1"}, {}, None)


@pytest.fixture
async def trader(tmp_path: Path) -> AsyncIterator[Trader]:
    """Yield a trader that has joined and waits: its loop is not running, time stands."""
    spec = RunSpec(
        instruments=tuple(Instrument(symbol) for symbol in sorted(FOLDER.series)),
        timeframe=FOLDER.timeframe,
        strategy="ma_crossover",
        params={"fast": 2, "slow": 4},
        limits=LIMITS,
    )
    async with simulated_gateway(FOLDER.series, sessions=FOLDER.clock) as gateway:
        journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
        manager = IBKRConnectionManager("127.0.0.1", gateway.port, 1, throttled=False, timeout=10)
        options = TraderOptions(account="DU0000001", lockstep=True, warmup="1 Y", started={"run_id": "r"})
        trader = Trader(spec, manager, journal, FOLDER.clock, options)
        trader.restore()
        await trader._link.ensure()
        for symbol in FOLDER.series:
            trader.portfolio.set_mark(symbol, 100.0)
        try:
            yield trader
        finally:
            await manager.disconnect()
            journal.close()


@pytest.fixture
async def ask(trader: Trader, settings: Settings) -> AsyncIterator[Any]:
    client = ControlClient.for_settings(settings)

    async def request(command: str, **arguments: Any) -> dict[str, Any]:
        return await asyncio.to_thread(client.request, command, **arguments)

    async with ControlServer(trader, settings, Counters()):
        yield request


async def raw(settings: Settings, line: bytes) -> bytes:
    reader, writer = await asyncio.open_unix_connection(str(socket_path(settings)))
    try:
        writer.write(line)
        return await reader.readline()
    finally:
        writer.close()
        await writer.wait_closed()


MARKET = {"symbol": "SPXSIM", "side": "BUY", "quantity": "5", "order_type": "MARKET"}
LIMIT = {**MARKET, "order_type": "LIMIT", "limit_price": "1.50", "client_order_id": "mine"}


async def test_status_tells_connection_run_and_counters(ask: Any) -> None:
    answer = await ask("status")
    assert (answer["run_id"], answer["profile"], answer["connected"]) == ("r-1", "demo", True)
    assert (answer["ready"], answer["halted"], answer["orders_submitted"]) == (True, False, 0)


async def test_status_and_heartbeat_tell_how_far_the_database_is_behind(
    trader: Trader, settings: Settings, tmp_path: Path
) -> None:
    watch = Watch(settings, Console(file=io.StringIO()), "r-1")
    client = ControlClient.for_settings(settings)
    trader.journal.append("run_started", {"run_id": "r"})
    trader.journal.commit()
    with structlog.testing.capture_logs() as lines:
        async with watch.over(trader, tmp_path / "journal.db", "r", tmp_path / "trading.db"):
            answer = await asyncio.to_thread(client.request, "status")
            while answer["database_behind_events"] is None:  # the database is being made
                answer = await asyncio.to_thread(client.request, "status")
    told = (answer["database_behind_events"], answer["database_behind_seconds"], answer["database_problem"])
    assert told == (0, 0.0, None)
    (beat, *_) = [line for line in lines if line["event"] == "heartbeat"]
    assert {"database_behind_events", "database_behind_seconds", "database_problem"} <= beat.keys()


async def test_an_order_is_placed_listed_and_cancelled(ask: Any, trader: Trader) -> None:
    placed = await ask("place", **LIMIT)
    assert (placed["client_order_id"], placed["limit_price"]) == ("mine", "1.5")
    assert (await ask("place", **LIMIT))["client_order_id"] == "mine"
    assert [order["client_order_id"] for order in (await ask("orders"))["orders"]] == ["mine"]
    cancelled = await ask("cancel", order="mine")
    assert cancelled["client_order_id"] == "mine"
    for _ in range(100):
        trader.executor.close_inbox()  # the loop would do it
        (order,) = (await ask("orders"))["orders"]
        if order["status"] == "CANCELLED":
            break
        await asyncio.sleep(0.01)
    assert order["status"] == "CANCELLED"


BRACKET: dict[str, Any] = {
    "entry": LIMIT,
    "take_profit": {**LIMIT, "side": "SELL", "limit_price": "900", "client_order_id": None},
    "stop_loss": {**MARKET, "side": "SELL", "order_type": "STOP", "stop_price": "1"},
}


async def test_a_bracket_is_placed_as_a_whole_and_refused_as_a_whole(ask: Any, trader: Trader) -> None:
    placed = (await ask("bracket", **BRACKET))["orders"]
    assert [order["client_order_id"] for order in placed] == ["mine", "mine-tp", "mine-sl"]
    assert [order["order_type"] for order in placed] == ["LIMIT", "LIMIT", "STOP"]
    await trader.executor.manager.session.open_orders()
    trader.executor.close_inbox()
    assert {o["status"] for o in (await ask("orders"))["orders"]} == {"SUBMITTED"}
    large = {name: {**leg, "quantity": "101", "client_order_id": None} for name, leg in BRACKET.items()}
    with pytest.raises(ExecutionError) as caught:
        await ask("bracket", **large)
    assert caught.value.code == "RISK_REFUSED"
    assert len((await ask("orders"))["orders"]) == 3


async def test_the_terms_of_an_order_reach_the_broker(ask: Any, trader: Trader) -> None:
    terms = {"time_in_force": "GTD", "good_till": "1999-12-30T16:00:00-05:00", "oca_group": "pair"}
    await ask("place", **LIMIT, **terms, oca_type="2", account="DU0000001", all_or_none=True)
    request = trader.executor.blotter.entries["mine"].request
    assert (request.oca_group, request.oca_type, request.all_or_none) == ("pair", 2, True)
    assert str(request.good_till) == "1999-12-30 21:00:00+00:00"
    await trader.executor.manager.session.open_orders()
    trader.executor.close_inbox()
    assert [o["status"] for o in (await ask("orders"))["orders"]] == ["SUBMITTED"]


async def test_margins_are_asked_for_and_nothing_is_placed(ask: Any) -> None:
    impact = await ask("what_if", **LIMIT)
    assert impact["initial_change"] is not None
    assert (await ask("orders"))["orders"] == []


async def test_the_command_line_places_brackets_and_asks_for_margins(
    ask: Any, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    async def trade(*arguments: str) -> tuple[int, str]:
        given = ["orders", *arguments, "--profile", "demo", "--set", f"runs_dir={settings.runs_dir}"]
        status = await asyncio.to_thread(guard, app, given)
        return status, capsys.readouterr().out

    exits = ("--take-profit", "900", "--stop-loss", "1")
    status, out = await trade(
        "bracket", "SPXSIM", "buy", "5", "--limit", "1.50", *exits, "--id", "b", "--json"
    )
    assert (status, [o["client_order_id"] for o in json.loads(out)["orders"]]) == (0, ["b", "b-tp", "b-sl"])
    status, out = await trade("bracket", "SPXSIM", "BUY", "5", *exits)
    assert (status, out.count("PENDING")) == (0, 3)
    status, out = await trade("what-if", "SPXSIM", "BUY", "5")
    assert (status, "maintenance" in out, "commission: " in out) == (0, True, True)
    assert json.loads((await trade("what-if", "SPXSIM", "BUY", "5", "--json"))[1])["equity_after"]
    status, out = await trade("place", "SPXSIM", "BUY", "5", "--type", "loc", "--limit", "1.50", "--id", "c")
    assert (status, "order_type: LIMIT_ON_CLOSE" in out) == (0, True)
    trail = ("--trail-percent", "2.5", "--limit-offset", "0.05", "--trail-stop", "900", "--tif", "GTC")
    status, out = await trade("place", "SPXSIM", "BUY", "1", *trail, "--json")
    assert (status, json.loads(out)["order_type"]) == (0, "TRAIL_LIMIT")
    assert len((await ask("orders"))["orders"]) == 8


async def test_an_order_is_changed_and_all_are_cancelled(ask: Any, trader: Trader) -> None:
    await ask("place", **LIMIT)
    await trader.executor.manager.session.open_orders()
    trader.executor.close_inbox()
    changed = await ask("modify", order="mine", limit_price="1.6")
    assert (changed["limit_price"], changed["status"]) == ("1.6", "SUBMITTED")
    for wrong in ({"limit_price": "1e3"}, {"colour": "red"}, {"order_type": "FEELING"}):
        with pytest.raises(ExecutionError):
            await ask("modify", order="mine", **wrong)
    assert await ask("cancel_all") == {"asked": 1, "not_confirmed": {}}
    assert [order["status"] for order in (await ask("orders"))["orders"]] == ["CANCELLED"]


async def test_flatten_says_what_it_did(ask: Any, trader: Trader) -> None:
    executor = trader.executor
    trader.step.book_since_ns = 0
    executor.inbox.add_handler(trader.step)  # as the loop does when it begins: the rules know the position
    await ask("place", **MARKET)
    for _ in range(3):
        await executor.manager.session.current_time()
        executor.close_inbox()
    await ask("place", **LIMIT)
    answer = await ask("flatten")
    assert (answer["complete"], answer["cancelled"], answer["left"]) == (True, ["mine"], {})
    assert [(order["side"], order["order_type"]) for order in answer["closing"]] == [("SELL", "MARKET")]


async def test_a_market_order_is_placed_and_positions_are_told(ask: Any) -> None:
    assert (await ask("place", **MARKET))["order_type"] == "MARKET"
    assert await ask("positions") == {"positions": []}


@pytest.mark.parametrize(
    ("command", "arguments", "said"),
    [
        ("place", {**MARKET, "quantity": "101"}, "100"),
        ("place", {**MARKET, "symbol": "NOPE"}, "NOPE"),
        ("place", {**MARKET, "quantity": "1e3"}, "quantity"),
        ("place", {**MARKET, "side": "HOLD"}, "HOLD"),
        ("place", {}, "symbol"),
        ("cancel", {"order": "none"}, "none"),
        ("cancel", {}, "order"),
        ("stop", {"now": 1}, "now"),
        ("dance", {}, "dance"),
    ],
)
async def test_a_refusal_says_why(ask: Any, command: str, arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ExecutionError) as caught:
        await ask(command, **arguments)
    assert said in str(caught.value)
    assert (await ask("status"))["orders_submitted"] == 0


async def test_a_refusal_by_risk_keeps_its_code(ask: Any) -> None:
    with pytest.raises(ExecutionError) as caught:
        await ask("place", **{**MARKET, "quantity": "101"})
    assert caught.value.code == "RISK_REFUSED"


async def test_stop_stops_the_loop(ask: Any, trader: Trader) -> None:
    assert (await ask("stop"))["stopping"] is True
    assert await trader.orchestrator.run() == "stopped"


@pytest.mark.parametrize("line", [b"{not json\n", b"[1, 2]\n", b"3\n", b"{}\n", b"\n"])
async def test_a_malformed_line_is_answered(ask: Any, settings: Settings, line: bytes) -> None:
    assert json.loads(await raw(settings, line))["code"] == "BAD_REQUEST"


async def test_an_oversized_line_is_dropped_and_the_socket_lives_on(ask: Any, settings: Settings) -> None:
    with suppress(ConnectionError):  # the trader closed before everything was read: dropped as well
        assert await raw(settings, b"x" * 200_000 + b"\n") == b""
    assert (await ask("status"))["connected"] is True


async def test_a_second_trader_leaves_the_socket_to_the_first(
    ask: Any, trader: Trader, settings: Settings
) -> None:
    async with ControlServer(trader, settings, Counters()):
        assert (await ask("status"))["connected"] is True
    assert (await ask("status"))["connected"] is True


async def test_a_socket_left_by_a_killed_trader_is_replaced(trader: Trader, settings: Settings) -> None:
    path = socket_path(settings)
    path.parent.mkdir(mode=0o700)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    async with ControlServer(trader, settings, Counters()):
        assert path.stat().st_mode & 0o777 == 0o600
        answer = await asyncio.to_thread(ControlClient(path).request, "status")
        assert answer["connected"] is True
    assert not path.exists()


def test_without_a_trader_there_is_one_clear_line(settings: Settings) -> None:
    with pytest.raises(TraderUnreachableError) as caught:
        ControlClient.for_settings(settings).request("status")
    assert "trade live" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_path_is_short_and_differs_by_profile_and_folders(settings: Settings, tmp_path: Path) -> None:
    other = load_settings("demo", None, {"runs_dir": str(tmp_path / "other")}, {}, None)
    assert socket_path(settings) != socket_path(other)
    assert socket_path(settings).name.startswith("demo-")


def test_a_runtime_folder_that_is_too_deep_for_a_socket_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    path = socket_path(load_settings("demo"))
    assert not path.is_relative_to(deep)
    assert len(str(path)) <= 103
