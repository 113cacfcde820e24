"""Groups of facts: durable first, told afterwards."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.errors import JournalError
from execution.journal import SqliteJournal, read
from execution.models import OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.orders.evidence import (
    CommissionSeen,
    ErrorSeen,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.orders.inbox import Inbox
from execution.reconciliation.claims import Claim
from execution.testing import RecordingHandler

Parts = tuple[SqliteJournal, Inbox, RecordingHandler]


def execution(ref: str = "o-1") -> ExecutionSeen:
    return ExecutionSeen("a.01", 5, 1, 105, ref, "", "AAA", "BUY", Decimal(10), Decimal(100), 1)


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
    journal._db.execute("PRAGMA busy_timeout=0")
    blotter, handler = Blotter(), RecordingHandler()
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    blotter.submitted(Entry(request, 5, 1))
    yield journal, Inbox(blotter, AuditLogger(journal, SteppedClock(1)), None, [handler]), handler
    journal.close()


def test_nothing_is_told_before_it_is_durable_and_nothing_is_lost(parts: Parts) -> None:
    journal, inbox, handler = parts
    blocker = sqlite3.connect(journal.path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    inbox.take(execution())
    for _ in range(2):  # also when the second close has nothing new
        with pytest.raises(JournalError):
            inbox.close()
        assert handler.names() == []
        assert inbox.net == {}
    blocker.execute("ROLLBACK")
    blocker.close()
    inbox.close()
    assert handler.names() == ["fill", "status"]
    assert [e.kind for e in read(journal.path)] == ["broker_message", "fill", "order_status"]
    assert inbox.net == {"AAA": Decimal(10)}


def test_facts_of_others_are_recorded_and_told_to_nobody(parts: Parts) -> None:
    journal, inbox, handler = parts
    inbox.take(execution("somebody"))
    inbox.take(ErrorSeen(-1, 2104, "fine"))
    inbox.close()
    assert handler.names() == []
    assert [e.kind for e in journal.events()] == ["broker_message", "broker_message"]


def test_an_empty_close_writes_nothing(parts: Parts) -> None:
    journal, inbox, _ = parts
    inbox.close(barrier=True)
    assert journal.last_seq == 0


def test_references_of_open_orders_are_collected_per_listing(parts: Parts) -> None:
    _, inbox, _ = parts
    inbox.take(OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10)))
    assert inbox.open_references == {"o-1"}
    inbox.forget_open_orders()
    assert inbox.open_references == set()


def test_an_open_order_is_listed_by_its_owner_also_where_its_reference_is_not_shown(parts: Parts) -> None:
    _, inbox, _ = parts
    inbox.take(OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10)))
    inbox.close()
    inbox.forget_open_orders()
    inbox.take(OpenOrderSeen(0, 0, 105, "", "", "AAA", "BUY", Decimal(10)))
    inbox.close()
    assert inbox.open_references == {"o-1"}


def test_references_of_others_are_those_of_the_last_complete_listing(parts: Parts) -> None:
    _, inbox, _ = parts
    inbox.note_reference("yesterday")
    inbox.forget_open_orders()
    inbox.note_reference("today")
    assert inbox.foreign_references == {"yesterday", "today"}
    inbox.keep_listed_references()
    assert inbox.foreign_references == {"today"}


def test_an_execution_that_is_on_record_is_counted_and_not_recorded_again(parts: Parts) -> None:
    journal, inbox, handler = parts
    commission = CommissionSeen("a.01", Decimal(1), "USD")
    for _ in range(3):
        inbox.take(execution())
        inbox.take(commission)
        inbox.close()
    kinds = [event.kind for event in journal.events()]
    assert kinds.count("broker_message") == 2
    assert inbox.known_again == 4
    assert inbox.blotter.entries["o-1"].filled == 10
    assert handler.names().count("fill") == 1


@pytest.mark.parametrize(
    "changed", [{"quantity": Decimal(9)}, {"price": Decimal(99)}, {"time": 2}, {"exec_id": "a.02"}]
)
def test_an_execution_with_other_figures_is_recorded(parts: Parts, changed: dict[str, Any]) -> None:
    journal, inbox, _ = parts
    inbox.take(execution())
    inbox.close()
    inbox.take(replace(execution(), **changed))
    inbox.close()
    assert [event.kind for event in journal.events()].count("broker_message") == 2
    assert not inbox.known_again


def test_an_unknown_order_of_a_known_execution_keeps_its_reference_in_use(parts: Parts) -> None:
    _, inbox, _ = parts
    inbox.blotter.claim = Claim()
    inbox.take(execution("somebody"))
    inbox.close()
    inbox.forget_open_orders()
    inbox.take(execution("somebody"))
    inbox.close()
    inbox.keep_listed_references()
    assert inbox.known_again == 1
    assert inbox.foreign_references == {"somebody"}


def test_a_listing_that_says_only_what_is_known_is_counted_and_not_recorded_again(parts: Parts) -> None:
    journal, inbox, _ = parts
    order = OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10))
    for _ in range(3):
        inbox.forget_open_orders()
        inbox.take(order)
        inbox.take(OrderStatusSeen(5, 1, 105, "Submitted", Decimal(0), Decimal(10)))
        inbox.close()
        assert inbox.open_references == {"o-1"}
        inbox.keep_listed_references()
    assert [event.kind for event in journal.events()].count("broker_message") == 1
    assert inbox.repeated == 5
    inbox.take(order)  # unasked for: recorded as it came
    inbox.close()
    assert [event.kind for event in journal.events()].count("broker_message") == 2
