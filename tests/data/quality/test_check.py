"""Each thing that a check promises to find, planted into a sound series; and nothing in a sound one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bars import FloatArray, Int64Array, RawBars
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.quality import Finding, Kind, Rows, Severity, Thresholds, check
from execution.timeframes import Timeframe

CLOCK = ExchangeClock("XNYS", dt.date(2018, 1, 1), dt.date(2018, 12, 31))
MINUTE = Timeframe.MINUTE.nanos


def walk(count: int, seed: int = 1) -> FloatArray:
    moves = np.random.default_rng(seed).normal(0, 0.01, count)
    closes: FloatArray = np.round(100 * np.exp(np.cumsum(moves)), 2)
    return closes


def rows_of(ends: Int64Array, timeframe: Timeframe) -> Rows:
    close = walk(len(ends))
    volume = np.arange(1000, 1000 + len(ends), dtype=np.float64)
    return Rows("AAA", timeframe, ends, close, close + 0.5, close - 0.5, close, volume)


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


def test_a_spike_is_found_and_a_move_that_stays_is_none() -> None:
    spike = only(check(scaled(daily(), 2.4, 100, 101), CLOCK))
    assert spike.kind is Kind.SPIKE
    assert spike.first is not None
    assert spike.first.value == CLOCK.closes_ns[100]
    assert check(scaled(daily(), 1.25, 100), CLOCK) == []


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
