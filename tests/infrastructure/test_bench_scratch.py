"""The folder of a measurement goes with it, however that ends."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure.bench import scratch

PROGRAM = """
import sys
from pathlib import Path
from infrastructure.bench import scratch
with scratch.folder("bench-", Path(sys.argv[1])) as folder:
    (folder / "file").write_text("x")
    print(folder, flush=True)
    sys.stdin.read()
"""


def started(parent: Path) -> tuple[subprocess.Popen[str], Path]:
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_folder_goes_with_its_block(tmp_path: Path) -> None:
    def lose() -> None:
        with scratch.folder("bench-", tmp_path) as folder:
            (folder / "file").write_text("x")
            raise ValueError("lost")

    with pytest.raises(ValueError, match="lost"):
        lose()
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_asked_to_end_takes_its_folder_with_it(tmp_path: Path) -> None:
    process, folder = started(tmp_path)
    with process:
        assert folder.is_dir()
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_left_is_removed_by_the_next_and_nothing_else(tmp_path: Path) -> None:
    other = tmp_path / "bench-of-a-person"
    other.mkdir()
    killed, left = started(tmp_path)
    with killed:
        killed.kill()
    assert left.is_dir()
    running, used = started(tmp_path)
    with running:
        assert not left.exists()
        with scratch.folder("bench-", tmp_path):
            assert used.is_dir()
        running.communicate("")
    assert list(tmp_path.iterdir()) == [other]
