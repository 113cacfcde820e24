"""What the steps leave in the journal, once."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from data.calendars import ExchangeClock
from execution.audit import AuditLogger
from execution.clocks import NANOS, timestamp
from execution.journal import MemoryJournal
from execution.models import PortfolioSnapshot, Position
from execution.orders.blotter import Blotter
from execution.orders.recovery import recover
from execution.testing import FixedClock
from risk.metrics import DailyReturns, MetricsEvery, RiskMeter
from strategies.record import StepRecord
from strategies.signals import Direction, Signal, StatedSignal

CLOCK = ExchangeClock("XNYS", dt.date(2020, 6, 1), dt.date(2020, 6, 5))
SESSION = CLOCK.session_closing_after(pd.Timestamp("2020-06-01", tz="UTC").value)
assert SESSION is not None
CLOSE = SESSION.close_ns
MINUTE = 60 * NANOS


class Told:
    """A journal and the records of one trader after the other."""

    def __init__(self, every: MetricsEvery = MetricsEvery.SESSION) -> None:
        self.journal = MemoryJournal(lambda: 7)
        self.every = every
        self.restart()

    def restart(self) -> None:
        """Lose what is not committed, and begin again from the journal."""
        self.record = StepRecord(AuditLogger(self.journal, FixedClock()), CLOCK, self.every)
        self.record.restore(recover(self.journal.events(), Blotter()))

    def snapshot(self, ns: int, equity: int = 1_000) -> None:
        self.record.snapshot(
            PortfolioSnapshot(timestamp(ns), Decimal(0), Decimal(equity), Decimal(0), Decimal(0))
        )

    def signal(self, ns: int, name: str) -> None:
        self.record.signal(StatedSignal(name, "ma", ns, Signal("SPY", Direction.LONG)))

    def bodies(self, kind: str) -> list[dict[str, Any]]:
        self.journal.commit()
        return [event.body for event in self.journal.events() if event.kind == kind]


@pytest.mark.parametrize(
    ("every", "moments"),
    [
        (MetricsEvery.SESSION, [CLOSE]),
        (MetricsEvery.STEP, [CLOSE - MINUTE, CLOSE, CLOSE + MINUTE]),
        (MetricsEvery.NEVER, []),
    ],
)
def test_risk_is_recorded_at_the_interval_that_is_asked_for(every: MetricsEvery, moments: list[int]) -> None:
    told = Told(every)
    for ns in (CLOSE - MINUTE, CLOSE, CLOSE + MINUTE):
        told.snapshot(ns)
    assert [body["trading_time"] for body in told.bodies("risk_metrics")] == moments
    assert len(told.bodies("snapshot")) == 3


def test_the_tail_is_measured_from_the_returns_that_the_meter_was_given() -> None:
    journal = MemoryJournal(lambda: 7)
    ends = np.arange(60, dtype=np.int64) * 24 * 60 * MINUTE
    meter = RiskMeter({"SPY": DailyReturns(ends, np.full(60, -0.01))})
    record = StepRecord(AuditLogger(journal, FixedClock()), CLOCK, MetricsEvery.STEP, meter)
    for symbol in ("SPY", "QQQ"):
        held = Position(symbol, Decimal(1), Decimal(1), Decimal(500), Decimal(0), timestamp(CLOSE))
        zero = Decimal(0)
        record.snapshot(PortfolioSnapshot(timestamp(CLOSE), zero, zero, zero, zero, positions=(held,)))
    journal.commit()
    known, unknown = [event.body for event in journal.events() if event.kind == "risk_metrics"]
    assert (known["value_at_risk_95"], known["tail_returns"]) == (5.0, 60)
    assert (unknown["value_at_risk_95"], unknown["tail_unknown"][:22]) == (None, "QQQ has 0 daily return")


def test_a_replay_records_nothing_twice_and_measures_from_the_highest_equity_ever() -> None:
    told = Told()
    told.snapshot(CLOSE - MINUTE, 2_000)
    told.snapshot(CLOSE, 1_000)
    told.signal(CLOSE, "a")
    (before,) = told.bodies("risk_metrics")
    told.restart()
    told.snapshot(CLOSE, 1_000)
    told.signal(CLOSE - MINUTE, "earlier")
    told.signal(CLOSE, "a")
    assert told.bodies("risk_metrics") == [before]
    assert [body["signal_id"] for body in told.bodies("signal")] == ["a"]
    told.signal(CLOSE, "b")  # a late bar joined the step
    told.signal(CLOSE + MINUTE, "c")
    assert [body["signal_id"] for body in told.bodies("signal")] == ["a", "b", "c"]
    nxt = CLOCK.session_closing_after(CLOSE)
    assert nxt is not None
    told.snapshot(nxt.close_ns, 1_500)
    assert told.bodies("risk_metrics")[-1]["drawdown"] == 0.25
