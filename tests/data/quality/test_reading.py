"""Files with every kind of fault: what can be read is read, what cannot is counted and named."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.bars import RawBars
from data.quality import Kind, Severity, read_leniently
from data.quality.reading import timeframe_of
from execution.timeframes import Timeframe

HEADER = "date,open,high,low,close,volume"
SOUND = ["2024-07-01,10,11,9,10.5,1000", "2024-07-02,10,11,9,10.5,1000", "2024-07-03,10,11,9,10.5,1000"]


def written(folder: Path, *lines: str, name: str = "AAA.csv") -> Path:
    path = folder / name
    content = "\n".join(lines).encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


def test_a_sound_file_is_read_whole(tmp_path: Path) -> None:
    raw, findings = read_leniently(written(tmp_path, HEADER, *SOUND), "AAA")
    assert raw is not None
    assert (len(raw.times), findings) == (3, [])


@pytest.mark.parametrize("name", ["AAA.csv", "AAA.csv.gz"])
@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("2024-07-04,10,11,9,n/a,1000", "close is no plain decimal number"),
        ("2024-07-04,10,11,9,10.5,", "volume is no plain decimal number"),
        ("2024-02-30,10,11,9,10.5,1000", "date is no date"),
        ("04/07/2024,10,11,9,10.5,1000", "date is no date"),
        ("2024-07-04,10,11", "6 fields are due"),
        ("2024-07-04,10,11,9,10.5,1000,7", "6 fields are due"),
        ("2024-07-04,1e3,11,9,10.5,1000", "open is no plain decimal number"),
    ],
)
def test_a_row_that_is_no_bar_is_a_finding_and_the_others_are_read(
    name: str, line: str, why: str, tmp_path: Path
) -> None:
    raw, findings = read_leniently(written(tmp_path, HEADER, *SOUND, line, "", line, name=name), "AAA")
    assert raw is not None
    assert len(raw.times) == 3
    found = findings[0]
    assert (len(findings), found.kind, found.severity, found.count) == (1, Kind.UNREADABLE, Severity.ERROR, 2)
    assert why in found.what
    assert "lines 5, 7" in found.what
    assert (found.first, found.last) == (None, None)


def test_times_without_their_zone_are_no_bars(tmp_path: Path) -> None:
    header = "end,open,high,low,close,volume"
    good = "2024-07-01T14:00:00Z,10,11,9,10.5,1000"
    bad = ["2024-07-01T14:01:00,10,11,9,10.5,1000", "2024-07-01T25:01:00Z,10,11,9,10.5,1000"]
    raw, findings = read_leniently(written(tmp_path, header, good, *bad), "AAA")
    assert raw is not None
    assert (len(raw.times), findings[0].count) == (1, 2)


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["date,open,high,low,volume", "2024-07-01,1,1,1,1"], "'close' is missing"),
        (["time,open,high,low,close,volume", "x,1,1,1,1,1"], "no column 'date'"),
        ([HEADER, ""], "no rows"),
        ([""], "empty"),
    ],
)
def test_a_file_that_is_none_of_bars_is_one_finding(lines: list[str], why: str, tmp_path: Path) -> None:
    raw, findings = read_leniently(written(tmp_path, *lines), "AAA")
    assert raw is None
    assert why in findings[-1].what
    assert findings[-1].kind is Kind.UNREADABLE


def test_a_file_of_bad_rows_only_has_no_bars(tmp_path: Path) -> None:
    raw, findings = read_leniently(written(tmp_path, HEADER, "a,b,c,d,e,f"), "AAA")
    assert (raw, len(findings)) == (None, 1)


def test_a_bad_row_does_not_hide_what_is_wrong_with_the_file(tmp_path: Path) -> None:
    raw, findings = read_leniently(
        written(tmp_path, "date,open,high,low,volume", "x,1", "2024-07-01,1,1,1,1"), "AAA"
    )
    assert raw is None
    assert ["fields are due" in findings[0].what, "'close' is missing" in findings[1].what] == [True, True]


def test_a_truncated_gzip_file_and_a_missing_one_are_findings(tmp_path: Path) -> None:
    path = written(tmp_path, HEADER, *SOUND, name="AAA.csv.gz")
    path.write_bytes(path.read_bytes()[:-9])
    for broken in (path, tmp_path / "BBB.csv"):
        raw, findings = read_leniently(broken, "AAA")
        assert raw is None
        assert findings[0].severity is Severity.ERROR


def test_a_spoilt_parquet_file_is_a_finding(tmp_path: Path) -> None:
    path = tmp_path / "AAA.parquet"
    columns = {name: [1.0, 2.0] for name in ("open", "high", "low", "close", "volume")}
    pq.write_table(pa.table({"date": ["2024-07-01", "2024-07-02"], **columns}), path)
    raw, findings = read_leniently(path, "AAA")
    assert raw is not None
    assert not findings
    path.write_bytes(path.read_bytes()[:-9])
    raw, findings = read_leniently(path, "AAA")
    assert raw is None
    assert "not a sound Parquet file" in findings[0].what


@given(st.lists(st.sampled_from([*SOUND, "x", "2024-07-09,1,2", "2024-07-08,,1,1,1,1", " "]), max_size=30))
def test_every_line_is_read_or_counted(lines: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        raw, findings = read_leniently(written(Path(folder), HEADER, *lines), "AAA")
    sound = sum(line in SOUND for line in lines)
    assert (0 if raw is None else len(raw.times)) == sound
    if sound:
        assert sum(found.count for found in findings) == sum(bool(line.strip()) for line in lines) - sound


@pytest.mark.parametrize(
    ("daily", "times", "size"),
    [
        (True, [1, 2, 3], Timeframe.DAY),
        (False, [60, 120, 180], Timeframe.MINUTE),
        (False, [60], Timeframe.MINUTE),
        (False, [3600, 7200, 3600, 90000], Timeframe.HOUR),
    ],
)
def test_the_size_of_bars_is_found_from_their_distance(
    daily: bool, times: list[int], size: Timeframe
) -> None:
    ones = np.ones(len(times))
    ends = np.array(times, dtype=np.int64) * (1 if daily else 1_000_000_000)
    assert timeframe_of(RawBars(daily, ends, (ones, ones, ones, ones), ones)) is size
