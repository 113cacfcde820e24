"""What is to become of limit orders that do not fill, as settings state it."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class UnfilledAction(enum.StrEnum):
    """What becomes of a limit order whose time is up."""

    CANCEL = "cancel"
    MARKET = "market"


@dataclass(frozen=True, slots=True)
class UnfilledPolicy:
    """After `after_seconds` of trading time a limit order that is not filled meets `action`."""

    after_seconds: float
    action: UnfilledAction = UnfilledAction.CANCEL
