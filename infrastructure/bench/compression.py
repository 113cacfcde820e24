"""What TimescaleDB's community edition saves by compressing bars, measured on bars of one's own.

Compression goes by chunk, so its ratio depends on how full the chunks are and on what prices look like: it is
measured, not quoted. `measure` loads folders of bars as `trade data import` does, compresses every chunk and
reads back: what is read afterwards must be what was read before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
import psycopg
from psycopg import sql

from data.database import Database
from data.files import load_bars
from data.stores import DatabaseBarStore
from data.testing import local_server

_LEARNT = pd.Timestamp("2024-01-02", tz="UTC")


def measure(
    folders: Sequence[Path], symbols: Sequence[str] | None, programs: Path, tell: Callable[[str], None]
) -> dict[str, float]:
    """Return rows, bytes and ratios of each table that the bars of the folders are kept in.

    Parameters
    ----------
    folders
        Folders of bars, each of one timeframe.
    symbols
        Those to load, where a folder has them; None takes every file.
    programs
        Folder of ``initdb`` and ``postgres`` with TimescaleDB's community edition.
    tell
        Told what is being done.

    Raises
    ------
    BarFileError
        If a folder's bars are unsound.
    RuntimeError
        If the server cannot compress, or a compressed table reads back differently.
    """
    figures: dict[str, float] = {}
    with local_server(timescale=True, programs=programs) as server:
        database = Database(server.create_database("bench"))
        with closing(database):
            database.upgrade()
            with psycopg.connect(server.conninfo("bench"), autocommit=True) as connection:
                if not possible(connection):
                    raise RuntimeError(f"{programs}: not the community edition, which alone compresses")
                # Else a policy compresses old chunks meanwhile.
                connection.execute(
                    "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
                )
            with closing(DatabaseBarStore(database)) as store:
                for folder in folders:
                    tell(f"load {folder}")
                    there = None if symbols is None else [s for s in symbols if any(folder.glob(f"{s}.*"))]
                    store.write(load_bars(folder, symbols=there, regular_hours=False), known_at=_LEARNT)
            with psycopg.connect(server.conninfo("bench"), autocommit=True) as connection:
                for table in ("bars_1m", "vendor_bars"):
                    tell(f"compress {table}")
                    before = _content(connection, table)
                    told = compress(connection, table)
                    if _content(connection, table) != before:
                        raise RuntimeError(f"{table}: compressed, it reads back differently")
                    figures |= {f"{table}_{name}": value for name, value in told.items()}
    return figures


def possible(connection: psycopg.Connection[Any]) -> bool:
    """Return whether a server compresses."""
    return connection.execute("SHOW timescaledb.license").fetchone() == ("timescale",)


def compress(connection: psycopg.Connection[Any], table: str) -> dict[str, float]:
    """Compress every chunk of a table; return its rows, and its bytes before and after.

    Bytes are those of rows, indexes and what lies beside them, empty chunks left out.
    """
    name = sql.Identifier(table)
    rows = connection.execute(sql.SQL("SELECT count(*) FROM {}").format(name)).fetchone()
    assert rows is not None  # noqa: S101  # an aggregate always answers
    if not rows[0]:
        return {"rows": 0.0}
    connection.execute(
        sql.SQL("SELECT compress_chunk(c, if_not_compressed => true) FROM show_chunks({}) c").format(
            sql.Literal(table)
        )
    )
    connection.execute("CHECKPOINT")
    found = connection.execute(
        "SELECT before_compression_total_bytes, after_compression_total_bytes, number_compressed_chunks "
        "FROM hypertable_compression_stats(%s)",
        [table],
    ).fetchone()
    assert found is not None  # noqa: S101  # one row a hypertable
    before, after, chunks = map(float, found)
    return {
        "rows": float(rows[0]),
        "chunks": chunks,
        "bytes_before": before,
        "bytes_compressed": after,
        "compressed_times_smaller": before / after,
    }


def _content(connection: psycopg.Connection[Any], table: str) -> object:
    """Return a digest of all rows of a table, in order."""
    query = sql.SQL("SELECT md5(string_agg(t::text, '|' ORDER BY t::text)) FROM {} t")
    return connection.execute(query.format(sql.Identifier(table))).fetchone()
