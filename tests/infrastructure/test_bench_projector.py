"""The projector's benchmark measures the same rows it claims to, and crashes of the database cost none."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import pytest

from data.testing import find_programs
from infrastructure.bench import projector
from infrastructure.bench.laps import Laps
from infrastructure.deploy import bench_projector

STOPS = 5


@pytest.fixture(autouse=True)
def timescale(timescale_server: object) -> None:
    assert find_programs(timescale=True) is not None


@pytest.mark.slow
def test_the_database_may_crash_under_load_and_no_row_is_lost_or_doubled(tmp_path: Path) -> None:
    figures = projector.crash(tmp_path, 800, STOPS, lambda _: None)
    assert figures["stops"] == STOPS
    assert figures["times begun again from nothing"] > 0
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
    figures = json.loads(told)
    for run in ("uneven batches", "rebuild"):
        assert figures[f"{run}, last fifth, events/s"] > 0
        assert figures[f"{run}, last fifth, client CPU us/event"] > 0


def test_what_gets_slower_shows_in_the_last_fifth() -> None:
    laps = Laps(50, os.getpid())
    for number in range(50):
        until = time.process_time() + (0.02 if number >= 40 else 0.001)
        while time.process_time() < until:
            pass
        laps.note(1)
    figures = laps.figures("run")
    first, last = (figures[f"run, {part} fifth, client CPU us/event"] for part in ("first", "last"))
    assert last > 2 * first
    assert figures["run, last fifth, server CPU us/event"] > 0  # this process stands for the server here
    assert figures["run, events/s"] > figures["run, last fifth, events/s"]
