from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.clocks import timestamp
from execution.models import PortfolioSnapshot, Position
from risk.metrics import WINDOW, DailyReturns, RiskMeter, expected_shortfall, tail_risk, value_at_risk

D = Decimal
DAY = 86_400 * 10**9


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


def returns(*values: float, first: int = 0) -> DailyReturns:
    """One return a day, complete at 21:00 UTC."""
    days = np.arange(first, first + len(values), dtype=np.int64)
    return DailyReturns(days * DAY + 21 * 3_600 * 10**9, np.array(values))


def held(**values: int) -> list[Position]:
    return [Position(s, D(1), D(1), D(v), D(0), timestamp(7)) for s, v in values.items()]


def test_the_tail_of_a_hundred_days_is_the_one_that_was_worked_out_by_hand() -> None:
    # 1,000 of AAA and 500 short of BBB. Losses of 1 to 100 from AAA alone: BBB moves on the worst day only,
    # when it falls by a tenth and gives 50 back. So the losses are 1 to 99, and 100 - 50 = 50 once more.
    aaa = returns(*(-n / 1_000 for n in range(1, 101)))
    bbb = returns(*[0.0] * 99, -0.1)
    told = tail_risk(held(AAA=1_000, BBB=-500), {"AAA": aaa, "BBB": bbb}, 200 * DAY)
    assert (told.returns, told.unknown) == (100, None)
    assert told.value_at_risk_95 == pytest.approx(94)  # the 95th of 1, 2 … 50, 50 … 99
    assert told.expected_shortfall_95 == pytest.approx((95 + 96 + 97 + 98 + 99) / 5)
    assert told.value_at_risk_99 == pytest.approx(98)
    assert told.expected_shortfall_99 == pytest.approx(99)
    assert told.volatility == pytest.approx(np.std([*range(1, 100), 50], ddof=1))


def test_a_tail_of_a_broken_number_of_days_takes_the_last_one_in_part() -> None:
    losses = np.array([5.0, -1.0, 3.0, 9.0, *[0.0] * 66])  # 70 days: a tail of 3.5 and one of 0.7
    assert value_at_risk(losses, 95) == 0.0  # the 67th of 70
    assert expected_shortfall(losses, 95) == pytest.approx((9 + 5 + 3 + 0.5 * 0) / 3.5)
    assert value_at_risk(losses, 99) == expected_shortfall(losses, 99) == 9.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=300), st.sampled_from([95, 99]))
def test_the_tail_is_the_one_that_numpy_finds(losses: list[float], percent: int) -> None:
    values = np.array(losses)
    var, shortfall = value_at_risk(values, percent), expected_shortfall(values, percent)
    assert var == np.quantile(values, percent / 100, method="inverted_cdf")
    # The mean of the quantile function over the tail, a step function of n equal steps.
    grid = np.sort(values).repeat(100)
    assert shortfall == pytest.approx(float(grid[len(values) * percent :].mean()), rel=1e-9, abs=1e-6)
    assert shortfall >= var - 1e-6


def test_only_days_that_were_over_count_and_of_them_the_newest() -> None:
    calm, wild = returns(*[-0.01] * 80), returns(*[-0.01] * 79, -0.5)
    book = held(AAA=100)
    assert tail_risk(book, {"AAA": wild}, 79 * DAY) == tail_risk(book, {"AAA": calm}, 79 * DAY)
    assert tail_risk(book, {"AAA": wild}, 80 * DAY).expected_shortfall_99 == pytest.approx(50)
    long = returns(-0.9, *[-0.01] * WINDOW)
    told = tail_risk(book, {"AAA": long}, 10_000 * DAY)
    assert told.returns == WINDOW
    assert told.expected_shortfall_99 == pytest.approx(1)


@pytest.mark.parametrize(
    ("known", "why"),
    [
        ({}, "AAA has 0 daily returns, 60 are needed"),
        ({"AAA": returns(*[0.01] * 59), "BBB": returns(*[0.01] * 90)}, "AAA has 59 daily returns, 60"),
        (
            {"AAA": returns(*[0.01] * 90), "BBB": returns(*[0.01] * 90, first=40)},
            "AAA, BBB share 50 days of returns, 60 are needed",
        ),
    ],
)
def test_what_cannot_be_known_is_unknown_with_the_reason(known: dict[str, DailyReturns], why: str) -> None:
    body = RiskMeter(known).measure(snapshot(1_000, ns=200 * DAY, AAA=300, BBB=-500)).to_body()
    assert why in body["tail_unknown"]
    figures = ("value_at", "shortfall", "volatility")
    assert {body[name] for name in body if any(word in name for word in figures)} == {None}
    assert body["tail_returns"] == 0


def test_a_book_that_holds_nothing_risks_nothing_and_a_smaller_minimum_is_enough() -> None:
    body = RiskMeter().measure(snapshot(1_000)).to_body()
    assert (body["value_at_risk_95"], body["expected_shortfall_99"], body["tail_unknown"]) == (0.0, 0.0, None)
    assert (body["volatility"], body["delta"], body["details"]["greeks_unknown"]) == (0.0, 0.0, None)
    meter = RiskMeter({"AAA": returns(*[-0.01] * 30)}, minimum=30)
    body = meter.measure(snapshot(1_000, ns=200 * DAY, AAA=300)).to_body()
    assert body["value_at_risk_99"] == pytest.approx(3)
    assert json.loads(json.dumps(body)) == body
