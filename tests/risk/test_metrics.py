from __future__ import annotations

from decimal import Decimal

import pytest

from execution.clocks import timestamp
from execution.models import PortfolioSnapshot, Position
from risk.metrics import RiskMeter

D = Decimal


def snapshot(equity: int, *, ns: int = 7, **values: int) -> PortfolioSnapshot:
    moment = timestamp(ns)
    held = tuple(Position(s, D(1), D(1), D(v), D(0), moment) for s, v in values.items())
    gross = D(sum(abs(v) for v in values.values()))
    return PortfolioSnapshot(moment, D(0), D(equity), D(0), D(0), gross_exposure=gross, positions=held)


def test_exposure_and_concentration_are_those_of_the_snapshot() -> None:
    told = RiskMeter().measure(snapshot(1_000, AAA=300, BBB=-500))
    assert (told.time_ns, told.gross_exposure, told.net_exposure) == (7, D(800), D(-200))
    assert (told.leverage, told.largest, told.largest_share) == (0.8, "BBB", 0.625)


def test_drawdown_is_the_loss_since_the_highest_equity_seen() -> None:
    meter = RiskMeter()
    meter.see(snapshot(1_000))
    meter.see(snapshot(2_000))
    assert meter.measure(snapshot(1_500)).drawdown == 0.25
    assert meter.measure(snapshot(2_500)).drawdown == 0.0
    assert meter.measure(snapshot(2_000)).drawdown == pytest.approx(0.2)


def test_a_book_without_equity_or_positions_has_no_leverage_and_no_largest() -> None:
    told = RiskMeter().measure(snapshot(0))
    assert (told.drawdown, told.leverage, told.largest, told.largest_share) == (0.0, None, None, None)


def test_the_highest_equity_outlives_a_restart() -> None:
    before = RiskMeter()
    before.see(snapshot(2_000))
    after = RiskMeter()
    after.restore(before.measure(snapshot(1_000)).to_body())
    assert after.measure(snapshot(1_500)).drawdown == 0.25
