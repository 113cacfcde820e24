"""Fixtures and rules that hold for every test.

`server` marks a test that needs a program outside Python. With ``CI=true`` a missing one is a failure;
elsewhere the test is skipped and listed, loudly, at the end.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings

from data.testing import DatabaseServer, LocalServer, RunningServer, find_programs, local_server
from data.testing.wasm import PROGRAM, WasmServer

# A busy machine is no failure: no example has a deadline.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

ROOT = Path(__file__).resolve().parent.parent
SERVERS = {
    "chromium": ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"),
    "postgres": ("postgres",),
}
COMMUNITY = "ALPHEC_COMMUNITY"
"""Variable that names a TimescaleDB of the community edition: the folder of its ``initdb`` and ``postgres``,
that of `data.testing.wasm`, or the address of a server that runs, for its superuser."""

INSTALLER = "infrastructure/deploy/install-test-servers.sh"


def missing_server(item: pytest.Item) -> str | None:
    """Return the name of a server that the test needs and this machine lacks."""
    for mark in item.iter_markers("server"):
        name = str(mark.args[0])
        if name not in SERVERS:
            raise pytest.UsageError(f"{item.nodeid}: server({name!r}) is not one of {', '.join(SERVERS)}")
        if not any(map(shutil.which, SERVERS[name])):
            return name
    return None


def pytest_runtest_setup(item: pytest.Item) -> None:
    name = missing_server(item)
    if name is None:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"needs {name}, which is not installed; run {INSTALLER} as root", pytrace=False)
    pytest.skip(f"needs {name}, which is not installed")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = terminalreporter.getreports("skipped")
    lost = [report for report in reports if "which is not installed" in str(report.longrepr)]
    if not lost:
        return
    terminalreporter.section("SKIPPED FOR WANT OF A SERVER", yellow=True, bold=True)
    for report in lost:
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        terminalreporter.write_line(f"{report.nodeid}: {reason}")
    terminalreporter.write_line(f"Install them with {INSTALLER}; with CI=true these tests fail.")


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of sample bars beside the checkout, or skip where there is none."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no folder of bars beside the checkout")
    return folder


def _server(*, timescale: bool) -> Iterator[LocalServer]:
    if find_programs(timescale=timescale) is None:
        name = "PostgreSQL with TimescaleDB" if timescale else "PostgreSQL"
        if os.environ.get("CI") == "true":
            pytest.fail(f"needs {name}, which is not installed; run {INSTALLER} as root", pytrace=False)
        pytest.skip(f"needs {name}, which is not installed")
    with local_server(timescale=timescale) as server:
        yield server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[LocalServer]:
    """A PostgreSQL server without TimescaleDB; started by the first test that asks for it."""
    yield from _server(timescale=False)


@pytest.fixture(scope="session")
def timescale_server() -> Iterator[DatabaseServer]:
    """A PostgreSQL server with TimescaleDB loaded; started by the first test that asks for it.

    It is Debian's, or the one of the community edition that `COMMUNITY` names.
    """
    named = os.environ.get(COMMUNITY)
    if named is None:
        yield from _server(timescale=True)
        return
    with _community(named) as server:
        server.create_database("edition")
        with psycopg.connect(server.conninfo("edition")) as connection:
            found = connection.execute("SHOW timescaledb.license").fetchone()
        server.drop_database("edition")
        assert found == ("timescale",), f"{COMMUNITY}={named}: not the community edition, but {found}"
        yield server


def _community(named: str) -> AbstractContextManager[DatabaseServer]:
    if "://" in named:
        return closing(RunningServer(named))
    if (Path(named) / PROGRAM).exists():
        return closing(WasmServer(Path(named)))
    if not (Path(named) / "initdb").exists():
        pytest.fail(f"{COMMUNITY}={named}: no initdb there; see docs/database.md", pytrace=False)
    return local_server(timescale=True, programs=Path(named).resolve())


@pytest.fixture(scope="session")
def local_timescale_server(timescale_server: DatabaseServer) -> LocalServer:
    """The same, where it is one that a test may stop and whose files it may touch."""
    if not isinstance(timescale_server, LocalServer):
        pytest.skip("needs a server whose programs are on this machine")
    return timescale_server


@pytest.fixture(scope="session")
def database_names() -> Callable[[], str]:
    """Return names of databases that no other test of this process uses."""
    numbers = count(1)
    return lambda: f"test_{next(numbers)}"


@pytest.fixture
def postgres_url(postgres_server: LocalServer, database_names: Callable[[], str]) -> Iterator[str]:
    """URL of an empty database of plain PostgreSQL."""
    name = database_names()
    yield postgres_server.create_database(name)
    postgres_server.drop_database(name)


@pytest.fixture
def timescale_url(timescale_server: DatabaseServer, database_names: Callable[[], str]) -> Iterator[str]:
    """URL of an empty database with the extension TimescaleDB."""
    name = database_names()
    yield timescale_server.create_database(name)
    timescale_server.drop_database(name)
