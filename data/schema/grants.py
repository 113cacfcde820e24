"""What the roles of a server may do: the application adds to the record and cannot change it.

The roles are made by whoever runs the server (``infrastructure/deploy/init.sql``); where they do not exist,
nothing is granted and the owner of the tables does everything.
"""

from __future__ import annotations

from sqlalchemy import Connection, text

from data.schema.aggregates import DERIVED
from data.schema.base import Base

APPLICATION = "alphec_app"
"""Trades and loads bars: adds to the record, never changes or removes from it."""

READER = "alphec_read"
"""Reads, for people and dashboards."""

_VERSION = "alembic_version"


def append_only_tables() -> list[str]:
    """Return the tables whose rows the application may add and never change nor remove."""
    return sorted(name for name, table in Base.metadata.tables.items() if table.info.get("append_only"))


def roles(connection: Connection) -> list[str]:
    """Return which of the two roles this server has."""
    if connection.dialect.name == "sqlite":
        return []
    found = connection.execute(
        text("SELECT rolname FROM pg_roles WHERE rolname IN (:app, :reader) ORDER BY rolname"),
        {"app": APPLICATION, "reader": READER},
    )
    return list(found.scalars())


def grant(connection: Connection) -> None:
    """Give the roles exactly what they need, and take away what they had beyond that."""
    present = connection.execute(
        text(
            "SELECT relname FROM pg_class WHERE relnamespace = "
            "(SELECT oid FROM pg_namespace WHERE nspname = current_schema()) "
            "AND relkind IN ('r', 'p', 'v', 'm')"
        )
    ).scalars()
    append_only = set(append_only_tables())
    ours = {*Base.metadata.tables, *DERIVED, _VERSION}
    found = sorted(ours.intersection(present))
    schema = str(connection.scalar(text("SELECT quote_ident(current_schema())")))
    for role in roles(connection):
        connection.execute(text(f"GRANT USAGE ON SCHEMA {schema} TO {role}"))
        for name in found:
            connection.execute(text(f"REVOKE ALL ON {name} FROM {role}"))
            connection.execute(text(f"GRANT {_privileges(role, name, append_only)} ON {name} TO {role}"))
        if role == APPLICATION:
            connection.execute(text(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}"))


def _privileges(role: str, table: str, append_only: set[str]) -> str:
    if role == READER or table == _VERSION:
        return "SELECT"
    return "SELECT, INSERT" if table in append_only else "SELECT, INSERT, UPDATE, DELETE"
