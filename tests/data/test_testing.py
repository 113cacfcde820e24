"""Throw-away servers: gone with the program that started them, however it ends; any name for a database."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from data.testing import LocalServer

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
