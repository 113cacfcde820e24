"""One record of the journal."""

from __future__ import annotations

from typing import Any, NamedTuple


class JournalEvent(NamedTuple):
    """One record. `time_ns` is the wall time of recording; trading times are in the body."""

    seq: int
    time_ns: int
    kind: str
    body: dict[str, Any]
    prev_hash: str
    hash: str
