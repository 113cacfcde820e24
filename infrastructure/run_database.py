"""The database of a run: the one that the settings name, or a file in the run's folder."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import Any

from data.database import Database
from data.errors import DatabaseUnavailableError
from data.projection.following import JournalFollower
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings


def project(journal_path: Path, run_id: str, settings: Settings, fallback: Path) -> None:
    """Bring the database up to the journal's end.

    Raises
    ------
    DatabaseUnavailableError
        If it cannot be opened or written; the journal is not affected.
    """
    with closing(follower(journal_path, run_id, settings, fallback)) as following:
        following.advance()


def follower(
    journal_path: Path, run_id: str, settings: Settings, fallback: Path, **options: Any
) -> JournalFollower:
    """Return what brings the configured database, or else a file, up to the journal; it opens nothing yet."""
    return JournalFollower(_database(settings, fallback), journal_path, run_id, **options)


def require_database(settings: Settings) -> None:
    """Open and migrate the configured database once, before a demo begins; a trader does not wait for it.

    Raises
    ------
    ConfigError
        As `check_url`.
    DatabaseUnavailableError
        If it cannot be opened; the message names the setting.
    """
    check_url(settings)
    if settings.database.url is None:
        return
    try:
        with closing(_database(settings)) as database:
            database.upgrade()
    except DatabaseUnavailableError as error:
        raise DatabaseUnavailableError(f"database.url: {error}") from error


def check_url(settings: Settings) -> None:
    """Refuse what cannot be the URL of a database, and open nothing.

    Raises
    ------
    ConfigError
        If it is malformed or of another kind of database; the message names the setting.
    """
    if settings.database.url is None:
        return
    try:
        _database(settings).close()
    except DatabaseUnavailableError as error:
        raise ConfigError(f"database.url: {error}") from error


def _database(settings: Settings, fallback: Path | None = None) -> Database:
    url = settings.database.url
    return Database(url.get_secret_value() if url else f"sqlite:///{fallback}")
