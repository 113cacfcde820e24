"""Throw-away PostgreSQL servers for tests and benchmarks: real, on a free loopback port, gone afterwards.

    with local_server(timescale=True) as server:
        database = Database(server.create_database("bars"))

A cluster lives in a folder of its own under the system's temporary folder, owned by an unprivileged user when
the caller is root, and accepts connections from this machine only. ``fsync`` is off unless asked for: these
servers hold nothing that must survive the machine, and a crash of the server alone (`LocalServer.crash`)
loses nothing either way. A server does not outlive the program that started it, however that one ends.
"""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy import URL, make_url

from data.errors import ServerNotInstalledError

BUNDLE = Path("/opt/alphec-street/timescaledb")
"""Where ``infrastructure/deploy/install-timescaledb.sh`` puts PostgreSQL with TimescaleDB."""

_START_SECONDS = 60
_WATCH = 'cat; "$1" stop --silent --wait --mode immediate --pgdata "$2/data"; rm -rf -- "$2"'
_SETTINGS = {
    "shared_buffers": "256MB",
    "work_mem": "32MB",
    "maintenance_work_mem": "128MB",
    "max_wal_size": "4GB",
    "max_connections": "60",
    "max_worker_processes": "16",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "autovacuum": "on",
    "timescaledb.telemetry_level": "off",
}


def find_programs(*, timescale: bool) -> Path | None:
    """Return the folder of ``initdb`` and ``postgres``, or None where no fitting server is installed.

    A server with TimescaleDB is looked for in `BUNDLE`, among Debian's versions and on the search path; for
    plain PostgreSQL the one on the search path comes first.
    """
    versions = [*BUNDLE.glob("usr/lib/postgresql/*/bin"), *Path("/usr/lib/postgresql").glob("*/bin")]
    folders = [folder for folder in versions if (folder / "initdb").exists()]
    on_path = [Path(found).resolve().parent for found in (shutil.which("initdb"),) if found is not None]
    if timescale:
        return next((folder for folder in [*folders, *on_path] if _has_timescale(folder)), None)
    return next(iter([*on_path, *reversed(folders)]), None)


class DatabaseServer:
    """A PostgreSQL server on which a test may make and remove databases as it likes.

    Parameters
    ----------
    address
        Of the server, for its superuser; the database that it names is only connected to.
    timescale
        Make TimescaleDB's extension in new databases.
    """

    whole = True
    """Whether it copies databases, takes COPY and serves sessions side by side, as PostgreSQL does."""

    def __init__(self, address: URL, *, timescale: bool) -> None:
        self.address = address
        self.timescale = timescale

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address of a database as `data.database.Database` takes it."""
        return self._address("postgresql+psycopg", database, user)

    def conninfo(self, database: str = "postgres", user: str = "postgres") -> str:
        """Return the address of a database as psycopg and ADBC take it."""
        return self._address("postgresql", database, user)

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database, in place of one of that name; return its URL.

        Parameters
        ----------
        name
            Its name.
        template
            Database to copy (see `freeze`); None makes an empty one.
        """
        self.drop_database(name)
        statement = sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name))
        if template is not None:
            statement += sql.SQL(" TEMPLATE {}").format(sql.Identifier(template))
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(statement)
        if self.timescale and template is None:
            with psycopg.connect(self.conninfo(name), autocommit=True) as connection:
                connection.execute("CREATE EXTENSION timescaledb")
        return self.url(name)

    def freeze(self, name: str) -> None:
        """Let a database only be copied from now on: any session in it, TimescaleDB's too, is in the way."""
        statement = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS false").format(sql.Identifier(name))
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(statement)
            connection.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", [name]
            )

    def drop_database(self, name: str) -> None:
        """Remove a database, ending its sessions."""
        statement = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(statement)

    def place(self, database: str) -> URL:
        """Return the address of a database for the superuser."""
        return self.address.set(database=database)

    def _address(self, driver: str, database: str, user: str) -> str:
        url = self.place(database).set(drivername=driver, username=user)
        # libpq takes a space in an address only in this form; SQLAlchemy reads both and writes the other.
        return url.render_as_string(hide_password=False).replace(" ", "%20")


class RunningServer(DatabaseServer):
    """A server that somebody else runs, such as a container; only what is made here is ever removed.

    Parameters
    ----------
    address
        For its superuser, such as ``postgresql://postgres:…@127.0.0.1:5432/postgres``.
    """

    def __init__(self, address: str) -> None:
        super().__init__(make_url(address), timescale=True)
        self._made: set[str] = set()

    def create_database(self, name: str, template: str | None = None) -> str:
        """Make a database; one of that name that was not made here is left alone and an error."""
        url = super().create_database(name, template)
        self._made.add(name)
        return url

    def drop_database(self, name: str) -> None:
        """Remove a database, if it was made here."""
        if name in self._made:
            super().drop_database(name)
            self._made.remove(name)

    def close(self) -> None:
        """Remove all that was made here."""
        for name in sorted(self._made):
            self.drop_database(name)


class LocalServer(DatabaseServer):
    """A cluster of its own; see `local_server`, which makes and removes it.

    Parameters
    ----------
    folder
        Empty folder for the cluster, its socket and its log.
    programs
        Folder of ``initdb``, ``postgres`` and ``pg_ctl``.
    timescale
        Load TimescaleDB, and make its extension in new databases.
    settings
        Lines of ``postgresql.conf`` beyond the usual ones.
    """

    def __init__(
        self, folder: Path, programs: Path, *, timescale: bool, settings: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder
        self.programs = programs
        self.port = _free_port()
        address = URL.create("postgresql", "postgres", host="127.0.0.1", port=self.port)
        super().__init__(address, timescale=timescale)
        self._user = _unprivileged()
        self._settings = {**_SETTINGS, **(settings or {})}

    def create(self) -> None:
        """Make the cluster's files."""
        if self._user is not None:
            os.chown(self.folder, self._user.pw_uid, self._user.pw_gid)
        self._run(
            "initdb", "--pgdata", str(self.data), "--username", "postgres", "--auth", "trust",
            "--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync", "--no-instructions",
        )  # fmt: skip
        lines = {
            **self._settings,
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
        }
        if self.timescale:
            lines["shared_preload_libraries"] = "timescaledb"
        text = "".join(f"{name} = '{value}'\n" for name, value in lines.items())
        with (self.data / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write(text)

    @property
    def data(self) -> Path:
        """Folder of the cluster's files."""
        return self.folder / "data"

    @property
    def postmaster(self) -> int:
        """Process of the running server; the others are its children."""
        return int((self.data / "postmaster.pid").read_text(encoding="ascii").split()[0])

    def start(self) -> None:
        """Start it and wait until it takes connections."""
        self._run(
            "pg_ctl", "start", "--wait", "--silent", "--timeout", str(_START_SECONDS),
            "--pgdata", str(self.data), "--log", str(self.folder / "server.log"),
        )  # fmt: skip

    def stop(self, mode: str = "fast") -> None:
        """Stop it: ``fast`` ends sessions and writes a checkpoint, ``immediate`` is a crash."""
        self._run("pg_ctl", "stop", "--wait", "--silent", "--mode", mode, "--pgdata", str(self.data))

    def crash(self) -> None:
        """Stop it without a checkpoint; the next start recovers from the write-ahead log."""
        self.stop("immediate")

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Stop the server and remove its folder at the end of the block or of this program.

        A process of its own waits for the end of a pipe, which comes also where nothing else runs any more:
        this program may be killed.
        """
        watch = subprocess.Popen(
            ["/bin/sh", "-c", _WATCH, "sh", str(self.programs / "pg_ctl"), str(self.folder)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd="/",
            start_new_session=True, env=self._environment(), **self._identity(),
        )  # fmt: skip
        with watch:  # its end closes the pipe and waits
            yield

    def _environment(self) -> dict[str, str]:
        return {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "TZ": "UTC", "HOME": str(self.folder)}

    def _identity(self) -> dict[str, Any]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _run(self, program: str, *arguments: str) -> None:
        # Without pipes: the server inherits them from pg_ctl, and reading to their end would wait for it.
        log = self.folder / "programs.log"
        with log.open("ab") as output:
            done = subprocess.run(
                [str(self.programs / program), *arguments],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False, cwd=self.folder,
                env=self._environment(), **self._identity(),
            )  # fmt: skip
        if done.returncode:
            said = log.read_text(encoding="utf-8", errors="replace")[-1500:]
            raise RuntimeError(f"{program} left with {done.returncode}: {said}")


@contextmanager
def local_server(
    *,
    timescale: bool = False,
    fsync: bool = False,
    programs: Path | None = None,
    settings: Mapping[str, str] | None = None,
) -> Iterator[LocalServer]:
    """Run a cluster of its own for the duration of a block; afterwards nothing of it is left.

    Parameters
    ----------
    timescale
        With the extension TimescaleDB loaded.
    fsync
        Write through to the disk as a production server does: for benchmarks. Off for tests.
    programs
        Folder of ``initdb`` and ``postgres``; None looks for one.
    settings
        Further lines of ``postgresql.conf``.

    Raises
    ------
    ServerNotInstalledError
        If this machine has no such server.
    """
    found = programs or find_programs(timescale=timescale)
    if found is None:
        what = "PostgreSQL with TimescaleDB" if timescale else "PostgreSQL"
        raise ServerNotInstalledError(
            f"{what} is not installed; run infrastructure/deploy/install-test-servers.sh as root"
        )
    durability = dict.fromkeys(("fsync", "full_page_writes"), "on" if fsync else "off")
    durability["synchronous_commit"] = "on" if fsync else "off"
    with tempfile.TemporaryDirectory(prefix="alphec-pg-", ignore_cleanup_errors=True) as name:
        server = LocalServer(
            Path(name), found, timescale=timescale, settings=durability | dict(settings or {})
        )
        server.create()
        with server.watched():
            server.start()
            yield server


def _has_timescale(programs: Path) -> bool:
    beside = programs.parent / "share"
    shares = [beside, beside / "postgresql", beside / "pgsql", *beside.glob("postgresql@*")]
    if programs.match("lib/postgresql/*/bin"):  # Debian
        shares.append(programs.parents[3] / "share" / "postgresql" / programs.parent.name)
    return any((share / "extension" / "timescaledb.control").exists() for share in shares)


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def _unprivileged() -> pwd.struct_passwd | None:
    """Return the user to run as: PostgreSQL refuses to run as root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
