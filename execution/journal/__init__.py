"""The journal: an append-only, hash-chained record of what this system did and saw of orders.

It is the source of truth for orders; databases are projections of it. One writer holds it at a time.
"""

from execution.journal.anchor import Anchor, AnchorFile, AnchorSchedule
from execution.journal.chain import GENESIS, ChainReport, chain_hash, verify_events
from execution.journal.event import JournalEvent
from execution.journal.readable import readable
from execution.journal.reader import read
from execution.journal.segments import segments_of
from execution.journal.store import Journal, MemoryJournal, Rotation, SqliteJournal
from execution.journal.verification import verify

__all__ = [
    "GENESIS",
    "Anchor",
    "AnchorFile",
    "AnchorSchedule",
    "ChainReport",
    "Journal",
    "JournalEvent",
    "MemoryJournal",
    "Rotation",
    "SqliteJournal",
    "chain_hash",
    "read",
    "readable",
    "segments_of",
    "verify",
    "verify_events",
]
