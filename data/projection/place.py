"""Where a fold stands: the event under way and the run it belongs to; and how values of events are read."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from data.projection.book import Book
from data.projection.bulk import money

Row = dict[str, Any]


@dataclass(slots=True)
class Place:
    """Where a fold stands.

    Attributes
    ----------
    journal_id
        Identity of the journal.
    book
        What is known of the run under way.
    written
        Number of the last event whose rows were handed over to be written.
    seq, time_ns
        Number and recording time of the event under way.
    """

    journal_id: str
    book: Book
    written: int
    seq: int = 0
    time_ns: int = 0


def amount(value: str | None) -> Decimal | None:
    """Return an amount of an event, which may be missing."""
    return None if value is None else money(value)


def text(value: object) -> str | None:
    """Return a value of an event as text, unless it is missing."""
    return None if value is None else str(value)
