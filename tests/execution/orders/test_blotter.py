"""The order state machine, fact by fact and as a fold over any order of facts."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.events import RiskDecision
from execution.journal import MemoryJournal
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import (
    Blotter,
    Corrected,
    Entry,
    External,
    Filled,
    StatusChanged,
    merged,
)
from execution.orders.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.orders.inbox import Inbox
from execution.orders.recovery import recover

S = OrderStatus
ZERO = Decimal(0)


def entry(name: str = "o-1", order_id: int = 5, quantity: int = 10) -> Entry:
    request = OrderRequest("AAA", Decimal(quantity), OrderType.MARKET, Side.BUY, client_order_id=name)
    return Entry(request, order_id, 1_000)


def blotter(*entries: Entry, client_id: int | None = 1) -> Blotter:
    made = Blotter(client_id=client_id)
    for one in entries or (entry(),):
        made.submitted(one)
    return made


def opened(order_id: int = 5, perm: int = 105, ref: str = "o-1", client: int = 1) -> OpenOrderSeen:
    return OpenOrderSeen(order_id, client, perm, ref, "DU1", "AAA", "BUY", Decimal(10))


def status(
    name: str, filled: int = 0, order_id: int = 5, perm: int = 105, client: int = 1
) -> OrderStatusSeen:
    return OrderStatusSeen(order_id, client, perm, name, Decimal(filled), ZERO)


def executed(exec_id: str, shares: int = 10, price: str = "100", ref: str = "o-1") -> ExecutionSeen:
    return ExecutionSeen(
        exec_id, 5, 1, 105, ref, "DU1", "AAA", "BUY", Decimal(shares), Decimal(price), 2_000_000_000
    )


def paid(exec_id: str, amount: str = "1") -> CommissionSeen:
    return CommissionSeen(exec_id, Decimal(amount), "USD")


def error(code: int, order_id: int = 5) -> ErrorSeen:
    return ErrorSeen(order_id, code, "text")


def fold(made: Blotter, *facts: Evidence) -> Entry:
    for fact in facts:
        made.apply(fact)
    return made.entries["o-1"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ApiPending", S.PENDING),
        ("PendingSubmit", S.PENDING),
        ("PreSubmitted", S.SUBMITTED),
        ("Submitted", S.SUBMITTED),
        ("PendingCancel", S.PENDING_CANCEL),
        ("Cancelled", S.CANCELLED),
        ("ApiCancelled", S.CANCELLED),
        ("Inactive", S.UNKNOWN),
        ("Filled", S.PENDING),
        ("SomethingNew", S.UNKNOWN),
    ],
)
def test_every_status_of_tws_has_its_meaning(name: str, expected: OrderStatus) -> None:
    assert fold(blotter(), status(name)).status is expected


def test_pending_submit_does_not_take_back_an_acknowledgement() -> None:
    assert fold(blotter(), opened(), status("PendingSubmit")).status is S.SUBMITTED


def test_fills_before_their_status_and_after_it_come_to_the_same() -> None:
    facts: list[Evidence] = [executed("a.01", 4), executed("b.01", 6), status("Filled", 10)]
    for order in (facts, facts[::-1]):
        seen = fold(blotter(), opened(), *order)
        assert (seen.status, seen.filled, seen.awaits_executions) == (S.FILLED, Decimal(10), False)


def test_status_filled_without_executions_keeps_the_order_open() -> None:
    made = blotter()
    seen = fold(made, opened(), status("Filled", 10))
    assert seen.status is S.SUBMITTED
    assert made.open_entries() == [seen]
    assert fold(made, executed("a.01")).status is S.FILLED
    assert made.open_entries() == []


def test_the_same_execution_counts_once() -> None:
    made = blotter()
    assert isinstance(made.apply(executed("a.01", 4))[0], Filled)
    assert made.apply(executed("a.01", 4)) == []
    assert made.entries["o-1"].filled == 4


def test_a_correction_replaces_and_is_reported_and_an_older_one_is_ignored() -> None:
    made = blotter()
    fold(made, executed("a.01", 10), status("Filled", 10))
    changes = made.apply(executed("a.02", 8))
    assert [type(change) for change in changes] == [Corrected]
    assert made.apply(executed("a.01", 10)) == []
    assert made.entries["o-1"].filled == 8


def test_execution_ids_without_a_number_at_their_end_are_not_corrections() -> None:
    assert fold(blotter(), executed("a.x", 4), executed("a.y", 3), executed("plain", 3)).filled == 10


def test_a_commission_may_come_before_with_or_long_after_its_execution() -> None:
    early = blotter()
    assert early.apply(paid("a.01")) == []
    (filled, _) = early.apply(executed("a.01"))
    assert isinstance(filled, Filled)
    assert (filled.fill.commission, filled.late_commission) == (Decimal(1), False)
    late = blotter()
    late.apply(executed("a.01"))
    (change,) = late.apply(paid("a.01"))
    assert isinstance(change, Filled)
    assert (change.fill.commission, change.late_commission) == (Decimal(1), True)
    assert late.apply(paid("a.01", "2")) == []


def test_a_commission_in_the_same_group_is_told_with_its_fill() -> None:
    made = blotter()
    changes = [*made.apply(executed("a.01", 4)), *made.apply(paid("a.01"))]
    fills = [change for change in merged(changes) if isinstance(change, Filled)]
    assert [(f.fill.commission, f.late_commission) for f in fills] == [(Decimal(1), False)]


def test_a_late_fill_after_a_cancel_counts() -> None:
    partial = fold(blotter(), opened(), status("Cancelled"), executed("a.01", 4))
    assert (partial.status, partial.filled) == (S.CANCELLED, Decimal(4))
    full = fold(blotter(), opened(), status("Cancelled"), executed("a.01", 10))
    assert full.status is S.FILLED


def test_a_filled_order_is_not_ended_again() -> None:
    for late in ("Cancelled", "Inactive", "Submitted", "SomethingNew"):
        assert fold(blotter(), opened(), executed("a.01"), error(201), status(late)).status is S.FILLED


def test_a_cancelled_order_is_not_reopened_by_a_late_status() -> None:
    for late in ("Submitted", "Inactive", "PendingCancel"):
        assert fold(blotter(), opened(), status("Cancelled"), status(late)).status is S.CANCELLED


def test_a_reject_ends_a_new_order_only() -> None:
    assert fold(blotter(), error(201)).status is S.REJECTED
    assert fold(blotter(), opened(), error(201)).status is S.SUBMITTED


@pytest.mark.parametrize("facts", [("Inactive", 201), (201, "Inactive")])
def test_inactive_with_a_reason_in_either_order_is_a_reject(facts: tuple[str | int, ...]) -> None:
    made = blotter()
    made.apply(opened())
    for fact in facts:
        made.apply(status(fact) if isinstance(fact, str) else error(fact))
    assert made.entries["o-1"].status is S.REJECTED
    assert fold(made, status("Cancelled")).status is S.REJECTED


def test_an_inactive_order_with_executions_is_unknown_not_rejected() -> None:
    seen = fold(blotter(), opened(), executed("a.01", 4), error(201), status("Inactive"))
    assert seen.status is S.UNKNOWN


def test_a_code_of_unknown_meaning_makes_the_order_unknown_and_can_be_taught() -> None:
    assert fold(blotter(), opened(), error(9999)).status is S.UNKNOWN


def test_errors_of_no_order_change_nothing() -> None:
    assert blotter().apply(error(201, order_id=77)) == []


@pytest.mark.parametrize("fact", [status("Submitted"), opened(), executed("a.01", 4)])
def test_what_was_taken_as_dead_and_is_seen_working_is_open_again(fact: Evidence) -> None:
    made = blotter()
    made.released("o-1", "found nowhere")
    assert not fold(made, fact).status.is_final


def test_an_order_taken_as_rejected_and_seen_working_is_open_again() -> None:
    assert fold(blotter(), error(201), status("Submitted")).status is S.SUBMITTED


def test_orders_of_other_clients_never_mix_with_ours() -> None:
    made = blotter()
    for fact in (status("Cancelled", client=2, perm=9), opened(ref="", perm=9, client=2)):
        assert isinstance(made.apply(fact)[0], External)
    made.apply(opened())
    # Our own id, used again by a gateway that counts from a lower one: another permanent id.
    assert isinstance(made.apply(status("Cancelled", perm=999))[0], External)
    assert made.entries["o-1"].status is S.SUBMITTED


def test_a_blotter_that_knows_no_client_id_takes_order_ids_as_ours() -> None:
    assert fold(blotter(client_id=None), status("Submitted", client=8, perm=0)).status is S.SUBMITTED


def test_a_new_session_forgets_order_ids_but_not_permanent_ids() -> None:
    made = blotter()
    made.apply(opened())
    made.new_session()
    assert made.apply(error(9999)) == []
    assert fold(made, status("Cancelled", order_id=0)).status is S.CANCELLED
    assert made.find("105") is made.entries["o-1"]
    assert made.find("5") is None
    assert made.find("\u0665") is None


def test_a_second_attempt_takes_the_place_of_the_first() -> None:
    made = blotter()
    made.released("o-1", "found nowhere")
    second = entry(order_id=6)
    made.submitted(second)
    assert made.apply(error(201, order_id=5)) == []
    assert fold(made, status("Submitted", order_id=6, perm=106)) is second
    assert second.status is S.SUBMITTED
    assert made.last_order_id == 6


def test_a_completed_order_is_found_by_its_reference() -> None:
    made = blotter()
    made.apply(CompletedOrderSeen(0, "o-1", "Cancelled", ZERO, "by trader"))
    assert made.entries["o-1"].order().reason == "by trader"


def test_the_average_price_weighs_executions_by_size() -> None:
    order = fold(blotter(), executed("a.01", 4, "100"), executed("b.01", 6, "110")).order()
    assert (order.average_fill_price, order.remaining_quantity) == (Decimal(106), ZERO)
    assert [f.fill_id for f in fold(blotter(), executed("a.01", 4)).fills()] == ["o-1-1"]


_FACTS: list[Evidence] = [
    opened(),
    status("PreSubmitted"),
    status("Submitted", 3),
    status("Filled", 10),
    error(399),
    error(10349),
    executed("a.01", 3),
    executed("b.01", 3),
    executed("c.01", 4),
    paid("a.01", "1"),
    paid("b.01", "2"),
    paid("c.01", "3"),
]
_shuffled = st.lists(st.sampled_from(_FACTS), max_size=40)


@given(_shuffled)
def test_any_order_and_duplication_of_facts_comes_to_the_sum_of_its_executions(
    facts: list[Evidence],
) -> None:
    made = blotter()
    changes = [change for fact in facts for change in made.apply(fact)]
    executions = {f.exec_id: f.quantity for f in facts if isinstance(f, ExecutionSeen)}
    fees = {f.exec_id: f.commission for f in facts if isinstance(f, CommissionSeen)}
    seen = made.entries["o-1"]
    assert seen.filled == sum(executions.values(), ZERO)
    assert (seen.status is S.FILLED) == (seen.filled == 10)
    told = [c for c in changes if isinstance(c, Filled) and not c.late_commission]
    assert sorted(c.exec_id for c in told) == sorted(executions)
    known = sum((f.commission or ZERO for f in seen.fills()), ZERO)
    assert known == sum((fee for exec_id, fee in fees.items() if exec_id in executions), ZERO)
    statuses = [c.order.status for c in changes if isinstance(c, StatusChanged)]
    assert S.REJECTED not in statuses
    assert S.CANCELLED not in statuses


_ANYTHING: list[Evidence] = [
    *_FACTS,
    status("Cancelled", 3),
    status("Inactive"),
    status("PendingCancel"),
    error(201),
    error(9999),
    executed("a.02", 2),
    opened(6, 106, "o-2"),
    status("Submitted", order_id=6, perm=106),
    executed("z.01", 5, ref="o-2"),
    status("Submitted", client=3, perm=55),
]


@settings(max_examples=60)
@given(st.lists(st.lists(st.sampled_from(_ANYTHING), max_size=8), max_size=6), st.data())
def test_replaying_the_journal_rebuilds_the_same_blotter(
    groups: list[list[Evidence]], data: st.DataObject
) -> None:
    journal = MemoryJournal(lambda: 1)
    audit = AuditLogger(journal, SteppedClock(1))
    live = Blotter(client_id=1)
    audit.log_connection_event("connected", {"client_id": 1})
    for one in (entry(), entry("o-2", 6, 5)):
        audit.log_intent(one, RiskDecision(True))
        live.submitted(one)
    inbox = Inbox(live, audit, None)
    for group in groups:
        for fact in group:
            inbox.take(fact)
        inbox.close(barrier=True)
        if data.draw(st.booleans()):
            audit.log_doubt("o-2", "no answer")
            inbox.deliver(live.doubted("o-2", "no answer"))
    rebuilt = Blotter()
    recovered = recover(journal.events(), rebuilt)
    assert {n: e.order() for n, e in rebuilt.entries.items()} == {
        n: e.order() for n, e in live.entries.items()
    }
    assert {n: e.fills() for n, e in rebuilt.entries.items()} == {
        n: e.fills() for n, e in live.entries.items()
    }
    assert recovered.net() == inbox.net


def test_an_order_shown_at_work_at_a_size_that_is_executed_already_ends_by_the_brokers_word() -> None:
    made = blotter()
    known = fold(made, opened(), executed("e1.01", 3), executed("e2.01", 5))
    listed = replace(opened(), quantity=Decimal(7))
    fold(made, listed, status("Submitted", 5))
    assert (known.status, known.request.quantity) == (S.PARTIALLY_FILLED, Decimal(7))
    fold(made, executed("e1.02", 0))  # the bust that was on its way
    assert (known.status, known.filled) == (S.PARTIALLY_FILLED, Decimal(5))
    fold(made, executed("e3.01", 2))
    assert known.status is S.FILLED


@pytest.mark.parametrize(
    "word",
    [
        status("Filled", 8),
        CompletedOrderSeen(105, "o-1", "Filled", Decimal(8)),
    ],
)
def test_an_order_cut_to_what_is_executed_is_filled_when_the_broker_says_so(word: Evidence) -> None:
    made = blotter()
    cut = replace(opened(), quantity=Decimal(8))
    known = fold(made, opened(), executed("e1.01", 3), status("Submitted", 8), cut)
    fold(made, status("Filled", 8))
    assert known.order().status is S.PARTIALLY_FILLED  # of the eight, five are not shown yet
    fold(made, executed("e2.01", 5), word)
    assert known.status is S.FILLED


def test_an_order_filled_by_executions_alone_is_open_again_when_a_correction_takes_some() -> None:
    alone = fold(blotter(), opened(), executed("e1.01", 3), executed("e2.01", 7))
    told = fold(blotter(), opened(), executed("e1.01", 3), executed("e2.01", 7), status("Filled", 10))
    assert alone.status is told.status is S.FILLED
    made = blotter()
    alone = fold(made, opened(), executed("e1.01", 3), executed("e2.01", 7), executed("e2.02", 4))
    assert (alone.status, alone.filled) == (S.PARTIALLY_FILLED, Decimal(7))
    fold(made, status("Filled", 10))
    assert alone.status is S.FILLED  # it ended before the correction
    made = blotter()
    fold(made, opened(), executed("e1.01", 3), executed("e2.01", 7), status("Filled", 10))
    assert fold(made, executed("e2.02", 0)).status is S.FILLED


def completed(name: str, filled: int) -> CompletedOrderSeen:
    return CompletedOrderSeen(105, "o-1", name, Decimal(filled))


REPORTS: st.SearchStrategy[Evidence] = st.one_of(
    st.builds(
        OpenOrderSeen,
        order_id=st.sampled_from([0, 5, 6]),
        client_id=st.sampled_from([1, 2]),
        perm_id=st.sampled_from([0, 105]),
        order_ref=st.just("o-1"),
        account=st.just("DU1"),
        symbol=st.just("AAA"),
        side=st.just("BUY"),
        quantity=st.sampled_from([Decimal(10), Decimal(6)]),
        order_type=st.sampled_from(["", "MKT", "LMT"]),
    ),
    st.builds(
        status,
        st.sampled_from(
            ["PendingSubmit", "Submitted", "PendingCancel", "Cancelled", "Filled", "Inactive", "?"]
        ),
        filled=st.sampled_from([0, 4, 10]),
        perm=st.sampled_from([0, 105]),
    ),
    st.builds(completed, st.sampled_from(["Filled", "Cancelled", "Inactive"]), st.sampled_from([0, 4, 10])),
    st.builds(executed, st.sampled_from(["a.01", "a.02", "b.01"]), shares=st.sampled_from([0, 4, 10])),
    st.builds(ErrorSeen, st.just(5), st.sampled_from([201, 202, 10147, 399, 99_999]), st.just("said")),
)


@given(st.lists(REPORTS, max_size=12))
def test_a_report_that_says_only_what_is_known_changes_nothing(facts: list[Evidence]) -> None:
    book = blotter()
    for fact in (again for one in facts for again in (one, one)):
        if book.repeats(fact):
            before = deepcopy(book.entries["o-1"]), book._lookup.__dict__ | {}, book.open_entries()
            numbers = dict(book._lookup._by_session_id), dict(book._lookup._by_perm)
            assert book.apply(fact) == []
            assert (book.entries["o-1"], book._lookup.__dict__, book.open_entries()) == before
            assert (book._lookup._by_session_id, book._lookup._by_perm) == numbers
        else:
            book.apply(fact)


@pytest.mark.parametrize(
    "facts",
    [
        [opened(), status("Submitted")],
        [opened(), status("Submitted"), executed("a.01", 4), status("Submitted", 4)],
        [opened(), status("Filled", 10), executed("a.01"), completed("Filled", 10)],
        [opened(), status("Cancelled"), completed("Cancelled", 0)],
    ],
)
def test_the_last_reports_of_an_order_are_known_when_they_come_again(facts: list[Evidence]) -> None:
    book = blotter()
    assert not book.repeats(facts[0])
    for fact in facts:
        book.apply(fact)
    assert book.repeats(facts[-1])


def test_a_report_is_news_to_a_session_that_does_not_know_the_order_by_its_number() -> None:
    book = blotter()
    book.apply(opened())
    assert book.repeats(opened())
    book.new_session()
    assert not book.repeats(opened())
