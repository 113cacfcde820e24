"""What the library tells others: handler protocols and typed payloads."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from execution.models import Fill, Order, PortfolioSnapshot

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd


@runtime_checkable
class OrderEventHandler(Protocol):
    """Receives what happens to orders, after it is durable in the journal.

    A handler that raises is logged with its name; the other handlers and the order path go on. One may have
    further methods, which are called if they are there: ``on_commission(fill)`` for a commission that joins a
    told fill, ``on_fill_corrected(old, new)`` for an execution with new figures (a size of zero is a bust),
    ``on_external_fill(fill)`` and ``on_external_order(order)`` for what others do in the account, and
    ``on_adjusted(adjustment)`` for what moved the book and was no trade.
    """

    def on_order_status(self, order: Order) -> None:
        """Take an order whose status changed."""

    def on_fill(self, fill: Fill) -> None:
        """Take an execution, partial or complete."""

    def on_order_rejected(self, order: Order, reason: str) -> None:
        """Take an order that the broker refused."""


@runtime_checkable
class ConnectionEventHandler(Protocol):
    """Receives changes of the connection to the broker."""

    def on_connected(self) -> None:
        """Take note that a session stands; orders may be sent once it is reconciled."""

    def on_disconnected(self) -> None:
        """Take note that the session is gone."""


@dataclass(frozen=True, slots=True)
class RiskDecision:
    """Outcome of the pre-trade rules for one order.

    `rule` is the stable code of the rule that refused (empty if approved); `checks` holds, for each rule
    that was evaluated, its code with the limit and the actual figure as text.
    """

    approved: bool
    rule: str = ""
    reason: str = ""
    checks: tuple[tuple[str, str, str], ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the decision as plain values for the journal."""
        return {
            "approved": self.approved,
            "rule": self.rule,
            "reason": self.reason,
            "checks": [list(check) for check in self.checks],
        }


@dataclass(frozen=True, slots=True)
class StepProgress:
    """What one step of the strategy did; kept in memory, not journalled.

    `index` counts the steps of this run from 1, `total` is their number if known. `replayed` marks a step
    that rebuilt state from history. `close_to_submit` is the wall time in seconds from the moment the step's
    bars were complete to its last order written, or None if it sent none.
    """

    end: pd.Timestamp
    index: int
    total: int | None
    bars: int
    proposed: int
    approved: int
    submitted: int
    refused: int
    failed: int
    fills: int
    snapshot: PortfolioSnapshot
    replayed: bool = False
    close_to_submit: float | None = None


class ProgressHandler(Protocol):
    """Receives the progress of the step."""

    def on_step(self, progress: StepProgress) -> None:
        """Take the outcome of one step."""


@dataclass(frozen=True, slots=True)
class KillSwitchEvent:
    """The daily-loss limit was reached; new risk is refused until a person resets it."""

    timestamp: pd.Timestamp
    loss: Decimal
    limit: Decimal
