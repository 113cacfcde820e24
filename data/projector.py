"""The journal's events as tables: exactly once, restartable, and always able to start again from nothing.

1. Read the cursor: the number of the last event projected, and the run under way there.
2. Take the events after it, a batch at a time. A ``run_started`` says to which run the following belong.
3. Fold the batch into rows (`data.projection.fold`), with what is known of the run (`data.projection.book`).
4. Hand the rows and the new cursor over to be written in one transaction (`data.projection.transactions`),
   and go on with 2 while the server works. A transaction takes the journal's lock and writes nothing if
   another program moved the cursor since 1: then the batch is folded again from where it stands.

A crash leaves the old rows with the old cursor. If a transaction fails, what was folded after it is thrown
away, and what is known is read again. Fills, commissions and the events themselves are only ever added. So
any split into batches gives the same tables, and so does `Projector.rebuild`.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, exists, func, select, text
from sqlalchemy.orm import Session

from data.database import Database
from data.errors import ProjectionError
from data.projection.events import Entry, Event, entry_of
from data.projection.fold import Fold, require_own
from data.projection.stored import Stored
from data.projection.transactions import Change, Transactions, lock
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

__all__ = ["Event", "Projector"]

BATCH = 10_000
"""Events in one transaction."""

_PROJECTED = (
    RunRow, TradingSessionRow, OrderRow, OrderEventRow, FillRow, CommissionRow, AdjustmentRow, PositionRow,
    PositionHistoryRow, AccountSnapshotRow, DailyPnlRow, SignalRow, RiskMetricRow,
)  # fmt: skip


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
        return self._position()[0]

    def project(self, events: Iterable[Event | Entry]) -> int:
        """Apply the events after the cursor; those at or before it are skipped.

        Returns
        -------
        int
            How many events were taken beyond the cursor.

        Raises
        ------
        ProjectionError
            If an event lacks a field, does not follow the last one projected, or begins a run of another
            journal; its batch is not written, those before it are.
        DatabaseUnavailableError
            If the database cannot be reached; nothing of the current batch is written.
        """
        stream = map(entry_of, events)
        return sum(self.project_batches(iter(lambda: list(islice(stream, self._batch)), [])))

    def project_batch(self, batch: Sequence[Event | Entry]) -> int:
        """Apply one batch; see `project`."""
        return sum(self.project_batches([list(map(entry_of, batch))]))

    def project_batches(self, batches: Iterable[Sequence[Entry]]) -> Generator[int, None, None]:
        """Apply batches, each in a transaction, and yield how many events beyond the cursor it took.

        While a server writes one, the next is folded. What was yielded is written; one who takes no more
        loses only what was folded of the next. A batch in which a run starts is cut there. Raises what
        `project` raises.
        """
        kept, self._fold = self._fold, None  # until all it has folded in is written
        with Transactions(self.database, self.journal_id) as transactions:
            fold = kept if kept and kept.last == self.cursor() else self._begin(transactions)
            before: Sequence[Entry] = ()
            change = fold.change(before)
            for batch in chain(_cut(batches), [()]):  # the last one, too, is settled by one that follows
                try:
                    following = fold.change(batch)
                finally:  # what became of the one before comes first
                    stands = transactions.settled()
                if not stands:
                    fold, change = self._again(before, transactions)
                    following = fold.change(batch)
                if change.events:
                    yield change.events
                transactions.hand_over(following)
                before, change = batch, following
        self._fold = fold

    def rebuild(self, events: Iterable[Event | Entry]) -> int:
        """Remove the rows and cursor of the journal's runs, then project the events from the beginning.

        Tables that hold nothing else are emptied at once. Rows beside those of other runs are deleted, and
        what is left of them is cleared away: a server would look at each again for the row in its place.
        Nothing is removed if another journal has a run of the same name, or the first event is not the
        journal's first: `ProjectionError`.

        On a server this needs the owner of the tables: the application role may not delete fills.
        """
        self._fold = None
        stream = iter(map(entry_of, events))
        first = list(islice(stream, 1))
        if first and first[0][0] != 1:
            raise ProjectionError(
                f"the journal begins with event {first[0][0]}, what was projected before it would be lost: "
                "restore the pruned segments first"
            )
        with self.database.session() as session:
            lock(session.connection(), self.journal_id)
            left = self._remove(session)
        if left:
            with self.database.connection(isolation="AUTOCOMMIT") as connection:
                connection.exec_driver_sql(f"VACUUM (INDEX_CLEANUP ON) {', '.join(left)}")
        return self.project(chain(first, stream))

    def _remove(self, session: Session) -> list[str]:
        """Remove the journal's rows; return the tables of a server in which deleted rows are left."""
        runs = sorted({self.run_id, *session.scalars(self._cursors(CursorRow.run_id))})
        named = select(RunRow.run_id, RunRow.journal_id).where(RunRow.run_id.in_(runs))
        for run_id, journal_id in session.execute(named):
            require_own(run_id, journal_id, self.journal_id)
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

    def _position(self) -> tuple[int, str]:
        with self.database.session() as session:
            last = session.scalar(self._cursors(func.max(CursorRow.last_seq)))
            active = session.scalar(self._cursors(CursorRow.run_id).where(CursorRow.active))
        return last or 0, active or self.run_id

    def _begin(self, transactions: Transactions) -> Fold:
        """Return a fold that goes on from the cursor."""
        stored = Stored(self.database, transactions.wait)
        last, run_id = self._position()
        head = stored.values(
            select(AuditEventRow.hash)
            .where(AuditEventRow.journal_id == self.journal_id, AuditEventRow.seq == last)
            .limit(1)
        )
        return Fold(stored, self.journal_id, run_id, self._zone, last, head[0] if head else None)

    def _again(self, batch: Sequence[Entry], transactions: Transactions) -> tuple[Fold, Change]:
        """Write a batch from where another program moved the cursor to; return the fold, and what it took."""
        while True:
            fold = self._begin(transactions)
            change = fold.change(batch)
            transactions.hand_over(change)
            if transactions.settled():
                return fold, change


def _cut(batches: Iterable[Sequence[Entry]]) -> Iterator[Sequence[Entry]]:
    """Yield the batches, cut before each event that starts a run."""
    for batch in batches:
        starts = [i for i, event in enumerate(batch) if i and event[2] == "run_started"]
        for low, high in zip([0, *starts], [*starts, len(batch)], strict=True):
            yield batch[low:high]
