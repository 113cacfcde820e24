"""Batches written one after another beside the fold, which goes on with the next one meanwhile.

What is handed over is encoded and goes to a thread that waits for the server; no more than one transaction is
under way. Each takes the lock of the journal and looks whether the cursor still stands where the fold began:
if another program moved it, nothing is written. SQLite works in this process, so its transactions are over
when they are handed over.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from sqlalchemy import Connection
from sqlalchemy.exc import DataError, IntegrityError

from data.database import Database
from data.errors import ProjectionError
from data.projection.bulk import Part, Prepared, Removal, driver_of, prepare, store, unfit

_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended({}, 0))"
_CURSOR = "SELECT coalesce(max(last_seq), 0) FROM projection_cursor WHERE journal_id = {}"


@dataclass(frozen=True, slots=True)
class Change:
    """What a batch comes to.

    Attributes
    ----------
    after
        The cursor at which the fold of the batch began.
    events
        How many events it takes in; nothing is written for none.
    removals, parts
        What is written, the new cursor included.
    """

    after: int
    events: int = 0
    removals: Sequence[Removal] = ()
    parts: Sequence[Part] = ()


class Transactions:
    """Writes the changes of one journal; a context that ends after the transaction under way.

    Parameters
    ----------
    database
        Where to.
    journal_id
        Identity of the journal.
    """

    def __init__(self, database: Database, journal_id: str) -> None:
        self._database = database
        self._journal_id = journal_id
        self._dialect = database.engine.dialect.name
        self._thread = None if self._dialect == "sqlite" else ThreadPoolExecutor(1, "projector")
        self._under_way: Future[bool] = Future()
        self._under_way.set_result(True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is not None:
            self._thread.shutdown()

    def hand_over(self, change: Change) -> None:
        """Begin the transaction of a change; the one before must be settled.

        Raises
        ------
        ProjectionError
            If a value fits no column; SQLite writes at once, so what `settled` raises is raised here, too.
        """
        if not change.events:
            return
        try:
            prepared = prepare(self._dialect, change.removals, change.parts)
        except (ValueError, TypeError, OverflowError) as error:
            raise _refused(change, error) from error
        if self._thread is not None:
            self._under_way = self._thread.submit(self._write, change, prepared)
        else:
            self._under_way = Future()
            self._under_way.set_result(self._write(change, prepared))

    def wait(self) -> None:
        """Wait until nothing is under way, whatever came of it."""
        wait([self._under_way])

    def settled(self) -> bool:
        """Wait for the transaction under way; say whether it was written, or the cursor had been moved.

        Raises
        ------
        DatabaseUnavailableError
            If the database could not be reached; nothing of the transaction was written.
        ProjectionError
            If the database refused a value.
        """
        done, self._under_way = self._under_way, Future()
        self._under_way.set_result(True)
        return done.result()

    def _write(self, change: Change, prepared: Prepared) -> bool:
        try:
            with self._database.connection() as connection:
                stands = lock(connection, self._journal_id) == change.after
                if stands:
                    store(connection, prepared)
                return stands
        except (DataError, IntegrityError, OverflowError) as error:
            raise _refused(change, error) from error


def _refused(change: Change, error: Exception) -> ProjectionError:
    """Return the error for a change that cannot be written, which names what does not fit."""
    found = next((found for part in change.parts if (found := unfit(part))), None)
    said = str(getattr(error, "orig", error)).partition("\n")[0]
    where = found or f"of the {change.events} after event {change.after}: {said}"
    return ProjectionError(f"an event cannot be written, {where}")


def lock(connection: Connection, journal_id: str) -> int:
    """Take the lock of a journal until the transaction ends; return its cursor."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        return int(connection.exec_driver_sql(_CURSOR.format("?"), (journal_id,)).scalar_one())
    with driver_of(connection) as driver:
        with driver.pipeline():  # one answer to wait for; the second sees what was written before the lock
            driver.execute(_LOCK.format("%s"), (journal_id,))
            found = driver.execute(_CURSOR.format("%s"), (journal_id,))
        row = found.fetchone()
        assert row is not None  # noqa: S101  # an aggregate has a row
        return int(row[0])
