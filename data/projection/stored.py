"""What the database holds already, as a fold reads it: never behind what was handed over to be written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Select

from data.database import Database

Row = dict[str, Any]


class Stored:
    """Reads of a fold, each in a transaction of its own.

    They need no lock: what is made of them counts only if the cursor still stands where the fold began
    (`data.projection.transactions`), and rows of a journal change with its cursor only.

    Parameters
    ----------
    database
        What is read.
    wait
        Waits until what was handed over is written, or could not be.
    """

    def __init__(self, database: Database, wait: Callable[[], None]) -> None:
        self._database = database
        self._wait = wait

    def rows(self, query: Select[*tuple[Any, ...]]) -> list[Row]:
        """Return the rows of a query by the names of their columns."""
        self._wait()
        with self._database.session() as session:
            return [dict(row) for row in session.execute(query).mappings()]

    def first(self, query: Select[Any]) -> Row | None:
        """Return the first row of a query, or None."""
        return next(iter(self.rows(query.limit(1))), None)

    def values(self, query: Select[Any]) -> list[Any]:
        """Return the values of a query of one column."""
        self._wait()
        with self._database.session() as session:
            return list(session.scalars(query))
