"""The journal's events as tables: exactly once, restartable, and always able to start again from nothing.

1. Read the cursor: the number of the last event projected, and the run under way there. One program projects
   a journal at a time; the rest wait for the transaction's lock.
2. Take the events after it, a batch at a time. A ``run_started`` says to which run the following belong.
3. Fold the batch into rows (`data.projection.fold`), with what is known of the run (`data.projection.book`).
4. Write rows and cursor in one transaction (`data.projection.bulk`). A crash leaves the old rows with the old
   cursor, and what is known is read again. Fills, commissions and the events themselves are only ever added.

So any split into batches gives the same tables, and so does `Projector.rebuild`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.orm import Session

from data.database import Database
from data.errors import ProjectionError
from data.projection.events import Event
from data.projection.fold import Fold
from data.schema import (
    AccountSnapshotRow,
    AdjustmentRow,
    AuditEventRow,
    CommissionRow,
    CursorRow,
    DailyPnlRow,
    FillRow,
    OrderEventRow,
    OrderRow,
    PositionHistoryRow,
    PositionRow,
    RiskMetricRow,
    RunRow,
    SignalRow,
    TradingSessionRow,
)
from data.writing import upsert
from execution.clocks import NANOS

__all__ = ["Event", "Lag", "Projector"]

BATCH = 5_000
"""Events in one transaction."""

_PROJECTED = (
    RunRow, TradingSessionRow, OrderRow, OrderEventRow, FillRow, CommissionRow, AdjustmentRow, PositionRow,
    PositionHistoryRow, AccountSnapshotRow, DailyPnlRow, SignalRow, RiskMetricRow,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the database is behind the journal.

    Attributes
    ----------
    events
        Events not projected yet.
    seconds
        From the recording of the last event projected to that of the journal's last; 0 if nothing is behind.
    """

    events: int
    seconds: float


class Projector:
    """Projects a journal into the database.

    Parameters
    ----------
    database
        A migrated database.
    journal_id
        Identity of the journal that the events come from; see `data.projection.following.identity`.
    run_id
        The run to which events before the first ``run_started`` belong.
    zone
        Time zone whose date is the trading day.
    batch
        Events in one transaction.
    """

    def __init__(
        self,
        database: Database,
        journal_id: str,
        run_id: str,
        *,
        zone: str = "America/New_York",
        batch: int = BATCH,
    ) -> None:
        self.database = database
        self.journal_id = journal_id
        self.run_id = run_id
        self._zone = ZoneInfo(zone)
        self._batch = batch
        self._fold: Fold | None = None

    def cursor(self) -> int:
        """Return the number of the last event projected, 0 if there is none: read the journal from there."""
        with self.database.session() as session:
            return self._position(session)[0]

    def lag(self, head: int, head_time_ns: int) -> Lag:
        """Return how far the database is behind a journal whose last event has this number and time."""
        with self.database.session() as session:
            last = self._position(session)[0]
            time_ns = session.scalar(
                select(AuditEventRow.time_ns)
                .where(AuditEventRow.journal_id == self.journal_id, AuditEventRow.seq == last)
                .limit(1)
            )
        if head <= last:
            return Lag(0, 0.0)
        return Lag(head - last, 0.0 if time_ns is None else max(0, head_time_ns - time_ns) / NANOS)

    def project(self, events: Iterable[Event]) -> int:
        """Apply the events after the cursor; those at or before it are skipped.

        Returns
        -------
        int
            How many events were taken beyond the cursor.

        Raises
        ------
        ProjectionError
            If an event lacks a field or goes back in number; its batch is rolled back.
        DatabaseUnavailableError
            If the database cannot be reached; nothing of the current batch is written.
        """
        stream = iter(events)
        taken = 0
        while batch := list(islice(stream, self._batch)):
            taken += self.project_batch(batch)
        return taken

    def project_batch(self, batch: Sequence[Event]) -> int:
        """Apply one batch in one transaction; see `project`."""
        fold, self._fold = self._fold, None  # kept only if the transaction is: it knows what was written
        with self.database.session() as session:
            self._lock(session)
            last, run_id = self._position(session)
            if fold is None or fold.last != last:
                fold = Fold(session, self.journal_id, run_id, self._zone, last)
            taken = self._project(session, fold, batch, last)
        self._fold = fold
        return taken

    def rebuild(self, events: Iterable[Event]) -> int:
        """Remove the rows and cursor of the journal's runs, then project the events from the beginning.

        Tables that hold nothing else are emptied at once. Rows beside those of other runs are deleted, and
        what is left of them is cleared away: a server would look at each again for the row in its place.

        On a server this needs the owner of the tables: the application role may not delete fills.
        """
        self._fold = None
        with self.database.session() as session:
            self._lock(session)
            left = self._remove(session)
        if left:
            with self.database.connection(isolation="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"VACUUM (INDEX_CLEANUP ON) {', '.join(left)}")
        return self.project(events)

    def _remove(self, session: Session) -> list[str]:
        """Remove the journal's rows; return the tables of a server in which deleted rows are left."""
        runs = sorted({self.run_id, *session.scalars(self._cursors(CursorRow.run_id))})
        ours: dict[Any, Any] = {table: table.run_id.in_(runs) for table in _PROJECTED}
        ours |= {table: table.journal_id == self.journal_id for table in (AuditEventRow, CursorRow)}
        if session.connection().dialect.name == "sqlite":
            shared = list(ours)
        else:
            shared = [table for table, mine in ours.items() if session.scalar(select(exists().where(~mine)))]
            if alone := [table.__tablename__ for table in ours if table not in shared]:
                session.execute(text(f"TRUNCATE {', '.join(alone)}"))
        for table in shared:
            session.execute(delete(table).where(ours[table]))
        return [] if session.connection().dialect.name == "sqlite" else [t.__tablename__ for t in shared]

    def _cursors(self, column: Any) -> Any:
        return select(column).where(CursorRow.journal_id == self.journal_id)

    def _position(self, session: Session) -> tuple[int, str]:
        last = session.scalar(self._cursors(func.max(CursorRow.last_seq)))
        active = session.scalar(self._cursors(CursorRow.run_id).where(CursorRow.active))
        return last or 0, active or self.run_id

    def _lock(self, session: Session) -> None:
        connection = session.connection()
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            key = text("SELECT pg_advisory_xact_lock(hashtextextended(:journal, 0))")
            connection.execute(key, {"journal": self.journal_id})

    def _project(self, session: Session, fold: Fold, batch: Sequence[Event], last: int) -> int:
        fresh = [event for event in batch if event.seq > last]
        if not fresh:
            return 0
        for event in fresh:
            if event.seq <= last:
                raise ProjectionError(f"event {event.seq} follows {last}: the journal was read out of order")
            last = event.seq
        fold.apply(session, fresh, _fault)
        fold.write(session)
        ended, fold.ended = fold.ended, {}
        cursors = [(run_id, seq, False) for run_id, seq in ended.items()] + [(fold.run_id, last, True)]
        rows = [
            {"journal_id": self.journal_id, "run_id": run_id, "last_seq": seq, "active": active}
            for run_id, seq, active in cursors
        ]
        upsert(session, CursorRow, rows)
        return len(fresh)


def _fault(event: Event, error: Exception) -> Exception:
    what = f"{type(error).__name__} {error}".strip()
    return ProjectionError(f"event {event.seq} ({event.kind}) cannot be projected: {what}")
