"""The contracts of a `DataAdapter` and of a `HistorySource`, as tests that an author runs over his own.

    class TestMyAdapter(AdapterContract):
        def make(self, bars, clock):
            return MyAdapter(..., clock)

    class TestMySource(HistoryContract):
        def make(self, bars, clock):
            return MySource(..., clock)

pytest collects the tests of the class. They feed the adapter bars of two symbols with a hole between two of
them and move a clock over their ends; the source, bars of two symbols over nine weeks, and ask it for parts.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import re
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Coroutine, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from data.adapter import DataAdapter
from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.errors import HistoryRefusedError
from data.sources.history import HistorySource, Window
from data.sources.pull import PullReport, pull
from data.sources.record import PullRecord
from data.stores import ParquetBarStore
from execution.clocks import SteppedClock, timestamp
from execution.models import Instrument
from execution.timeframes import Timeframe

_T = TypeVar("_T")

_START_NS = 1_514_989_800_000_000_000  # 2018-01-03 14:30 UTC
_HOLE_AFTER = 4
_BARS = 8


def sample(symbol: str, timeframe: Timeframe = Timeframe.HOUR, first_price: float = 100.0) -> BarSeries:
    """Return eight bars in one session-like row, with a hole of one bar after the fourth."""
    place = np.arange(_BARS) + (np.arange(_BARS) >= _HOLE_AFTER)
    starts = _START_NS + place * timeframe.nanos
    close = np.asarray(first_price + place * 0.25, np.float64)
    volume = np.asarray(1000.0 + place, np.float64)
    ends = starts + timeframe.nanos
    return BarSeries(symbol, timeframe, starts, ends, close, close + 0.5, close - 0.5, close, volume)


class AdapterContract(ABC):
    """What every adapter keeps; subclass it and give `make`."""

    timeframe = Timeframe.HOUR
    """Size of the bars that the adapter is fed."""

    @abstractmethod
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> DataAdapter:
        """Return the adapter, with these bars behind it and this clock as its trading clock.

        A source that only learns of bars as time passes may hold all of them at once: what is not complete
        by the clock must not be shown.
        """

    def _set_up(self) -> tuple[DataAdapter, dict[str, BarSeries], SteppedClock]:
        bars = {name: sample(name, self.timeframe, 100.0 + i) for i, name in enumerate(("AAA", "BBB"))}
        clock = SteppedClock(_START_NS)
        return self.make(bars, clock), bars, clock

    def test_before_the_first_end_there_is_no_bar(self) -> None:
        """Nothing is shown while the first bar forms."""
        adapter, bars, clock = self._set_up()
        clock.advance_to(int(bars["AAA"].end_ns[0]) - 1)
        _require(adapter.latest_completed_bar("AAA", self.timeframe.value) is None, "a forming bar was shown")
        _require(not adapter.completed_bars("AAA", self.timeframe.value, 0), "a forming bar was listed")

    def test_a_bar_is_shown_from_its_end_on_with_its_values(self) -> None:
        """At each end exactly the bars that ended by then are shown, value for value."""
        adapter, bars, clock = self._set_up()
        for i, end in enumerate(bars["AAA"].end_ns.tolist()):
            clock.advance_to(end)
            for symbol, series in bars.items():
                newest = adapter.latest_completed_bar(symbol, self.timeframe.value)
                _require(newest == series.bar(i), f"{symbol}: {newest} is shown, {series.bar(i)} was due")
                _require(
                    list(adapter.completed_bars(symbol, self.timeframe.value, 0)) == list(series)[: i + 1],
                    f"{symbol}: not all bars up to the newest were listed",
                )

    def test_a_list_begins_after_the_moment_asked_for(self) -> None:
        """A bar that ends exactly at `after_ns` was seen before; ends ascend and none comes twice."""
        adapter, bars, clock = self._set_up()
        ends = bars["AAA"].end_ns.tolist()
        clock.advance_to(ends[-1])
        for i, end in enumerate(ends):
            listed = adapter.completed_bars("AAA", self.timeframe.value, end)
            _require(
                [bar.end_ns for bar in listed] == ends[i + 1 :], f"after {end}: not the bars that follow"
            )
        listed = adapter.completed_bars("AAA", self.timeframe.value, 0)
        _require(all(a.end_ns < b.end_ns for a, b in pairwise(listed)), "ends do not ascend")
        _require(not adapter.completed_bars("AAA", self.timeframe.value, ends[-1] + 1), "bars of the future")

    def test_a_hole_stays_a_hole(self) -> None:
        """Where the market gave no bar, none is made up."""
        adapter, bars, clock = self._set_up()
        clock.advance_to(int(bars["AAA"].end_ns[_HOLE_AFTER]) - 1)
        newest = adapter.latest_completed_bar("AAA", self.timeframe.value)
        _require(newest == bars["AAA"].bar(_HOLE_AFTER - 1), "a bar was made up for the hole")

    def test_what_it_does_not_hold_is_refused(self) -> None:
        """Another timeframe or symbol is an error, never an empty answer."""
        adapter, _, _ = self._set_up()
        other = next(size for size in Timeframe if size is not self.timeframe)
        for symbol, size in (("AAA", other.value), ("ZZZ", self.timeframe.value)):
            try:
                adapter.latest_completed_bar(symbol, size)
            except (LookupError, ValueError):
                continue
            raise AssertionError(
                f"{symbol} {size}: is not held, and was answered as if there were no bar yet"
            )


SESSIONS: Final = ExchangeClock("XNYS", dt.date(2017, 12, 1), dt.date(2018, 4, 30))
"""The sessions of the bars that a source is fed, and some around them."""
_LAST: Final = dt.date(2018, 3, 7)
_WEEK_NS: Final = 7 * 86_400_000_000_000


def sessions_of_bars(symbol: str, timeframe: Timeframe, first_price: float = 100.0) -> BarSeries:
    """Return bars of nine weeks of XNYS, of a session each or its first three hours, without 2018-02-05."""
    spans: list[tuple[int, int]] = []
    for session in SESSIONS.sessions(dt.date(2018, 1, 3), _LAST):
        if session.date == dt.date(2018, 2, 5):
            continue
        until = min(session.close_ns, session.open_ns + 3 * Timeframe.HOUR.nanos)
        start = session.open_ns
        while start < until and timeframe is not Timeframe.DAY:
            end = (start // timeframe.nanos + 1) * timeframe.nanos
            spans.append((start, end))
            start = end
        if timeframe is Timeframe.DAY:
            spans.append((session.open_ns, session.close_ns))
    starts, ends = (np.array(column) for column in zip(*spans, strict=True))
    close = np.asarray(first_price + np.arange(len(ends)) % 40 * 0.25, np.float64)
    volume = np.asarray(1000.0 + np.arange(len(ends)), np.float64)
    return BarSeries(symbol, timeframe, starts, ends, close, close + 0.5, close - 0.5, close, volume)


class HistoryContract(ABC):
    """What every source of the past keeps; subclass it and give `make`."""

    timeframe = Timeframe.DAY
    """Size of the bars that the source is fed."""

    @abstractmethod
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> HistorySource:
        """Return the source, with these bars behind it, all of them, and this clock as its idea of now.

        The bars are those of `SESSIONS`.
        """

    def _set_up(self) -> tuple[HistorySource, dict[str, BarSeries], SteppedClock]:
        names = enumerate(("AAA", "BBB"))
        bars = {name: sessions_of_bars(name, self.timeframe, 100.0 + i) for i, name in names}
        clock = SteppedClock(int(bars["AAA"].end_ns[-1]) + _WEEK_NS)
        return self.make(bars, clock), bars, clock

    def test_its_name_and_its_questions_are_stable(self) -> None:
        """Answers are remembered under the name, and questions are cut along whole weeks."""
        source, _, _ = self._set_up()
        _require(bool(re.fullmatch(r"[a-z][a-z0-9-]*", source.name)), f"name {source.name!r}: use lower case")
        days = source.window_days(self.timeframe)
        _require(days > 0 and days % 7 == 0, f"{days} days a question are no whole weeks")

    def test_a_pull_brings_every_bar_with_its_values_and_again_changes_nothing(self) -> None:
        """What is stored is what there was: times in UTC, prices as traded, no bar twice, the hole a hole."""
        source, bars, clock = self._set_up()
        with tempfile.TemporaryDirectory() as folder:
            store, record = ParquetBarStore(Path(folder) / "bars"), PullRecord(Path(folder) / "record")

            def bring() -> PullReport:
                instruments = [Instrument(name) for name in bars]
                start, end = int(bars["AAA"].start_ns[0]) - _WEEK_NS, clock.now_ns()
                return _run(
                    pull(
                        source, store, record, instruments, self.timeframe, clock,
                        start_ns=start, end_ns=end, again=True,
                    )
                )  # fmt: skip

            report = bring()
            _require(not report.refused, f"refused: {report.refused}")
            stored = store.read(list(bars), self.timeframe).to_series()
            for name, series in bars.items():
                _require(name in stored, f"{name}: nothing was stored")
                _require_same(stored[name], series)
            second = bring()
            _require(not (second.inserted or second.revised), "the same question had another answer")

    def test_windows_that_meet_share_no_bar_and_lose_none(self) -> None:
        """A bar belongs to the window in which it starts: the window's begin is included, its end is not."""
        source, bars, _ = self._set_up()
        whole = bars["AAA"]
        first, last = int(whole.start_ns[0]), int(whole.end_ns[-1])
        for cut in (int(whole.start_ns[9]), int(whole.start_ns[9]) + 1, int(whole.end_ns[9])):
            parts = [self._bars(source, "AAA", *span) for span in ((first, cut), (cut, last))]
            count = int(np.searchsorted(whole.start_ns, cut))
            for part, expected in zip(
                parts, (whole.slice(0, count), whole.slice(count, len(whole))), strict=True
            ):
                if part is None:
                    raise AssertionError(f"no bars beside a cut at {timestamp(cut)}")
                _require_same(part, expected)

    def test_where_there_are_no_bars_the_answer_is_none(self) -> None:
        """Before the first bar, and in a hole, there are none: no error, and no bar made up."""
        source, bars, _ = self._set_up()
        first = int(bars["AAA"].start_ns[0])
        hole = SESSIONS.midnight_ns(dt.date(2018, 2, 5))
        for start, end in ((first - 10**13, first), (hole, hole + 86_400_000_000_000)):
            found = self._bars(source, "AAA", start, end)
            _require(found is None, f"{found} from {timestamp(start)} on, where there are no bars")

    def test_nothing_comes_from_the_future(self) -> None:
        """A bar that begins after now is not known yet."""
        _, bars, _ = self._set_up()
        clock = SteppedClock(int(bars["AAA"].end_ns[9]))
        source = self.make(bars, clock)
        found = self._bars(source, "AAA", int(bars["AAA"].start_ns[0]), int(bars["AAA"].end_ns[-1]))
        late = found is not None and int(found.start_ns[-1]) >= clock.now_ns()
        _require(not late, f"{found} reaches beyond {timestamp(clock.now_ns())}, which is now")

    def test_its_head_is_not_after_its_first_bar(self) -> None:
        """Nobody asks for what lies before the head; None is the answer of who does not know."""
        source, bars, _ = self._set_up()
        head = _run(source.head_ns(Instrument("AAA"), self.timeframe))
        late = head is not None and head > int(bars["AAA"].start_ns[0])
        _require(not late, "the head comes after the first bar")

    def test_a_symbol_that_it_does_not_know_is_refused(self) -> None:
        """Not to know is an error, `HistoryRefusedError`, and never "there are no bars"."""
        source, bars, _ = self._set_up()
        try:
            _run(source.head_ns(Instrument("ZZZ"), self.timeframe))
            self._bars(source, "ZZZ", int(bars["AAA"].start_ns[0]), int(bars["AAA"].end_ns[-1]))
        except HistoryRefusedError:
            return
        raise AssertionError("ZZZ is not known, and was answered as if it had no bars")

    def _bars(self, source: HistorySource, symbol: str, start_ns: int, end_ns: int) -> BarSeries | None:
        return _run(source.bars(Instrument(symbol), self.timeframe, Window(start_ns, end_ns)))


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def _require_same(found: BarSeries, expected: BarSeries) -> None:
    """Require that two series are equal; say where they first differ."""
    shorter = min(len(found), len(expected))
    for i in range(shorter):
        if found.bar(i) != expected.bar(i):
            raise AssertionError(f"bar {i} is {found.bar(i)}; it should be {expected.bar(i)}")
    _require(len(found) == len(expected), f"{len(found)} bars, not {len(expected)}")
    _require(found.symbol == expected.symbol, f"bars of {found.symbol}, not of {expected.symbol}")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise AssertionError(otherwise)
