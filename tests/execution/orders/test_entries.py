"""Orders that have ended leave memory, and nobody can tell: what concerns them finds them."""

from __future__ import annotations

import gc
import sqlite3
from collections.abc import Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.errors import JournalError
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.archive import Archive
from execution.orders.blotter import Blotter, Corrected, Filled
from execution.orders.entry import Entry
from execution.orders.evidence import (
    CommissionSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)

ZERO = Decimal(0)
MANY = 100
"""Orders of a test: more than leave memory together."""


def entry(number: int, **terms: str) -> Entry:
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=f"o-{number}")
    return Entry(request, number, 1_000, **terms)  # type: ignore[arg-type]


def told(number: int, *, commission: bool = True) -> Iterator[Evidence]:
    """What the broker says of an order that fills."""
    name = f"o-{number}"
    yield OpenOrderSeen(number, 1, 1_000 + number, name, "DU1", "AAA", "BUY", Decimal(10))
    yield executed(number)
    if commission:
        yield CommissionSeen(f"x{number}.01", Decimal(1), "USD")
    yield OrderStatusSeen(number, 1, 1_000 + number, "Filled", Decimal(10), ZERO)


def executed(number: int, correction: int = 1, shares: int = 10) -> ExecutionSeen:
    return ExecutionSeen(
        f"x{number}.0{correction}",
        number,
        1,
        1_000 + number,
        f"o-{number}",
        "DU1",
        "AAA",
        "BUY",
        Decimal(shares),
        Decimal(100),
        2_000_000_000,
    )


def played(keep: int, orders: int = MANY, *, commission: bool = True) -> Blotter:
    blotter = Blotter(client_id=1, keep_ended=keep)
    for number in range(1, orders + 1):
        blotter.submitted(entry(number))
        for fact in told(number, commission=commission):
            blotter.apply(fact)
    return blotter


def in_memory(blotter: Blotter) -> int:
    gc.collect()
    ours = {one.client_order_id for one in gc.get_objects() if isinstance(one, Entry)}
    return len(ours & set(blotter.entries._whole))


def test_of_the_orders_that_ended_only_the_newest_stay_in_memory() -> None:
    blotter = played(keep=10, orders=500)
    assert len(blotter.entries) == 500
    assert in_memory(blotter) < 50
    assert max(len(blotter._lookup), len(blotter._executions)) < 50


def test_all_orders_are_there_in_order_of_submission() -> None:
    few, all_of_them = played(keep=0), played(keep=MANY * 2)
    few.find("o-3")  # back in memory, and in its place all the same
    assert list(few.entries) == list(all_of_them.entries)
    assert [e.order() for e in few.entries.values()] == [e.order() for e in all_of_them.entries.values()]
    assert dict(few.entries.items()) == dict(all_of_them.entries.items())


def test_asking_for_all_orders_brings_none_back() -> None:
    blotter = played(keep=0, orders=300)
    before = in_memory(blotter)
    assert sum(e.filled for e in blotter.entries.values()) == 3_000
    assert in_memory(blotter) == before


def test_an_order_is_found_by_any_of_its_ids() -> None:
    for name in ("o-1", "1001", "1"):
        blotter = played(keep=0)
        found = blotter.find(name)
        assert found is not None
        assert (found.client_order_id, found.status) == ("o-1", OrderStatus.FILLED)
        assert blotter.is_addressable(found)


def test_an_order_id_names_nothing_in_a_later_session() -> None:
    blotter = played(keep=0)
    blotter.new_session()
    assert blotter.find("1") is None
    assert blotter.find("o-1") is not None
    assert blotter.find("1") is None


def test_an_id_that_was_used_is_known_and_its_request_with_it() -> None:
    blotter = played(keep=0)
    assert "o-1" in blotter.entries
    assert blotter.entries["o-1"].asked == entry(1).request
    assert "o-0" not in blotter.entries
    with pytest.raises(KeyError):
        blotter.entries["o-0"]


def test_a_late_commission_finds_its_order() -> None:
    blotter = played(keep=0, commission=False)
    seen = CommissionSeen("x1.01", Decimal(2), "USD")
    assert blotter.owner_of(seen) == "o-1"
    (change,) = blotter.apply(seen)
    assert isinstance(change, Filled)
    assert change.late_commission
    assert blotter.knows(seen)


def test_a_late_correction_finds_the_execution() -> None:
    blotter = played(keep=0)
    change = blotter.apply(executed(1, correction=2, shares=6))[0]
    assert isinstance(change, Corrected)
    assert (change.old.quantity, change.new.quantity) == (Decimal(10), Decimal(6))


def test_an_execution_told_again_is_known() -> None:
    blotter = played(keep=0)
    assert blotter.knows(executed(1))
    assert not blotter.knows(executed(1, correction=2))


def test_an_error_by_order_id_finds_its_order() -> None:
    blotter = played(keep=0)
    assert blotter.owner_of(ErrorSeen(1, 10148, "too late")) == "o-1"


def test_who_holds_an_order_that_left_holds_the_one_that_comes_back() -> None:
    blotter = Blotter(client_id=1, keep_ended=0)
    held = entry(1)
    blotter.submitted(held)
    for fact in told(1):
        blotter.apply(fact)
    for number in range(2, MANY):
        blotter.submitted(entry(number))
        for fact in told(number):
            blotter.apply(fact)
    assert "o-1" not in blotter.entries._whole
    assert blotter.find("1001") is held


def test_the_orders_of_a_bracket_stay_together() -> None:
    blotter = Blotter(client_id=1, keep_ended=0)
    blotter.submitted(entry(1))
    blotter.submitted(entry(2, parent="o-1"))
    for number in range(1, MANY):
        if number > 2:
            blotter.submitted(entry(number))
        for fact in told(number):
            blotter.apply(fact)
    assert blotter.entries["o-1"].exits == (blotter.entries["o-2"],)
    assert blotter.entries["o-1"].exits[0] is blotter.entries["o-2"]


def bracketed(keep: int, brackets: int, *, over: bool = True) -> Blotter:
    """Play brackets whose entry and first exit fill; if they are `over`, the second exit is cancelled."""
    blotter = Blotter(client_id=1, keep_ended=keep)
    for number in range(1, 3 * brackets, 3):
        blotter.submitted(entry(number))
        for exit_number in (number + 1, number + 2):
            blotter.submitted(entry(exit_number, parent=f"o-{number}"))
        for fact in (*told(number), *told(number + 1)):
            blotter.apply(fact)
        if over:
            blotter.apply(OrderStatusSeen(number + 2, 1, 0, "Cancelled", ZERO, Decimal(10)))
    return blotter


def test_brackets_that_are_over_leave_memory_as_a_whole() -> None:
    blotter = bracketed(keep=10, brackets=1_000)
    assert len(blotter.entries) == 3_000
    assert in_memory(blotter) < 60
    assert max(len(blotter._lookup), len(blotter._executions)) < 60


def test_a_bracket_stays_in_memory_while_one_of_its_orders_can_trade() -> None:
    blotter = bracketed(keep=0, brackets=100, over=False)
    assert in_memory(blotter) == 300
    for number in range(3, 301, 3):
        blotter.apply(OrderStatusSeen(number, 1, 0, "Cancelled", ZERO, Decimal(10)))
    assert in_memory(blotter) < 100
    assert blotter.open_entries() == []


@pytest.mark.parametrize("asked", ["o-1", "o-2", "o-3"])
def test_a_bracket_comes_back_as_a_whole_whichever_of_its_orders_is_asked_for(asked: str) -> None:
    blotter, whole = bracketed(keep=0, brackets=100), bracketed(keep=1_000, brackets=100)
    assert asked not in blotter.entries._whole
    assert blotter.entries[asked] == whole.entries[asked]
    head, *exits = (blotter.entries._whole[name] for name in ("o-1", "o-2", "o-3"))
    assert all(one is own for one, own in zip(head.exits, exits, strict=True))
    assert list(blotter.entries.items()) == list(whole.entries.items())


def test_who_holds_an_exit_of_a_bracket_that_left_holds_the_one_that_its_entry_has_again() -> None:
    blotter = Blotter(client_id=1, keep_ended=0)
    held = entry(2, parent="o-1")
    blotter.submitted(entry(1))
    blotter.submitted(held)
    for number in range(1, MANY):
        if number > 2:
            blotter.submitted(entry(number))
        for fact in told(number):
            blotter.apply(fact)
    assert "o-1" not in blotter.entries._whole
    (again,) = blotter.entries["o-1"].exits
    assert again is held


def test_executions_that_were_corrected_leave_memory_with_their_orders() -> None:
    blotter = played(keep=10, orders=10)
    for number in range(11, 501):
        blotter.submitted(entry(number))
        for fact in told(number):
            blotter.apply(fact)
        blotter.apply(executed(number, correction=2, shares=10))
    assert len(blotter._executions) < 100
    assert blotter.knows(CommissionSeen("x400.02", Decimal(1), "USD")) is False
    assert blotter.owner_of(CommissionSeen("x400.01", Decimal(1), "USD")) == "o-400"


def test_an_order_sent_again_takes_its_own_place() -> None:
    blotter = Blotter(client_id=1, keep_ended=0)
    for number in range(1, MANY):
        blotter.submitted(entry(number))
        blotter.released(f"o-{number}", "never sent")
    again = Entry(entry(1).request, 1_000, 1_000, attempt=2)
    blotter.submitted(again)
    assert blotter.open_entries() == [again]
    assert next(iter(blotter.entries)) == "o-1"
    assert len(blotter.entries) == MANY - 1


def test_where_there_is_no_room_on_disk_orders_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Archive, "store", full)
    blotter = played(keep=0)
    assert in_memory(blotter) == MANY
    assert blotter.find("1001") is blotter.entries["o-1"]


def test_an_archive_that_cannot_be_read_says_what_to_do() -> None:
    blotter = played(keep=0)
    db = blotter.entries._archive._file._db
    assert db is not None
    db.execute("DROP TABLE orders")
    with pytest.raises(JournalError, match="make room where temporary files lie and restart"):
        blotter.find("o-1")


FACTS = st.lists(
    st.tuples(
        st.integers(1, 60),
        st.sampled_from(
            ("all", "open", "status", "execution", "commission", "correction", "cancelled", "new")
        ),
    ),
    max_size=120,
)


@settings(max_examples=40, deadline=None)
@given(FACTS)
def test_any_facts_lead_to_the_same_orders_however_few_stay_in_memory(
    facts: list[tuple[int, str]],
) -> None:
    small, large = Blotter(client_id=1, keep_ended=0), Blotter(client_id=1, keep_ended=10_000)
    for blotter in (small, large):
        for number in range(1, 61):
            parent = f"o-{number - number % 3}" if number in (31, 32, 34, 35) else ""
            blotter.submitted(entry(number, parent=parent))
            for fact in told(number) if number % 3 else ():
                blotter.apply(fact)
    for number, what in facts:
        assert [b.find(f"o-{number}") for b in (small,)] == [large.find(f"o-{number}")]
        if what == "new":
            assert small.new_session() == large.new_session()
        for fact in _facts(number, what):
            assert small.knows(fact) == large.knows(fact)
            assert small.owner_of(fact) == large.owner_of(fact)
            assert small.apply(fact) == large.apply(fact)
        assert [e.order() for e in small.open_entries()] == [e.order() for e in large.open_entries()]
    assert list(small.entries.items()) == list(large.entries.items())


def _facts(number: int, what: str) -> list[Evidence]:
    perm, name = 1_000 + number, f"o-{number}"
    facts: dict[str, list[Evidence]] = {
        "all": list(told(number)),
        "open": [OpenOrderSeen(number, 1, perm, name, "DU1", "AAA", "BUY", Decimal(10))],
        "status": [OrderStatusSeen(number, 1, perm, "Submitted", Decimal(4), Decimal(6))],
        "execution": [executed(number)],
        "commission": [CommissionSeen(f"x{number}.01", Decimal(2), "USD")],
        "correction": [executed(number, correction=2, shares=4)],
        "cancelled": [OrderStatusSeen(number, 1, perm, "Cancelled", ZERO, Decimal(10))],
        "new": [],
    }
    return facts[what]
