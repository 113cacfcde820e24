"""The database: SQLite by path or PostgreSQL by URL, migrated by code, with errors that name the remedy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import alembic.command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker

from data.errors import DatabaseUnavailableError

DRIVERS = ("sqlite", "postgresql+psycopg")
_MIGRATIONS = Path(__file__).parent / "migrations"


class Database:
    """An engine and its sessions.

    Parameters
    ----------
    url
        ``sqlite:///path/to/file.db`` or ``postgresql+psycopg://user@host/name``. Nothing is opened
        until it is used.

    Raises
    ------
    DatabaseUnavailableError
        If the URL is malformed or names another kind of database. A password is never part of a message.
    """

    def __init__(self, url: str) -> None:
        self.url = _parse(url)
        try:
            self.engine = create_engine(self.url)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise DatabaseUnavailableError(
                f"database {self}: {type(error).__name__}; check the URL"
            ) from error
        if self.url.drivername == "sqlite":
            event.listen(self.engine, "connect", _set_pragmas)
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)

    def __repr__(self) -> str:
        return f"Database({str(self)!r})"

    def upgrade(self, revision: str = "head") -> None:
        """Create or migrate the tables; doing it again changes nothing.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be opened, or was migrated by a newer version of this program.
        """
        self._make_folder()
        config = Config()
        config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
        with self._explained(), self.engine.begin() as connection:
            config.attributes["connection"] = connection
            alembic.command.upgrade(config, revision)

    @contextmanager
    def session(self) -> Iterator[Session]:
        """Open a session in one transaction: committed at the end, rolled back if the block raises.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be reached, or its tables are missing.
        """
        with self._explained(), self._sessions.begin() as session:
            yield session

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _make_folder(self) -> None:
        path = self.url.database
        if self.url.drivername != "sqlite" or path in (None, "", ":memory:"):
            return
        try:
            Path(str(path)).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DatabaseUnavailableError(
                f"database {self}: its folder cannot be made: {error.strerror}; name a folder you may write"
            ) from error

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except CommandError as error:
            raise DatabaseUnavailableError(
                f"database {self}: {error}; it was made by another version of this program"
            ) from error
        except DBAPIError as error:
            if not isinstance(error, OperationalError) and "not a database" not in str(error.orig):
                raise
            reason = str(error.orig).splitlines()[0] if str(error.orig) else type(error.orig).__name__
            raise DatabaseUnavailableError(f"database {self}: {reason}; {_remedy(reason)}") from error


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise DatabaseUnavailableError(
            "the database URL cannot be read; write sqlite:///path/to/file.db or "
            "postgresql+psycopg://user@host/name"
        ) from error
    if parsed.drivername not in DRIVERS:
        raise DatabaseUnavailableError(
            f"database {parsed.render_as_string(hide_password=True)}: {parsed.drivername!r} is not offered; "
            f"use {' or '.join(DRIVERS)}"
        )
    return parsed


def _remedy(reason: str) -> str:
    if "not a database" in reason or "malformed" in reason:
        return "the file is something else or damaged: move it away and run again, the journal rebuilds it"
    if "no such table" in reason or "no such column" in reason:
        return "migrate it first: trade live does so when it starts"
    if "locked" in reason:
        return "another program holds it: stop that one and try again"
    return "check the URL, the folder and its permissions, or whether the server runs"


def _set_pragmas(connection: Any, _record: Any) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "busy_timeout=5000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
