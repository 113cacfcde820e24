"""Events of the journals as a migration finds them: for rows of tables that are made after the events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

_BATCH = 5_000


def told(connection: sa.Connection, *kinds: str) -> Iterator[tuple[str, int, str, dict[str, Any]]]:
    """Yield run, number, kind and fields of the events of some kinds, each journal's in order.

    A ``run_started`` says to which run the events after it belong.
    """
    audit = sa.table("audit_events", *map(sa.column, ("journal_id", "seq", "kind", "body")))
    wanted = audit.c.kind.in_([*kinds, "run_started"])
    query = sa.select(audit).where(wanted).order_by(audit.c.journal_id, audit.c.seq)
    cursor = sa.text("SELECT run_id FROM projection_cursor WHERE journal_id = :journal ORDER BY last_seq")
    at, run = None, None
    for rows in connection.execute(query).partitions(_BATCH):
        for journal, seq, kind, body in rows:
            fields = json.loads(body)
            if journal != at:
                at, run = journal, connection.scalar(cursor, {"journal": journal})
            if kind == "run_started":
                run = fields["run_id"]
            elif run is not None:
                yield run, seq, kind, fields


def text(value: object) -> str | None:
    """Return a text of an event as servers take it; None for an empty one."""
    return str(value).replace("\0", "\ufffd").encode("utf-8", "replace").decode() if value else None
