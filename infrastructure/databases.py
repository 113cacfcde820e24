"""Which database a command means: the server of the settings, a named file, or the house's own file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from data.database import Database
from infrastructure.settings import Settings

HOUSE_FILE = "data.db"
JOURNAL = "journal.db"


def database_of(
    settings: Settings, file: str | None = None, *, connect_timeout: int | None = None
) -> Database:
    """Return the database of the settings, or a SQLite file.

    Parameters
    ----------
    settings
        Their ``database.url`` is used unless a file is named; without both `HOUSE_FILE` in ``var_dir``.
    file
        A SQLite file, such as the ``trading.db`` of a run.
    connect_timeout
        Seconds within which a server has to take a connection.
    """
    if file is not None:
        return Database(f"sqlite:///{Path(file)}")
    url = settings.database.url
    address = url.get_secret_value() if url else f"sqlite:///{settings.var_dir / HOUSE_FILE}"
    return Database(address, connect_timeout=connect_timeout)


@contextmanager
def known_database(settings: Settings, file: str | None = None) -> Iterator[Database]:
    """Open the database of the settings, or a file, for a block that reads or writes rows.

    Raises
    ------
    SchemaError, DatabaseUnavailableError
        If a newer version of this program made its tables, or it cannot be opened.
    """
    with closing(database_of(settings, file)) as database:
        database.require_known()
        yield database


def projections(database: Database, settings: Settings, file: str | None) -> list[dict[str, Any]]:
    """Return how far each journal was projected; what is behind is known of journals that lie here.

    Looked for beside a named file, and below ``var_dir``.
    """
    from data.projection.events import head_of
    from data.projection.following import identity, projected

    near = [Path(file).parent / JOURNAL] if file else []
    paths = [path for path in [*near, *settings.var_dir.glob(f"*/*/{JOURNAL}")] if path.is_file()]
    heads = {identity(path, database): head_of(path) for path in paths}
    rows = []
    for one in projected(database):
        head = heads.get(one.journal_id)
        rows.append(
            {
                "journal": one.journal_id,
                "run": one.run_id,
                "event": one.last_seq,
                "recorded": one.recorded_at.isoformat() if one.recorded_at is not None else None,
                "behind": None if head is None else max(0, head[0] - one.last_seq),
            }
        )
    return rows
