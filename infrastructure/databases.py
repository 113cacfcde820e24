"""Which database a command means: the server of the settings, a named file, or the house's own file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from data.database import Database
from infrastructure.errors import ConfigError
from infrastructure.settings import Settings

HOUSE_FILE = "data.db"
JOURNAL = "journal.db"


def database_of(
    settings: Settings, file: str | None = None, *, connect_timeout: int | None = None
) -> Database:
    """Return the database of the settings, or a SQLite file.

    Raises `ConfigError` if the file is the URL of a server, and what `Database` raises.

    Parameters
    ----------
    settings
        Their ``database.url`` is used unless a file is named; without both `HOUSE_FILE` in ``var_dir``.
    file
        A SQLite file, such as the ``trading.db`` of a run.
    connect_timeout
        Seconds within which a server has to take a connection.
    """
    if file is not None and "://" in file:
        raise ConfigError(
            "FILE names a SQLite file; a database by its URL is given as --set database.url=URL, or in the "
            "environment as ALPHEC_DATABASE__URL"
        )
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
    """Return how far each journal was projected, and what is wrong with it.

    What is behind is known of journals that lie here: beside a named file, or below ``var_dir``. The one
    beside the file is told even if nothing of it was projected.
    """
    from data.projection.following import projected

    near = Path(file).parent / JOURNAL if file else None
    here, problem = _journals_here(database, near, settings)
    reached = {one.journal_id: (one.run_id, one.last_seq, one.recorded_at) for one in projected(database)}
    own = [name for name, path in here.items() if path == near and name not in reached]
    rows = []
    for name in [*reached, *own]:
        run, last, recorded = reached.get(name, (None, 0, None))
        told = {"journal": name, "run": run, "event": last, "recorded": recorded and recorded.isoformat()}
        rows.append(told | _lag(here.get(name), last))
    if problem:
        unread = dict.fromkeys(("journal", "run", "event", "recorded", "behind", "seconds"))
        rows.append(unread | {"journal": str(near), "problem": problem})
    return rows


def _lag(path: Path | None, last: int) -> dict[str, Any]:
    from data.projection.events import behind

    if path is None:
        return {"behind": None, "seconds": None, "problem": None}
    lag, short = behind(path, last), None
    if lag.events < 0:
        short = f"{path} ends {-lag.events} events before that: it is an older copy"
    return {"behind": max(0, lag.events), "seconds": lag.seconds, "problem": short}


def _journals_here(
    database: Database, near: Path | None, settings: Settings
) -> tuple[dict[str, Path], str | None]:
    """Return the journals that lie here by name, of copies the longest, and why the near one is not read."""
    from data.errors import ProjectionError
    from data.projection.events import head_of
    from data.projection.following import identity
    from execution.errors import JournalError

    found: dict[str, tuple[int, Path]] = {}
    problem = None
    for path in [*([near] if near else []), *sorted(settings.var_dir.glob(f"*/*/{JOURNAL}"))]:
        if not path.is_file():
            continue
        try:
            name, head = identity(path, database), head_of(path)[0]
        except (JournalError, ProjectionError) as error:  # one of another database's, as a rule
            problem = str(error) if path == near else problem
            continue
        if name is not None and head > found.get(name, (0,))[0]:
            found[name] = head, path
    return {name: path for name, (_, path) in found.items()}, problem
