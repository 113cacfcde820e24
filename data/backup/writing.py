"""Back up a database as a folder, from which `data.backup.reading` makes it again on any server.

1. A backup reads every table in one snapshot, in the order of its key, a batch at a time.
2. Each table becomes a Parquet file of plain values: money as text, moments as nanoseconds, JSON as canonical
   text. ``manifest.json`` names the revision of the tables, and for each the rows, a checksum of its values
   and one of its file.
3. The folder gets its name when it is whole and on the disk; an interrupted backup leaves nothing. Only its
   owner may read it.

The values do not depend on the server: what was backed up from SQLite can be restored on TimescaleDB.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
from sqlalchemy import Connection, text

from data.backup.values import KINDS, Column, columns_of, selected
from data.database import Database
from data.errors import BackupError, SchemaError
from data.revisions import known_revisions, lost_below, newest_revision
from data.schema import Base

FORMAT = 1
MANIFEST = "manifest.json"
_DIGEST = "sha256"
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
        half.parent.mkdir(parents=True, exist_ok=True)
        half.mkdir(mode=0o700)
        with database.connection(isolation="REPEATABLE READ") as connection:
            for name in sorted(Base.metadata.tables):
                columns = columns_of(Base.metadata.tables[name])
                manifest["tables"][name] = _write(connection, name, columns, half, progress)
        with _new_file(half / MANIFEST) as file:
            file.write(written(manifest))
        half.rename(folder)
    except OSError as error:
        reason = str(error.strerror or error)
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            reason = "the disk is full: free some space and run the same command again"
        raise BackupError(f"backup {folder}: {reason}; nothing was kept") from error
    finally:
        shutil.rmtree(half, ignore_errors=True)
    return manifest


def written(manifest: dict[str, Any]) -> bytes:
    """Return a manifest as its file holds it, with a checksum of its own."""
    told = {name: value for name, value in manifest.items() if name != _DIGEST}
    return json.dumps(told | {_DIGEST: _digest_of(told)}, indent=1, sort_keys=True).encode()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a backup.

    Raises
    ------
    BackupError
        If there is none, it is not readable, or is not as it was written.
    SchemaError
        If a newer program made it.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackupError(f"backup {folder}: no readable {MANIFEST}; it is not a whole backup") from error
    damaged = BackupError(f"backup {folder}: {MANIFEST} is damaged; restore another backup")
    if not isinstance(manifest, dict):
        raise damaged
    told = {name: value for name, value in manifest.items() if name != _DIGEST}
    if manifest.get(_DIGEST, _digest_of(told)) != _digest_of(told):  # backups of before had none
        raise damaged
    if manifest.get("format") != FORMAT or manifest.get("revision") not in known_revisions():
        raise SchemaError(
            f"backup {folder}: format {manifest.get('format')}, revision {manifest.get('revision')}: made by "
            "a newer version of this program; restore it with that one"
        )
    try:
        _require_names(folder, manifest["tables"])
    except (KeyError, TypeError, AttributeError) as error:
        raise damaged from error
    return manifest


def _require_names(folder: Path, tables: dict[str, Any]) -> None:
    """Refuse names that are not those of tables: they become part of statements."""
    ours = {*Base.metadata.tables, *lost_below(newest_revision(), "base")}
    for name, told in tables.items():
        columns = [Column(**column) for column in told["columns"]]
        for word in (name, *(column.name for column in columns)):
            if not _NAME.fullmatch(word):
                raise BackupError(
                    f"backup {folder}: {MANIFEST} names {word!r}, which is no name of a table or column"
                )
        if name not in ours:
            raise BackupError(f"backup {folder}: {MANIFEST} names {name}, which is no table of this program")
        whole = isinstance(told["rows"], int) and isinstance(told["sha256"], str)
        if not whole or not {column.kind for column in columns} <= KINDS:
            raise TypeError(name)


def _digest_of(told: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


@contextmanager
def _new_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file that only its owner may read; it is on the disk at the end of the block."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        yield file
        file.flush()
        os.fsync(file.fileno())


def checksums(database: Database) -> dict[str, str]:
    """Return a checksum of the values of each table, the same for equal tables on any server.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be read.
    """
    with database.connection(isolation="REPEATABLE READ") as connection:
        return {
            name: checksum(batches(connection, name, columns), columns)
            for name, columns in ((n, columns_of(t)) for n, t in sorted(Base.metadata.tables.items()))
        }


def count_rows(database: Database) -> int:
    """Return how many rows a backup writes.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be read.
    """
    with database.connection() as connection:
        present = set(connection.dialect.get_table_names(connection)) & set(Base.metadata.tables)
        counts = (connection.scalar(text(f"SELECT count(*) FROM {name}")) for name in sorted(present))  # noqa: S608  # names of ours
        return sum(int(count or 0) for count in counts)


def _write(
    connection: Connection, name: str, columns: list[Column], folder: Path, progress: Progress
) -> dict[str, Any]:
    schema = pa.schema([(column.name, column.arrow) for column in columns])
    digest, rows = _digest(columns), 0
    with (
        _new_file(folder / f"{name}.parquet") as file,
        pq.ParquetWriter(file, schema, compression="zstd") as writer,
    ):
        for batch in batches(connection, name, columns):
            arrays = [
                pa.array(values, column.arrow)
                for values, column in zip(zip(*batch, strict=True), columns, strict=True)
            ]
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
            _feed(digest, batch)
            rows += len(batch)
            progress(name, len(batch))
    with (folder / f"{name}.parquet").open("rb") as stored:
        whole = hashlib.file_digest(stored, "sha256").hexdigest()
    described = [{"name": c.name, "kind": c.kind, "key": c.key} for c in columns]
    return {"rows": rows, "sha256": digest.hexdigest(), "file": whole, "columns": described}


def batches(connection: Connection, name: str, columns: list[Column]) -> Iterator[Batch]:
    """Yield the rows of a table as plain values, by its key, `BATCH` at a time."""
    query = text(selected(name, columns, connection.dialect.name)).execution_options(stream_results=True)
    result = connection.execute(query)
    for part in result.yield_per(BATCH).partitions(BATCH):
        yield [tuple(column.plain(value) for column, value in zip(columns, row, strict=True)) for row in part]


def checksum(rows: Iterator[Batch], columns: list[Column]) -> str:
    """Return the checksum of a table whose rows come in `batches`."""
    digest = _digest(columns)
    for batch in rows:
        _feed(digest, batch)
    return str(digest.hexdigest())


def _digest(columns: list[Column]) -> Any:
    return hashlib.sha256(json.dumps([[column.name, column.kind] for column in columns]).encode())


def _feed(digest: Any, batch: Batch) -> None:
    # `repr` of text, whole numbers, floats, truth values and None is exact and the same everywhere.
    digest.update(repr(batch).encode())
