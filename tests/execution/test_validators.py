"""The adapter of a plain callback."""

from __future__ import annotations

from decimal import Decimal, getcontext
from typing import Any

import numpy as np
import pytest

from execution.clocks import timestamp
from execution.connection import IBKRConnectionManager
from execution.executor import IBKROrderExecutor
from execution.models import Fill, OrderRequest, OrderType, Side
from execution.validators import CallbackValidator

ORDER = OrderRequest("AAA", Decimal(1), OrderType.MARKET, Side.BUY)


def test_a_callback_decides_and_reserves_nothing() -> None:
    yes, no = CallbackValidator(lambda order: True), CallbackValidator(lambda order: False)
    assert yes.evaluate(ORDER).approved
    refusal = no.evaluate(ORDER)
    assert (refusal.approved, refusal.rule) == (False, "CALLBACK")
    yes.reserve(ORDER)
    yes.on_fill(Fill("f", "1", "AAA", Decimal(1), Decimal(1), Side.BUY, timestamp(0)))
    yes.release("x")
    assert yes.evaluate(ORDER).approved


async def _later(_: OrderRequest) -> bool:
    return True


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda order: None, "returned 'None'"),
        (lambda order: "no", "returned 'no'"),
        (lambda order: [False], "returned"),
        (_later, "is asynchronous"),
        (lambda order: np.False_, "refused the order"),
    ],
)
def test_a_callback_that_does_not_say_true_approves_nothing(answer: Any, said: str) -> None:
    decision = CallbackValidator(answer).evaluate(ORDER)
    assert not decision.approved
    assert said in decision.reason


def test_a_callback_may_say_true_as_numpy_does() -> None:
    answer: Any = lambda order: np.True_  # noqa: E731 - one line of a caller
    assert CallbackValidator(answer).evaluate(ORDER).approved


def test_what_a_callback_sets_for_its_decimals_ends_with_it() -> None:
    def careless(_: OrderRequest) -> bool:
        getcontext().prec = 2
        return True

    before = getcontext().prec
    assert CallbackValidator(careless).evaluate(ORDER).approved
    assert getcontext().prec == before


def test_a_callback_and_a_validator_are_not_given_together() -> None:
    with pytest.raises(ValueError, match="give one of them"):
        IBKROrderExecutor(
            IBKRConnectionManager(), lambda order: True, validator=CallbackValidator(lambda order: False)
        )
