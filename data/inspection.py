"""What a database is and whether it is sound: `status` tells, `check` verifies.

`check` asks, in order: are the tables those of this program; is the file whole (SQLite); does a number of a
journal stand for one row only; is the hash chain of the audit events unbroken; do the aggregates hold every
bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from alembic.autogenerate import compare_metadata
from sqlalchemy import Connection, text
from sqlalchemy.schema import SchemaItem

from data.database import Database
from data.revisions import known_revisions, migration_context, newest_revision
from data.schema import AuditEventRow, Base
from data.schema.aggregates import DERIVED, LEVELS
from data.schema.edition import Edition, ask
from data.schema.features import Feature, features
from execution.journal.chain import GENESIS, chain_hash

_BY_SEQ = ("orders", "order_events", "fills", "commissions", "signals")
_BATCH = 10_000


@dataclass(frozen=True, slots=True)
class Status:
    """What a database is.

    Attributes
    ----------
    revision, newest
        Revision of its tables (None without any), and the one that this program uses.
    state
        ``empty``, ``current``, ``behind`` (upgrade it) or ``newer`` (made by a newer program).
    pending
        Changes of bars that the aggregates do not hold yet.
    """

    database: str
    edition: Edition
    revision: str | None
    newest: str
    state: str
    features: tuple[Feature, ...]
    pending: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was verified; `problem` is empty if it is sound."""

    what: str
    detail: str
    problem: str = ""


def status(database: Database) -> Status:
    """Ask a database what it is, changing nothing.

    Raises
    ------
    DatabaseUnavailableError
        If it cannot be reached.
    """
    revision, newest = database.revision(), newest_revision()
    if revision is None:
        state = "empty"
    elif revision == newest:
        state = "current"
    else:
        state = "behind" if revision in known_revisions() else "newer"
    with database.connection() as connection:
        pending = 0
        if state == "current":
            pending = int(connection.scalar(text("SELECT count(*) FROM bar_changes")) or 0)
        return Status(
            str(database), ask(connection), revision, newest, state, tuple(features(connection)), pending
        )


def check(database: Database) -> list[Finding]:
    """Verify a database; findings with a problem say what is wrong.

    Raises
    ------
    DatabaseUnavailableError
        If it cannot be reached.
    """
    with database.connection(isolation="REPEATABLE READ") as connection:
        findings = [_schema(connection)]
        if connection.dialect.name == "sqlite":
            findings.append(_file(connection))
        if not findings[0].problem:
            findings += [_numbers(connection), _chain(connection), _aggregates(connection)]
            findings += [
                Finding(feature.name, feature.detail, feature.why)
                for feature in features(connection)
                if "trade db upgrade" in feature.why
            ]
    return findings


def _schema(connection: Connection) -> Finding:
    def ours(item: SchemaItem, name: str | None, kind: str, *_: Any) -> bool:  # noqa: ARG001  # alembic's signature
        return not (kind == "table" and name in (*DERIVED, "alembic_version"))

    context = migration_context(connection, include_object=ours, compare_type=True)
    at, newest = context.get_current_revision(), newest_revision()
    if at != newest:
        advice = "run trade db upgrade" if at is None or at in known_revisions() else "use the newer program"
        return Finding("schema", f"revision {at}", f"this program uses {newest}: {advice}")
    differences = compare_metadata(context, Base.metadata)
    return Finding("schema", f"revision {at}, as the models say", "; ".join(map(_difference, differences)))


def _difference(found: Any) -> str:
    """Say a difference that alembic found in a line."""
    if isinstance(found, list):
        return ", ".join(_difference(one) for one in found)
    kind, *rest = found
    names = [str(getattr(part, "name", part)) for part in rest if part is not None]
    return f"{str(kind).replace('_', ' ')} {'.'.join(names[:3])}"


def _file(connection: Connection) -> Finding:
    said = [str(row[0]) for row in connection.execute(text("PRAGMA integrity_check"))]
    return Finding("file", "every page readable", "" if said == ["ok"] else "; ".join(said[:3]))


def _numbers(connection: Connection) -> Finding:
    """Look for numbers that stand twice: a hypertable's key holds the time too, so the server lets them."""
    problems = []
    for table in _BY_SEQ:
        doubled = text(
            f"SELECT run_id, seq FROM {table} GROUP BY run_id, seq HAVING count(*) > 1 LIMIT 1"  # noqa: S608  # names of ours
        )
        problems += [f"{table}: event {seq} of run {run} twice" for run, seq in connection.execute(doubled)]
    doubled = text(
        "SELECT journal_id, seq FROM audit_events GROUP BY journal_id, seq HAVING count(*) > 1 LIMIT 1"
    )
    problems += [f"audit_events: event {seq} of {name} twice" for name, seq in connection.execute(doubled)]
    return Finding("numbers", "each event of a journal once", "; ".join(problems))


def _chain(connection: Connection) -> Finding:
    """Follow the hashes of each journal; its first row may follow events that were removed by age."""
    table = AuditEventRow.__table__
    query = table.select().order_by(table.c.journal_id, table.c.seq).execution_options(yield_per=_BATCH)
    journal: str | None = None
    head, seq, count = GENESIS, 0, 0
    with connection.execute(query) as rows:  # closed where it ends early: a server keeps a cursor open
        for row in rows:
            if row.journal_id != journal:
                journal, head, seq = row.journal_id, row.prev_hash, row.seq - 1
            if row.seq != seq + 1:
                problem = f"{journal}: event {seq + 1} is missing; trade db rebuild JOURNAL"
                return Finding("audit chain", f"{count} events", problem)
            said = chain_hash(head, row.seq, row.time_ns, row.kind, row.body)
            if row.prev_hash != head or row.hash != said:
                problem = f"{journal}: event {row.seq} was altered; trade db rebuild JOURNAL"
                return Finding("audit chain", f"{count} events", problem)
            head, seq, count = row.hash, row.seq, count + 1
    return Finding("audit chain", f"{count} events, unbroken")


def _aggregates(connection: Connection) -> Finding:
    waiting = int(connection.scalar(text("SELECT count(*) FROM bar_changes")) or 0)
    if waiting:
        return Finding("aggregates", f"{waiting} changes wait", "run trade db refresh")
    bars = int(connection.scalar(text("SELECT count(*) FROM bars_1m")) or 0)
    problems = []
    for level in LEVELS:
        held = int(connection.scalar(text(f"SELECT sum(bars) FROM {level.name}")) or 0)  # noqa: S608  # names of ours
        if held != bars:
            problems.append(f"{level.name} holds {held} of {bars} minutes; run trade db refresh --all")
    return Finding("aggregates", f"{bars} minutes in each of {len(LEVELS)} sizes", "; ".join(problems))
