"""Throw-away servers: gone with the program that started them, however it ends; any name for a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from data.errors import ServerNotInstalledError
from data.testing import LocalServer, RunningServer
from data.testing.wasm import PROGRAM as SERVED
from data.testing.wasm import WasmServer

PROGRAM = """
import sys, time
from data.testing import local_server
with local_server() as server:
    print(server.folder, (server.data / "postmaster.pid").read_text().split()[0], flush=True)
    time.sleep(600)
"""
PATIENCE_S = 60


def gone(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"  # ended, and whoever adopted it has not asked yet


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.server("postgres")
def test_a_server_and_its_folder_are_gone_when_its_program_is_killed(root: Path, number: int) -> None:
    program = subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=root, stdout=subprocess.PIPE, text=True)
    with program:
        assert program.stdout is not None
        folder, pid = program.stdout.readline().split()
        assert not gone(int(pid))
        os.kill(program.pid, number)
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until and not (gone(int(pid)) and not Path(folder).exists()):
        time.sleep(0.05)
    assert gone(int(pid))
    assert not Path(folder).exists()


def test_a_database_may_have_any_name(postgres_server: LocalServer) -> None:
    name = """A "desk's" 100%/?ü+"""
    postgres_server.create_database(name)
    with psycopg.connect(postgres_server.conninfo(name)) as connection:
        assert connection.info.dbname == name
    postgres_server.drop_database(name)


def test_of_a_server_that_somebody_else_runs_only_what_was_made_is_removed(
    local_timescale_server: LocalServer, database_names: Callable[[], str]
) -> None:
    theirs, ours = database_names(), database_names()
    local_timescale_server.create_database(theirs)
    with closing(RunningServer(local_timescale_server.conninfo())) as running:
        with pytest.raises(errors.DuplicateDatabase):
            running.create_database(theirs)
        running.drop_database(theirs)
        running.create_database(ours)
        with psycopg.connect(running.conninfo(ours)) as connection:
            assert connection.execute("SELECT count(*) FROM pg_extension").fetchone() == (2,)
    with psycopg.connect(local_timescale_server.conninfo()) as connection:
        query = "SELECT datname FROM pg_database WHERE datname IN (%s, %s)"
        assert connection.execute(query, [theirs, ours]).fetchall() == [(theirs,)]
    local_timescale_server.drop_database(theirs)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program in the place of node, which says the port that is written beside it."""
    (tmp_path / SERVED).write_text("")
    program = tmp_path / "node"
    program.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/started\ncat {tmp_path}/said\ncat\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def test_each_database_in_webassembly_is_a_process_that_ends_with_it(node: Path) -> None:
    (node / "said").write_text("127.0.0.1:4711\n")
    with closing(WasmServer(node)) as server:
        assert ":4711/postgres" in server.create_database("a")
        server.create_database("a", template="of no use")
        server.create_database("b")
        server.freeze("b")
        server.drop_database("never made")
        assert "sslmode=disable" in server.conninfo("b")
    started = [int(pid) for pid in (node / "started").read_text().split()]
    assert len(started) == 3
    assert all(map(gone, started))


def test_webassembly_that_is_missing_or_does_not_start_names_its_installer(
    node: Path, tmp_path: Path
) -> None:
    with pytest.raises(ServerNotInstalledError, match=r"install-timescaledb-community\.sh"):
        WasmServer(tmp_path / "nowhere")
    (node / "said").write_text("Error: cannot find module\n")
    with closing(WasmServer(node)) as server, pytest.raises(ServerNotInstalledError, match="did not start"):
        server.create_database("a")
