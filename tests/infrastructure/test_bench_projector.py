"""The projector's benchmark measures the same rows it claims to, and crashes of the database cost none."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from data.testing import find_programs
from infrastructure.bench import projector
from infrastructure.deploy import bench_projector

STOPS = 5


@pytest.fixture(autouse=True)
def timescale(timescale_server: object) -> None:
    assert find_programs(timescale=True) is not None


@pytest.mark.slow
def test_the_database_may_crash_under_load_and_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    figures = projector.crash(tmp_path, 3_000, STOPS, lambda _: None)
    assert figures["stops"] == STOPS
    assert figures["equal to a calm run"]
    assert figures["differences from a plain fold"] == 0


def test_any_batches_a_rebuild_and_a_plain_fold_give_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--events", "4000", "--json"])
    assert bench_projector.main() == 0
    told = capsys.readouterr().out
    assert '"rebuilt equal": true' in told
    assert '"projector / bare COPY, time"' in told
