"""Orders of somebody else that ended leave memory, and nobody can tell: what concerns them finds them."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.orders.blotter import Blotter, Corrected, ExternalChanged, Filled
from execution.orders.evidence import CommissionSeen, Evidence, ExecutionSeen, OpenOrderSeen, OrderStatusSeen
from execution.orders.scratch import Scratch
from execution.reconciliation.claims import Claim

ZERO = Decimal(0)
TEN = Decimal(10)
MANY = 200


def shown(number: int) -> OpenOrderSeen:
    return OpenOrderSeen(number, 9, 500 + number, "", "DU1", "AAA", "BUY", TEN)


def executed(number: int, correction: int = 1, shares: Decimal = TEN) -> ExecutionSeen:
    name = f"x{number}.0{correction}"
    return ExecutionSeen(
        name, number, 9, 500 + number, "", "DU1", "AAA", "BUY", shares, Decimal(100), 2_000_000_000
    )


def over(number: int, status: str = "Filled", filled: Decimal = TEN) -> OrderStatusSeen:
    return OrderStatusSeen(number, 9, 500 + number, status, filled, TEN - filled)


def blotter_of(keep: int) -> Blotter:
    blotter = Blotter(client_id=1, keep_ended=keep)
    blotter.claim, blotter.book_open = Claim(), True
    return blotter


def played(keep: int, orders: int = MANY) -> Blotter:
    blotter = blotter_of(keep)
    for number in range(1, orders + 1):
        for fact in (shown(number), executed(number), over(number)):
            blotter.apply(fact)
    return blotter


def test_of_the_orders_that_ended_only_the_newest_stay_in_memory() -> None:
    blotter = played(keep=10, orders=500)
    assert len(list(blotter.externals)) < 50
    assert len(blotter._executions) < 50
    assert blotter.externals.open() == []
    assert all(f"external-{500 + n}" in blotter.externals for n in range(1, 501))
    assert "external-500" not in blotter.externals


def test_one_that_may_have_traded_unseen_stays() -> None:
    blotter = blotter_of(keep=0)
    blotter.apply(shown(1))
    blotter.apply(shown(2))
    blotter.apply(over(2, filled=Decimal(4)))  # more than its executions show
    blotter.externals_listed([])
    for number in range(3, MANY):
        for fact in (shown(number), executed(number), over(number)):
            blotter.apply(fact)
    unseen = [one.key for one in blotter.externals if one.may_have_traded_unseen]
    assert unseen == ["external-501", "external-502"]


def test_a_late_commission_and_a_correction_find_the_order_that_left() -> None:
    blotter = played(keep=10)
    assert blotter.knows(executed(1))
    blotter = played(keep=10)
    (late,) = blotter.apply(CommissionSeen("x1.01", Decimal(2), "USD"))
    assert isinstance(late, Filled)
    assert (late.external, late.late_commission, late.fill.commission) == (True, True, Decimal(2))
    (_, corrected, *_) = blotter.apply(executed(2, 2, Decimal(7)))
    assert isinstance(corrected, Corrected)
    assert (corrected.old.quantity, corrected.new.quantity) == (TEN, Decimal(7))
    assert blotter.knows(executed(2, 2, Decimal(7)))


def test_after_a_bust_the_rest_may_trade_whatever_the_broker_counts() -> None:
    blotter, five = blotter_of(10), Decimal(5)

    def stands(*facts: Evidence) -> tuple[Decimal, bool]:
        for fact in facts:
            blotter.apply(fact)
        (order,) = blotter.externals
        return order.remaining, order.may_have_traded_unseen

    assert stands(shown(1), executed(1, shares=five), over(1, "Submitted", five)) == (five, False)
    assert stands(executed(1, 2, ZERO)) == (TEN, False)
    assert stands(over(1, "Submitted", five)) == (TEN, False)  # it still counts what was busted
    assert stands(over(1, "Submitted", ZERO)) == (TEN, False)  # and now it does not
    assert stands(over(1, "Submitted", Decimal(3))) == (Decimal(7), True)  # its execution is on its way
    assert stands(replace(executed(1, shares=Decimal(3)), exec_id="y1.01")) == (Decimal(7), False)


def test_an_order_that_is_shown_at_work_again_is_the_same_one() -> None:
    blotter = played(keep=10)
    changes = blotter.apply(shown(1))
    changed = [one for one in changes if isinstance(one, ExternalChanged)]
    assert [(one.order.key, one.appeared, one.order.executed) for one in changed] == [
        ("external-501", True, TEN)
    ]
    assert [one.key for one in blotter.externals.open()] == ["external-501"]


def test_without_a_temporary_file_they_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise sqlite3.OperationalError("no room")

    monkeypatch.setattr(Scratch, "write", full)
    blotter = played(keep=10)
    assert len(list(blotter.externals)) == MANY
    monkeypatch.undo()
    for number in range(MANY + 1, 2 * MANY):
        for fact in (shown(number), executed(number), over(number)):
            blotter.apply(fact)
    assert len(list(blotter.externals)) < MANY + 50


FACTS = st.one_of(
    st.builds(shown, st.integers(1, 4)),
    st.builds(executed, st.integers(1, 4), st.integers(1, 3), st.sampled_from([ZERO, Decimal(3), TEN])),
    st.builds(over, st.integers(1, 4), st.sampled_from(["Filled", "Cancelled", "Submitted"])),
    st.builds(
        lambda n, c: CommissionSeen(f"x{n}.0{c}", Decimal(c), "USD"), st.integers(1, 4), st.integers(1, 3)
    ),
)


@settings(max_examples=50, deadline=None)
@given(st.lists(FACTS, max_size=25))
def test_what_facts_do_is_the_same_whether_orders_left_or_not(facts: list[Evidence]) -> None:
    small, large = blotter_of(keep=0), blotter_of(keep=1_000)
    filler = 1_000
    for fact in facts:
        for blotter in (small, large):
            for number in range(filler, filler + 33):  # ended, so that those before them leave
                for other in (shown(number), executed(number), over(number)):
                    blotter.apply(other)
        filler += 33
        assert small.knows(fact) == large.knows(fact)
        assert small.apply(fact) == large.apply(fact)
        assert {o.key for o in small.externals.open()} == {o.key for o in large.externals.open()}
    assert len(list(small.externals)) < 80
