"""Adding and replacing rows by their key: one statement for many rows, on every database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from data.schema.base import Base

Row = dict[str, Any]


def add(session: Session, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows whose primary key is not there; those that are there stay as they are."""
    if rows:
        session.execute(_insert(session, model).on_conflict_do_nothing(), rows)


def upsert(session: Session, model: type[Base], rows: Sequence[Row]) -> None:
    """Insert rows, or replace those whose primary key is there: of these, the columns that the rows name."""
    if not rows:
        return
    table = model.__table__
    keys = [column.name for column in table.primary_key]
    statement = _insert(session, model)
    changed = {name: statement.excluded[name] for name in rows[0] if name not in keys}
    session.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def too_long(model: type[Base], row: Row) -> str | None:
    """Say which text of a row is longer than its column; None if all fit. SQLite would take any."""
    for column in model.__table__.columns:
        value, most = row.get(column.name), getattr(column.type, "length", None)
        if most is not None and isinstance(value, str) and len(value) > most:
            return f"{column.name} {value[:20]!r}... has {len(value)} letters, {most} at most"
    return None


def _insert(session: Session, model: type[Base]) -> Any:
    dialect = session.get_bind().dialect.name
    return (sqlite if dialect == "sqlite" else postgresql).insert(model)
