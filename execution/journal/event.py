"""One record of the journal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class JournalEvent:
    """One record. `time_ns` is the wall time of recording; trading times are in the body."""

    seq: int
    time_ns: int
    kind: str
    body: dict[str, Any]
    prev_hash: str
    hash: str
