"""Seeds in worker processes: what they came to is summed up, and nothing that goes wrong is passed over."""

from __future__ import annotations

import io
import json
import sys
import tempfile
from collections import Counter

import pytest

from backtesting.simulation import runner, worker, world
from backtesting.simulation.outcome import Outcome, Violation
from backtesting.simulation.runner import CRASH, NOT_REPRODUCED, Summary, run_many, run_seed


def outcome(seed: int, trace: str = "t", **more: object) -> Outcome:
    return Outcome(seed, trace_hash=trace, steps=3, orders=2, simulated_seconds=1800.0, **more)  # type: ignore[arg-type]


def test_a_summary_counts_seeds_faults_orders_and_hours() -> None:
    summary = Summary()
    summary.add(outcome(1, fired=Counter(N1=2, B1=1)))
    summary.add(outcome(2, fired=Counter(N1=1)))
    summary.seconds = 0.5
    assert (summary.seeds, summary.orders, summary.simulated_hours) == (2, 4, 1.0)
    assert summary.faults == Counter(N1=3, B1=1)
    assert summary.seeds_with == Counter(N1=2, B1=1)
    assert summary.seeds_per_second == 4.0


def test_a_failure_names_the_command_that_replays_it() -> None:
    summary = Summary()
    summary.add(outcome(17, violations=[Violation("I2", "two orders")]))
    found = summary.as_dict()
    assert found["violations"] == 1
    assert found["failures"] == [
        {
            "seed": 17,
            "invariant": "I2",
            "what": "two orders",
            "replay": "trade simulate --seed 17 --trace",
        }
    ]


def test_a_summary_of_nothing_has_no_rate() -> None:
    assert Summary().seeds_per_second == 0.0


def test_two_traces_of_a_seed_are_a_failure() -> None:
    pairs = [outcome(1, "a"), outcome(2, "x"), outcome(1, "b"), outcome(2, "x")]
    found = {o.seed: o.violations for o in runner._paired(pairs, twice=True)}
    assert [violation.invariant for violation in found[1]] == [NOT_REPRODUCED]
    assert found[2] == []


def test_an_error_of_the_simulation_is_reported_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self, *_: object, **__: object) -> None:
            raise RuntimeError("no world")

    monkeypatch.setattr(world, "World", Broken)
    assert run_seed(5).violations == [Violation(CRASH, "RuntimeError: no world")]


def test_a_worker_answers_each_seed_with_a_line() -> None:
    answers = io.StringIO()
    worker.serve(io.StringIO("[1]\n"), answers)
    row = json.loads(answers.getvalue())
    again = run_seed(1)
    assert row["trace_hash"] == again.trace_hash
    assert row["fired"] == dict(again.fired)


def test_a_list_of_seeds_is_run_in_a_process_of_its_own_that_gives_the_same() -> None:
    with tempfile.TemporaryFile("w+", encoding="utf-8") as answers:
        worker.serve(io.StringIO("[1, 2]\n"), answers, forks=True)
        answers.seek(0)
        rows = [json.loads(line) for line in answers]
    assert [row["trace_hash"] for row in rows] == [run_seed(seed).trace_hash for seed in (1, 2)]


def test_a_process_of_its_own_that_dies_is_an_error() -> None:
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError("no space")

    with pytest.raises(ChildProcessError, match="seeds 1 to 1"):
        worker.serve(io.StringIO("[1]\n"), Full(), forks=True)


@pytest.mark.parametrize("count", [1, 7, 8, 100, 1000])
def test_workers_are_given_every_seed_once_and_ever_fewer_towards_the_end(count: int) -> None:
    chunks = list(runner._chunks(list(range(count)), 2))
    assert [seed for chunk in chunks for seed in chunk] == list(range(count))
    assert len(chunks[-1]) == 1
    assert [len(chunk) for chunk in chunks] == sorted((len(chunk) for chunk in chunks), reverse=True)


def test_workers_give_the_same_as_this_process() -> None:
    told: list[int] = []
    summary = run_many([1, 2], on_outcome=lambda one: told.append(one.seed))
    here = Summary()
    for seed in (1, 2):
        here.add(run_seed(seed))
    assert sorted(told) == [1, 2]
    assert (summary.faults, summary.orders, summary.steps) == (here.faults, here.orders, here.steps)


def test_a_worker_that_dies_is_an_error_and_not_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises((ValueError, OSError)):
        run_many([1])
