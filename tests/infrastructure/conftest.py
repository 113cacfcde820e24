"""The program `trade` as subprocesses, each test with folders and a control socket of its own."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from infrastructure.gateway_process import GatewayProcess

LONGEST = 240.0
TRADE = [sys.executable, "-m", "infrastructure.cli"]


class Program:
    """Starts the program in a folder; whatever still runs at the end of the test is ended."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.runs = folder / "runs"
        self.started: list[subprocess.Popen[str]] = []
        self.runtime = Path(tempfile.mkdtemp(prefix="alphec-"))  # short: a socket's path is
        self.environ = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
            "XDG_RUNTIME_DIR": str(self.runtime),
        }

    def start(self, *arguments: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [*TRADE, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env={**self.environ, **(env or {})},
        )
        self.started.append(process)
        return process

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments, env=env)
        out, err = process.communicate(timeout=LONGEST)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def demo(self, *arguments: str, **kwargs: Any) -> subprocess.CompletedProcess[str]:
        return self("live", "--profile", "demo", *arguments, **kwargs)

    def json(self, *arguments: str) -> Any:
        done = self(*arguments, "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def run_folders(self) -> list[Path]:
        return sorted(path for path in self.runs.glob("*") if path.is_dir())

    def end(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.communicate()
        shutil.rmtree(self.runtime)
        for address in self.folder.rglob("gateway/gateway.json"):
            # A gateway outlives its trader on purpose; one that a test left behind must not outlive the test.
            if GatewayProcess(address.parent).is_alive():
                self.kill_gateway(address.parent)

    @staticmethod
    def kill_gateway(folder: Path) -> None:
        pid = int(json.loads((folder / "gateway.json").read_text())["pid"])
        with suppress(ProcessLookupError):  # it has gone by itself
            os.kill(pid, signal.SIGKILL)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    """Return a way to run the program in an empty folder."""
    program = Program(tmp_path)
    yield program
    program.end()


@pytest.fixture(scope="module")
def shared_program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    """Return a way to run the program in a folder that the tests of a module share."""
    program = Program(tmp_path_factory.mktemp("shared"))
    yield program
    program.end()
