"""Each thing that a check promises to find, planted into a sound series; and nothing in a sound one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bars import FloatArray, Int64Array, RawBars
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.quality import Finding, Kind, Rows, Severity, Thresholds, check
from data.quality.finding import MOST
from execution.timeframes import Timeframe

CLOCK = ExchangeClock("XNYS", dt.date(2018, 1, 1), dt.date(2018, 12, 31))
MINUTE = Timeframe.MINUTE.nanos


def walk(count: int, seed: int = 1) -> FloatArray:
    moves = np.random.default_rng(seed).normal(0, 0.01 if count < 5_000 else 0.0003, count)
    closes: FloatArray = np.round(100 * np.exp(np.cumsum(moves)), 2)
    return closes


def rows_of(ends: Int64Array, timeframe: Timeframe) -> Rows:
    close = walk(len(ends))
    volume = np.arange(1000, 1000 + len(ends), dtype=np.float64)
    return Rows("AAA", timeframe, ends, close.copy(), close + 0.05, close - 0.05, close, volume)


def daily(count: int = 200) -> Rows:
    return rows_of(CLOCK.closes_ns[:count].copy(), Timeframe.DAY)


def minutes(sessions: int = 3) -> Rows:
    ends = [np.arange(CLOCK.opens_ns[i] + MINUTE, CLOCK.closes_ns[i] + 1, MINUTE) for i in range(sessions)]
    return rows_of(np.concatenate(ends), Timeframe.MINUTE)


def without(rows: Rows, *positions: int) -> Rows:
    keep = np.ones(len(rows), dtype=bool)
    keep[list(positions)] = False
    return rows.select(keep)


def only(found: list[Finding]) -> Finding:
    assert len(found) == 1, found
    return found[0]


def scaled(rows: Rows, factor: float, first: int, last: int | None = None) -> Rows:
    where = slice(first, last)
    columns = {}
    for name in ("open", "high", "low", "close"):
        columns[name] = getattr(rows, name).copy()
        columns[name][where] *= factor
    return replace(rows, **columns)


def test_sound_bars_have_no_findings() -> None:
    assert check(daily(), CLOCK) == []
    assert check(minutes(), CLOCK) == []
    assert check(daily(0), CLOCK) == []


def test_missing_sessions_are_one_gap_with_its_dates() -> None:
    gap = only(check(without(daily(), 10, 11, 12), CLOCK))
    assert (gap.kind, gap.severity, gap.count) == (Kind.GAP, Severity.ERROR, 3)
    assert f"{CLOCK.dates[10]} to {CLOCK.dates[12]}" in gap.what
    assert gap.first is not None
    assert gap.last is not None
    assert (gap.first.value, gap.last.value) == (CLOCK.opens_ns[10], CLOCK.closes_ns[12])


def test_holidays_and_half_days_are_no_gaps() -> None:
    thanksgiving = CLOCK.dates.index(dt.date(2018, 11, 21))
    ends = [
        np.arange(CLOCK.opens_ns[i] + MINUTE, CLOCK.closes_ns[i] + 1, MINUTE)
        for i in range(thanksgiving, thanksgiving + 3)
    ]
    assert check(rows_of(np.concatenate(ends), Timeframe.MINUTE), CLOCK) == []


def test_a_long_gap_suggests_a_change_of_ticker() -> None:
    assert "change of ticker" in only(check(without(daily(), *range(50, 80)), CLOCK)).proposal


def test_a_stretch_within_a_session_is_a_gap_and_single_bars_are_summed_up() -> None:
    gap, sparse = check(without(minutes(), *range(100, 107), 500, 600), CLOCK)
    assert (gap.kind, gap.count, gap.severity) == (Kind.GAP, 7, Severity.WARNING)
    assert gap.first is not None
    assert gap.last is not None
    assert gap.last.value - gap.first.value == 7 * MINUTE
    assert (sparse.kind, sparse.count, sparse.severity) == (Kind.SPARSE, 2, Severity.NOTE)


def test_a_gap_does_not_run_from_one_session_into_the_next() -> None:
    found = check(without(minutes(), *range(387, 393)), CLOCK)
    assert [(one.kind, one.count) for one in found] == [(Kind.SPARSE, 6)]


def test_unsound_rows_are_named_once_each() -> None:
    rows = daily()
    for position, column, value in ((5, "close", np.nan), (6, "high", 1.0), (7, "volume", -1.0)):
        array = getattr(rows, column)
        array[position] = value
    found = check(rows, CLOCK)
    assert {one.kind for one in found} == {Kind.UNSOUND, Kind.GAP}
    unsound = [one for one in found if one.kind is Kind.UNSOUND]
    assert sum(one.count for one in unsound) == 3
    assert "high is below low" in " ".join(one.what for one in unsound)


def test_duplicates_with_the_same_and_with_other_values_are_told_apart() -> None:
    rows = daily(50)
    twice = rows.select(np.sort(np.append(np.arange(50), [7, 9])))
    twice.close[8] += 0.01
    other, same = check(twice, CLOCK)
    assert (other.kind, other.severity, other.count) == (Kind.DUPLICATE, Severity.ERROR, 1)
    assert (same.kind, same.severity, same.count) == (Kind.DUPLICATE, Severity.WARNING, 1)


def test_rows_out_of_order_are_found_and_checked_in_order() -> None:
    order = np.arange(60)
    order[[20, 21]] = [21, 20]
    assert only(check(daily(60).select(order), CLOCK)).kind is Kind.DISORDER


def test_rows_outside_sessions_are_noted_and_left_out() -> None:
    rows = minutes()
    early = replace(rows, end_ns=rows.end_ns.copy())
    early.end_ns[0] -= 60 * MINUTE
    found = check(early, CLOCK)
    assert only(found).kind is Kind.OUTSIDE
    assert only(found).severity is Severity.NOTE


def test_bars_of_which_none_lies_in_a_session_are_an_error() -> None:
    night = replace(minutes(), end_ns=minutes().end_ns + 10 * 60 * MINUTE)
    assert check(night.select(np.arange(10)), CLOCK)[0].severity is Severity.ERROR
    saturday = daily(20)
    saturday.end_ns[3] += 86_400 * 10**9
    closed = next(one for one in check(saturday, CLOCK) if one.kind is Kind.OUTSIDE)
    assert (closed.severity, closed.count) == (Severity.WARNING, 1)


def test_a_spike_is_found_and_a_move_that_stays_is_none() -> None:
    spike = only(check(scaled(daily(), 2.4, 100, 101), CLOCK))
    assert spike.kind is Kind.SPIKE
    assert spike.first is not None
    assert spike.first.value == CLOCK.closes_ns[100]
    assert check(scaled(daily(), 1.25, 100), CLOCK) == []


def priced(position: int, **prices: float) -> Rows:
    rows = daily()
    for name, price in prices.items():
        getattr(rows, name)[position] = price
    return rows


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (priced(100, low=7.0), "low 7 is "),
        (priced(100, high=900.0), "high 900 is +"),
        (
            priced(100, open=260.0, high=260.0),
            "high 260 is +",
        ),  # near twice the close: no split, it comes back
        (priced(0, high=900.0), ""),  # of the first bar the close before is not known
    ],
)
def test_a_wrong_print_that_the_close_does_not_show_is_a_spike(rows: Rows, said: str) -> None:
    found = check(rows, CLOCK)
    if not said:
        assert found == []
        return
    assert (only(found).kind, only(found).severity) == (Kind.SPIKE, Severity.WARNING)
    assert said in only(found).what


def test_a_price_that_mostly_stands_still_and_moves_by_its_tick_has_no_spikes() -> None:
    rows = daily()
    for tick, price in ((0.01, 100.0), (0.01, 0.01), (0.5, 100.0)):
        moved = np.random.default_rng(3).random(len(rows)) < 0.1
        close = np.where(moved, price + tick, price)
        still = replace(rows, open=close, high=close, low=close, close=close)
        assert check(still, CLOCK) == []
    lone = np.full(len(rows), 100.0)
    lone[100] = 180.0
    assert only(check(replace(rows, open=lone, high=lone, low=lone, close=lone), CLOCK)).kind is Kind.SPIKE


def test_a_share_that_halves_and_doubles_from_day_to_day_has_not_been_split() -> None:
    wild = [20, 31, 40, 36, 39, 43, 65, 77, 148, 348, 194, 325, 225, 90, 92, 54, 64, 60, 50]
    calm = walk(30)
    close = np.concatenate((calm / calm[-1] * 20, wild, calm / calm[0] * 50))
    opens = np.append(close[0], close[:-1])
    opens[30 + 11] = 380.0  # near twice the close before, and prices stay there for a while
    opens[30 + 10] = 261.0  # near three quarters
    rows = replace(
        daily(len(close)),
        open=opens,
        high=np.maximum(opens, close),
        low=np.minimum(opens, close),
        close=close,
    )
    assert Kind.SPLIT_UNEXPLAINED not in {one.kind for one in check(rows, CLOCK)}


def test_after_years_without_bars_a_price_may_have_doubled_without_a_split() -> None:
    long = ExchangeClock("XNYS", dt.date(2000, 1, 1), dt.date(2018, 12, 31))
    rows = rows_of(long.closes_ns.copy(), Timeframe.DAY)
    rows = replace(
        rows, **{name: getattr(rows, name) * 0 + 100.0 for name in ("open", "high", "low", "close")}
    )
    rows.close[:] = 100 + np.arange(len(rows)) % 7
    rows = replace(rows, open=rows.close, high=rows.close, low=rows.close)
    jumped = scaled(rows, 0.5, 1000)
    assert Kind.SPLIT_UNEXPLAINED in {one.kind for one in check(jumped, long)}
    away = without(jumped, *range(999, 4000))
    assert [one.kind for one in check(away, long)] == [Kind.GAP]


def test_many_findings_of_a_kind_are_the_greatest_and_one_for_the_others() -> None:
    rows = daily()
    for day in range(40, 190, 10):
        rows.low[day] = 5.0 if day == 100 else 20.0
    found = check(rows, CLOCK)
    assert len(found) == MOST + 1
    assert sum("low 5 is" in one.what for one in found) == 1
    rest = found[-1]
    assert (rest.count, rest.further, sum(one.count for one in found)) == (15 - MOST, 15 - MOST, 15)
    days = check(without(daily(), *range(20, 180, 2), 100 + 1), CLOCK)
    assert len(days) == MOST + 1
    assert sum(one.count for one in days) == 81
    assert sum(one.count == 3 for one in days) == 1


@pytest.mark.parametrize("name", ["XHKG", "XTKS", "XSHG"])
def test_a_lunch_break_is_no_gap(name: str) -> None:
    clock = ExchangeClock(name, dt.date(2024, 10, 1), dt.date(2024, 12, 31))
    assert (clock.breaks_ns[0] < clock.breaks_ns[1]).any()
    for step, size in ((MINUTE, Timeframe.MINUTE), (60 * MINUTE, Timeframe.HOUR)):
        ends = []
        for opens, closes, begins, back in zip(
            clock.opens_ns, clock.closes_ns, *clock.breaks_ns, strict=True
        ):
            due = np.append(np.arange((opens // step + 1) * step, closes, step), closes)
            ends.append(due[(due - step < begins) | (due > back)])
        rows = rows_of(np.concatenate(ends), size)
        assert check(rows, clock) == []
        assert sum(one.count for one in check(without(rows, *range(200, 210)), clock)) >= 1


def test_a_pause_that_every_session_has_is_told_once() -> None:
    clock = ExchangeClock("CMES", dt.date(2024, 2, 1), dt.date(2024, 4, 30))
    ends = np.concatenate(
        [np.arange(a + MINUTE, b + 1, MINUTE) for a, b in zip(clock.opens_ns, clock.closes_ns, strict=True)]
    )
    local = pd.DatetimeIndex(ends, tz="UTC").tz_convert(clock.tz) - pd.Timedelta(minutes=1)
    rows = rows_of(ends[local.hour != 16], Timeframe.MINUTE)
    pause = only(check(rows, clock))
    assert (pause.kind, pause.severity) == (Kind.SPARSE, Severity.WARNING)
    assert "from 16:00 to 17:00 (America/Chicago)" in pause.what
    assert pause.pull == ""


def test_hours_may_be_counted_from_the_open() -> None:
    hour = 60 * MINUTE
    ends = np.concatenate(
        [
            np.append(np.arange(a + hour, b, hour), b)
            for a, b in zip(CLOCK.opens_ns, CLOCK.closes_ns, strict=True)
        ]
    )
    assert check(rows_of(ends, Timeframe.HOUR), CLOCK) == []


def test_bars_that_stand_still_are_found() -> None:
    rows = daily()
    for name in ("open", "high", "low", "close", "volume"):
        getattr(rows, name)[30:36] = getattr(rows, name)[30]
    stale = only(check(rows, CLOCK))
    assert (stale.kind, stale.count) == (Kind.STALE, 6)
    assert check(rows, CLOCK, thresholds=Thresholds(stale_bars=7)) == []


def test_bars_without_volume_are_summed_up_unless_none_ever_has_one() -> None:
    rows = daily()
    rows.volume[[4, 90]] = 0
    assert (only(check(rows, CLOCK)).kind, only(check(rows, CLOCK)).count) == (Kind.ZERO_VOLUME, 2)
    index = replace(rows, volume=np.zeros(len(rows)))
    assert check(index, CLOCK) == []


@given(
    st.sampled_from(["2", "3", "4", "7", "20", "1.5", "0.1", "0.5"]),
    st.integers(40, 160),
    st.sampled_from([daily, minutes]),
)
def test_a_jump_by_the_ratio_of_a_split_is_an_error_until_an_action_explains_it(
    ratio: str, position: int, make: Callable[[], Rows]
) -> None:
    rows = make()
    if rows.timeframe is Timeframe.MINUTE:
        position = 390
    rows = scaled(rows, 1 / float(ratio), position)
    unknown = only(check(rows, CLOCK))
    assert (unknown.kind, unknown.severity) == (Kind.SPLIT_UNEXPLAINED, Severity.ERROR)
    day = CLOCK.dates[position if rows.timeframe is Timeframe.DAY else 1]
    assert f"{day},AAA,split," in unknown.proposal
    action = CorporateAction("AAA", day, ActionKind.SPLIT, Decimal(ratio))
    known = only(check(rows, CLOCK, [action]))
    assert (known.kind, known.severity) == (Kind.SPLIT, Severity.NOTE)


def test_a_known_split_without_a_jump_says_that_the_bars_are_adjusted() -> None:
    action = CorporateAction("AAA", CLOCK.dates[50], ActionKind.SPLIT, Decimal(7))
    assert only(check(daily(), CLOCK, [action])).kind is Kind.SPLIT_WITHOUT_JUMP


@pytest.mark.parametrize("daily_rows", [True, False])
def test_rows_of_a_file_are_taken_as_they_are(daily_rows: bool) -> None:
    days = np.array(["2018-01-02", "2018-01-06", "2018-01-08"], dtype="datetime64[D]").astype(np.int64)
    ends = CLOCK.closes_ns[:3].copy()
    ones = np.ones(3)
    raw = RawBars(daily_rows, days if daily_rows else ends, (ones, ones, ones, ones), ones)
    found = check(Rows.of_raw("AAA", raw, Timeframe.DAY, CLOCK), CLOCK)
    kinds = {one.kind for one in found}
    assert kinds == ({Kind.OUTSIDE, Kind.GAP} if daily_rows else set())


def test_two_splits_between_two_bars_explain_one_jump() -> None:
    rows = without(scaled(daily(), 1 / 6, 50), *range(45, 55))
    actions = [
        CorporateAction("AAA", CLOCK.dates[day], ActionKind.SPLIT, Decimal(ratio))
        for day, ratio in ((47, 2), (50, 3))
    ]
    kinds = [one.kind for one in check(rows, CLOCK, actions)]
    assert Kind.SPLIT in kinds
    assert Kind.SPLIT_WITHOUT_JUMP not in kinds
