from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from backtesting.runs import RunFolder
from execution.clocks import SteppedClock
from execution.errors import BrokerUnavailableError, JournalCorruptError, RiskCheckError
from infrastructure.cli import app
from infrastructure.cli.boundary import guard, status_of
from infrastructure.cli.options import with_examples
from infrastructure.errors import ConfigError


@pytest.fixture
def trade(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(tmp_path)
    for name in ("ALPHEC_LIVE", "ALPHEC_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> tuple[int, str, str]:
        status = guard(app, arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def run_with_journal(tmp_path: Path) -> Any:
    import pandas as pd

    from execution.journal import SqliteJournal

    manifest = {"profile": "demo", "config_hash": "x"}
    with RunFolder.create(
        tmp_path / "runs", "r-1", manifest, now=pd.Timestamp("2020-01-01", tz="UTC")
    ) as run:
        journal = SqliteJournal(run.path / "journal.db", SteppedClock(1).now_ns)
        journal.append("barrier", {"trading_time": 1})
        journal.append("fill", {"client_order_id": "a-1", "price": "1.5"})
        journal.commit()
        journal.close()
        run.write_summary({"verdict": "ok"})
        run.end("finished", now=pd.Timestamp("2020-01-02", tz="UTC"))
    return run.path


def test_help_lists_every_command(trade: Any) -> None:
    status, out, _ = trade("--help")
    assert status == 0
    names = ("strategies", "plan", "backtest", "live", "stop", "status", "orders", "positions", "gateway")
    for name in (*names, "explain", "audit", "report", "run", "doctor"):
        assert f"  {name}" in out


def test_the_command_line_runs_as_a_module_without_heavy_imports(root: Path) -> None:
    code = (
        "import sys, infrastructure.cli.commands\n"
        "heavy = {'pandas', 'pydantic', 'structlog', 'ib_insync', 'rich', 'numpy'} & set(sys.modules)\n"
        "print(sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout.strip() == "[]"
    done = subprocess.run(
        [sys.executable, "-m", "infrastructure.cli", "plan", "--set", "nope=1"],
        capture_output=True,
        text=True,
        cwd=root,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == ["error: command line: unknown key 'nope'"]


@pytest.mark.parametrize(
    ("program", "during"), [("infrastructure.cli", "typer"), ("backtesting.simulation.worker", "pandas")]
)
def test_an_interruption_while_it_starts_ends_it_without_a_trace(
    root: Path, program: str, during: str
) -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {during!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        f"from {program} import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="[1]\n", capture_output=True, text=True, cwd=root, check=False
    )
    assert (done.returncode, done.stderr) == (-signal.SIGINT, "")


@pytest.mark.parametrize("command", ["audit verify", "audit show", "run list", "report", "orders list"])
@pytest.mark.usefixtures("run_with_journal")
def test_what_reads_or_asks_starts_without_the_libraries_of_numbers(
    root: Path, tmp_path: Path, command: str
) -> None:
    heavy = "{'pandas', 'numpy', 'pyarrow', 'polars', 'sqlalchemy', 'ib_insync', 'exchange_calendars'}"
    code = (
        "import sys\n"
        "from infrastructure.cli import app\n"
        "from infrastructure.cli.boundary import guard\n"
        f"guard(app, {[*command.split(), '--json']!r})\n"
        f"print(sorted({heavy} & sys.modules.keys()))"
    )
    env = {**os.environ, "PYTHONPATH": str(root), "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=env, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr


def test_strategies_are_listed_with_their_parameters(trade: Any) -> None:
    status, out, _ = trade("strategies", "--json")
    names = {row["name"]: row["parameters"] for row in json.loads(out)}
    assert status == 0
    assert names["ma_crossover"]["fast"] == 20
    assert "momentum" in trade("strategies")[1]


def test_plan_shows_settings_with_sources_limits_and_the_next_session(
    trade: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALPHEC_DATABASE__URL", "sqlite:///very-secret")
    status, out, _ = trade("plan", "--json", "--set", "risk.max_daily_loss=77")
    found = json.loads(out)
    assert status == 0
    assert found["settings"]["risk.max_daily_loss"] == {"value": "77", "source": "command line"}
    assert found["run"]["limits"]["max_daily_loss"] == "77"
    assert "XNYS" in found["run"]["next session"]
    assert "very-secret" not in out
    status, out, _ = trade("plan")
    assert (status, "no real money" in out, "very-secret" in out) == (0, True, False)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--set", "strategy.name=ma_crosover"), "ma_crossover"),
        (("--set", "strategy.params.fastt=1"), "strategy.params.fastt"),
        (("--set", "risk"), "write KEY=VALUE"),
        (("--config", "none.yaml"), "none.yaml: no such configuration file"),
        (("--profile", "prod"), "use demo, paper or live"),
    ],
)
def test_a_bad_plan_is_one_line_and_status_2(trade: Any, arguments: Any, said: Any) -> None:
    status, out, err = trade("plan", *arguments)
    assert (status, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert err.startswith("error: ")
    assert said in err


def test_doctor_prints_its_checks(trade: Any) -> None:
    status, out, _ = trade("doctor", "--json")
    assert status == 0
    assert {"python", "ib_insync", "loopback"} <= {check["name"] for check in json.loads(out)}
    assert "package execution" in trade("doctor")[1]


def test_the_journal_of_the_last_run_is_verified_and_shown(trade: Any, run_with_journal: Any) -> None:
    status, out, _ = trade("audit", "verify")
    assert (status, "chain intact, 2 events" in out) == (0, True)
    status, out, _ = trade("audit", "verify", str(run_with_journal / "journal.db"), "--json")
    assert json.loads(out)["ok"] is True
    status, out, _ = trade("audit", "show", "r-1", "--kind", "fill", "--order", "a-1", "--json")
    assert json.loads(out)["body"]["price"] == "1.5"
    assert "barrier" in trade("audit", "show")[1]


def test_without_any_run_the_commands_say_what_makes_one(trade: Any) -> None:
    for command in (
        ("audit", "verify"),
        ("report",),
        ("report", "x"),
        ("audit", "show", "x"),
        ("explain", "x"),
    ):
        status, out, err = trade(*command)
        assert (status, out) == (2, ""), command
        assert err.startswith("error: "), command


def test_runs_are_listed_reported_and_pruned(trade: Any, run_with_journal: Any) -> None:
    assert json.loads(trade("run", "list", "--json")[1])[0]["run_id"] == "r-1"
    assert "finished" in trade("run", "list")[1]
    assert json.loads(trade("report", "--json")[1])["verdict"] == "ok"
    assert "report.html" in trade("report", "r")[1]
    assert trade("run", "prune")[0] == 2
    assert "would be deleted" in trade("run", "prune", "--keep-last", "0", "--dry-run")[1]
    assert run_with_journal.exists()
    status, out, _ = trade("run", "prune", "--older-than-days", "1", "--json")
    assert (status, json.loads(out)[0]["decision"], run_with_journal.exists()) == (0, "deleted", False)


@pytest.mark.parametrize(
    "command",
    [
        ("stop",),
        ("status",),
        ("positions",),
        ("orders", "list"),
        ("orders", "cancel", "x"),
        ("orders", "place", "SPY", "BUY", "1"),
    ],
)
def test_commands_to_a_trader_that_is_not_there_leave_with_3(
    trade: Any, command: Any, tmp_path: Path
) -> None:
    status, out, err = trade(*command, "--set", f"var_dir={tmp_path}/var")
    assert (status, out) == (3, "")
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("BYE", "1"), "side"),
        (("BUY", "1e3"), "quantity"),
        (("BUY", "1", "--limit", "x"), "--limit"),
        (("BUY", "1", "--tif", "GTD"), "good_till"),
        (("BUY", "1", "--type", "FEELING"), "--type"),
    ],
)
def test_a_malformed_order_is_refused_before_anything_is_sent(trade: Any, arguments: Any, said: Any) -> None:
    status, _, err = trade("orders", "place", "SPY", *arguments)
    assert (status, said in err) == (2, True)


def test_a_kind_of_event_that_is_not_there_is_answered_with_those_that_are(
    trade: Any, run_with_journal: Path
) -> None:
    status, out, err = trade("audit", "show", "--kind", "fil")
    assert (status, out) == (0, "")
    assert err.endswith("no event was asked for; its kinds are barrier, fill\n")


def test_a_folder_in_place_of_a_configuration_is_said_to_be_one(trade: Any, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").mkdir()
    status, _, err = trade("plan", "--config", "c.yaml")
    assert status == 2
    assert "c.yaml: the configuration cannot be read: Is a directory; check the path" in err


def test_parameters_that_contradict_each_other_are_told_in_the_strategys_words(trade: Any) -> None:
    status, _, err = trade("plan", "--set", "strategy.params.fast=60")
    assert status == 2
    assert "strategy.params: fast = 60 must be less than slow = 50" in err


def test_errors_map_to_documented_statuses() -> None:
    assert status_of(ConfigError("x")) == 2
    assert status_of(BrokerUnavailableError("x")) == 3
    assert status_of(RiskCheckError("x")) == 4
    assert status_of(JournalCorruptError("x")) == 1
    assert status_of(RuntimeError("x")) == 70
    own = ConfigError("x")
    own.exit_status = 5  # type: ignore[attr-defined]
    assert status_of(own) == 5


def test_the_boundary_shows_a_trace_only_when_asked(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: Any) -> Any:
        raise RuntimeError("two\nlines")

    assert guard(fail, []) == 70
    assert capsys.readouterr().err.splitlines() == [
        "error: internal: RuntimeError: two lines (run again with --debug and report the trace)"
    ]
    assert guard(fail, ["--debug"]) == 70
    assert "Traceback" in capsys.readouterr().err

    def interrupt(**_: Any) -> Any:
        raise KeyboardInterrupt

    assert guard(interrupt, []) == 130
    assert guard(lambda **_: None, []) == 0


def test_wrong_usage_leaves_with_2(trade: Any) -> None:
    assert trade("plan", "--nonsense")[0] == 2
    assert trade("nonsense")[0] == 2


def test_examples_in_help_keep_their_lines() -> None:
    assert with_examples("A.\n\nSay:\n  trade x") == "A.\n\n\b\nSay:\n  trade x"


def test_examples_keep_their_lines_where_they_are_all_that_follows_the_first_line() -> None:
    text = "A.\n\n      trade x\n      trade x --json\n    "
    assert with_examples(text) == "A.\n\n\b\n  trade x\n  trade x --json"


def test_a_journal_that_is_not_there_is_a_file_and_not_a_run(trade: Any) -> None:
    status, _, err = trade("audit", "verify", "var/paper/DU1/journal.db")
    assert (status, len(err.splitlines())) == (2, 1)
    assert "no such file" in err


@pytest.mark.usefixtures("run_with_journal")
def test_a_run_at_rest_is_listed_as_it_ended(trade: Any) -> None:
    listed = trade("run", "list")[1]
    assert "finished" in listed
    assert "2020-01-01 00:00:00" in listed
    assert json.loads(trade("run", "list", "--json")[1])[0]["created"] == "2020-01-01T00:00:00+00:00"
