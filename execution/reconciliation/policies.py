"""What is settled by evidence and what waits for a person; no imports, for settings."""

from __future__ import annotations

import enum


class ExpiredDay(enum.StrEnum):
    """What becomes of an order for a day that is over, whose end nobody saw; see `lapses`.

    SETTLE: it ends where nothing of it can have been executed, on record with the evidence. DOUBT: it waits
    for a person, who is shown the evidence.
    """

    SETTLE = "settle"
    DOUBT = "doubt"


class Unanswered(enum.StrEnum):
    """What becomes of an order of an earlier session that nobody answered and no list names; see `leftovers`.

    DOUBT: it waits for a person. CANCEL: a cancel of its number is sent, and TWS's answer decides; what was
    still on its way when TWS answered may come to work after it.
    """

    DOUBT = "doubt"
    CANCEL = "cancel"
