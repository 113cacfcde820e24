"""The database: SQLite by path or PostgreSQL by URL, migrated by code, with errors that name the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from sqlalchemy import URL, Connection, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, NoSuchModuleError
from sqlalchemy.orm import Session, sessionmaker

from data.driver_errors import explained, note_lost_connection
from data.errors import DatabaseUnavailableError, SchemaError
from data.revisions import known_revisions, lost_below, migration_context, migrations, newest_revision
from data.schema import features
from data.schema.edition import Edition, ask

DRIVERS = ("sqlite", "postgresql+psycopg")
_MIGRATION_LOCK = 0x616C70686563  # "alphec": one migration at a time on a server
_PATIENCE = {
    "connect_timeout": 10,
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
    "tcp_user_timeout": 60_000,
}
"""What the URL may say otherwise: a server that went away without a word is given up after a minute."""
_SECRETS = frozenset(("password", "passfile", "sslpassword"))
"""What may stand behind the ? of a URL and is nobody's business."""


class Database:
    """An engine and its sessions.

    Parameters
    ----------
    url
        ``sqlite:///path/to/file.db`` or ``postgresql+psycopg://user@host/name``. Nothing is opened
        until it is used.
    connect_timeout
        Seconds within which a server has to take a connection; None leaves it to the URL, else ten.

    Raises
    ------
    DatabaseUnavailableError
        If the URL is malformed or names another kind of database. A password is never part of a message.
    """

    def __init__(self, url: str, *, connect_timeout: int | None = None) -> None:
        self.url = _parse(url)
        patience: dict[str, int] = {}
        if self.url.drivername != "sqlite":
            patience = {name: value for name, value in _PATIENCE.items() if name not in self.url.query}
            patience |= {} if connect_timeout is None else {"connect_timeout": connect_timeout}
        try:
            self.engine = create_engine(self.url, connect_args=patience)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise DatabaseUnavailableError(
                f"database {self}: {type(error).__name__}; check the URL"
            ) from error
        if self.url.drivername == "sqlite":
            event.listen(self.engine, "connect", _set_pragmas)
        else:
            event.listen(self.engine, "connect", _set_formats)
            event.listen(self.engine, "handle_error", note_lost_connection)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    def __str__(self) -> str:
        return _shown(self.url)

    def __repr__(self) -> str:
        return f"Database({str(self)!r})"

    def upgrade(self, revision: str = "head") -> None:
        """Create or migrate the tables and give the server what it can do; again changes nothing.

        A migration is one transaction: interrupted, it leaves the tables as they were, and the same call
        does it again. A user that does not own the tables passes, if there is nothing to migrate.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be opened, or was migrated by a newer version of this program.
        """
        self._make_folder()
        with self.explained():
            before = self.revision()
            if before == newest_revision() and not self._owned():
                return
            self._migrate(alembic.command.upgrade, revision)
            if self.revision() == newest_revision():
                features.install(self.engine)

    def downgrade(self, revision: str) -> None:
        """Take migrations back, down to a revision or ``base``; what `losses` tells is gone.

        Raises
        ------
        DatabaseUnavailableError
            As `upgrade`.
        SchemaError
            If there is no such revision below the present one, or that is not known here.
        """
        self._require_below(revision)
        with self.explained():
            features.withdraw(self.engine)
            self._migrate(alembic.command.downgrade, revision)

    def losses(self, revision: str) -> dict[str, int]:
        """Return how many rows a downgrade would remove, by table; tables without rows are left out.

        Raises what `downgrade` raises.
        """
        at = self._require_below(revision)
        if at is None:
            return {}
        with self.connection() as connection:
            present = set(connection.dialect.get_table_names(connection))
            names = [name for name in lost_below(at, revision) if name in present]
            queries = {name: text(f"SELECT count(*) FROM {name}") for name in names}  # noqa: S608  # names of ours
            counts = {name: int(connection.scalar(query) or 0) for name, query in queries.items()}
        return {name: count for name, count in counts.items() if count}

    def _require_below(self, revision: str) -> str | None:
        """Return the present revision, if another lies below it."""
        self.require_known()
        at, known = self.revision(), known_revisions()
        if at is not None and revision not in ("base", *known[: known.index(at) + 1]):
            below = ", ".join(("base", *known[: known.index(at)]))
            raise SchemaError(f"database {self}: {revision!r} is not below {at}; choose one of {below}")
        return at

    def revision(self) -> str | None:
        """Return the revision of the tables, or None if there are none.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be opened.
        """
        if self._is_missing():
            return None
        with self.explained(), self.engine.connect() as connection:
            return migration_context(connection).get_current_revision()

    def require_known(self) -> None:
        """Refuse tables that a newer version of this program made: what their rows mean is not known here.

        Raises
        ------
        SchemaError
            Naming their revision.
        DatabaseUnavailableError
            If the database cannot be opened.
        """
        at = self.revision()
        if at is not None and at not in known_revisions():
            raise SchemaError(
                f"database {self}: revision {at} was made by a newer version of this program, which knows "
                f"{newest_revision()} at most, or by another program; use that one, or restore a backup "
                "into a database of its own"
            )

    def edition(self) -> Edition:
        """Ask the server what it is.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be opened.
        """
        with self.explained(), self.engine.connect() as connection:
            return ask(connection)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session in one transaction: committed at the end, rolled back if the block raises.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be reached, or its tables are missing.
        """
        self._require_file()
        with self.explained(), self._sessions.begin() as session:
            yield session

    def conninfo(self) -> str:
        """Return the address of a server as libpq takes it, password included: never print it."""
        written = self.url.set(drivername="postgresql").render_as_string(hide_password=False)
        return written.replace(" ", "%20")  # SQLAlchemy leaves a space in a name as it is

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def connection(self, *, isolation: str | None = None) -> Iterator[Connection]:
        """Open a connection in one transaction, for statements beside the models.

        Raises
        ------
        DatabaseUnavailableError
            As `session`.
        """
        self._require_file()
        with self.explained(), self.engine.connect() as connection:
            if isolation is not None and self.url.drivername != "sqlite":
                connection.execution_options(isolation_level=isolation)
            with connection.begin():
                yield connection

    def _owned(self) -> bool:
        if self.url.drivername == "sqlite":
            return True
        query = text(
            "SELECT pg_has_role(current_user, relowner, 'USAGE') FROM pg_class "
            "WHERE oid = to_regclass('runs')"
        )
        with self.engine.connect() as connection:
            return connection.scalar(query) is not False

    def _migrate(self, command: Callable[[Config, str], None], revision: str) -> None:
        """Run migrations in one transaction, one program at a time."""
        config = migrations()
        with self.engine.begin() as connection:
            if connection.dialect.name == "sqlite":
                # The driver begins no transaction before DDL; without one a crash leaves half a migration.
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.execute(text(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})"))
            config.attributes["connection"] = connection
            command(config, revision)

    def _file(self) -> Path | None:
        path = self.url.database
        in_memory = self.url.drivername != "sqlite" or path in (None, "", ":memory:")
        return None if in_memory else Path(str(path))

    def _is_missing(self) -> bool:
        file = self._file()
        return file is not None and not file.exists()

    def _require_file(self) -> None:
        """Refuse a file that is not there: SQLite would make an empty one that seems to hold nothing."""
        if self._is_missing():
            raise DatabaseUnavailableError(
                f"database {self}: no such file; check its name, or migrate it first: trade db upgrade"
            )

    def _make_folder(self) -> None:
        path = self._file()
        if path is None:
            return
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnavailableError(
                f"database {self}: its folder cannot be made: {error.strerror}; name a folder you may write"
            ) from error

    def explained(self) -> AbstractContextManager[None]:
        """Turn what the driver raises within a block into errors that name the remedy."""
        return explained(str(self))


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        raise DatabaseUnavailableError(
            "the database URL cannot be read; write sqlite:///path/to/file.db or "
            "postgresql+psycopg://user@host/name"
        ) from error
    if parsed.drivername not in DRIVERS:
        raise DatabaseUnavailableError(
            f"database {_shown(parsed)}: {parsed.drivername!r} is not offered; use {' or '.join(DRIVERS)}"
        )
    if parsed.password is not None and "@" in f"{parsed.host}{parsed.database}":
        # The password ended at its own @, and its rest would be shown as the server's name.
        raise DatabaseUnavailableError(
            "the database URL has more than one @; write one within the user or the password as %40"
        )
    return parsed


def _shown(url: URL) -> str:
    """Return a URL as messages show it."""
    query = {name: "***" if name in _SECRETS else value for name, value in url.query.items()}
    return url.set(query=query).render_as_string(hide_password=True)


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _set_formats(connection: Any, _record: Any) -> None:
    """Read and write moments and numbers alike, whatever is set for the server, the user or the database.

    And change compressed rows however many they are, as other rows: TimescaleDB stops at 100,000 by itself.
    """
    connection.autocommit = True
    connection.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET extra_float_digits = 3")
    connection.execute("SET timescaledb.max_tuples_decompressed_per_dml_transaction = 0")
    connection.autocommit = False
