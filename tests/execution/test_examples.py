"""The examples are programs: they run as their README says, and refuse real money."""

from __future__ import annotations

import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from execution.examples import broker

EXAMPLES = ("basic_order_submission", "with_risk_checks")
FOLDER = Path(broker.__file__).parent
Start = Callable[..., tuple[object, str]]


def run(example: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", f"execution.examples.{example}", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_an_order_is_placed_cancelled_filled_and_never_sent_twice() -> None:
    done = run("basic_order_submission")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert any(line.startswith("limit order") and "is SUBMITTED" in line for line in lines)
    assert "after the cancel: CANCELLED" in lines
    assert "submitted again: the stored order came back, FILLED; nothing was sent" in lines
    assert any(line.startswith("position: 1 SPXSIM at ") for line in lines)
    assert lines[-1].endswith("chain intact")


def test_refusals_name_their_rule_and_a_cancelled_order_gives_its_room_back() -> None:
    done = run("with_risk_checks")
    assert done.returncode == 0, done.stderr
    said = [line.split("-", 1)[0] + line.partition(":")[2] for line in done.stdout.splitlines()]
    assert any(line.startswith("too") and "refused by CALLBACK" in line for line in said)
    assert any(line.startswith("huge") and "refused by MAX_ORDER_QUANTITY" in line for line in said)
    assert any(line.startswith("second") and "refused by SYMBOL_NOTIONAL_CAP" in line for line in said)
    assert "third SUBMITTED" in said
    refusals = [line for line in done.stdout.splitlines() if line.startswith("refusals in the journal")]
    assert refusals == ["refusals in the journal: 1", "refusals in the journal: 2"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Start:
    """Return a way to start an example in this process: what it refuses it refuses before anything runs."""

    def start(example: str, *arguments: str) -> tuple[object, str]:
        monkeypatch.setattr(sys, "argv", [example, *arguments])
        with pytest.raises(SystemExit) as left:
            runpy.run_path(str(FOLDER / f"{example}.py"), run_name="__main__")
        return left.value.code, capsys.readouterr().err

    return start


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("port", ["7496", "4001"])
def test_a_live_port_is_refused_before_anything_is_connected(started: Start, example: str, port: str) -> None:
    status, said = started(example, "--host", "127.0.0.1", "--port", port, "--limit", "1.00")
    assert status == 2
    assert "live account" in said


@pytest.mark.parametrize("example", EXAMPLES)
def test_a_broker_by_address_needs_a_limit_price(started: Start, example: str) -> None:
    status, said = started(example, "--host", "127.0.0.1")
    assert status == 2
    assert "--limit is needed" in said
