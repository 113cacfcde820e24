"""The benchmark of orders measures what it says, and its figures are judged."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog

from infrastructure.bench import orders, pauses, processes, reconciling, sustained, venue
from infrastructure.bench.seat import Seat
from infrastructure.deploy import bench_orders


@pytest.fixture
def resting() -> Iterator[int]:
    """The port of a venue that acknowledges orders and fills none."""
    with processes.running(venue.arguments("--rest")) as server:
        yield server.port


def test_each_mode_is_measured_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(orders, "_WARM_UP", 2)
    disk, memory = tmp_path / "disk", tmp_path / "memory"
    disk.mkdir()
    memory.mkdir()
    told: list[int] = []
    figures = orders.measure(disk, memory, orders=4, report=told.append)
    assert figures["orders"] == 4
    assert told[-1] == 4
    for mode in ("raw", "commit", "ours", "ours_memory"):
        assert 0 < figures[f"{mode}_us"] <= figures[f"{mode}_p99_us"]
    assert figures["ratio"] == figures["ours_us"] / (figures["raw_us"] + figures["commit_us"])
    assert figures["memory_ratio"] == figures["ours_memory_us"] / figures["raw_us"]


def test_pauses_of_the_collector_are_found(tmp_path: Path) -> None:
    figures = pauses.measure(tmp_path, orders=5)
    assert figures["orders"] == 5
    assert figures["longest_pause_inside_ms"] <= figures["longest_pause_ms"]
    assert 0 < figures["own_p50_us"] <= figures["own_longest_us"]
    collections = pauses.Collections()
    collections.note("start", {})
    collections.note("stop", {})
    assert collections.calls == 1
    assert collections.longest_ms > 0
    assert collections.longest_inside_ms == 0


def test_missed_and_known_executions_are_reconciled(tmp_path: Path) -> None:
    figures = reconciling.measure(tmp_path, orders=6, fills=12)
    assert (figures["open_orders"], figures["fills"]) == (6, 12)
    assert figures["missed_s"] > 0
    assert figures["known_s"] > 0


def test_an_even_pace_fills_every_order(tmp_path: Path) -> None:
    figures = sustained.measure(tmp_path, seconds=0.2)
    assert (figures["orders"], figures["unfilled"]) == (9, 0)
    assert figures["memory_mib"] > 0
    assert "memory_bytes_an_order" not in figures  # nine orders fill no window


def test_memory_is_measured_past_the_warm_up_only() -> None:
    filling = [(number, 1_000 * number) for number in range(0, 4_000, 45)]
    flat = [(number, 4_000_000 + 10 * number) for number in range(4_005, 13_500, 45)]
    grown = sustained.growth(filling + flat)
    assert grown["memory_from_order"] == 4_005
    assert grown["memory_bytes_an_order"] == pytest.approx(10)
    assert grown["memory_kib_a_minute"] == pytest.approx(10 * 45 * 60 / 1024)
    assert sustained.growth(filling) == {}
    assert sustained.growth([*filling, flat[0]]) == {}


@pytest.mark.parametrize(("grown", "met"), [(256.0, True), (257.0, False)])
def test_memory_that_grows_with_the_orders_is_no_flat_memory(grown: float, met: bool) -> None:
    (row,) = bench_orders.verdicts({"sustained": {"memory_bytes_an_order": grown}})
    assert row["met"] is met


async def test_an_order_that_rests_is_at_work_and_its_moment_is_told(resting: int, tmp_path: Path) -> None:
    seat = Seat(resting, 1, tmp_path / "journal.db", limited=False)
    with venue.Stamps(resting) as stamps:
        await seat.executor.ensure_ready()
        seat.executor.submit(seat.request())
        assert await asyncio.to_thread(stamps.next) > 0
        await orders.settled(lambda: seat.acknowledged() == 1)
    assert not seat.is_settled()
    await seat.close()


async def test_answers_that_do_not_come_are_not_waited_for_for_ever() -> None:
    with pytest.raises(TimeoutError, match="did not come"):
        await orders.settled(lambda: False, seconds=0.01)


def test_each_figure_is_held_against_what_is_asked() -> None:
    figures: dict[str, Any] = {
        "machine": {"cpu": "fast"},
        "latency": {"ratio": 1.6, "memory_ratio": 2.0},
        "sustained": {"orders_a_second": 45.0, "unfilled": 0.0},
    }
    figures["verdicts"] = bench_orders.verdicts(figures)
    assert {row["figure"]: row["met"] for row in figures["verdicts"]} == {
        "ratio": False,
        "memory_ratio": True,
        "orders_a_second": True,
        "unfilled": True,
    }
    text = bench_orders.table(figures)
    assert "MISSED  ratio" in text
    assert "machine: cpu fast" in text


def test_the_command_prints_json_for_the_parts_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def measured(folder: Path, **options: Any) -> dict[str, float]:
        assert folder.is_dir()
        options["report"](1)
        return {"missed_s": 1.0, "known_s": 9.0}

    monkeypatch.setattr(reconciling, "measure", measured)
    monkeypatch.setattr(
        sys, "argv", ["bench_orders", "--part", "reconcile", "--json", "--folder", str(tmp_path)]
    )
    monkeypatch.setattr(structlog, "configure", lambda **_: None)
    assert bench_orders.main() == 0
    figures = json.loads(capsys.readouterr().out)
    assert set(figures) == {"machine", "reconcile", "verdicts"}
    assert [row["met"] for row in figures["verdicts"]] == [True, False]
    assert not any(tmp_path.iterdir())


def test_nothing_is_measured_that_was_not_asked_for(tmp_path: Path) -> None:
    options = argparse.Namespace(
        part=["none"], folder=str(tmp_path), orders=1, pause_orders=1, open=1, fills=1, seconds=1.0
    )
    assert set(bench_orders.measure(options)) == {"machine"}
