"""What a seed came to, and what does not hold in it; light, for the process that only counts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant, by its id (``I1`` …), that does not hold, and what was found instead."""

    invariant: str
    what: str


@dataclass(slots=True)
class Outcome:
    """What one seed came to."""

    seed: int
    violations: list[Violation] = field(default_factory=list)
    fired: Counter[str] = field(default_factory=Counter)
    """How often each fault took effect, by its id."""
    trace_hash: str = ""
    steps: int = 0
    orders: int = 0
    simulated_seconds: float = 0.0
    symbols: int = 0
    """How many symbols the orders were in."""
    reconnects: int = 0
    """How many sessions there were after the first."""
