"""Paper trading from the command line, against a simulated gateway whose time passes by itself."""

from __future__ import annotations

import datetime as dt
import json
import select
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from data.calendars import ExchangeClock
from execution import journal

ACCOUNT = "DU0000001"
TODAY = dt.datetime.now(tz=dt.UTC).date()


def write_bars(folder: Path) -> None:
    """Write minute bars of the last finished sessions; the price swings, so that averages cross."""
    now_ns = time.time_ns()
    sessions = ExchangeClock("XNYS", TODAY - dt.timedelta(days=12), TODAY + dt.timedelta(days=12))
    session = sessions.session_closing_after(now_ns - 9 * 86_400 * 10**9)
    rows = ["end,open,high,low,close,volume"]
    while session is not None and session.close_ns < now_ns:
        for minute, start_ns in enumerate(range(session.open_ns, session.close_ns, 60 * 10**9)):
            price = 400 + abs(minute % 20 - 10)
            end = dt.datetime.fromtimestamp(start_ns // 10**9 + 60, tz=dt.UTC)
            rows.append(f"{end:%Y-%m-%dT%H:%M:%SZ},{price},{price + 1},{price - 1},{price},100000")
        session = sessions.session_closing_after(session.close_ns)
    folder.mkdir()
    (folder / "SPY.csv").write_text("\n".join(rows) + "\n")


def port_of(gateway: Any) -> str:
    """Return the port that a gateway says it listens on."""
    ready, _, _ = select.select([gateway.stdout], [], [], 60)
    assert ready, "the gateway did not come up"
    line = str(gateway.stdout.readline())
    assert line.startswith("listening on 127.0.0.1:"), gateway.communicate()
    return line.rsplit(":", 1)[1].strip()


class Desk:
    """A gateway, and the commands of a trader on it."""

    def __init__(self, program: Any) -> None:
        self.program = program
        write_bars(program.folder / "bars")
        self.gateway = program.start(
            # A session lasts over two minutes of wall time, enough for a busy machine; a night seven.
            *("gateway", "--bars", "bars", "--timeframe", "1m", "--speed", "150"),
        )
        self.port = port_of(self.gateway)
        self.arguments = (
            *("--profile", "paper", "--set", f"data.ib.port={self.port}", "--set", "symbols=SPY"),
            *("--set", "timeframe=1m", "--set", "strategy.params.fast=2", "--set", "strategy.params.slow=4"),
            *("--set", "execution.poll_interval_seconds=0.05", "--set", "risk.max_daily_loss=90000"),
            *("--set", "data.ib.reconnect_max_attempts=2", "--set", "data.ib.reconnect_backoff_seconds=0.1"),
        )

    @property
    def journal(self) -> Path:
        return Path(self.program.folder / "var" / "paper" / ACCOUNT / "journal.db")

    def trade(self, *more: str) -> Any:
        return self.program.start("live", *self.arguments, *more)

    def ask(self, *command: str) -> Any:
        return self.program.json(*command, *self.arguments)

    def events(self, kind: str) -> list[dict[str, Any]]:
        if not self.journal.exists():
            return []
        return [event.body for event in journal.read(self.journal) if event.kind == kind]

    def wait(self, trader: Any, met: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not met():
            assert trader.poll() is None, trader.communicate()
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.1)

    def stop(self, trader: Any) -> tuple[str, str]:
        assert self.ask("stop")["stopping"] is True
        out, err = trader.communicate(timeout=60)
        assert trader.returncode == 130, out + err
        assert "Traceback" not in out + err, out + err
        return out, err


@pytest.fixture
def desk(program: Any) -> Desk:
    return Desk(program)


@pytest.mark.slow
def test_a_paper_day_is_traded_reached_stopped_and_resumed(desk: Desk) -> None:
    trader = desk.trade()
    desk.wait(trader, lambda: len(desk.events("fill")) >= 2)

    status = desk.ask("status")
    assert (status["profile"], status["connected"], status["ready"]) == ("paper", True, True)
    assert {row["symbol"] for row in desk.ask("orders", "list")["orders"]} == {"SPY"}

    placed = desk.ask("orders", "place", "SPY", "BUY", "1", "--limit", "1.50", "--id", "mine", "--tif", "GTC")
    assert placed["client_order_id"] == "mine"
    again = desk.ask("orders", "place", "SPY", "BUY", "1", "--limit", "1.50", "--id", "mine", "--tif", "GTC")
    assert again["client_order_id"] == "mine"
    refused = desk.program("orders", "place", "SPY", "BUY", "10001", *desk.arguments)
    assert (refused.returncode, len(refused.stderr.splitlines())) == (4, 1), refused.stderr
    assert "max_order_quantity" in refused.stderr or "10000" in refused.stderr
    desk.ask("positions")

    second = desk.program("live", *desk.arguments, "--set", "data.ib.client_id=9")
    assert second.returncode == 2, second.stdout + second.stderr
    lines = [line for line in second.stderr.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1
    assert "journal" in lines[0]

    desk.stop(trader)
    sent = [event["client_order_id"] for event in desk.events("order_submitted")]
    assert len(sent) == len(set(sent))

    trader = desk.trade()
    before = len(desk.events("snapshot"))
    desk.wait(trader, lambda: len(desk.events("snapshot")) > before + 3)
    assert "mine" in [row["client_order_id"] for row in desk.ask("orders", "list")["orders"]]
    desk.ask("orders", "cancel", "mine")
    desk.wait(
        trader,
        lambda: any(
            e["client_order_id"] == "mine" and e["new"] == "CANCELLED" for e in desk.events("order_status")
        ),
    )
    desk.stop(trader)
    sent = [event["client_order_id"] for event in desk.events("order_submitted")]
    assert len(sent) == len(set(sent))
    assert sent.count("mine") == 1
    assert desk.program("audit", "verify", str(desk.journal)).returncode == 0
    states = [json.loads((run / "run.json").read_text())["state"] for run in desk.program.run_folders()]
    assert sorted(states) == ["failed", "finished", "finished"]


@pytest.mark.slow
def test_a_gateway_that_leaves_is_waited_for_until_somebody_stops_the_trader(desk: Desk) -> None:
    trader = desk.trade("--dry-run")
    desk.wait(trader, lambda: len(desk.events("snapshot")) >= 2)
    desk.gateway.kill()
    desk.wait(trader, lambda: [e["event"] for e in desk.events("connection")].count("connect_failed") >= 5)
    desk.stop(trader)


@pytest.mark.slow
def test_a_trader_starts_while_its_database_is_away_and_catches_up(desk: Desk) -> None:
    blocked = desk.program.folder / "blocked"
    blocked.write_text("no folder")
    trader = desk.trade("--dry-run", "--set", f"database.url=sqlite:///{blocked}/x.db")
    desk.wait(trader, lambda: len(desk.events("snapshot")) >= 2)
    status = desk.ask("status")
    assert status["ready"], status
    assert "blocked" in status["database_problem"]
    blocked.unlink()
    desk.wait(trader, lambda: desk.ask("status")["database_problem"] is None)
    _, err = desk.stop(trader)
    assert "database behind the journal; trading goes on" in err
    assert "the database is back and has caught up" in err


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (("--profile", "paper", "--set", "data.ib.port=7496"), {}, "port 7496"),
        (("--profile", "paper", "--set", "broker.account=U123"), {}, "account is U123"),
        (("--profile", "live", "--set", "broker.account=U123"), {}, "ALPHEC_LIVE is not"),
        (
            ("--profile", "live", "--set", "broker.account=DU123"),
            {"ALPHEC_LIVE": "I_UNDERSTAND"},
            "account is DU123",
        ),
        (
            ("--profile", "live", "--set", "broker.account=U123", "--set", "data.ib.port=7497"),
            {"ALPHEC_LIVE": "I_UNDERSTAND"},
            "port 7497",
        ),
    ],
)
def test_real_money_is_refused_unless_all_four_agree(
    program: Any, arguments: tuple[str, ...], env: dict[str, str], said: str
) -> None:
    done = program("live", "--symbols", "SPY", *arguments, env=env)
    assert done.returncode == 4, done.stdout + done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert program.run_folders() == []


def test_the_account_that_the_broker_reports_counts(program: Any) -> None:
    write_bars(program.folder / "bars")
    gateway = program.start(
        "gateway", "--bars", "bars", "--timeframe", "1m", "--set", "broker.account=U7654321"
    )
    port = gateway.stdout.readline().rsplit(":", 1)[1].strip()
    done = program("live", "--profile", "paper", "--symbols", "SPY", "--set", f"data.ib.port={port}")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "account is U7654321" in done.stderr
    assert program.run_folders() == []
    assert not (program.folder / "var").exists()


@pytest.mark.slow
def test_a_rehearsal_in_another_year_than_this_one_takes_orders(program: Any) -> None:
    port = port_of(program.start("gateway", "--start", "2018-06-04", "--speed", "10"))
    options = ("--profile", "paper", "--set", f"data.ib.port={port}")
    trader = program.start("live", *options, "--symbols", "SPXSIM")
    deadline = time.monotonic() + 240
    while '"ready": true' not in program("status", *options, "--json").stdout:
        assert trader.poll() is None, trader.communicate()
        assert time.monotonic() < deadline, "the trader did not come up"
    placed = program("orders", "place", "SPXSIM", "BUY", "3", "--limit", "1.5", "--id", "x", *options)
    assert placed.returncode == 0, placed.stderr
    assert program.json("stop", *options)["stopping"] is True
    trader.communicate(timeout=60)
