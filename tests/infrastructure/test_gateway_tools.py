"""The commands beside a gateway: control of a running one, the list of faults, journals of frames."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from backtesting.gateway.control import COMMANDS
from backtesting.gateway.faults.script import load_script, preset_names
from backtesting.gateway.wire.codec import message
from backtesting.gateway.wire.frames import GREETING, frame
from infrastructure.cli import app
from infrastructure.cli.boundary import guard
from infrastructure.errors import ConfigError
from infrastructure.gateway_control import named


@pytest.fixture
def trade(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, str, str]:
        status = guard(app, arguments)
        out, err = capsys.readouterr()
        return status, out, err

    return run


def handshake(port: int) -> None:
    """Connect, ask for the time as a client does, and leave."""
    with socket.create_connection(("127.0.0.1", port), 30) as client:
        client.sendall(GREETING + frame(b"v157..176") + message(71, 2, 1, ""))
        while b"2158" not in client.recv(65536):
            pass
        client.sendall(message(49, 1))
        client.recv(65536)


@pytest.mark.parametrize(
    ("command", "words", "arguments"),
    [
        ("status", [], {}),
        ("step", ["5"], {"count": 5}),
        ("speed", ["max"], {"value": "max"}),
        ("jump", ["2018-01-05T10:00:00"], {"to": "2018-01-05T10:00:00"}),
        ("fault", ["{farm: 2103}", "client=3"], {"spec": {"farm": 2103}, "client": 3}),
        ("correct", ["price=101.50"], {"price": "101.50"}),
        ("restart", ["keep_state=false"], {"keep_state": False}),
    ],
)
def test_words_become_arguments_by_name(command: str, words: list[str], arguments: Any) -> None:
    assert named(command, words) == arguments


@pytest.mark.parametrize(
    ("command", "words", "said"),
    [
        ("stauts", [], "no such command"),
        ("step", ["5", "6"], "one too many|too many"),
        ("step", ["5", "count=6"], "too many"),
        ("fault", ["{farm"], "not YAML"),
    ],
)
def test_words_that_are_none_are_refused(command: str, words: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        named(command, words)


def test_a_gateway_that_does_not_run_is_one_clear_line(trade: Any, tmp_path: Any) -> None:
    status, _, err = trade("gateway", "control", str(tmp_path), "status")
    assert (status, err.count("\n")) == (3, 1)
    assert "no gateway answers" in err


def test_faults_are_listed_and_a_preset_shown_is_a_script(trade: Any, tmp_path: Any) -> None:
    status, out, _ = trade("gateway", "faults", "--json")
    names = [row["name"] for row in json.loads(out)["presets"]]
    assert status == 0
    assert "silent_drop" in names
    assert all(row["about"] for row in json.loads(out)["presets"])
    script = tmp_path / "mine.yaml"
    script.write_text(trade("gateway", "faults", "--show", "silent_drop")[1], encoding="utf-8")
    assert load_script(script).rules
    assert "silent_drop" in trade("gateway", "faults")[1]
    status, _, err = trade("gateway", "faults", "--show", "silent_drip")
    assert status == 2
    assert "silent_drop" in err


def test_every_preset_and_command_is_in_the_documents() -> None:
    text = (Path(__file__).resolve().parents[2] / "docs" / "gateway.md").read_text(encoding="utf-8")
    assert [name for name in (*preset_names(), *COMMANDS) if f"`{name}`" not in text] == []


def test_a_running_gateway_is_controlled_and_its_frames_are_kept(program: Any, trade: Any) -> None:
    folder = program.folder
    control = str(program.runtime / "c")
    gateway = program.start(
        *("gateway", "--json", "--paused", "--frames", "f.jsonl", "--control", control),
        *("--start", "1999-01-06", "--faults", "latency"),
    )
    said = json.loads(gateway.stdout.readline())
    assert said["time"] == "1999-01-06T14:30:00+00:00"
    assert said["control"] == control
    handshake(said["port"])
    status, out, _ = trade("gateway", "control", control, "status", "--json")
    assert (status, json.loads(out)["paused"]) == (0, True)
    assert trade("gateway", "control", control, "jump", "1999-01-08T10:00:00")[0] == 0
    status, out, _ = trade("gateway", "control", control, "status", "--json")
    assert json.loads(out)["time"] == "1999-01-08T15:00:00+00:00"
    assert trade("gateway", "control", control, "speed", "fast")[0] == 2
    gateway.send_signal(signal.SIGTERM)
    gateway.communicate(timeout=60)
    assert gateway.returncode == 0
    journal = str(folder / "f.jsonl")
    status, out, _ = trade("gateway", "frames", "show", journal, "--message", "reqCurrentTime")
    assert (status, out.count("reqCurrentTime")) == (0, 1)
    status, out, _ = trade("gateway", "frames", "diff", journal, journal)
    assert (status, "no difference" in out) == (0, True)
    assert trade("gateway", "frames", "diff", journal, journal, "--json")[0] == 0


def test_frames_are_replayed_against_a_gateway(program: Any, trade: Any) -> None:
    start = ("gateway", "--json", "--paused")
    recorded = program.start(*start, "--frames", "f.jsonl")
    handshake(json.loads(recorded.stdout.readline())["port"])
    recorded.send_signal(signal.SIGINT)
    recorded.communicate(timeout=60)
    again = program.start(*start)
    port = str(json.loads(again.stdout.readline())["port"])
    journal = str(program.folder / "f.jsonl")
    status, out, _ = trade("gateway", "frames", "replay", journal, "--port", port)
    assert (status, "no difference" in out) == (0, True), out
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=60)
    status, _, err = trade("gateway", "frames", "replay", journal, "--port", port)
    assert status == 3
    assert "no gateway listens" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--account", "DU1:x"), "--account"),
        (("--account", "DU1:1:gold"), "unchecked"),
        (("--server-version", "200"), "157 to 178"),
        (("--commissions", "free"), "ibkr_tiered"),
        (("--market-data", "free"), "live, delayed, none"),
        (("--start", "2031-01-01"), "--start"),
        (("--faults", "no_such_fault"), "no_such_fault"),
        (("--faults", "none.yaml"), "none.yaml"),
        (("--contracts", "none.yaml"), "none.yaml"),
        (("--quotes", "none.csv"), "none.csv"),
        (("--bars", "nowhere"), "nowhere"),
        (("--frames", "/proc/none/f.jsonl"), "/proc/none"),
        (("--control", "/proc/none/c"), "/proc/none"),
    ],
)
def test_a_gateway_option_that_cannot_be_used_is_one_clear_line(
    trade: Any, arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = trade("gateway", *arguments)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert (status, out, len(lines)) == (2, "", 1), err
    assert said in lines[0]
    assert "internal" not in lines[0]
