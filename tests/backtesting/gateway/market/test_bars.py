"""The tape: whole steps, parts of bars, and bars of several sizes."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.gateway.errors import GatewayError
from backtesting.gateway.market.bars import Tape
from backtesting.gateway.market.paths import merge
from data.bars import BarSeries, steps
from execution.models import Bar
from execution.timeframes import Timeframe

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
Bars = dict[str, BarSeries]


def minutes(symbol: str = "AAA", count: int = 5, first: float = 100.0, start_ns: int = 0) -> BarSeries:
    starts = start_ns + np.arange(count, dtype=np.int64) * MINUTE
    opens = first + np.arange(count, dtype=np.float64)
    columns = (opens, opens + 1, opens - 1, opens + 0.25, np.full(count, 600.0))
    return BarSeries(symbol, Timeframe.MINUTE, starts, starts + MINUTE, *columns)


def test_whole_steps_complete_the_bars_that_end_together(bars: Bars) -> None:
    tape = Tape(bars)
    assert tape.last_price("AAA") == 100.0, "time starts at the open"
    step = tape.next_step()
    assert step is not None
    assert step.bars is step.completed
    assert [bar.symbol for bar in step.bars] == ["AAA", "BBB"]
    assert (tape.completed("AAA"), tape.last_price("AAA")) == (1, 100.5)
    assert tape.forming("AAA") is None
    for _ in range(9):
        assert tape.next_step() is not None
    assert tape.next_step() is None
    assert tape.next_end_ns is None


@given(st.lists(st.integers(1, 200 * SECOND), max_size=30))
def test_however_time_runs_the_parts_add_up_to_the_bars(leaps: list[int]) -> None:
    series = {"AAA": minutes(), "BBB": minutes("BBB", 4, 50.0, start_ns=MINUTE)}
    tape = Tape(series)
    played: dict[str, list[Bar]] = {"AAA": [], "BBB": []}
    ended: dict[str, list[Bar]] = {"AAA": [], "BBB": []}
    now = 0
    for leap in [*leaps, 400 * SECOND]:
        now += leap
        for step in tape.advance_to(now):
            for bar in step.bars:
                played[bar.symbol].append(bar)
            for bar in step.completed:
                assert bar.end_ns == step.end_ns
                ended[bar.symbol].append(bar)
        assert tape.now_ns == now
    for symbol, own in series.items():
        assert ended[symbol] == list(own)
        for bar in own:
            parts = [part for part in played[symbol] if bar.start_ns <= part.start_ns < bar.end_ns]
            assert merge(parts) == bar
        gaps = {after.start_ns - before.end_ns for before, after in pairwise(played[symbol])}
        assert gaps <= {0}


def test_the_opening_price_is_known_at_the_open() -> None:
    tape = Tape({"AAA": minutes()})
    assert list(tape.advance_to(0)) == []
    assert tape.last_price("AAA") == 100.0
    forming = tape.forming("AAA")
    assert forming is not None
    assert forming.volume == 0


def test_a_step_taken_from_the_middle_of_a_bar_plays_the_rest_of_it() -> None:
    tape = Tape({"AAA": minutes()})
    list(tape.advance_to(20 * SECOND))
    step = tape.next_step()
    assert step is not None
    assert [(bar.start_ns, bar.end_ns) for bar in step.bars] == [(20 * SECOND, MINUTE)]
    assert [bar.volume for bar in step.completed] == [600]
    whole = tape.next_step()
    assert whole is not None
    assert whole.bars is whole.completed


def test_an_unsound_bar_has_no_path_and_becomes_history() -> None:
    series = minutes()
    high = series.high.copy()
    high[1] = 1.0
    columns = (series.open, high, series.low, series.close, series.volume)
    broken = BarSeries("AAA", Timeframe.MINUTE, series.start_ns, series.end_ns, *columns)
    tape = Tape({"AAA": broken})
    steps = list(tape.advance_to(150 * SECOND))
    assert [len(step.bars) for step in steps] == [1, 0, 1]
    assert [len(step.completed) for step in steps] == [1, 1, 0]


def test_what_ended_before_the_start_is_history() -> None:
    tape = Tape({"AAA": minutes()})
    tape.skip_to(150 * SECOND)
    assert (tape.completed("AAA"), tape.last_price("AAA")) == (2, 101.25)
    (step,) = tape.advance_to(160 * SECOND)
    assert [(bar.start_ns, bar.end_ns) for bar in step.bars] == [(150 * SECOND, 160 * SECOND)]


def test_after_the_last_bar_time_goes_on_without_trades() -> None:
    tape = Tape({"AAA": minutes()})
    list(tape.advance_to(300 * SECOND))
    (step,) = tape.advance_to(400 * SECOND)
    assert (step.end_ns, list(step.bars), list(step.completed)) == (400 * SECOND, [], [])
    assert tape.last_price("AAA") == 104.25


def test_the_finest_bars_of_a_symbol_are_played_and_the_coarser_are_kept(
    bars: Bars, minute_bars: Bars
) -> None:
    tape = Tape({"AAA": [bars["AAA"], minute_bars["AAA"]], "BBB": bars["BBB"]})
    assert tape.series["AAA"].timeframe is Timeframe.MINUTE
    assert tape.coarser["AAA", Timeframe.DAY] is bars["AAA"]
    step = tape.next_step()
    assert step is not None
    assert [bar.symbol for bar in step.bars] == ["AAA"]


def test_no_bars_at_all_and_two_sets_of_one_size_are_refused(bars: Bars) -> None:
    with pytest.raises(GatewayError, match="check the folder given to --bars"):
        Tape({})
    with pytest.raises(GatewayError, match="AAA: two sets of bars of one size"):
        Tape({"AAA": [bars["AAA"], bars["AAA"]]})


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 250), st.integers(0, 300))
def test_bars_that_are_made_ready_piece_by_piece_are_those_of_all_at_once(
    first: int, second: int, later: int, skipped: int
) -> None:
    series = {"AAA": minutes(count=first), "BBB": minutes("BBB", second, 50.0, start_ns=later * MINUTE)}
    tape = Tape(series)
    tape.skip_to(skipped * MINUTE)
    played = []
    while (step := tape.next_step()) is not None:
        played.append((step.end_ns, list(step.bars)))
    assert played == [each for each in steps(series) if each[0] > skipped * MINUTE]
