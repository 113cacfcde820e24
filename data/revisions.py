"""Revisions of the tables: which there are, which a database is at, and how one becomes another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text

_MIGRATIONS = Path(__file__).parent / "migrations"


def known_revisions() -> list[str]:
    """Return the revisions that this program knows, oldest first."""
    scripts = ScriptDirectory.from_config(migrations())
    return [script.revision for script in scripts.walk_revisions()][::-1]


def newest_revision() -> str:
    """Return the revision whose tables this program uses."""
    return known_revisions()[-1]


def lost_below(at: str, revision: str) -> list[str]:
    """Return the tables whose rows are removed on the way from a revision down to another, or ``base``."""
    scripts = ScriptDirectory.from_config(migrations()).iterate_revisions(at, revision)
    return sorted({name for script in scripts for name in getattr(script.module, "LOST", ())})


def migrations() -> Config:
    """Return where alembic finds the migrations."""
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    return config


def migration_context(connection: Connection, **options: Any) -> MigrationContext:
    """Return what alembic knows of the tables behind a connection."""
    known = {"version_table_schema": own_schema(connection), **options}
    return MigrationContext.configure(connection, opts=known)


def own_schema(connection: Connection) -> str | None:
    """Return the schema that tables are made in, None on SQLite: others of the search path are not ours."""
    if connection.dialect.name == "sqlite":
        return None
    found = connection.scalar(text("SELECT current_schema()"))
    return None if found is None else str(found)
