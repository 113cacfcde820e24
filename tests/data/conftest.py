"""Small bar files, databases and journal events for the tests of `data`."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, NoReturn

import psycopg
import pytest
from psycopg import sql

from data.database import Database
from data.testing import DatabaseServer, LocalServer

DAILY = "date,open,high,low,close,volume\n"
INTRADAY = "end,open,high,low,close,volume\n"
Writer = Callable[[str, str], Path]
Cramped = tuple[str, Path]


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
        server: DatabaseServer = request.getfixturevalue(f"{kind}_server")
        if not server.whole:
            name = database_names()
            database = Database(server.create_database(name))
            database.upgrade()
            database.close()
            return str(database.url.render_as_string(hide_password=False)), lambda: server.drop_database(name)
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


class Reused:
    """A migrated database, emptied after each test, and made anew after one that changed more than rows."""

    def __init__(self, make: Callable[[], tuple[str, Callable[[], None]]], *, whole: bool) -> None:
        self._make = make
        self._whole = whole
        self.url, self._remove = make()
        with self._connected() as connection:
            self._tables = [row[0] for row in connection.execute(TABLES)]
            self._shape = connection.execute(SHAPE).fetchall()

    def empty(self) -> None:
        some = sql.SQL(" UNION ALL ").join(
            sql.SQL("SELECT {} WHERE EXISTS (SELECT FROM {})").format(sql.Literal(name), sql.Identifier(name))
            for name in self._tables
        )
        with self._connected() as connection:
            # Where all connections are one session, those of the next test would find this one's statements.
            if self._whole and connection.execute(SHAPE).fetchall() == self._shape:
                filled = [sql.Identifier(row[0]) for row in connection.execute(some)]
                if filled:
                    names = sql.SQL(", ").join(filled)
                    connection.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))
                self._empty_aggregates(connection)
                return
        self._remove()
        self.url, self._remove = self._make()

    def _empty_aggregates(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        """Empty those that the community edition keeps: their rows are not in tables of ours."""
        if connection.execute("SELECT to_regclass('bars_1d_parts')").fetchone() != (None,):
            for name in ("bars_1d_parts", "bars_1h", "bars_15m", "bars_5m"):
                connection.execute(sql.SQL("TRUNCATE {}").format(sql.Identifier(name)))

    def _connected(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True)


TABLES = """SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace
    AND relkind IN ('r', 'p') AND relname <> 'alembic_version' ORDER BY relname"""
SHAPE = """SELECT n.nspname, c.relname, c.relkind::text, a.attname, a.atttypid::text, a.attnotnull::text
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE a.attnum > 0 AND n.nspname !~ '^(pg_|_timescaledb|information_schema)'
    UNION ALL SELECT 'revision', version_num, '', '', '', '' FROM alembic_version
    UNION ALL SELECT 'schema', nspname, '', '', '', '' FROM pg_namespace WHERE nspname !~ '^pg_'
    UNION ALL SELECT 'setting', s.setrole::text, s.setconfig::text, '', '', '' FROM pg_db_role_setting s
    JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()
    ORDER BY 1, 2, 3, 4"""
"""Of what a test may change in a database beside its rows."""


@pytest.fixture(scope="session")
def reused(
    request: pytest.FixtureRequest, migrated: Callable[[str], tuple[str, Callable[[], None]]]
) -> Callable[[str], Reused]:
    """The one migrated database of ``postgres`` or ``timescale`` that tests take turns with."""
    made: dict[str, Reused] = {}

    def of(kind: str) -> Reused:
        if kind not in made:
            server: DatabaseServer = request.getfixturevalue(f"{kind}_server")
            made[kind] = Reused(lambda: migrated(kind), whole=server.whole)
        return made[kind]

    return of


@pytest.fixture(params=["sqlite", "postgres", "timescale"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    """A migrated database without rows, on each kind of server in turn."""
    if request.param == "sqlite":
        yield request.getfixturevalue("file_database")
        return
    shared: Reused = request.getfixturevalue("reused")(request.param)
    opened = Database(shared.url)
    yield opened
    opened.close()
    shared.empty()


@pytest.fixture
def file_database(sqlite_url: str, tmp_path: Path, migrated_file: Path) -> Iterator[Database]:
    """A migrated database in a file."""
    path = tmp_path / "var" / "trading.db"
    path.parent.mkdir()
    shutil.copy(migrated_file, path)
    opened = Database(sqlite_url)
    yield opened
    opened.close()


SmallDisk = Callable[[Path, str], AbstractContextManager[Path]]
HELD = 'mount -t tmpfs -o "size=$1" tmpfs "$2" && echo mounted && exec cat'


@contextmanager
def mounted(folder: Path, size: str) -> Iterator[Path]:
    as_who = f"size={size},uid={os.geteuid()},gid={os.getegid()}"
    for before in ([], ["sudo", "-n"]):
        mount = [*before, "mount", "-t", "tmpfs", "-o", as_who, "tmpfs", str(folder)]
        if shutil.which(mount[0]) and not subprocess.run(mount, capture_output=True, check=False).returncode:
            try:
                yield folder
            finally:
                subprocess.run([*before, "umount", "-l", str(folder)], check=True)
            return
    # In a namespace of users every user may mount; its disk is there as long as a process of it is.
    namespace = ["unshare", "--user", "--map-root-user", "--mount", "/bin/sh", "-c", HELD, "sh", size]
    with subprocess.Popen(
        [*namespace, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as holder:
        assert holder.stdout is not None
        if holder.stdout.readline() == b"mounted\n":
            yield Path(f"/proc/{holder.pid}/root{folder}")
            return
    refuse("this machine lets a test mount no disk: run it as root, or allow sudo or namespaces of users")


def refuse(why: str) -> NoReturn:
    """Skip a test for which this machine lets no disk be mounted; in CI fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(why, pytrace=False)
    pytest.skip(why)


@pytest.fixture
def small_disk() -> SmallDisk:
    """Mount a disk of a size in memory at a folder; the folder at which it is to be found may be another."""
    return mounted


@pytest.fixture(params=["sqlite", "postgres", "timescale"])
def cramped(request: pytest.FixtureRequest, tmp_path: Path, small_disk: SmallDisk) -> Iterator[Cramped]:
    """URL of an empty database whose files lie on a small disk of their own, and that disk."""
    kind = str(request.param)
    fixture = {"postgres": "postgres_server", "timescale": "local_timescale_server"}
    server: LocalServer | None = None if kind == "sqlite" else request.getfixturevalue(fixture[kind])
    folder = tmp_path / "disk" if server is None else server.folder / "disk"
    folder.mkdir()
    with small_disk(folder, "64m") as disk:
        if server is None and disk != folder:
            refuse("SQLite follows the path of a disk out of its namespace: run it as root, or allow sudo")
        if server is None:
            yield f"sqlite:///{disk / 'trading.db'}", disk
        else:
            os.chown(disk, server.data.stat().st_uid, server.data.stat().st_gid)
            yield from _on_a_tablespace(server, kind, disk)
    folder.rmdir()


def _on_a_tablespace(server: LocalServer, kind: str, disk: Path) -> Iterator[Cramped]:
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
