"""The person at the desk settles what a source tells of, and takes over what nothing explains."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from backtesting.simulation.operator import Operator
from execution.book.adjustments import AdjustmentKind
from execution.errors import SettlementError
from execution.reconciliation.doubts import DoubtKind


class Executor:
    """Notes what is asked of it; a split is refused where it is not all that differs."""

    def __init__(self, *, fits: bool) -> None:
        self.blotter = SimpleNamespace(actions=set())
        self.asked: list[str] = []
        self._fits = fits

    async def apply_action(self, *_: Any, **__: Any) -> None:
        self.asked.append("split")
        if not self._fits:
            raise SettlementError("it does not lead to what the broker holds")

    async def adjust_position(self, *_: Any, **__: Any) -> None:
        self.asked.append("taken over")


@pytest.mark.parametrize(
    ("fits", "asked"), [(True, ["split"]), (False, ["split", "taken over"])], ids=["alone", "with more"]
)
def test_a_split_that_is_not_all_that_differs_does_not_close_the_way_for_good(
    fits: bool, asked: list[str]
) -> None:
    action = SimpleNamespace(symbol="AAA", kind=AdjustmentKind.SPLIT, identity="AAA split")
    notes: list[str] = []
    world = SimpleNamespace(seed=1, known_actions=SimpleNamespace(untold=[action]), note=notes.append)
    executor = Executor(fits=fits)
    operator = Operator(SimpleNamespace(world=world, number=1, executor=executor))  # type: ignore[arg-type]
    asyncio.run(operator._settle(SimpleNamespace(kind=DoubtKind.POSITION, name="AAA")))  # type: ignore[arg-type]
    assert executor.asked == asked
    assert len(notes) == 1
