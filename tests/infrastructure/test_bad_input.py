"""What a person gets wrong ends in one line that names place and remedy, and leaves nothing behind."""

from __future__ import annotations

import json
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from infrastructure.cli import app
from infrastructure.cli.boundary import guard

HEADER = "date,open,high,low,close,volume\n"
GOOD = "2020-01-02,10,11,9,10,1000\n2020-01-03,10,11,9,10,1000\n2020-01-06,10,11,9,10,1000\n"


def refused(program: Any, *arguments: str, status: int = 2, env: dict[str, str] | None = None) -> str:
    """Run the program and return the one line it leaves with."""
    done = program(*arguments, env=env)
    assert done.returncode == status, (done.stdout, done.stderr)
    lines = [line for line in done.stderr.splitlines() if not line.startswith("20")]
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert "internal" not in lines[0]
    assert "Traceback" not in done.stdout + done.stderr
    states = [json.loads((run / "run.json").read_text())["state"] for run in program.run_folders()]
    assert "running" not in states
    return str(lines[0])


@pytest.fixture
def quickly(program: Any, capsys: Any, monkeypatch: Any) -> Any:
    """Return a program that runs in this process: the same boundary, without the start of an interpreter."""

    def call(*arguments: str, env: Any = None) -> Any:
        status = guard(app, arguments)
        out, err = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, status, out, err)

    monkeypatch.chdir(program.folder)
    call.folder, call.run_folders = program.folder, program.run_folders  # type: ignore[attr-defined]
    return call


def bars(folder: Path, text: str, name: str = "SPY.csv") -> str:
    (folder / "bars").mkdir()
    (folder / "bars" / name).write_text(text)
    return str(folder / "bars")


@pytest.mark.parametrize(
    ("yaml", "said"),
    [
        ("risk:\n  max_dayly_loss: 5\n", ("c.yaml", "risk.max_dayly_loss", "max_daily_loss")),
        ("risk: [1, 2\n", ("c.yaml:2", "YAML")),
        ("risk:\n  max_daily_loss: many\n", ("c.yaml", "risk.max_daily_loss", "many")),
        ("risk:\n  max_daily_loss: -5\n", ("c.yaml", "risk.max_daily_loss")),
        ("symbols: [SPY, SPY]\n", ("c.yaml", "symbols", "twice")),
        ("strategy:\n  name: ma_crosover\n", ("ma_crosover", "ma_crossover")),
        ("broker:\n  account: ${NO_SUCH_VARIABLE}\n", ("c.yaml", "NO_SUCH_VARIABLE")),
        ("broker:\n  account: ${BROKEN\n", ("c.yaml", "broker.account")),
        ("- a\n- b\n", ("c.yaml",)),
    ],
)
def test_a_configuration_that_cannot_be_used(quickly: Any, yaml: str, said: tuple[str, ...]) -> None:
    (quickly.folder / "c.yaml").write_text(yaml)
    line = refused(quickly, "backtest", "--config", "c.yaml")
    assert all(part in line for part in said), line
    assert quickly.run_folders() == []


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--config", "none.yaml"), "none.yaml: no such configuration file"),
        (("--bars", "nowhere"), "nowhere"),
        (("--symbols", "NOPE"), "NOPE"),
        (("--set", "strategy.params.fast=50", "--set", "strategy.params.slow=20"), "fast"),
        (("--set", "data.start=2030-01-01"), "2030-01-01"),
        (("--timeframe", "1m"), "timeframe"),
        (("--set", "run_id=../up"), "run_id"),
    ],
)
def test_an_option_that_cannot_be_used(quickly: Any, arguments: tuple[str, ...], said: str) -> None:
    assert said in refused(quickly, "live", "--profile", "demo", *arguments)
    assert quickly.run_folders() == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("date,open,high,low,volume\n2020-01-02,1,1,1,1\n", ("SPY.csv", "close")),
        (HEADER + GOOD + "2020-01-07,10,nan,9,10,1\n", ("SPY.csv", "line 5", "high")),
        (HEADER + "2020-01-02,10,11,-9,10,1\n" + GOOD, ("SPY.csv", "line 2", "low")),
        (HEADER + GOOD + "2020-01-07,10,9,11,10,1\n", ("SPY.csv", "line 5", "high")),
        (HEADER + GOOD + "2020-01-06,10,11,9,10,1\n", ("SPY.csv", "line 5", "same time")),
        (HEADER + GOOD + "2020-01-02,10,11,9,10,1\n", ("SPY.csv", "line 5", "earlier")),
        (HEADER + GOOD + "01/07/2020,10,11,9,10,1\n", ("SPY.csv", "line 5")),
        (HEADER, ("SPY.csv",)),
        ("", ("SPY.csv",)),
    ],
)
def test_a_file_of_bars_that_is_unsound(quickly: Any, text: str, said: tuple[str, ...]) -> None:
    line = refused(quickly, "live", "--profile", "demo", "--bars", bars(quickly.folder, text))
    assert all(part in line for part in said), line
    assert quickly.run_folders() == []


def test_a_folder_without_bars(quickly: Any) -> None:
    line = refused(quickly, "backtest", "--bars", bars(quickly.folder, "hello", "notes.txt"))
    assert "SYMBOL.csv" in line


def test_a_port_in_use(program: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = refused(program, "gateway", "--port", str(port))
    assert f"127.0.0.1:{port}" in line
    assert "--port" in line


def test_a_gateway_pace_that_is_none(quickly: Any) -> None:
    assert "lockstep" in refused(quickly, "gateway", "--speed", "fast")


def test_a_gateway_that_is_not_there(program: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    quick = ("--set", "data.ib.reconnect_max_attempts=2", "--set", "data.ib.reconnect_backoff_seconds=0.01")
    arguments = ("live", "--profile", "paper", "--symbols", "SPY", "--set", f"data.ib.port={port}", *quick)
    line = refused(program, *arguments, status=3)
    assert f"127.0.0.1:{port}" in line
    assert "check" in line
    assert program.run_folders() == []


def test_paper_trading_without_symbols(quickly: Any) -> None:
    assert "--symbols" in refused(quickly, "live", "--profile", "paper")


@pytest.mark.parametrize("url", ["sqlite:////proc/none/x.db", "postgresql+psycopg://u@127.0.0.1:1/x"])
def test_a_database_that_cannot_be_opened_is_found_before_the_run_begins(quickly: Any, url: str) -> None:
    line = refused(quickly, "live", "--profile", "demo", "--set", f"database.url={url}", status=3)
    assert "database.url" in line
    assert quickly.run_folders() == []


@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:pw@h/x",  # pragma: allowlist secret
        "no url",
        "postgresql+psycopg://u@127.0.0.1:port/x",
        "postgresql+psycopg://u@[::1/x",
    ],
)
def test_what_is_no_database_is_refused_by_plan_and_run_alike(quickly: Any, url: str) -> None:
    setting = ("--set", f"database.url={url}")
    line = refused(quickly, "live", "--profile", "demo", *setting)
    assert "database.url" in line
    assert "pw@" not in line
    assert refused(quickly, "plan", *setting) == line
    assert quickly.run_folders() == []


def test_a_database_file_that_is_something_else(quickly: Any) -> None:
    (quickly.folder / "x.db").write_text("this is not a database at all\n" * 100)
    line = refused(quickly, "live", "--profile", "demo", "--set", "database.url=sqlite:///x.db", status=3)
    assert "move it away" in line
    assert quickly.run_folders() == []


def test_runs_that_cannot_be_written(quickly: Any) -> None:
    (quickly.folder / "file").write_text("")
    line = refused(quickly, "live", "--profile", "demo", "--runs-dir", "file")
    assert "file" in line
    line = refused(quickly, "backtest", "--runs-dir", "/proc/none")
    assert "/proc/none" in line


def test_a_journal_that_is_something_else(quickly: Any) -> None:
    path = quickly.folder / "journal.db"
    path.write_text("no journal\n" * 100)
    assert "journal.db" in refused(quickly, "audit", "verify", str(path))
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE x (y)")
    assert "journal.db" in refused(quickly, "audit", "show", str(path))
