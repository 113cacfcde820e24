"""The benchmark of the stores of bars measures what it says, on few rows."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from data.testing import LocalServer
from infrastructure.bench import bars

PROGRAM = Path(__file__).parents[2] / "infrastructure" / "deploy" / "bench_bars.py"


def test_bars_are_made_for_every_symbol_and_only_for_weekdays() -> None:
    table = bars.minutes(20 * 2_000).to_pandas()
    assert table.groupby("symbol").size().tolist() == [2_000] * 20
    assert set(table["start"].dt.day_of_week) <= {0, 1, 2, 3, 4}


def test_files_are_measured_by_one_command(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), "--no-database", "--json", "--folder", str(tmp_path)]
    small = ["--rows", "2000", "--turns", "1", "--symbols", "3", "--years", "1"]
    done = subprocess.run([*command, *small], capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    assert figures["universe_bars"] == 3 * 262
    assert figures["parquet_read_all_of_bare"] > 0
    assert list(tmp_path.iterdir()) == []


def test_the_database_is_measured(timescale_server: LocalServer) -> None:
    assert timescale_server.timescale
    figures = bars.measure_database(2_000, 1, lambda _: None)
    assert figures["rows"] == 2_000
    assert min(figures.values()) > 0
