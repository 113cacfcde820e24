"""Which faults a seed has, and how often: a random subset at random rates, so that seeds differ in kind.

Seeds in which everything goes wrong at once show less than seeds in which a few things do: rare combinations
come about only where the rest leaves them room. So each fault is in about a ninth of the seeds (those that
seldom take effect in more), and one seed in ten has none.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

PER_OPPORTUNITY: Final[Mapping[str, tuple[float, ...]]] = {
    "N1": (0.03, 0.15),
    "N2": (0.03, 0.15),
    "N3": (0.03, 0.1),
    "N3 other": (0.003, 0.01),
    "N4": (0.1, 0.4),
    "N5": (0.05, 0.3),
    "N6": (0.1, 0.6),
    "N7": (0.003, 0.02),
    "N8": (0.01, 0.05),
    "G7": (0.005, 0.03),
    "G8": (0.005, 0.03),
    "B2": (0.1, 0.4),
    "B5": (0.2, 0.6),
    "D1": (0.01, 0.03),
    "D2": (0.02, 0.1),
    "D3": (0.02, 0.1),
    "D4": (0.02, 0.1),
    "D5": (0.005, 0.02),
    "D6": (0.02, 0.1),
    "P1": (0.015, 0.03),
    "P1 reading": (0.002, 0.007),
    "P2": (0.05, 0.15),
    "P7": (0.1, 0.4),
}
"""How probable a fault is each time it could come: at a write of an order, a commit, a message."""

PER_MINUTE: Final[Mapping[str, tuple[float, ...]]] = {
    "N9": (0.03, 0.06),
    "N10": (0.1, 0.2),
    "G1": (0.03, 0.07),
    "G2": (0.05, 0.1),
    "G3": (0.04, 0.1),
    "G4": (0.07, 0.2),
    "G5": (0.05, 0.1),
    "B1": (0.05, 0.15),
    "B3": (0.1, 0.5),
    "B4": (0.05, 0.15),
    "B6": (0.1, 0.5),
    "B7": (0.1, 0.5),
    "B8": (0.3, 1.0),
    "B9": (0.05, 0.1),
    "B10": (0.05, 0.1),
    "B11": (0.05, 0.15),
    "P3": (0.05, 0.1),
    "P5": (0.05, 0.15),
    "C1": (0.07, 0.2),
}
"""How many times a minute a fault comes that comes by the clock."""

ONCE: Final[Mapping[str, tuple[float, ...]]] = {
    "G6": (0.15, 0.4, 0.7),
    "G9": (0.2, 0.5, 0.75),
    "B12": (0.3, 0.5, 0.7),
}
"""When a fault comes that comes once, as a share of the time in which faults come."""

_CALM_SHARE: Final = 0.1
_SHARE: Final = 0.11
_SHARE_OF_RARE: Final = 0.4
_RARE: Final = ("B5", "B8")
"""Faults that take effect in few of the worlds that have them: an order has to be filled in part."""
_SHARE_OF_ONCE: Final = 0.08


@dataclass(frozen=True, slots=True)
class Options:
    """How a seed is run.

    `rates` holds the faults of the seed: see `PER_OPPORTUNITY`, `PER_MINUTE` and `ONCE`.
    """

    rates: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))
    safety_seconds: float = 1800.0
    heal_seconds: float = 150.0
    quantum: float = 75.0
    """Seconds between two moves of the market, on average."""
    latency: float = 0.01
    """Seconds that a packet takes on average, one way."""
    patrol: float = 600.0
    """Seconds between two looks at the broker's books while all seems well."""
    make_up: bool = True
    """Whether orders that are missing at the end of the safety phase are placed, or only the deeds given."""

    @classmethod
    def draw(cls, seed: int) -> Options:
        """Return the options of a seed."""
        rng = random.Random(f"{seed}/options")  # noqa: S311  # nosec B311  # a seed is to be repeatable
        rates: dict[str, float] = {}
        if rng.random() >= _CALM_SHARE:
            for table in (PER_OPPORTUNITY, PER_MINUTE):
                for fault, choice in table.items():
                    if rng.random() < (_SHARE_OF_RARE if fault in _RARE else _SHARE):
                        rates[fault] = rng.choice(choice)
            # From a stream of its own: a seed that has none of these is what it was before there were any.
            rare = random.Random(f"{seed}/once")  # noqa: S311  # nosec B311  # a seed is to be repeatable
            for fault, choice in ONCE.items():
                if rare.random() < _SHARE_OF_ONCE:
                    rates[fault] = rare.choice(choice)
        return cls(
            rates=rates, latency=rng.choice((0.001, 0.01, 0.05)), patrol=rng.choice((600.0, 900.0, 900.0))
        )

    @classmethod
    def calm(cls) -> Options:
        """Return options without any fault."""
        return cls()

    @classmethod
    def only(cls, *faults: str) -> Options:
        """Return options with these faults, each at its highest rate."""
        known = {**PER_OPPORTUNITY, **PER_MINUTE, **ONCE}
        return cls(rates={fault: max(known[fault]) for fault in faults})
