"""kill -9 of traders at the steps of an order's way; `make kill-orders` does it a thousand times.

`KILLS` sets the number, `KILL_SEED` what the traders do and where they end.
"""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

import pytest

from infrastructure.bench import kill_child, kill_orders
from infrastructure.deploy import kill_orders as command

KILLS = int(os.environ.get("KILLS", "20"))
SEED = int(os.environ.get("KILL_SEED", str(random.SystemRandom().randrange(10**6))))


def sound() -> tuple[dict[str, Any], dict[str, Any], set[str]]:
    """Return a journal's view and a broker's statement that agree, and what was acknowledged."""
    known = {
        "orders": {"a": ["FILLED", "10"], "b": ["CANCELLED", "0"], "c": ["NOT_SENT", "0"]},
        "positions": {"AAA": "10"},
    }
    broker = {
        "orders": [{"order_ref": "a", "filled": "10"}, {"order_ref": "b", "filled": "0"}],
        "executions": [{"exec_id": "1"}],
        "positions": {"AAA": "10"},
    }
    return known, broker, {"a", "b"}


def test_nothing_is_lost_or_doubled_by_kills(tmp_path: Path) -> None:
    print(f"KILL_SEED={SEED}")
    found = asyncio.run(kill_orders.play(tmp_path, kills=KILLS, seed=SEED))
    assert found.problems == []
    assert found.kills == KILLS
    assert found.acknowledged
    assert found.events


def test_a_round_ends_before_its_journal_is_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kill_orders, "_KILLS_A_ROUND", 2)
    done: list[int] = []
    found = asyncio.run(kill_orders.play(tmp_path, kills=3, seed=SEED, report=done.append))
    assert (found.problems, found.kills, found.rounds) == ([], 3, 2)
    assert done == [1, 2, 3]


def test_agreement_is_no_problem() -> None:
    assert kill_orders.differences(*sound()) == []


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda known, _: known["orders"].pop("b"), "b was acknowledged and is lost"),
        (lambda _, broker: broker["orders"].append(broker["orders"][0]), "a is at the broker 2 times"),
        (lambda _, broker: broker["orders"].pop(0), "a is FILLED here, and not at the broker"),
        (
            lambda _, broker: broker["orders"].append({"order_ref": "x", "filled": "0"}),
            "x is at the broker and not in the journal",
        ),
        (
            lambda _, broker: broker["orders"].append({"order_ref": "c", "filled": "0"}),
            "c is NOT_SENT here, and at the broker",
        ),
        (lambda known, _: known["orders"].update(b=["SUBMITTED", "0"]), "b has no end: SUBMITTED"),
        (
            lambda known, _: known["orders"].update(a=["FILLED", "5"]),
            "a has 5 filled here, 10 at the broker",
        ),
        (
            lambda _, broker: broker["executions"].append({"exec_id": "1"}),
            "the broker told an execution twice",
        ),
        (
            lambda known, _: known["positions"].update(AAA="20"),
            "positions are {'AAA': '20'} here, {'AAA': '10'} at the broker",
        ),
    ],
)
def test_every_difference_is_told(spoil: Any, told: str) -> None:
    known, broker, acknowledged = sound()
    spoil(known, broker)
    assert told in kill_orders.differences(known, broker, acknowledged)


def test_the_lanes_are_added_up_and_a_lane_that_died_is_a_problem() -> None:
    lane = kill_orders.Found(kills=3, seconds=2.0).as_dict() | {"by_step": {kill_child.STEPS[0]: 3}}
    total = command.joined([lane, lane])
    assert (total["kills"], total["seconds"], total["kills_a_second"]) == (6, 2.0, 3.0)
    assert total["by_step"] == {kill_child.STEPS[0]: 6}
    text = command.table(total)
    assert "nothing lost, nothing doubled" in text
    assert "PROBLEM: it died" in command.table(total | {"problems": ["it died"]})
