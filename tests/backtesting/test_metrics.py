"""Key figures against hand-worked values, and what must hold for any curve."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting import metrics
from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.models import Fill, Side

DAY = 86_400_000_000_000


def curve(*values: float) -> metrics.Floats:
    return np.array(values, dtype=np.float64)


def times(*days: float) -> metrics.Times:
    return np.array([int(day * DAY) for day in days], dtype=np.int64)


def fill(day: int, side: Side, quantity: int, price: str, fee: str | None = "1", symbol: str = "SPY") -> Fill:
    commission = None if fee is None else Decimal(fee)
    moment = pd.Timestamp(day * DAY, tz="UTC")
    return Fill("1", "1", symbol, Decimal(quantity), Decimal(price), side, moment, commission)


EMPTY = curve()
NO_TIMES = times()


def test_total_return_is_the_last_over_the_first() -> None:
    assert metrics.total_return(curve(100, 90, 121)) == pytest.approx(0.21, abs=1e-15)


def test_growth_doubles_in_two_years_at_the_root_of_two() -> None:
    assert metrics.cagr(times(0, 730.5), curve(100, 200)) == pytest.approx(math.sqrt(2) - 1)


def test_daily_equity_takes_the_last_point_of_each_date() -> None:
    assert metrics.daily_equity(times(0.1, 0.9, 1.5, 3.0), curve(1, 2, 3, 4)).tolist() == [2, 3, 4]


def test_sharpe_is_the_annualised_mean_over_the_sample_deviation() -> None:
    returns = [0.01, -0.02, 0.03, 0.0]
    expected = statistics.mean(returns) / statistics.stdev(returns) * math.sqrt(252)
    assert metrics.sharpe(curve(*returns)) == pytest.approx(expected, rel=1e-12)
    assert metrics.volatility(curve(*returns)) == pytest.approx(statistics.stdev(returns) * math.sqrt(252))


def test_the_risk_free_rate_is_taken_off_each_return() -> None:
    returns = curve(0.01, -0.02, 0.03, 0.0)
    assert metrics.sharpe(returns, risk_free=0.252) == pytest.approx(metrics.sharpe(returns - 0.001))


def test_sortino_counts_losses_only_over_all_returns() -> None:
    # mean 0.005, downside sqrt(0.02^2 / 4) = 0.01
    assert metrics.sortino(curve(0.01, -0.02, 0.03, 0.0)) == pytest.approx(0.5 * math.sqrt(252))


def test_the_maximum_drawdown_is_measured_from_the_highest_point_before_it() -> None:
    assert metrics.max_drawdown(curve(100, 120, 90, 130, 117)) == pytest.approx(0.25)
    assert metrics.drawdowns(curve(100, 120, 90)).tolist() == [0, 0, 0.25]


def test_calmar_is_growth_over_drawdown() -> None:
    assert metrics.calmar(0.1, 0.2) == pytest.approx(0.5)
    assert metrics.calmar(0.1, 0.0) is None
    assert metrics.calmar(None, 0.2) is None


def test_a_round_trip_runs_from_flat_to_flat_net_of_commissions() -> None:
    trips = metrics.round_trips(
        [
            fill(1, Side.BUY, 10, "100"),
            fill(2, Side.BUY, 10, "102"),
            fill(3, Side.SELL, 5, "110"),
            fill(4, Side.SELL, 15, "104"),
            fill(5, Side.BUY, 1, "100"),
        ]
    )
    assert [(t.opened_ns // DAY, t.closed_ns // DAY, t.profit) for t in trips] == [(1, 4, Decimal("86"))]


def test_a_round_trip_names_the_order_that_opened_it_and_a_turn_opens_one() -> None:
    fills = [fill(1, Side.BUY, 1, "1"), fill(2, Side.SELL, 3, "1"), fill(3, Side.BUY, 2, "1")]
    named = [replace(one, client_order_id=name) for one, name in zip(fills, "abc", strict=True)]
    assert [trip.opened_by for trip in metrics.round_trips(named)] == ["a", "b"]


def test_turning_a_position_closes_one_trip_and_opens_the_next_with_its_share_of_the_commission() -> None:
    trips = metrics.round_trips(
        [
            fill(1, Side.BUY, 10, "100", "0"),
            fill(2, Side.SELL, 30, "99", "3"),
            fill(3, Side.BUY, 20, "90", None),
        ]
    )
    assert [trip.profit for trip in trips] == [Decimal(-11), Decimal(178)]
    assert metrics.hit_rate(trips) == 0.5


def test_a_multiplier_scales_profit_and_turnover() -> None:
    fills = [fill(1, Side.BUY, 1, "4000", symbol="ES"), fill(2, Side.SELL, 1, "4010", symbol="ES")]
    multipliers = {"ES": Decimal(50)}
    assert [trip.profit for trip in metrics.round_trips(fills, multipliers)] == [Decimal(498)]
    assert metrics.traded_value(fills, multipliers) == 400_500


def test_exposure_is_averaged_over_time_and_turnover_over_a_year() -> None:
    gross, equity = curve(0, 50, 100, 0), curve(100, 100, 200, 100)
    assert metrics.time_in_market(gross) == 0.5
    assert metrics.mean_exposure(gross, equity) == 0.25
    assert metrics.turnover(Decimal(250), times(0, 365.25), curve(100, 150)) == 2.0


def test_what_is_not_defined_is_none() -> None:
    assert metrics.total_return(EMPTY) is None
    assert metrics.total_return(curve(100)) is None
    assert metrics.total_return(curve(0, 100)) is None
    assert metrics.cagr(NO_TIMES, EMPTY) is None
    assert metrics.cagr(times(0, 1), curve(100, -5)) is None
    assert metrics.cagr(times(0, 1e-9), curve(1, 100)) is None  # would overflow
    assert metrics.max_drawdown(EMPTY) is None
    assert metrics.sharpe(curve(0.01)) is None
    assert metrics.sharpe(curve(0.01, 0.01, 0.01)) is None
    assert metrics.volatility(EMPTY) is None
    assert metrics.sortino(curve(0.01)) is None
    assert metrics.sortino(curve(0.01, 0.02)) is None
    assert metrics.hit_rate([]) is None
    assert metrics.time_in_market(EMPTY) is None
    assert metrics.mean_exposure(curve(1), curve(-1)) is None
    assert metrics.turnover(Decimal(1), times(1), curve(1)) is None
    assert metrics.turnover(Decimal(1), times(1, 2), curve(-1, -1)) is None


def test_returns_end_where_the_account_is_lost() -> None:
    assert metrics.simple_returns(curve(100, 50, -10, 20)).tolist() == [-0.5, pytest.approx(-1.2)]
    assert metrics.simple_returns(curve(-1, 2)).tolist() == []


def test_the_summary_of_nothing_has_every_name_and_no_figure() -> None:
    summary = metrics.summary_metrics(NO_TIMES, EMPTY, EMPTY, [])
    counts = {name: value for name, value in summary.items() if value is not None}
    assert counts == {"round_trips": 0, "fills": 0, "commissions": 0.0}


def test_the_summary_puts_the_figures_together() -> None:
    fills = [fill(1, Side.BUY, 10, "10"), fill(2, Side.SELL, 10, "9")]
    summary = metrics.summary_metrics(
        times(0, 1, 2, 365.25), curve(100, 99, 88, 88), curve(0, 100, 0, 0), fills
    )
    assert summary["total_return"] == pytest.approx(-0.12)
    assert summary["cagr"] == pytest.approx(-0.12)
    assert summary["max_drawdown"] == pytest.approx(0.12)
    assert summary["calmar"] == pytest.approx(-1)
    assert (summary["round_trips"], summary["hit_rate"], summary["fills"]) == (1, 0.0, 2)
    assert (summary["commissions"], summary["final_equity"]) == (2.0, 88.0)
    assert summary["turnover"] == pytest.approx(190 / 93.75)


def test_arrays_of_different_length_are_refused() -> None:
    with pytest.raises(ValueError, match="one entry a step"):
        metrics.summary_metrics(times(1, 2), curve(1), curve(1), [])


CURVES = st.lists(st.floats(1, 1e6), max_size=40)


@given(CURVES)
def test_no_figure_is_ever_infinite_or_not_a_number(values: list[float]) -> None:
    equity = curve(*values)
    summary = metrics.summary_metrics(times(*range(len(values))), equity, equity * 0.5, [])
    assert all(value is None or math.isfinite(value) for value in summary.values())
    assert summary["max_drawdown"] is None or 0 <= summary["max_drawdown"] < 1


@given(CURVES.filter(lambda values: len(values) > 2), st.sampled_from([0.25, 2.0, 1024.0]))
def test_ratios_do_not_depend_on_the_currency_unit(values: list[float], unit: float) -> None:
    moments = times(*range(len(values)))
    one, other = (
        metrics.summary_metrics(moments, curve(*values) * factor, curve(*values) * factor, [])
        for factor in (1.0, unit)
    )
    for name in one.keys() - {"initial_equity", "final_equity"}:
        if one[name] is None or other[name] is None:
            assert one[name] is other[name] is None
        else:
            assert one[name] == pytest.approx(other[name], rel=1e-9, abs=1e-12)


@given(CURVES.filter(len))
def test_a_rising_curve_has_no_drawdown(values: list[float]) -> None:
    assert metrics.max_drawdown(curve(*sorted(values))) == 0


def test_a_round_trip_over_a_split_is_one_and_its_dividends_and_fractions_are_profit() -> None:
    fills = [fill(1, Side.BUY, 10, "100"), fill(4, Side.SELL, 14, "70"), fill(9, Side.BUY, 1, "1")]
    moved = [
        Adjustment(AdjustmentKind.DIVIDEND, "SPY", 2 * DAY, cash=Decimal(5)),
        Adjustment(AdjustmentKind.SPLIT, "SPY", 3 * DAY, Decimal(4), Decimal("0.5"), Decimal(70)),
        Adjustment(AdjustmentKind.DIVIDEND, "SPY", 5 * DAY, cash=Decimal(7)),  # nothing is held any more
        Adjustment(AdjustmentKind.SPLIT, "IWM", 3 * DAY, Decimal(4)),
    ]
    fees = sum((one.commission or Decimal(0) for one in fills[:2]), Decimal(0))
    (trip,) = metrics.round_trips(fills, None, moved)
    assert trip.profit == 14 * 70 + 35 + 5 - 1_000 - fees
    assert (trip.opened_ns, trip.closed_ns) == (DAY, 4 * DAY)


def test_a_round_trip_ends_where_a_reverse_split_leaves_nothing() -> None:
    gone = Adjustment(AdjustmentKind.SPLIT, "SPY", 3 * DAY, Decimal(-3), Decimal("0.2"), Decimal(150))
    (trip,) = metrics.round_trips([fill(1, Side.BUY, 3, "10", "0")], None, [gone])
    assert (trip.profit, trip.closed_ns) == (Decimal(0), 3 * DAY)
