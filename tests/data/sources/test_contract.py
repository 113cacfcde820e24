"""The adapters of the project keep the contract that authors are given, and it finds those that do not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from data.adapter import DataAdapter
from data.bars import BarSeries
from data.errors import BarDataError
from data.ibkr import LiveBars
from data.sources.series import SeriesBars
from data.sources.testing import AdapterContract, sample
from data.stores import ParquetBarStore
from execution.clocks import SteppedClock, timestamp
from execution.models import Bar, Instrument
from execution.timeframes import Timeframe


class TestSeriesBars(AdapterContract):
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> DataAdapter:
        return SeriesBars(bars, clock)


class TestStoredMinutes(AdapterContract):
    timeframe = Timeframe.MINUTE

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path

    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> DataAdapter:
        store = ParquetBarStore(self.path)
        store.write(dict(bars), known_at=timestamp(clock.now_ns()))
        return SeriesBars.from_store(store, list(bars), self.timeframe, clock)


class _FedBars(LiveBars):
    """Live bars that arrive as their time comes."""

    def __init__(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> None:
        size = next(iter(bars.values())).timeframe
        super().__init__(clock, size, {symbol: Instrument(symbol) for symbol in bars})
        self._coming = sorted((bar for series in bars.values() for bar in series), key=lambda b: b.start_ns)
        self._time = clock

    def _arrive(self) -> None:
        while self._coming and self._coming[0].start_ns <= self._time.now_ns():
            self.on_bar(self._coming.pop(0))

    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        self._arrive()
        return super().latest_completed_bar(symbol, timeframe)

    def completed_bars(self, symbol: str, timeframe: str, after_ns: int) -> Sequence[Bar]:
        self._arrive()
        return super().completed_bars(symbol, timeframe, after_ns)


class TestLiveBars(AdapterContract):
    def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> DataAdapter:
        return _FedBars(bars, clock)


class _SeesTheFuture(SeriesBars):
    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        return self._held(symbol, timeframe).bar(-1)


class _Fills(SeriesBars):
    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        found = super().latest_completed_bar(symbol, timeframe)
        late = found is not None and self._clock.now_ns() - found.end_ns >= 3_599_999_999_999
        return Bar(symbol, 0, self._clock.now_ns(), 1, 1, 1, 1, 0) if late else found


class _Shrugs(SeriesBars):
    def latest_completed_bar(self, symbol: str, timeframe: str) -> Bar | None:
        try:
            return super().latest_completed_bar(symbol, timeframe)
        except KeyError:
            return None


@pytest.mark.parametrize(
    ("kind", "check"),
    [
        (_SeesTheFuture, "test_before_the_first_end_there_is_no_bar"),
        (_SeesTheFuture, "test_a_bar_is_shown_from_its_end_on_with_its_values"),
        (_Fills, "test_a_hole_stays_a_hole"),
        (_Shrugs, "test_what_it_does_not_hold_is_refused"),
    ],
)
def test_an_adapter_that_breaks_the_contract_fails_it(kind: type[SeriesBars], check: str) -> None:
    class Broken(AdapterContract):
        def make(self, bars: Mapping[str, BarSeries], clock: SteppedClock) -> DataAdapter:
            return kind(bars, clock)

    with pytest.raises(AssertionError):
        getattr(Broken(), check)()


def test_a_store_without_the_symbol_is_named(tmp_path: Path) -> None:
    store = ParquetBarStore(tmp_path)
    store.write({"AAA": sample("AAA")}, known_at=timestamp(0))
    with pytest.raises(BarDataError, match="holds no 1h bars of ZZZ; pull them"):
        SeriesBars.from_store(store, ["AAA", "ZZZ"], Timeframe.HOUR, SteppedClock())
