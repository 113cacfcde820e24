"""The sample bars: real, sound, labelled as simulated contracts."""

from __future__ import annotations

import datetime as dt
import importlib.machinery
import importlib.util
import subprocess
import sys
from decimal import Decimal

import numpy as np
import pytest

from data.bars import RawBars
from data.errors import BarFileError
from data.samples import SAMPLE_INSTRUMENTS, drop_defects, sample_bars


def test_two_indices_over_twenty_years_without_a_defect() -> None:
    bars = sample_bars()
    assert bars.symbols == ("COMPSIM", "SPXSIM") == tuple(i.symbol for i in SAMPLE_INSTRUMENTS)
    assert all("simulated contract" in instrument.name for instrument in SAMPLE_INSTRUMENTS)
    assert [len(series) for series in bars.values()] == [5031, 5031]
    assert bars.dropped == {"COMPSIM": 0, "SPXSIM": 0}
    first = bars["SPXSIM"].bar(0)
    assert (first.open, first.high, first.low, first.close) == (1229.23, 1248.81, 1219.1, 1228.1)
    assert str(first.end) == "1999-01-04 21:00:00+00:00"
    assert {instrument.tick for instrument in SAMPLE_INSTRUMENTS} == {Decimal("0.01")}


def test_a_part_can_be_chosen() -> None:
    bars = sample_bars(["SPXSIM"], start=dt.date(2018, 1, 1), end=dt.date(2018, 1, 5))
    assert bars.symbols == ("SPXSIM",)
    assert len(bars["SPXSIM"]) == 4


@pytest.mark.parametrize(("symbols", "fault"), [(["SPX"], "'SPX' is not a sample"), ([], "an empty choice")])
def test_an_unknown_sample_is_named(symbols: list[str], fault: str) -> None:
    with pytest.raises(BarFileError, match=fault):
        sample_bars(symbols)


def test_defective_and_repeated_rows_are_left_out_and_counted() -> None:
    days = np.array([1, 2, 3, 3, 2, 4], dtype=np.int64)
    sound = np.full(6, 10.0)
    high = np.array([10.0, 9.0, 10.0, 10.0, 10.0, 10.0])
    kept, left_out = drop_defects(RawBars(True, days, (sound, high, sound, sound), sound))
    assert kept.times.tolist() == [1, 3, 4]
    assert left_out == 3


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(name: str, package: str | None = None) -> importlib.machinery.ModuleSpec | None:
        return None

    monkeypatch.setattr(importlib.util, "find_spec", nothing)
    with pytest.raises(BarFileError, match="not installed; run the set-up again"):
        sample_bars()


def test_the_package_itself_is_not_imported() -> None:
    code = "import sys; from data.samples import sample_bars; sample_bars(); sys.exit('arch' in sys.modules)"
    assert subprocess.run([sys.executable, "-W", "error", "-c", code], check=False).returncode == 0
