"""Frames of a real paper TWS beside those of the simulated gateway, for the same checklist.

Put what `make test-paper` wrote into the folder ``paper`` beside this file. Each frame of TWS must then be
like one that our gateway sends when it is asked the same: as many fields, each of the same kind.
"""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from execution.examples.paper_checklist import arguments, check

from .test_recorded import LISTS, NOT_SENT, _alike, _differences, _letter

PAPER = Path(__file__).with_name("paper")
ACCOUNT_VALUES = (6, 7, 8, 54, 63)
"""Of these TWS tells more rows than are simulated; their shape is held elsewhere."""


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def strangers(theirs: list[dict[str, Any]], ours: list[dict[str, Any]]) -> list[tuple[int, object]]:
    """Return the messages of TWS that are like none of ours, each shape once."""
    samples: dict[int, dict[str, list[str]]] = {}
    for row in ours:
        if row["dir"] == "in":
            shape = "".join(map(_letter, row["fields"]))
            samples.setdefault(row["msg_id"], {})[shape] = row["fields"]
    found: dict[tuple[int, str], object] = {}
    for row in theirs:
        number, fields = row["msg_id"], row["fields"]
        if row["dir"] != "in" or not number or number in NOT_SENT or number in (*LISTS, *ACCOUNT_VALUES):
            continue
        mine = list(samples.get(number, {}).values())
        if not any(_alike(number, fields, sample) for sample in mine):
            found[number, "".join(map(_letter, fields))] = _differences(fields, mine)
    return [(number, what) for (number, _), what in found.items()]


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    path = tmp_path_factory.mktemp("checklist") / "frames.jsonl"
    given = arguments(["--simulated", "--yes", "--frames", str(path)])
    assert asyncio.run(check(given, Console(file=io.StringIO()))) == 0
    return read(path)


@pytest.mark.parametrize("path", sorted(PAPER.glob("*.jsonl")), ids=lambda path: path.name)
def test_a_paper_tws_says_nothing_that_ours_does_not(path: Path, simulated: list[dict[str, Any]]) -> None:
    assert strangers(read(path), simulated) == []


def test_a_frame_of_another_shape_is_found(simulated: list[dict[str, Any]]) -> None:
    assert strangers(simulated, simulated) == []
    status = next(row for row in simulated if (row["dir"], row["msg_id"]) == ("in", 3))
    longer = {**status, "fields": [*status["fields"], "new"]}
    other = {**status, "fields": ["not a number", *status["fields"][1:]]}
    unheard_of = {**status, "msg_id": 201}
    assert [number for number, _ in strangers([longer, other, unheard_of], simulated)] == [3, 3, 201]
