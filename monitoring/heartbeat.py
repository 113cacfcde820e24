"""A line in the log at a steady interval, so that silence means trouble."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from execution.clocks import MonotonicClock, TradingClock, timestamp
from execution.events import StepProgress
from execution.numbers import format_decimal
from monitoring.counters import Counters


class Heartbeat:
    """Logs one line an interval of wall time, however fast or slow trading time runs.

    Call `beat` from the loop as often as is convenient; as a ProgressHandler it is also called by each step.

    Parameters
    ----------
    counters
        Counters of the run.
    connection
        Returns the state of the connection in a word, for example "ready".
    trading_clock, clock
        Market time, shown; wall time, which decides when a line is due.
    logger
        A structlog logger.
    interval
        Seconds of wall time between two lines. The first line is due at once.
    beyond
        Returns what else the line tells, by name.
    """

    def __init__(
        self,
        counters: Counters,
        connection: Callable[[], str],
        *,
        trading_clock: TradingClock,
        clock: MonotonicClock,
        logger: Any,
        interval: float = 30.0,
        beyond: Callable[[], Mapping[str, Any]] = dict,
    ) -> None:
        if interval <= 0:
            raise ValueError(f"interval {interval}: must be a positive number of seconds")
        self._counters = counters
        self._connection = connection
        self._trading_clock = trading_clock
        self._clock = clock
        self._log = logger
        self._interval = interval
        self._beyond = beyond
        self._due = clock.monotonic()

    def on_step(self, progress: StepProgress) -> None:  # noqa: ARG002 - the handler protocol has it
        """Log a line if one is due. Put it after the counters, whose figures it shows."""
        self.beat()

    def beat(self) -> bool:
        """Log a line if one is due; return whether it was."""
        now = self._clock.monotonic()
        if now < self._due:
            return False
        # Counted from now, not from when it was due: after a pause there is one line, not a burst.
        self._due = now + self._interval
        counters = self._counters
        snapshot, last_bar = counters.snapshot, counters.last_bar
        trading_ns = self._trading_clock.now_ns()
        self._log.info(
            "heartbeat",
            # Zero until the gateway has told its time: no time is better than 1970.
            trading_time=timestamp(trading_ns).isoformat() if trading_ns else None,
            connection=self._connection(),
            last_bar=last_bar.isoformat() if last_bar is not None else None,
            steps=counters.steps,
            orders=counters.orders_submitted,
            open_orders=counters.open_orders,
            fills=counters.fills,
            equity=format_decimal(snapshot.equity) if snapshot is not None else None,
            **self._beyond(),
        )
        return True
