"""Which store of bars a command means: a named one, the settings' database, or the house's folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from data.stores import BarStore, DatabaseBarStore, ParquetBarStore
from infrastructure.settings import Settings

HOUSE_FOLDER = "bars"


@contextmanager
def store_of(settings: Settings, named: str | None = None) -> Iterator[BarStore]:
    """Open a store of bars for a block.

    Parameters
    ----------
    settings
        Their ``database.url`` is used unless a store is named; without either it is the Parquet folder
        `HOUSE_FOLDER` in ``var_dir``.
    named
        A folder of Parquet files, or the URL of a database.

    Raises
    ------
    SchemaError, DatabaseUnavailableError
        If the database was made by a newer version of this program, or cannot be opened.
    """
    url = settings.database.url.get_secret_value() if settings.database.url and named is None else named
    if url is None or ("://" not in url and not url.startswith("sqlite:")):
        yield ParquetBarStore(Path(url) if url else settings.var_dir / HOUSE_FOLDER)
        return
    from data.database import Database

    with closing(Database(url)) as database, closing(DatabaseBarStore(database)) as store:
        database.require_known()
        yield store
