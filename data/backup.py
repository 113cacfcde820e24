"""Back up a database as a folder, and restore it on any server, equal to the last digit.

1. A backup reads every table in one snapshot, in the order of its key, a batch at a time.
2. Each table becomes a Parquet file of plain values: money as text, moments as nanoseconds, JSON as canonical
   text. ``manifest.json`` names the revision of the tables, and for each the rows and a checksum.
3. The folder gets its name when it is whole; an interrupted backup leaves nothing.
4. A restore takes an empty database to the backup's revision, adds every row, reads all of it back and
   compares the checksums, in one transaction; then it migrates to this program's revision.

The values do not depend on the server: what was backed up from SQLite can be restored on TimescaleDB.
"""

from __future__ import annotations

import errno
import hashlib
import json
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from data.backup_values import Column, columns_of, literal, selected
from data.database import Database, known_revisions
from data.errors import BackupError, SchemaError
from data.schema import Base

FORMAT = 1
MANIFEST = "manifest.json"
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}", re.ASCII)
BATCH = 50_000
"""Rows of one batch; checksums are taken over batches of this size."""

Progress = Callable[[str, int], None]
Batch = list[tuple[Any, ...]]


def backup(
    database: Database, folder: Path, progress: Progress = lambda _table, _rows: None
) -> dict[str, Any]:
    """Write every table of a database into a new folder.

    Parameters
    ----------
    database
        A database at a revision that this program knows.
    folder
        Folder to make; it must not exist.
    progress
        Told the table and the rows written with each batch.

    Returns
    -------
    dict
        The manifest: ``revision``, and for each of ``tables`` its rows and checksum.

    Raises
    ------
    BackupError
        If the folder exists or cannot be written.
    SchemaError
        If the database has other tables than this program's.
    DatabaseUnavailableError
        If the database cannot be read.
    """
    if folder.exists():
        raise BackupError(f"backup {folder}: it exists; name a folder that does not")
    revision = database.revision()
    if revision is None or revision != known_revisions()[-1]:
        raise SchemaError(f"database {database}: revision {revision}; run trade db upgrade, then back it up")
    half = folder.with_name(folder.name + ".part")
    shutil.rmtree(half, ignore_errors=True)
    manifest: dict[str, Any] = {"format": FORMAT, "revision": revision, "batch": BATCH, "tables": {}}
    try:
        half.mkdir(parents=True)
        with database.connection(isolation="REPEATABLE READ") as connection:
            for name in sorted(Base.metadata.tables):
                columns = columns_of(Base.metadata.tables[name])
                manifest["tables"][name] = _write(connection, name, columns, half, progress)
        (half / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True), encoding="utf-8")
        half.rename(folder)
    except OSError as error:
        reason = str(error.strerror or error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full: free some space and run the same command again"
        raise BackupError(f"backup {folder}: {reason}; nothing was kept") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return manifest


def restore(
    database: Database, folder: Path, progress: Progress = lambda _table, _rows: None
) -> dict[str, Any]:
    """Fill an empty database from a backup and prove it equal.

    Returns
    -------
    dict
        The manifest of the backup.

    Raises
    ------
    BackupError
        If the folder is no whole backup, the database holds rows, or what was read back differs.
    SchemaError
        If the backup was made by a newer program.
    DatabaseUnavailableError
        If the database cannot be written.
    """
    manifest = read_manifest(folder)
    at, known = database.revision(), known_revisions()
    if at is not None and at not in known[: known.index(manifest["revision"]) + 1]:
        _require_empty(database)
        database.downgrade(manifest["revision"])
    elif at is not None:
        _require_empty(database)
    database.upgrade(manifest["revision"])
    with database.connection() as connection:
        for name, told in sorted(manifest["tables"].items()):
            columns = [Column(**column) for column in told["columns"]]
            _add(connection, name, columns, folder, progress)
            found = _checksum(_batches(connection, name, columns), columns)
            if found != told["sha256"]:
                raise BackupError(
                    f"restore of {folder}: {name} does not read back as it was written; the database was "
                    "left empty. The backup is damaged, or something else writes to the database"
                )
        _reset_sequences(connection)
    database.upgrade()
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a backup.

    Raises
    ------
    BackupError
        If there is none, or it is not readable.
    SchemaError
        If a newer program made it.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackupError(f"backup {folder}: no readable {MANIFEST}; it is not a whole backup") from error
    if manifest.get("format") != FORMAT or manifest.get("revision") not in known_revisions():
        raise SchemaError(
            f"backup {folder}: format {manifest.get('format')}, revision {manifest.get('revision')}: made by "
            "a newer version of this program; restore it with that one"
        )
    for name, told in manifest["tables"].items():
        # They become part of statements, and a backup may come from anywhere.
        for word in (name, *(column["name"] for column in told["columns"])):
            if not _NAME.fullmatch(word):
                raise BackupError(
                    f"backup {folder}: {MANIFEST} names {word!r}, which is no name of a table or column"
                )
    return manifest


def checksums(database: Database) -> dict[str, str]:
    """Return a checksum of the values of each table, the same for equal tables on any server.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be read.
    """
    with database.connection(isolation="REPEATABLE READ") as connection:
        return {
            name: _checksum(_batches(connection, name, columns), columns)
            for name, columns in ((n, columns_of(t)) for n, t in sorted(Base.metadata.tables.items()))
        }


def _write(
    connection: Connection, name: str, columns: list[Column], folder: Path, progress: Progress
) -> dict[str, Any]:
    schema = pa.schema([(column.name, column.arrow) for column in columns])
    digest, rows = _digest(columns), 0
    with pq.ParquetWriter(folder / f"{name}.parquet", schema, compression="zstd") as writer:
        for batch in _batches(connection, name, columns):
            arrays = [
                pa.array(values, column.arrow)
                for values, column in zip(zip(*batch, strict=True), columns, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            _feed(digest, batch)
            rows += len(batch)
            progress(name, len(batch))
    described = [{"name": c.name, "kind": c.kind, "key": c.key} for c in columns]
    return {"rows": rows, "sha256": digest.hexdigest(), "columns": described}


def _batches(connection: Connection, name: str, columns: list[Column]) -> Iterator[Batch]:
    """Yield the rows of a table as plain values, by its key, `BATCH` at a time."""
    query = text(selected(name, columns, connection.dialect.name)).execution_options(stream_results=True)
    result = connection.execute(query)
    for part in result.yield_per(BATCH).partitions(BATCH):
        yield [tuple(column.plain(value) for column, value in zip(columns, row, strict=True)) for row in part]


def _add(connection: Connection, name: str, columns: list[Column], folder: Path, progress: Progress) -> None:
    names = ", ".join(f'"{column.name}"' for column in columns)
    values = ", ".join(literal(column, connection.dialect.name) for column in columns)
    statement = text(f"INSERT INTO {name} ({names}) VALUES ({values})")  # noqa: S608  # names of the manifest
    try:
        with pq.ParquetFile(folder / f"{name}.parquet") as file:
            for batch in file.iter_batches(batch_size=BATCH):
                connection.execute(statement, batch.to_pylist())
                progress(name, len(batch))
    except (OSError, pa.ArrowException) as error:
        raise BackupError(
            f"restore of {folder}: {name}.parquet cannot be read: {str(error).splitlines()[0]}; "
            "the database was left empty"
        ) from error


def _checksum(batches: Iterator[Batch], columns: list[Column]) -> str:
    digest = _digest(columns)
    for batch in batches:
        _feed(digest, batch)
    return str(digest.hexdigest())


def _digest(columns: list[Column]) -> Any:
    return hashlib.sha256(json.dumps([[column.name, column.kind] for column in columns]).encode())


def _feed(digest: Any, batch: Batch) -> None:
    # `repr` of text, whole numbers, floats, truth values and None is exact and the same everywhere.
    digest.update(repr(batch).encode())


def _require_empty(database: Database) -> None:
    with database.connection() as connection:
        dialect = connection.dialect
        present = set(dialect.get_table_names(connection))
        for name in sorted(present & set(Base.metadata.tables)):
            if connection.scalar(text(f"SELECT 1 FROM {name} LIMIT 1")):  # noqa: S608  # names of ours
                raise BackupError(
                    f"database {database}: {name} holds rows; a backup is restored into an empty database"
                )


def _reset_sequences(connection: Connection) -> None:
    """Let numbers that the server gives out go on after the restored ones."""
    if connection.dialect.name != "sqlite":
        connection.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('bar_changes', 'change_id'), "
                "(SELECT coalesce(max(change_id), 0) + 1 FROM bar_changes), false)"
            )
        )
