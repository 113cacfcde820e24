"""The paper day from the command line: twice the same, like the backtest, and at peace with interruptions."""

from __future__ import annotations

import datetime as dt
import json
import re
import signal
import sqlite3
import stat
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from data.files import load_bars
from infrastructure.control import ControlClient

SHORT = ("--set", "data.end=1999-12-31")
LEDGERS = ("orders.parquet", "fills.parquet", "positions.parquet", "equity.parquet", "signals.parquet")


def only_run(program: Any) -> Path:
    (folder,) = program.run_folders()
    return Path(folder)


def summary(run: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((run / "summary.json").read_text())
    return content


def ledgers(run: Path) -> list[bytes]:
    return [(run / name).read_bytes() for name in LEDGERS]


def state(run: Path) -> str:
    return str(json.loads((run / "run.json").read_text())["state"])


def agreed(program: Any, *arguments: str, status: int = 0) -> Path:
    """Run the demo to its end and return its folder, after a look at verdict and parity."""
    done = program.demo("--runs-dir", "runs", *arguments)
    assert done.returncode == status, done.stdout + done.stderr
    assert "verdict: everything agrees" in done.stdout
    run = only_run(program)
    found = summary(run)
    assert found["verdict"]["ok"]
    assert found["parity"]["identical"]
    assert state(run) == "finished"
    return run


@pytest.fixture(scope="module")
def short_day(shared_program: Any) -> tuple[Any, Path]:
    """Return a finished short demo and the program that ran it."""
    return shared_program, agreed(shared_program, *SHORT)


@pytest.mark.slow
def test_two_whole_demos_and_the_backtest_write_the_same_bytes(program: Any) -> None:
    commands = [
        (("live", "--profile", "demo", "--runs-dir", "a"), {"PYTHONHASHSEED": "1", "TZ": "UTC"}),
        (("live", "--profile", "demo", "--runs-dir", "b"), {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo"}),
        (("backtest", "--runs-dir", "c"), {"PYTHONHASHSEED": "3", "TZ": "America/New_York"}),
    ]
    written = []
    for arguments, env in commands:
        done = program(*arguments, env=env)
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = (program.folder / arguments[arguments.index("--runs-dir") + 1]).iterdir()
        written.append(ledgers(run))
        if arguments[0] == "live":
            assert "verdict: everything agrees" in done.stdout
            assert summary(run)["parity"]["identical"]
    assert written[0] == written[1] == written[2]
    assert len(pq.read_table(program.folder / "a" / run_name(program.folder / "a") / "fills.parquet")) > 100


def run_name(folder: Path) -> str:
    (run,) = folder.iterdir()
    return run.name


def test_a_run_folder_is_complete_and_immutable(short_day: tuple[Any, Path]) -> None:
    _, run = short_day
    found, manifest = summary(run), json.loads((run / "run.json").read_text())
    assert re.match(r"[0-9a-f]{40}(\+dirty)?$|unknown$", manifest["git_sha"])
    assert re.fullmatch(r"[0-9a-f]{64}", manifest["config_hash"])
    assert set(manifest["data_hashes"]) == {"COMPSIM", "SPXSIM"}
    assert found["counters"]["bars_processed"] == 504
    assert found["counters"]["orders_submitted"] == found["orders"] == 8
    assert found["end"] == "completed"
    assert re.search(r"\b4[0-9a-f]{3}-[89ab]", run.name), "a run id is a random UUID"
    for path in run.rglob("*"):
        if path.is_file():
            assert not path.stat().st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH), path


def test_the_report_needs_no_network(short_day: tuple[Any, Path]) -> None:
    text = (short_day[1] / "report.html").read_text()
    assert not re.search(r"""<(script|link|img|iframe)[^>]*\s(src|href)\s*=\s*["']?(https?:)?//""", text)
    assert "simulated" in text


def test_the_database_holds_what_the_ledgers_hold(short_day: tuple[Any, Path]) -> None:
    _, run = short_day
    with closing(sqlite3.connect(f"file:{run / 'trading.db'}?mode=ro&immutable=1", uri=True)) as database:
        orders = database.execute("SELECT client_order_id FROM orders").fetchall()
        fills = dict(database.execute("SELECT fill_id, quantity FROM fills").fetchall())
    ledger = pq.read_table(run / "fills.parquet").to_pylist()
    assert {name for (name,) in orders} == set(
        pq.read_table(run / "orders.parquet")["client_order_id"].to_pylist()
    )
    assert {k: int(float(v)) for k, v in fills.items()} == {r["fill_id"]: int(r["quantity"]) for r in ledger}


def test_risk_in_the_tail_is_on_record_or_the_reason_why_not(short_day: tuple[Any, Path]) -> None:
    _, run = short_day
    query = "SELECT gross_exposure, value_at_risk_95, expected_shortfall_99, tail_returns, tail_unknown"
    with closing(sqlite3.connect(f"file:{run / 'trading.db'}?mode=ro&immutable=1", uri=True)) as database:
        rows = database.execute(f"{query} FROM risk_metrics ORDER BY timestamp").fetchall()
    assert len(rows) == 252
    for exposure, risk, shortfall, days, unknown in rows:
        assert (risk is None) == (unknown is not None)
        if risk is not None:
            assert shortfall >= risk
            assert (risk > 0) == (float(exposure) > 0) == (days >= 60)


def test_the_commands_that_read_a_run(short_day: tuple[Any, Path]) -> None:
    program, run = short_day
    verified = program("audit", "verify")
    assert (verified.returncode, "chain intact" in verified.stdout) == (0, True), verified.stderr
    shown = program("audit", "show", "--kind", "fill", "--json")
    fill = json.loads(shown.stdout.splitlines()[0])["body"]
    story = program.json("explain", fill["client_order_id"])
    assert story["risk_decision"]["approved"] is True
    assert len(story["fills"]) == 1
    assert "fees" in story["profit_and_loss"]
    assert program.json("report")["verdict"]["ok"] is True
    assert [row["run_id"] for row in program.json("run", "list")] == [run.name]
    kept = program.json("run", "prune", "--keep-last", "0", "--dry-run")
    assert "would be deleted" in kept[0]["decision"]
    assert {"ma_crossover", "momentum"} <= {row["name"] for row in program.json("strategies")}
    assert "settings" in program.json("plan")
    missing = program("explain", "no-such-order")
    assert (missing.returncode, len(missing.stderr.splitlines())) == (2, 1)


def test_the_backtest_of_the_same_configuration_writes_the_same_bytes(
    short_day: tuple[Any, Path], program: Any
) -> None:
    assert program("backtest", *SHORT).returncode == 0
    assert ledgers(only_run(program)) == ledgers(short_day[1])


@pytest.mark.parametrize(
    "settings",
    [
        ("strategy.name=momentum",),
        ("execution.default_order_type=limit", "execution.limit_offset_bps=5"),
    ],
)
def test_other_orders_agree_too(program: Any, settings: tuple[str, ...]) -> None:
    run = agreed(program, *SHORT, *(part for item in settings for part in ("--set", item)))
    assert pq.read_table(run / "fills.parquet").num_rows > 0
    signals = pq.read_table(run / "signals.parquet").to_pylist()
    assert bool(signals) == ("strategy.name=momentum" in settings)
    placed = set(pq.read_table(run / "orders.parquet")["client_order_id"].to_pylist()) if signals else set()
    assert {order for signal in signals for order in signal["orders"]} == placed


def test_orders_filled_in_part_agree_too(program: Any) -> None:
    days = [day for day in range(2, 31) if dt.date(2020, 6, day).weekday() < 5]
    rows = [f"2020-06-{day:02},{100 + day % 9},110,90,{100 + day % 7},500" for day in days]
    (program.folder / "bars").mkdir()
    (program.folder / "bars" / "SPY.csv").write_text("\n".join(["date,open,high,low,close,volume", *rows]))
    settings = ("execution.participation=0.1", "strategy.params.fast=2", "strategy.params.slow=3")
    more = (part for item in settings for part in ("--set", item))
    run = agreed(program, "--bars", "bars", "--symbols", "SPY", *more)
    orders = pq.read_table(run / "orders.parquet").to_pylist()
    assert any(0 < row["filled_quantity"] < row["quantity"] for row in orders), orders


def test_the_kill_switch_halts_demo_and_backtest_at_the_same_step(program: Any) -> None:
    loss = ("--set", "risk.max_daily_loss=1500")
    run = agreed(program, *SHORT, *loss, status=4)
    assert summary(run)["end"] == "halted"
    expected = ledgers(run)
    assert len(pq.read_table(run / "equity.parquet")) < 252
    done = program("backtest", *SHORT, *loss, "--runs-dir", "backtests")
    assert (done.returncode, "halted" in done.stdout) == (4, True)
    (other,) = (program.folder / "backtests").iterdir()
    assert (state(other), summary(other)["end"]) == ("finished", "halted")
    assert ledgers(other) == expected


def test_kept_bars_are_those_of_the_run_and_give_the_same_run_again(program: Any) -> None:
    kept = []
    for command in (("backtest", *SHORT), ("live", "--profile", "demo", *SHORT)):
        done = program(*command, "--keep-bars", "--runs-dir", command[0])
        assert done.returncode == 0, done.stdout + done.stderr
        (run,) = (program.folder / command[0]).iterdir()
        kept.append({path.name: path.read_bytes() for path in (run / "bars").iterdir()})
    assert kept[0] == kept[1]
    assert set(kept[0]) == {"COMPSIM.parquet", "SPXSIM.parquet"}
    said = json.loads((run / "run.json").read_text())["data_hashes"]
    assert load_bars(run / "bars").data_hashes() == said
    again = program("backtest", "--bars", str(run / "bars"), *SHORT, "--runs-dir", "again")
    assert again.returncode == 0, again.stderr
    (other,) = (program.folder / "again").iterdir()
    assert ledgers(other) == ledgers(run)


def test_a_run_without_bars_of_its_own_keeps_none(program: Any) -> None:
    done = program("live", "--profile", "paper", "--keep-bars")
    assert done.returncode == 2
    assert "trade data record" in done.stderr


def test_a_dry_run_sends_nothing(program: Any) -> None:
    done = program.demo("--runs-dir", "runs", *SHORT, "--dry-run")
    assert done.returncode == 0, done.stdout + done.stderr
    run = only_run(program)
    assert json.loads((run / "gateway" / "statement.json").read_text())["orders"] == []
    shown = program("audit", "show", "--kind", "order_submitted", "--json").stdout.splitlines()
    assert shown
    assert all(json.loads(line)["body"]["dry_run"] for line in shown)


def steps_recorded(program: Any) -> int:
    for path in program.runs.glob("*/journal.db"):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
                query = "SELECT COUNT(*) FROM events WHERE kind = 'snapshot'"
                return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError:
            return 0  # not created completely yet
    return 0


def start_and_wait(program: Any, steps: int, *arguments: str) -> Any:
    """Start a demo and return when it has recorded so many steps."""
    process = program.start("live", "--profile", "demo", "--runs-dir", "runs", *arguments)
    deadline = time.monotonic() + 60
    while steps_recorded(program) < steps and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, process.communicate()
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_is_finished_under_its_id_by_the_same_command(
    program: Any, number: signal.Signals
) -> None:
    until = ("--set", "data.end=2003-12-31")
    process = start_and_wait(program, 50, *until)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert "the same command goes on with it" in out
    run = only_run(program)
    assert state(run) == "running"
    resumed = program.demo("--runs-dir", "runs", *until)
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert only_run(program) == run
    assert state(run) == "finished"
    assert set(re.findall(r"run_id=(\S+)", resumed.stderr)) == {run.name}


def test_a_run_whose_gateway_has_gone_is_given_up(program: Any) -> None:
    until = ("--set", "data.end=2003-12-31")
    process = start_and_wait(program, 50, *until)
    program.kill_gateway(only_run(program) / "gateway")
    process.kill()
    process.communicate()
    lost = only_run(program)
    done = program.demo("--runs-dir", "runs", *until)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"run {lost.name}: its gateway has left; the run is given up" in done.stdout
    assert state(lost) == "abandoned"
    (fresh,) = (run for run in program.run_folders() if run != lost)
    assert summary(fresh)["verdict"]["ok"]


def test_a_gateway_that_dies_under_the_trader_is_one_clear_line(program: Any) -> None:
    quick = ("--set", "data.ib.reconnect_max_attempts=2", "--set", "data.ib.reconnect_backoff_seconds=0.05")
    process = start_and_wait(program, 50, "--set", "data.end=2008-12-31", *quick)
    program.kill_gateway(only_run(program) / "gateway")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert [line for line in err.splitlines() if line.startswith("error: ")] == [err.splitlines()[-1]]
    assert "Traceback" not in err


def test_a_control_socket_of_the_demo_answers(program: Any) -> None:
    process = start_and_wait(program, 10)
    (path,) = program.runtime.glob("*/demo-*.sock")
    client = ControlClient(path)
    assert client.request("status")["run_id"] == only_run(program).name
    assert client.request("stop")["stopping"] is True
    assert process.wait(60) == 130


def test_real_daily_bars_of_two_funds(program: Any, shared_data: Path) -> None:
    span = ("--set", "data.start=2015-01-01", "--set", "data.end=2015-12-31")
    run = agreed(program, "--bars", str(shared_data / "daily"), "--symbols", "SPY,IWM", *span)
    assert len(pq.read_table(run / "equity.parquet")) == 252


def test_real_minute_bars(program: Any, shared_data: Path) -> None:
    params = ("--set", "strategy.params.fast=5", "--set", "strategy.params.slow=20")
    run = agreed(program, "--bars", str(shared_data / "minute"), "--symbols", "SPY", *params)
    assert len(pq.read_table(run / "equity.parquet")) == 1950
