"""The journal: an append-only, hash-chained record of what this system did and saw of orders.

It is the source of truth for orders; databases are projections of it. One writer holds it at a time.
"""

from execution.journal.chain import GENESIS, ChainReport, chain_hash, verify_events
from execution.journal.event import JournalEvent
from execution.journal.reader import read, verify
from execution.journal.store import Journal, MemoryJournal, SqliteJournal

__all__ = [
    "GENESIS",
    "ChainReport",
    "Journal",
    "JournalEvent",
    "MemoryJournal",
    "SqliteJournal",
    "chain_hash",
    "read",
    "verify",
    "verify_events",
]
