"""Counters of a run: how much was processed, proposed, sent and filled, and how fast.

`Counters` listens to the step's progress and to order events and does a constant amount of work for each.
The time from close to submission is kept for the last `WINDOW` steps that sent an order; the count is of all.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any

import pandas as pd

from execution.events import StepProgress
from execution.models import Fill, Order, PortfolioSnapshot
from monitoring.alerts import Alert

WINDOW = 4_096
"""Number of latest close-to-submit times that median and p99 are taken from."""


KEPT_ALERTS = 20
"""Number of latest alerts that are kept for whoever asks."""


def quantile(values: Sequence[float], share: float) -> float | None:
    """Return the smallest value that at least `share` of the values do not exceed (nearest rank), or None."""
    if not values:
        return None
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


class Counters:
    """Counts what happens in a run; a ProgressHandler and an OrderEventHandler.

    Steps that rebuild state from history are counted as `replayed` and nowhere else.
    """

    def __init__(self) -> None:
        self.steps = 0
        self.replayed = 0
        self.bars_processed = 0
        self.orders_proposed = 0
        self.orders_approved = 0
        self.orders_submitted = 0
        self.orders_refused = 0
        self.orders_failed = 0
        self.orders_rejected = 0
        self.fills = 0
        self.close_to_submit_count = 0
        self.last_bar: pd.Timestamp | None = None
        self.snapshot: PortfolioSnapshot | None = None
        self.alerts: deque[Alert] = deque(maxlen=KEPT_ALERTS)
        self._close_to_submit: deque[float] = deque(maxlen=WINDOW)
        self._open: set[str] = set()

    @property
    def open_orders(self) -> int:
        """Number of orders that can still trade, as far as events told."""
        return len(self._open)

    def on_step(self, progress: StepProgress) -> None:
        """Count one step."""
        self.last_bar = progress.end
        self.snapshot = progress.snapshot
        if progress.replayed:
            self.replayed += 1
            return
        self.steps += 1
        self.bars_processed += progress.bars
        self.orders_proposed += progress.proposed
        self.orders_approved += progress.approved
        self.orders_submitted += progress.submitted
        self.orders_refused += progress.refused
        self.orders_failed += progress.failed
        if progress.close_to_submit is not None:
            self.close_to_submit_count += 1
            self._close_to_submit.append(progress.close_to_submit)

    def on_order_status(self, order: Order) -> None:
        """Keep track of which orders can still trade."""
        key = order.client_order_id or order.order_id
        if order.status.is_final:
            self._open.discard(key)
        else:
            self._open.add(key)

    def on_fill(self, fill: Fill) -> None:  # noqa: ARG002 - the handler protocol has it
        """Count an execution."""
        self.fills += 1

    def on_order_rejected(self, order: Order, reason: str) -> None:  # noqa: ARG002 - as above
        """Count an order that the broker refused."""
        self.orders_rejected += 1
        self._open.discard(order.client_order_id or order.order_id)

    def on_alert(self, alert: Alert) -> None:
        """Keep an alert for whoever asks how the run stands."""
        self.alerts.append(alert)

    def as_dict(self) -> dict[str, Any]:
        """Return the counters as plain values; times in seconds, None where there was none."""
        return {
            "steps": self.steps,
            "replayed_steps": self.replayed,
            "bars_processed": self.bars_processed,
            "orders_proposed": self.orders_proposed,
            "orders_approved": self.orders_approved,
            "orders_submitted": self.orders_submitted,
            "orders_refused": self.orders_refused,
            "orders_failed": self.orders_failed,
            "orders_rejected": self.orders_rejected,
            "open_orders": self.open_orders,
            "fills": self.fills,
            "close_to_submit": {
                "count": self.close_to_submit_count,
                "median": quantile(self._close_to_submit, 0.5),
                "p99": quantile(self._close_to_submit, 0.99),
            },
        }
