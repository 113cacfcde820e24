"""A program whose output cannot be written says so in a line, or goes quiet; it shows no trace."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from infrastructure.cli.boundary import guard
from infrastructure.cli.streams import LastingStream, settle, silence

needs_full_device = pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")


def shell(command: str, folder: Path, *, unbuffered: bool = False) -> subprocess.CompletedProcess[str]:
    """Run a command of the shell in which ``trade`` is the program."""
    trade = f"trade() {{ '{sys.executable}' -m infrastructure.cli \"$@\"; }}; set -o pipefail; "
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    environ["PYTHONUNBUFFERED"] = "1" if unbuffered else ""
    return subprocess.run(
        ["bash", "-c", trade + command], cwd=folder, env=environ, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", ["trade strategies", "trade strategies --json"])
def test_without_a_standard_output_nothing_is_printed_and_nothing_fails(tmp_path: Path, command: str) -> None:
    done = shell(f"{command} >&-", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_reader_that_leaves_is_told_by_the_status_alone(tmp_path: Path) -> None:
    done = shell("trade gateway faults | head -1 >/dev/null", tmp_path)
    assert (done.returncode, done.stderr) == (141, "")


@needs_full_device
@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("command", ["strategies", "strategies --json", "data list"])
def test_a_full_disk_is_said_in_one_line(tmp_path: Path, command: str, unbuffered: bool) -> None:
    done = shell(f"trade {command} >/dev/full", tmp_path, unbuffered=unbuffered)
    assert done.returncode == 2
    assert done.stderr.splitlines() == ["error: No space left on device; free space, or write elsewhere"]


@needs_full_device
def test_a_full_disk_that_shows_at_the_end_is_said_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path("/dev/full").open("w") as full:
        full.write("held back")
        monkeypatch.setattr(sys, "stdout", full)
        assert settle(0) == 2
    assert "No space left on device; free space" in capsys.readouterr().err


def test_a_display_whose_reader_has_left_goes_quiet() -> None:
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        lasting = LastingStream(stream)
        assert lasting.fileno() == writing
        assert not lasting.isatty()
        lasting.write("seen\n")
        lasting.flush()
        assert os.read(reading, 100) == b"seen\n"
        os.close(reading)
        for _ in range(3):
            assert lasting.write("lost\n") == 5
            lasting.flush()


def test_a_stream_in_memory_is_left_as_it_is() -> None:
    stream = io.StringIO()
    silence(stream)
    lasting = LastingStream(stream)
    lasting.write("kept")
    assert stream.getvalue() == "kept"


def test_a_trader_trades_on_when_nobody_reads_its_display(program: Any) -> None:
    process = program.start("live", "--profile", "demo", "--set", "data.end=2000-06-30")
    process.stdout.close()
    process.stdout = None
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    [run] = program.run_folders()
    assert json.loads((run / "run.json").read_text())["state"] == "finished"


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            PermissionError(13, "Permission denied", "/x"),
            "error: /x: Permission denied; check its owner and permissions, or name another",
        ),
        (NotADirectoryError(20, "Not a directory", "/x"), "error: /x: Not a directory; check the path"),
        (
            OSError(28, "No space left on device"),
            "error: No space left on device; free space, or write elsewhere",
        ),
    ],
)
def test_what_the_system_refuses_is_told_with_its_path_and_a_remedy(
    error: OSError, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(**_: Any) -> Any:
        raise error

    assert guard(fail, []) == 2
    assert capsys.readouterr().err == line + "\n"


def test_a_refusal_that_names_nothing_stays_an_internal_error(capsys: pytest.CaptureFixture[str]) -> None:
    def fail(**_: Any) -> Any:
        raise OSError(9, "Bad file descriptor")

    assert guard(fail, []) == 70
    assert "internal" in capsys.readouterr().err


def test_an_interruption_is_said_whatever_it_interrupts(capsys: pytest.CaptureFixture[str]) -> None:
    app = typer.Typer()

    @app.command()
    def work() -> None:
        raise KeyboardInterrupt

    assert guard(app, []) == 130
    assert capsys.readouterr().err == "interrupted\n"
