"""``trade simulate`` from the command line."""

from __future__ import annotations

import json
import subprocess
import sys


def trade(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "infrastructure.cli", "simulate", *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_seeds_are_summed_up_for_programs() -> None:
    done = trade("--seeds", "4", "--start", "3", "--json")
    found = json.loads(done.stdout)
    assert done.returncode == 0, done.stderr
    assert (found["seeds"], found["violations"], found["failures"]) == (4, 0, [])
    assert found["faults"]
    assert found["simulated_hours"] >= 2
    assert found["orders"] >= 32
    assert found["seeds_per_second"] > 0


def test_people_see_each_fault_with_what_it_means() -> None:
    done = trade("--seeds", "2")
    assert done.returncode == 0, done.stderr
    assert "connection reset before a message was written" in done.stdout
    assert "0 violations" in done.stdout


def test_one_seed_prints_its_trace() -> None:
    done = trade("--seed", "2", "--trace")
    assert done.returncode == 0, done.stderr
    assert "commit" in done.stdout
    assert "healing" in done.stdout


def test_a_violation_is_told_with_its_replay_and_an_exit_status() -> None:
    done = trade("--seed", "2", "--canary")
    assert done.returncode == 1
    assert "CANARY" in done.stderr
    assert "replay: trade simulate --seed 2 --trace" in done.stderr


def test_seeds_can_be_run_twice() -> None:
    done = trade("--seeds", "2", "--twice", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seeds"] == 2


def test_a_trace_without_a_seed_is_a_wrong_use() -> None:
    done = trade("--trace")
    assert done.returncode == 2
    assert "--seed" in done.stderr
