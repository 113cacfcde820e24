"""What a check finds."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import pandas as pd

from data.corporate_actions import CorporateAction


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
    OUTSIDE = "outside"
    """Rows outside the exchange's sessions, which are left out."""
    GAP = "gap"
    """Sessions, or stretches of one, without bars."""
    SPARSE = "sparse"
    """Single bars are missing here and there, as where nothing traded."""
    SPIKE = "spike"
    """A price far from both its neighbours, which agree."""
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
