"""Following a journal while a trader writes it; the database may be away for as long as it likes.

`JournalFollower.run` works in a thread beside the loop of the trader: it never makes an order wait. While the
database is away it tries again, each time after twice the pause, up to a minute, and then catches up batch by
batch. What is behind is told to an observer after each attempt.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from sqlalchemy import select, tuple_
from sqlalchemy.exc import DBAPIError

from data.database import Database
from data.errors import DataError, ProjectionError
from data.projection.events import Entry, Lag, batches_of, behind, read_events
from data.projector import BATCH, Projector
from data.schema import AuditEventRow, CursorRow
from execution.errors import JournalError

Sleep = Callable[[float], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class ProjectionState:
    """What the last attempt came to.

    Attributes
    ----------
    lag
        How far the database is behind, also while it is away; None until it was reached once.
    failures
        Attempts that failed since the last that did not.
    problem
        Why the last one failed; empty if it did not.
    """

    lag: Lag | None = None
    failures: int = 0
    problem: str = ""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for a log line or an answer; None for what is not known yet."""
        return {
            "database_behind_events": None if self.lag is None else self.lag.events,
            "database_behind_seconds": None if self.lag is None else round(self.lag.seconds, 3),
            "database_problem": self.problem or None,
        }


Observe = Callable[[ProjectionState], None]


class JournalFollower:
    """Brings a database up to a journal, again and again.

    Parameters
    ----------
    database
        Where to; it is migrated before the first event is written.
    path
        The journal.
    run_id
        The run to which events before the first ``run_started`` belong.
    observe
        Told the state after each attempt of `run`.
    interval, longest_pause
        Seconds between two attempts, and at most while the database is away.
    sleep
        How to wait.
    """

    def __init__(
        self,
        database: Database,
        path: Path,
        run_id: str,
        *,
        observe: Observe = lambda _: None,
        interval: float = 2.0,
        longest_pause: float = 60.0,
        sleep: Sleep = asyncio.sleep,
    ) -> None:
        self.state = ProjectionState()
        self._database = database
        self._path = path
        self._run_id = run_id
        self._observe = observe
        self._interval = interval
        self._longest_pause = longest_pause
        self._sleep = sleep
        self._projector: Projector | None = None
        self._reached: int | None = None
        self._one_at_a_time = threading.Lock()
        self._stopped = threading.Event()

    def advance(self) -> int:
        """Project what the journal holds beyond the cursor; return how many events.

        Raises
        ------
        DatabaseUnavailableError
            If the database cannot be reached.
        ProjectionError
            If an event cannot be projected, or the journal ends before what was projected of it.
        JournalError
            If the journal cannot be read.
        """
        with self._one_at_a_time:
            projector = self._opened()
            if projector is None:
                self._reached = 0
                return 0
            taken, self._reached = 0, projector.cursor()
            self._require_whole(self._reached)
            with (
                closing(batches_of(self._path, self._reached, BATCH)) as batches,
                closing(projector.project_batches(batches)) as written,
            ):
                for events in written:
                    taken += events
                    if self._stopped.is_set():
                        break
            self._reached = projector.cursor()
            return taken

    def lag(self) -> Lag | None:
        """Return how far the database is behind the journal, by where it stood when it was last reached.

        Raises
        ------
        JournalError
            If the journal cannot be read.
        """
        return None if self._reached is None else behind(self._path, self._reached)

    def attempt(self) -> ProjectionState:
        """Advance once, and note in `state` what it came to; what was wrong, the next may heal."""
        lag, failures, problem = self.state.lag, 0, ""
        try:
            try:
                self.advance()
            finally:  # the journal grows while the database is away
                lag = self.lag()
        except (DataError, DBAPIError, JournalError) as error:
            failures, problem = self.state.failures + 1, str(error)
        except Exception as error:  # noqa: BLE001  the thread's outermost boundary: else nobody follows any more
            failures, problem = self.state.failures + 1, f"{type(error).__name__}: {error}"
        self.state = ProjectionState(lag, failures, problem)
        return self.state

    async def run(self) -> None:
        """Follow the journal until cancelled; an attempt under way then ends after its batch."""
        try:
            while True:
                state = await asyncio.to_thread(self.attempt)
                self._observe(state)
                pause = self._interval * 2 ** min(state.failures, 30)
                await self._sleep(min(pause, self._longest_pause) if state.failures else self._interval)
        finally:
            self._stopped.set()

    def close(self) -> None:
        """Close the database."""
        self._database.close()

    def _require_whole(self, last: int) -> None:
        """Refuse a journal that ends before what was projected of it."""
        short = -behind(self._path, last).events
        if short > 0:
            raise ProjectionError(
                f"journal {self._path} ends {short} events before what was projected of it: it is an older "
                "copy; put the newer one back; if that is lost, trade db rebuild JOURNAL"
            )

    def _opened(self) -> Projector | None:
        """Return the projector, or None while the journal is empty."""
        if self._projector is None:
            self._database.upgrade()
            name = identity(self._path, self._database)
            if name is not None:
                self._projector = Projector(self._database, name, self._run_id)
        return self._projector


def identity(path: Path, database: Database) -> str | None:
    """Return the name of a journal in the database: the hash of its first event, or None if it is empty.

    A journal that was pruned is known by any of its events that was projected before.

    Raises
    ------
    ProjectionError
        If the beginning was pruned and the database knows none of its events.
    """
    with closing(read_events(path)) as entries:
        first = next(entries, None)
    if first is None:
        return None
    seq, *_, before, digest = first
    if seq == 1:
        return digest
    known_by = [(seq, digest), (seq - 1, before)]  # the database may stand where the journal was pruned
    with database.session() as session:
        query = select(AuditEventRow.journal_id).where(
            tuple_(AuditEventRow.seq, AuditEventRow.hash).in_(known_by)
        )
        known = session.scalar(query.limit(1))
    if known is None:
        raise ProjectionError(
            f"journal {path} begins with event {seq} and the database does not know it: restore the "
            "segments that were pruned, or a backup of the database"
        )
    return str(known)


def rebuild(database: Database, path: Path, taken: Callable[[int], None] = lambda _: None) -> int:
    """Remove what was projected of a journal and project all of it anew; return how many events.

    Interrupted, it is finished by being called again, or by who follows the journal.

    Parameters
    ----------
    database, path
        A migrated database, and the journal.
    taken
        Told after each event how many were read.

    Raises
    ------
    ProjectionError
        If the journal's beginning was pruned, or an event cannot be projected.
    DatabaseUnavailableError
        If the database cannot be reached, or its user may not remove rows of the record.
    JournalError
        If the journal cannot be read.
    """
    name = identity(path, database)
    if name is None:
        return 0

    def counted(entries: Iterable[Entry]) -> Iterator[Entry]:
        for number, entry in enumerate(entries, 1):
            taken(number)
            yield entry

    with closing(read_events(path)) as entries:
        return Projector(database, name, path.resolve().parent.name).rebuild(counted(entries))


@dataclass(frozen=True, slots=True)
class Projected:
    """How far a journal was projected: its last run and event there, and when that was recorded."""

    journal_id: str
    run_id: str
    last_seq: int
    recorded_at: pd.Timestamp | None


def projected(database: Database) -> list[Projected]:
    """Return how far each journal was projected.

    Raises
    ------
    DatabaseUnavailableError
        If the database cannot be reached, or has no tables.
    """
    recorded = (
        select(AuditEventRow.recorded_at)
        .where(AuditEventRow.journal_id == CursorRow.journal_id, AuditEventRow.seq == CursorRow.last_seq)
        .limit(1)
        .scalar_subquery()
    )
    query = select(CursorRow.journal_id, CursorRow.run_id, CursorRow.last_seq, recorded)
    with database.session() as session:
        found = session.execute(query.where(CursorRow.active).order_by(CursorRow.journal_id))
        return [Projected(*row) for row in found]
