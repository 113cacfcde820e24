"""What is exported is read back as it was, and a folder is complete or not there."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from data.bars import BarSeries, data_hash
from data.errors import BarFileError
from data.files import load_bars, write_bars
from data.samples import sample_bars
from execution.timeframes import Timeframe


def minutes(symbol: str, count: int) -> BarSeries:
    start = 1_709_562_600_000_000_000 + np.arange(count) * 60_000_000_000  # 2024-03-04 14:30 UTC
    close = 100 + np.arange(count) / 100
    return BarSeries(
        symbol,
        Timeframe.MINUTE,
        start,
        start + 60_000_000_000,
        close,
        close + 1,
        close - 1,
        close,
        close * 1e6,
    )


@pytest.mark.parametrize("parquet", [False, True])
def test_days_and_minutes_come_back_as_they_were(tmp_path: Path, *, parquet: bool) -> None:
    days = dict(sample_bars())
    some = {"AAA": minutes("AAA", 30), "BBB": minutes("BBB", 5)}
    for name, series in (("days", days), ("minutes", some)):
        write_bars(tmp_path / name, series, parquet=parquet)
        again = load_bars(tmp_path / name)
        assert {s: data_hash(b) for s, b in again.items()} == {s: data_hash(b) for s, b in series.items()}


def test_the_same_bars_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        write_bars(tmp_path / name, {"AAA": minutes("AAA", 3)})
    assert (tmp_path / "one/AAA.csv.gz").read_bytes() == (tmp_path / "two/AAA.csv.gz").read_bytes()


def test_a_folder_that_exists_is_left_alone(tmp_path: Path) -> None:
    with pytest.raises(BarFileError, match="exists already; name a new folder"):
        write_bars(tmp_path, {"AAA": minutes("AAA", 3)})
    assert list(tmp_path.iterdir()) == []


def test_a_daily_bar_outside_of_the_exchange_leaves_no_folder(tmp_path: Path) -> None:
    with pytest.raises(BarFileError, match="lies in no session of XTKS; name its own"):
        write_bars(tmp_path / "out", dict(sample_bars()), calendar="XTKS")
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BarFileError, match=r"cannot be written: .*; nothing is left"):
        write_bars(tmp_path / "file" / "out", {"AAA": minutes("AAA", 3)})


@pytest.mark.parametrize("symbol", ["a/../../b", "BRK/B", "^GSPC", "ES=F", "aapl"])
def test_a_symbol_that_no_file_can_be_named_after_is_refused_and_writes_nowhere(
    tmp_path: Path, symbol: str
) -> None:
    """Its file would lie elsewhere, or be ignored by the next import without a word."""
    with pytest.raises(BarFileError, match="a file of this name would not be read again"):
        write_bars(tmp_path / "deep" / "out", {"AAA": minutes("AAA", 3), symbol: minutes(symbol, 3)})
    assert list(tmp_path.iterdir()) == []
    write_bars(tmp_path / "out", {"BRK B": minutes("BRK B", 3), "CL 20200519": minutes("CL 20200519", 3)})
    assert sorted(load_bars(tmp_path / "out")) == ["BRK B", "CL 20200519"]
