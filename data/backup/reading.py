"""Restore a backup on any server, equal to the last digit, with the aggregates of its bars.

1. The files are compared with their checksums before anything is touched.
2. An empty database goes to the backup's revision; every row is added, all of it is read back and compared
   by checksum, and the minutes are noted as changed: all in one transaction.
3. It is migrated to this program's revision.
4. The aggregates are made from the minutes, as after any load: they are in no backup.

Stopped after the second step, the same call finds the rows to be the backup's and does the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from data.aggregation import refresh
from data.backup.values import Column, literal
from data.backup.writing import BATCH, Batch, Progress, batches, checksum, read_manifest
from data.database import Database
from data.errors import BackupError
from data.revisions import known_revisions
from data.schema import Base
from data.schema.aggregates import note_everything

FOLLOWING: Final = frozenset(("bar_changes", "exchange_sessions", "session_slots"))
"""Tables that follow from the others: a refresh of the aggregates completes them."""
_MINUTES: Final = "bars_1m"
_MOST_BYTES: Final = 4 << 30
"""Of `BATCH` rows unpacked."""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    rows: int
    sha256: str
    file: str | None
    columns: list[Column]


def restore(
    database: Database, folder: Path, progress: Progress = lambda _what, _rows: None
) -> dict[str, Any]:
    """Fill an empty database from a backup, prove it equal, and make the aggregates of its bars.

    Called again, it finishes what was interrupted.

    Parameters
    ----------
    database
        A database without rows, or with just those of the backup.
    folder
        The backup.
    progress
        Told what is done and with how many rows, `rows_to_do` in all.

    Returns
    -------
    dict
        The manifest of the backup.

    Raises
    ------
    BackupError
        If the folder is no whole backup, the database holds other rows, or what was read back differs.
    SchemaError
        If the backup was made by a newer program.
    CalendarError
        If an instrument names a calendar that its daily bars cannot be cut by; all rows are there.
    DatabaseUnavailableError
        If the database cannot be written.
    """
    manifest = read_manifest(folder)
    tables = [
        _Table(name, told["rows"], told["sha256"], told.get("file"), [Column(**c) for c in told["columns"]])
        for name, told in sorted(manifest["tables"].items())
    ]
    for table in tables:
        _require_whole(folder, table)
    at, known = database.revision(), known_revisions()
    held = "" if at is None else _first_with_rows(database)
    if not held:
        if at is not None and at not in known[: known.index(manifest["revision"]) + 1]:
            database.downgrade(manifest["revision"])
        database.upgrade(manifest["revision"])
        _fill(database, folder, tables, progress)
    elif not _holds(database, tables, progress):
        raise BackupError(
            f"database {database}: {held} holds rows that are not the backup's; a backup is restored into an "
            "empty database"
        )
    database.upgrade()
    _aggregate(database, progress)
    return manifest


def rows_to_do(manifest: dict[str, Any]) -> int:
    """Return how many rows a restore tells of: each is written and read back, minutes are aggregated."""
    rows: dict[str, int] = {name: told["rows"] for name, told in manifest["tables"].items()}
    return 2 * sum(rows.values()) + rows.get(_MINUTES, 0)


def _require_whole(folder: Path, table: _Table) -> None:
    """Refuse a file that is not as it was written, or whose rows do not fit into memory by the batch."""
    path = folder / f"{table.name}.parquet"
    try:
        with path.open("rb") as file:
            whole = table.file in (None, hashlib.file_digest(file, "sha256").hexdigest())
        found = pq.read_metadata(path) if whole else None
    except (OSError, pa.ArrowException) as error:
        raise BackupError(
            f"restore of {folder}: {path.name} cannot be read: {str(error).splitlines()[0]}; "
            "nothing was touched"
        ) from error
    if found is None or found.num_rows != table.rows:
        raise BackupError(
            f"restore of {folder}: {path.name} is not as it was written; nothing was touched: restore "
            "another copy of the backup"
        )
    most = max((found.row_group(n).total_byte_size for n in range(found.num_row_groups)), default=0)
    if most > _MOST_BYTES:
        raise BackupError(
            f"restore of {folder}: {path.name} unpacks to {most} bytes at a time, {_MOST_BYTES} at most; "
            "no backup of this program does: nothing was touched"
        )


def _fill(database: Database, folder: Path, tables: list[_Table], progress: Progress) -> None:
    with database.connection() as connection:
        for table in tables:
            _add(connection, table, folder, progress)
            if _read_back(connection, table, progress) != table.sha256:
                raise BackupError(
                    f"restore of {folder}: {table.name} does not read back as it was written; the database "
                    "was left empty. The backup is damaged, or something else writes to the database"
                )
        _reset_sequences(connection)
        if any(table.name == _MINUTES for table in tables):
            note_everything(connection)


def _add(connection: Connection, table: _Table, folder: Path, progress: Progress) -> None:
    names = ", ".join(f'"{column.name}"' for column in table.columns)
    values = ", ".join(literal(column, connection.dialect.name) for column in table.columns)
    statement = text(f"INSERT INTO {table.name} ({names}) VALUES ({values})")  # noqa: S608  # names of the manifest
    try:
        with pq.ParquetFile(folder / f"{table.name}.parquet") as file:
            for batch in file.iter_batches(batch_size=BATCH):
                connection.execute(statement, batch.to_pylist())
                progress(table.name, len(batch))
    except (OSError, pa.ArrowException, ValueError) as error:
        raise BackupError(
            f"restore of {folder}: {table.name}.parquet cannot be read: {str(error).splitlines()[0]}; "
            "the database was left empty"
        ) from error


def _read_back(connection: Connection, table: _Table, progress: Progress) -> str:
    def told() -> Iterator[Batch]:
        for batch in batches(connection, table.name, table.columns):
            progress(f"{table.name} read back", len(batch))
            yield batch

    return checksum(told(), table.columns)


def _reset_sequences(connection: Connection) -> None:
    """Let numbers that the server gives out go on after the restored ones."""
    if connection.dialect.name != "sqlite":
        connection.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('bar_changes', 'change_id'), "
                "(SELECT coalesce(max(change_id), 0) + 1 FROM bar_changes), false)"
            )
        )


def _first_with_rows(database: Database) -> str:
    """Return the name of a table that holds rows; empty if none does."""
    with database.connection() as connection:
        present = set(connection.dialect.get_table_names(connection)) & set(Base.metadata.tables)
        some = (name for name in sorted(present) if connection.scalar(text(f"SELECT 1 FROM {name} LIMIT 1")))  # noqa: S608  # names of ours
        return next(some, "")


def _holds(database: Database, tables: list[_Table], progress: Progress) -> bool:
    """Return whether a database holds the rows of a backup, and no others."""
    with database.connection() as connection:
        present = set(connection.dialect.get_table_names(connection)) & set(Base.metadata.tables) - FOLLOWING
        own = [table for table in tables if table.name not in FOLLOWING]
        wanted = {table.name: table.rows for table in own}
        if not wanted.keys() <= present:
            return False
        if any(_count(connection, name) != wanted.get(name, 0) for name in sorted(present)):
            return False
        return all(_read_back(connection, table, progress) == table.sha256 for table in own)


def _count(connection: Connection, name: str) -> int:
    return int(connection.scalar(text(f"SELECT count(*) FROM {name}")) or 0)  # noqa: S608  # names of ours


def _aggregate(database: Database, progress: Progress) -> None:
    with database.connection() as connection:
        found = connection.execute(text(f"SELECT symbol, count(*) FROM {_MINUTES} GROUP BY symbol"))  # noqa: S608  # ours
        minutes = {str(symbol): int(count) for symbol, count in found}
    refresh(
        database, progress=lambda span: progress(f"aggregates of {span.symbol}", minutes.pop(span.symbol, 0))
    )
    progress("aggregates", sum(minutes.values()))
