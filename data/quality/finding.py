"""What a check finds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import pandas as pd

from data.corporate_actions import CorporateAction

MOST: Final = 5
"""Findings of one kind that are told one by one; of more the greatest are, and the others summed up."""


class Severity(StrEnum):
    """How much it matters to a backtest or a trade."""

    ERROR = "error"
    """Numbers are wrong or missing: results that rest on them are."""
    WARNING = "warning"
    """Likely wrong, or thinner than expected: look before relying on it."""
    NOTE = "note"
    """As it should be, and worth knowing."""


class Kind(StrEnum):
    """What is the matter."""

    UNREADABLE = "unreadable"
    """Rows of a file that are no bars: a field is missing, or is no number or time."""
    UNSOUND = "unsound"
    """A price or volume that cannot be: not finite, not positive, high below low, close outside."""
    DUPLICATE = "duplicate"
    """Several rows for one bar."""
    DISORDER = "disorder"
    """A row earlier than the one before it."""
    MISTIMED = "mistimed"
    """Times that cannot be the ends of such bars: of another zone, of the bars' starts, of another size."""
    OUTSIDE = "outside"
    """Rows outside the exchange's sessions, which are left out."""
    GAP = "gap"
    """Sessions, or stretches of one, without bars."""
    SPARSE = "sparse"
    """Single bars are missing here and there, as where nothing traded."""
    SPIKE = "spike"
    """A close far from both its neighbours, which agree; a high or low far from the closes around it."""
    STALE = "stale"
    """The same bar again and again."""
    ZERO_VOLUME = "zero-volume"
    """Bars in which nothing traded."""
    SPLIT_UNEXPLAINED = "split-unexplained"
    """A jump by the ratio of a split that no action explains."""
    SPLIT = "split"
    """A jump that a known split explains."""
    SPLIT_WITHOUT_JUMP = "split-without-jump"
    """A known split at which the price does not jump: these bars may be adjusted already."""
    ACTIONS_UNKNOWN = "actions-unknown"
    """The source of corporate actions does not cover the symbol: no jump can be explained."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in the bars of one symbol, from the first bar concerned to the last."""

    severity: Severity
    kind: Kind
    symbol: str
    first: pd.Timestamp | None
    last: pd.Timestamp | None
    """None, both, where it concerns no bar with a readable time."""
    count: int
    """Bars, rows or sessions concerned; `what` says which."""
    what: str
    proposal: str
    """What a person may do about it; empty where nothing is due."""
    action: CorporateAction | None = None
    """The corporate action that would explain it, if there was one; a guess until somebody confirms it."""
    pull: str = ""
    """The ticker whose bars from `first` to `last` would fill it; empty where none would."""
    further: int = 0
    """Findings that this one sums up, beside those told one by one; 0 for one of its own."""


def summed_up(found: Sequence[Finding], sizes: Sequence[float]) -> list[Finding]:
    """Keep the greatest of many findings of one kind and severity, in their order; make one of the others."""
    if len(found) <= MOST + 1:
        return list(found)
    greatest = set(sorted(range(len(found)), key=lambda i: -sizes[i])[:MOST])
    kept = [one for i, one in enumerate(found) if i in greatest]
    rest = [one for i, one in enumerate(found) if i not in greatest]
    bars = sum(one.count for one in rest)
    of = "" if bars == len(rest) else f", {bars:,} bars or sessions in all"
    some = replace(
        rest[0],
        first=min(one.first for one in rest if one.first is not None),
        last=max(one.last for one in rest if one.last is not None),
        count=bars,
        what=f"{len(rest):,} more of this kind{of}, none greater than the {MOST} told one by one",
        further=len(rest),
    )
    return [*kept, some]
