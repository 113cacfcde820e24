"""Small bar files, databases and journal events for the tests of `data`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from data.database import Database
from data.testing import LocalServer

DAILY = "date,open,high,low,close,volume\n"
INTRADAY = "end,open,high,low,close,volume\n"
Writer = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Writer:
    """Write a text file into the bar folder; the folder is returned."""
    folder = tmp_path / "bars"
    folder.mkdir()

    def writer(name: str, text: str) -> Path:
        (folder / name).write_text(text)
        return folder

    return writer


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """URL of a SQLite file that is not there yet, nor its folder."""
    return f"sqlite:///{tmp_path / 'var' / 'trading.db'}"


@pytest.fixture(params=["sqlite", "postgres", "timescale"])
def url(request: pytest.FixtureRequest) -> str:
    """URL of an empty database, on each kind of server in turn."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file; copy it."""
    path = tmp_path_factory.mktemp("migrated") / "trading.db"
    database = Database(f"sqlite:///{path}")
    database.upgrade()
    database.close()
    return path


@pytest.fixture(scope="session")
def migrated(
    request: pytest.FixtureRequest, database_names: Callable[[], str]
) -> Callable[[str], tuple[str, Callable[[], None]]]:
    """Make a migrated database on ``postgres`` or ``timescale``: its URL, and what removes it.

    The first of a kind is migrated, the others are copies of it, which takes a tenth of the time.
    """
    templates: dict[str, str] = {}

    def make(kind: str) -> tuple[str, Callable[[], None]]:
        server: LocalServer = request.getfixturevalue(f"{kind}_server")
        if kind not in templates:
            name = database_names()
            database = Database(server.create_database(name))
            database.upgrade()
            database.close()
            server.freeze(name)
            templates[kind] = name
        name = database_names()
        return server.create_database(name, template=templates[kind]), lambda: server.drop_database(name)

    return make


@pytest.fixture(params=["sqlite", "postgres", "timescale"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database of its own, on each kind of server in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("file_database")
        return
    url, remove = request.getfixturevalue("migrated")(request.param)
    opened = Database(url)
    yield opened
    opened.close()
    remove()


@pytest.fixture
def file_database(sqlite_url: str, tmp_path: Path, migrated_file: Path) -> Iterator[Database]:
    """A migrated database in a file."""
    path = tmp_path / "var" / "trading.db"
    path.parent.mkdir()
    shutil.copy(migrated_file, path)
    opened = Database(sqlite_url)
    yield opened
    opened.close()


@pytest.fixture(params=["sqlite", "postgres", "timescale"])
def cramped(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """URL of an empty database whose files lie on a small disk of their own, and that disk."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    kind = str(request.param)
    server: LocalServer | None = None if kind == "sqlite" else request.getfixturevalue(f"{kind}_server")
    disk = tmp_path / "disk" if server is None else server.folder / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(disk)]
    if subprocess.run(mounting, capture_output=True, check=False).returncode:
        disk.rmdir()
        pytest.skip("this machine does not let a test mount a disk")
    try:
        if server is None:
            yield f"sqlite:///{disk / 'trading.db'}", disk
            return
        os.chown(disk, server.data.stat().st_uid, server.data.stat().st_gid)
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute(sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(disk))))
            connection.execute("CREATE DATABASE cramped TABLESPACE small")
        if kind == "timescale":
            with psycopg.connect(server.conninfo("cramped"), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION timescaledb")
        yield server.url("cramped"), disk
        server.drop_database("cramped")
        with psycopg.connect(server.conninfo(), autocommit=True) as connection:
            connection.execute("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
        disk.rmdir()


@pytest.fixture
def leave() -> Callable[[Path, int], None]:
    """Fill a disk until so many bytes are free, or empty it again of that ballast."""

    def fill(disk: Path, free: int) -> None:
        ballast = disk / "ballast"
        ballast.unlink(missing_ok=True)
        block = 64 * 1024
        with ballast.open("wb", buffering=0) as file:
            while shutil.disk_usage(disk).free > free:
                file.write(bytes(min(block, shutil.disk_usage(disk).free - free)))

    return fill


@pytest.fixture
def lean() -> Path:
    """The folder of real bars beside the checkout."""
    folder = Path(__file__).parents[3] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real bars beside the checkout")
    return folder
