"""The benchmark of daily bars and of compression measures what it says, on few rows."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from data.testing import LocalServer
from infrastructure.bench import compression

PROGRAM = Path(__file__).parents[2] / "infrastructure" / "deploy" / "bench_database.py"


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False
    )


def test_daily_bars_are_compared_with_numpy_and_asked_for_both_ways(
    local_timescale_server: LocalServer,
) -> None:
    programs = str(local_timescale_server.programs)
    done = run("--symbols", "1", "--turns", "1", "--json", "--programs", programs)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["minutes"], figures["daily_bars_equal_to_numpy"]) == (97_140, 250)
    assert figures["aggregate_times_faster"] > 0
    assert ("compressed_times_smaller" in figures) is ("ALPHEC_COMMUNITY" in os.environ)


@pytest.fixture
def minutes(tmp_path: Path) -> Path:
    """A folder with half an hour of a symbol's minutes."""
    folder = tmp_path / "bars"
    folder.mkdir()
    rows = [f"2024-03-04T14:{minute}:00Z,100.00,101.00,99.00,100.50,10" for minute in range(31, 60)]
    (folder / "SPY.csv").write_text("\n".join(["end,open,high,low,close,volume", *rows]) + "\n")
    return folder


def test_bars_of_a_folder_are_compressed_and_read_back(
    local_timescale_server: LocalServer, minutes: Path
) -> None:
    told: list[str] = []
    programs = local_timescale_server.programs
    if "ALPHEC_COMMUNITY" not in os.environ:
        with pytest.raises(RuntimeError, match="not the community edition"):
            compression.measure([minutes], None, programs, told.append)
        return
    figures = compression.measure([minutes], ["SPY", "QQQ"], programs, told.append)
    assert (figures["bars_1m_rows"], figures["bars_1m_chunks"]) == (29, 1)
    assert figures["vendor_bars_rows"] == 0


def test_compression_needs_the_name_of_a_server(minutes: Path) -> None:
    done = run("--bars", str(minutes))
    assert (done.returncode, "--programs" in done.stderr) == (2, True)
