"""Adjusted views, total returns and one series over several tickers, against sums done by hand."""

from __future__ import annotations

import datetime as dt
from dataclasses import fields
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction, adjusted, continuous, total_return
from data.errors import CorporateActionDataError
from execution.timeframes import Timeframe

CLOCK = ExchangeClock("XNYS", dt.date(2018, 1, 1), dt.date(2018, 2, 28))
DAYS = CLOCK.dates[:6]


def daily(closes: list[float], symbol: str = "AAA", first: int = 0) -> BarSeries:
    n = len(closes)
    prices = np.array(closes)
    return BarSeries(
        symbol,
        Timeframe.DAY,
        CLOCK.opens_ns[first : first + n],
        CLOCK.closes_ns[first : first + n],
        prices,
        prices + 1,
        prices - 1,
        prices,
        np.full(n, 100.0),
    )


def action(day: dt.date, kind: ActionKind, value: str | Fraction, **more: object) -> CorporateAction:
    number = value if isinstance(value, Fraction) else Decimal(value)
    return CorporateAction("AAA", day, kind, number, **more)  # type: ignore[arg-type]


def test_prices_before_a_split_are_divided_and_volumes_multiplied() -> None:
    bars = daily([100, 102, 51, 52])
    split = action(DAYS[2], ActionKind.SPLIT, "2")
    seen = adjusted(bars, [split], CLOCK, as_of=DAYS[3])
    assert seen.close.tolist() == [50, 51, 51, 52]
    assert seen.high.tolist() == [50.5, 51.5, 52, 53]
    assert seen.volume.tolist() == [200, 200, 100, 100]
    assert bars.close.tolist() == [100, 102, 51, 52]


def test_a_view_knows_nothing_of_what_comes_after_its_date() -> None:
    bars = daily([100, 102, 51, 52])
    split = action(DAYS[2], ActionKind.SPLIT, "2")
    assert adjusted(bars, [split], CLOCK, as_of=DAYS[1]).close.tolist() == [100, 102]
    late = action(DAYS[2], ActionKind.SPLIT, "2", known_at=pd.Timestamp(DAYS[4]).tz_localize("UTC"))
    assert adjusted(bars, [late], CLOCK, as_of=DAYS[3]).close.tolist() == [100, 102, 51, 52]


def test_dividends_lower_the_prices_before_them_in_proportion() -> None:
    bars = daily([100, 80, 79])
    paid = action(DAYS[2], ActionKind.DIVIDEND, "4")
    assert adjusted(bars, [paid], CLOCK, as_of=DAYS[2]).close.tolist() == [100, 80, 79]
    seen = adjusted(bars, [paid], CLOCK, as_of=DAYS[2], dividends=True)
    np.testing.assert_allclose(seen.close, [95, 76, 79])


def test_total_returns_reinvest_dividends_and_see_through_splits() -> None:
    bars = daily([100, 110, 54, 55])
    actions = [action(DAYS[2], ActionKind.SPLIT, "2"), action(DAYS[3], ActionKind.DIVIDEND, "0.5")]
    np.testing.assert_allclose(
        total_return(bars, actions, CLOCK), [1, 1.1, 1.1 * 108 / 110, 1.1 * 108 / 110 * 55.5 / 54]
    )
    assert total_return(bars.slice(0, 0), actions, CLOCK).shape == (0,)


@pytest.mark.parametrize("order", [1, -1])
def test_a_dividend_after_a_split_where_bars_are_missing_is_paid_on_the_new_shares(order: int) -> None:
    """Four shares of a quarter each: the bars between split and dividend are not there."""
    whole = daily([100, 25, 25, 24, 24])
    bars = BarSeries(
        "AAA", whole.timeframe, *(np.delete(getattr(whole, f.name), [1, 2]) for f in fields(whole)[2:])
    )
    actions = [action(DAYS[1], ActionKind.SPLIT, "4"), action(DAYS[2], ActionKind.DIVIDEND, "1")][::order]
    np.testing.assert_allclose(total_return(bars, actions, CLOCK), [1, 1, 1])
    seen = adjusted(bars, actions, CLOCK, as_of=DAYS[4], dividends=True)
    np.testing.assert_allclose(seen.close, [24, 24, 24])


@pytest.mark.parametrize("order", [1, -1])
def test_a_dividend_of_the_day_of_a_split_is_paid_on_the_old_share(order: int) -> None:
    bars = daily([100, 24])
    actions = [action(DAYS[1], ActionKind.SPLIT, "4"), action(DAYS[1], ActionKind.DIVIDEND, "4")][::order]
    np.testing.assert_allclose(total_return(bars, actions, CLOCK), [1, 1])
    seen = adjusted(bars, actions, CLOCK, as_of=DAYS[1], dividends=True)
    np.testing.assert_allclose(seen.close, [24, 24])


@given(
    st.lists(st.floats(5, 500), min_size=6, max_size=6),
    st.integers(1, 5),
    st.integers(1, 5),
    st.floats(0.01, 4.0),
)
def test_the_total_return_is_that_of_the_adjusted_closes(
    closes: list[float], split_day: int, dividend_day: int, cash: float
) -> None:
    bars = daily(closes)
    actions = [action(DAYS[split_day], ActionKind.SPLIT, "3")]
    if dividend_day != split_day:
        actions.append(action(DAYS[dividend_day], ActionKind.DIVIDEND, repr(round(cash, 4))))
    whole = adjusted(bars, actions, CLOCK, as_of=DAYS[-1], dividends=True)
    value = total_return(bars, actions, CLOCK)
    # They differ by the method's own approximation only where a dividend was paid: (p + d) / q against
    # p / (q - d); both agree where nothing was.
    mask = np.ones(5, dtype=bool)
    mask[dividend_day - 1] = False
    np.testing.assert_allclose(
        (whole.close[1:] / whole.close[:-1])[mask], (value[1:] / value[:-1])[mask], rtol=1e-9
    )


def test_one_series_runs_over_all_tickers_and_a_missing_one_stays_a_gap() -> None:
    renames = [
        CorporateAction("OLD", DAYS[2], ActionKind.RENAME, new_symbol="MID"),
        CorporateAction("MID", DAYS[4], ActionKind.RENAME, new_symbol="NEW"),
    ]
    old, middle, new = daily([1, 2, 9], "OLD"), daily([3, 4, 9], "MID", 2), daily([9, 5, 6], "NEW", 3)
    whole = continuous("NEW", {"OLD": old, "MID": middle, "NEW": new}, renames, CLOCK)
    assert whole.symbol == "NEW"
    assert whole.close.tolist() == [1, 2, 3, 4, 5, 6]
    assert continuous("NEW", {"OLD": old, "NEW": new}, renames, CLOCK).close.tolist() == [1, 2, 5, 6]
    with pytest.raises(CorporateActionDataError, match="no bars under this name"):
        continuous("NEW", {}, renames, CLOCK)


def test_an_action_of_another_stock_or_an_impossible_dividend_is_refused() -> None:
    bars = daily([100, 80, 79])
    other = CorporateAction("BBB", DAYS[1], ActionKind.SPLIT, Decimal(2), where="actions.csv, line 2")
    with pytest.raises(CorporateActionDataError, match=r"actions\.csv, line 2: is not an action of AAA"):
        adjusted(bars, [other], CLOCK, as_of=DAYS[2])
    with pytest.raises(CorporateActionDataError, match="that the bars are not adjusted"):
        total_return(bars, [action(DAYS[1], ActionKind.DIVIDEND, "100")], CLOCK)


def test_a_ticker_that_another_company_had_before_or_has_now_is_not_taken_for_the_stock() -> None:
    """ONE is FIRST's from day 2 on; before, it was another company's, which left it on day 1."""
    left = CorporateAction("ONE", DAYS[1], ActionKind.RENAME, new_symbol="GONE")
    renamed = CorporateAction("FIRST", DAYS[2], ActionKind.RENAME, new_symbol="ONE")
    onwards = CorporateAction("ONE", DAYS[4], ActionKind.RENAME, new_symbol="NEW")
    taken = CorporateAction("THIRD", DAYS[5], ActionKind.RENAME, new_symbol="ONE")
    series = {
        "ONE": daily([70, 3, 3, 3, 3, 90], "ONE"),
        "FIRST": daily([1, 2, 80], "FIRST"),
        "NEW": daily([5, 6], "NEW", 4),
        "GONE": daily([71, 72], "GONE", 1),
        "THIRD": daily([91, 92, 93, 94, 95], "THIRD"),
    }
    for actions in ([left, renamed, onwards, taken], [taken, onwards, renamed, left]):
        assert continuous("NEW", series, actions, CLOCK).close.tolist() == [1, 2, 3, 3, 5, 6]
        assert continuous("GONE", series, actions, CLOCK).close.tolist() == [70, 71, 72]
        assert continuous("ONE", series, actions, CLOCK).close.tolist() == [91, 92, 93, 94, 95, 90]


def test_a_new_company_under_an_old_ticker_begins_when_the_old_one_left_it() -> None:
    left = CorporateAction("ONE", DAYS[2], ActionKind.RENAME, new_symbol="GONE")
    bars = {"ONE": daily([70, 71, 3, 4], "ONE")}
    assert continuous("ONE", bars, [left], CLOCK).close.tolist() == [3, 4]


def test_two_stocks_that_exchange_their_tickers_keep_their_bars() -> None:
    swap = [
        CorporateAction("AAA", DAYS[2], ActionKind.RENAME, new_symbol="BBB"),
        CorporateAction("BBB", DAYS[2], ActionKind.RENAME, new_symbol="AAA"),
    ]
    bars = {"AAA": daily([1, 2, 30, 40]), "BBB": daily([10, 20, 3, 4], "BBB")}
    assert continuous("BBB", bars, swap, CLOCK).close.tolist() == [1, 2, 3, 4]
    assert continuous("AAA", bars, swap, CLOCK).close.tolist() == [10, 20, 30, 40]


MICROSOFT = ExchangeClock("XNYS", dt.date(2003, 2, 3), dt.date(2003, 2, 28))


def microsoft() -> tuple[BarSeries, list[CorporateAction]]:
    """Yahoo's own example of adjusted closes ("What is the adjusted close?"): MSFT in February 2003."""
    days = [dt.date(2003, 2, day) for day in (13, 14, 18, 19)]
    at = [MICROSOFT.dates.index(day) for day in days]
    closes = np.array([46.99, 48.30, 24.96, 24.53])
    spans = MICROSOFT.opens_ns[at], MICROSOFT.closes_ns[at]
    bars = BarSeries("MSFT", Timeframe.DAY, *spans, closes, closes, closes, closes, np.full(4, 1e6))
    return bars, [
        CorporateAction("MSFT", days[2], ActionKind.SPLIT, Decimal(2)),
        CorporateAction("MSFT", days[3], ActionKind.DIVIDEND, Decimal("0.08")),
    ]


def test_adjusted_closes_are_those_of_a_published_example() -> None:
    bars, actions = microsoft()
    view = adjusted(bars, actions, MICROSOFT, as_of=dt.date(2003, 2, 28), dividends=True)
    assert view.close.round(2).tolist() == [23.42, 24.07, 24.88, 24.53]
    assert view.volume.tolist() == [2e6, 2e6, 1e6, 1e6]


def test_total_returns_follow_the_published_formula() -> None:
    """CRSP, "Data Definitions & Coding Schemes": r(t) = (p(t) f(t) + d(t)) / p(t') - 1."""
    bars, actions = microsoft()
    returns = np.diff(total_return(bars, actions, MICROSOFT)) / total_return(bars, actions, MICROSOFT)[:-1]
    assert returns.tolist() == pytest.approx(
        [48.30 / 46.99 - 1, 24.96 * 2 / 48.30 - 1, (24.53 + 0.08) / 24.96 - 1], rel=1e-12
    )
    assert returns[2] == pytest.approx(-0.014022, abs=5e-7)


def test_an_action_that_was_learnt_later_is_not_in_an_earlier_view() -> None:
    bars = daily([100, 102, 51, 52])
    learnt = pd.Timestamp(DAYS[3], tz="UTC") + pd.Timedelta(hours=1)
    split = action(DAYS[2], ActionKind.SPLIT, "2", known_at=learnt)
    assert adjusted(bars, [split], CLOCK, as_of=DAYS[2]).close.tolist() == [100, 102, 51]
    assert adjusted(bars, [split], CLOCK, as_of=DAYS[3]).close.tolist() == [50, 51, 51, 52]
    assert total_return(bars, [split], CLOCK, as_of=DAYS[2])[2] == pytest.approx(0.51)


def test_a_date_far_ahead_that_somebody_mistyped_stops_no_view() -> None:
    bars = daily([100, 102, 51, 52])
    typo = action(dt.date(3018, 1, 3), ActionKind.SPLIT, "2")
    assert adjusted(bars, [typo], CLOCK, as_of=DAYS[3]).close.tolist() == [100, 102, 51, 52]
    assert total_return(bars, [typo], CLOCK).tolist() == pytest.approx([1, 1.02, 0.51, 0.52])
