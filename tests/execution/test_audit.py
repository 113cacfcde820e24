"""What the audit trail holds."""

from __future__ import annotations

import inspect
from decimal import Decimal

from execution.audit import AuditLogger
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.clocks import SteppedClock, timestamp
from execution.events import KillSwitchEvent, RiskDecision
from execution.journal import MemoryJournal
from execution.models import Fill, OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.orders.evidence import CommissionSeen, ErrorSeen, ExecutionSeen, OpenOrderSeen, OrderStatusSeen
from execution.orders.inbox import Inbox
from execution.orders.recovery import recover
from execution.testing import RecordingExecutionEngine


def test_the_methods_take_what_was_asked_for() -> None:
    expected = {
        "log_order_submitted": ["request", "order"],
        "log_order_status_change": ["order", "old_status"],
        "log_fill": ["fill"],
        "log_order_cancelled": ["order_id", "reason"],
        "log_connection_event": ["event", "details"],
    }
    for name, arguments in expected.items():
        found = inspect.signature(getattr(AuditLogger, name)).parameters
        assert [p for p in found if p != "self"][: len(arguments)] == arguments
        assert all(found[p].default is not inspect.Parameter.empty for p in list(found)[1 + len(arguments) :])


def test_every_record_is_plain_and_correlated_by_client_order_id() -> None:
    journal = MemoryJournal(lambda: 7)
    audit = AuditLogger(journal, SteppedClock(5))
    request = OrderRequest("AAA", Decimal("1.50"), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    order = RecordingExecutionEngine().submit(request)
    fill = Fill(
        "o-1-1", "1", "AAA", Decimal(1), Decimal("10.5"), Side.BUY, timestamp(3), client_order_id="o-1"
    )
    audit.log_order_submitted(request, order)
    audit.log_order_status_change(order, OrderStatus.PENDING)
    audit.log_fill(fill)
    audit.log_late_commission(fill, "e")
    audit.log_order_cancelled("o-1", "asked for")
    audit.commit()
    assert {e.body["client_order_id"] for e in journal.events()} == {"o-1"}
    submitted, _, filled, *_ = journal.events()
    assert (submitted.body["quantity"], filled.body["price"], filled.body["time"]) == ("1.50", "10.5", 3)
    assert filled.body["commission"] is None


def test_the_book_the_kill_switch_and_the_connection_are_recorded() -> None:
    journal = MemoryJournal(lambda: 7)
    audit = AuditLogger(journal, SteppedClock(5))
    portfolio = LedgerPortfolio(Ledger(cash=Decimal(100)))
    portfolio.ledger.apply(Fill("f", "1", "AAA", Decimal(2), Decimal(10), Side.BUY, timestamp(3)))
    audit.log_snapshot(portfolio.snapshot(9))
    assert list(journal.events()) == []
    audit.log_kill_switch(KillSwitchEvent(timestamp(9), Decimal(5), Decimal(4)))
    audit.log_connection_event("connected", {"port": 1})
    snapshot, kill, connection = journal.events()
    assert snapshot.body["cash"] == "80"
    assert Decimal(snapshot.body["positions"][0]["average_cost"]) == 10
    assert kill.body == {"trading_time": 9, "loss": "5", "limit": "4"}
    assert connection.body == {"event": "connected", "details": {"port": 1}}


_OF_AN_ORDER = (
    "order_submitted",
    "order_status",
    "order_cancelled",
    "order_released",
    "order_doubted",
    "fill",
    "commission",
    "broker_message",
)


def test_every_event_of_an_order_carries_what_it_is_known_by() -> None:
    """From the strategy's request to the session's id, the permanent id and the executions."""
    journal = MemoryJournal(lambda: 7)
    audit = AuditLogger(journal, SteppedClock(5))
    blotter = Blotter()
    inbox = Inbox(blotter, audit, None)
    request = OrderRequest(
        "AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o-1", strategy="ma_crossover"
    )
    entry = Entry(request, 5, 1)
    audit.log_intent(entry, RiskDecision(approved=True))
    blotter.submitted(entry)
    inbox.take(OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10)))
    inbox.take(OrderStatusSeen(5, 1, 105, "Submitted", Decimal(0), Decimal(10)))
    inbox.take(ErrorSeen(5, 399, "held until the open"))
    inbox.close()
    audit.log_order_cancelled("o-1", "asked for")
    inbox.take(ExecutionSeen("a.01", 5, 1, 105, "", "", "AAA", "BUY", Decimal(10), Decimal(100), 1))
    inbox.close()
    inbox.take(CommissionSeen("a.01", Decimal(1), "USD"))
    inbox.close()
    audit.log_doubt("o-1", "?")
    audit.log_release("o-1", "!")
    audit.commit()
    events = [event for event in journal.events() if event.kind in _OF_AN_ORDER]
    assert {event.kind for event in events} == set(_OF_AN_ORDER)
    for event in events:
        assert event.body["client_order_id"] == "o-1", event
        assert event.body["strategy"] == "ma_crossover", event
        session_id = "order_id" if event.kind == "order_submitted" else "session_order_id"
        assert event.body[session_id] == 5, event
    acknowledged = events[2:]  # the intent, and the message that brought the permanent id
    assert {event.body["perm_id"] for event in acknowledged} == {105}
    executed = [e for e in events if e.kind in ("fill", "commission") or e.body.get("exec_id")]
    assert {event.body["exec_id"] for event in executed} == {"a.01"}
    assert len(executed) == 4


def test_the_added_identities_change_nothing_in_what_recovery_reads() -> None:
    journal = MemoryJournal(lambda: 7)
    audit = AuditLogger(journal, SteppedClock(5))
    inbox = Inbox(blotter := Blotter(), audit, None)
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    entry = Entry(request, 5, 1)
    audit.log_intent(entry, RiskDecision(approved=True))
    blotter.submitted(entry)
    inbox.take(OrderStatusSeen(5, 1, 0, "Submitted", Decimal(0), Decimal(10)))
    inbox.take(OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10)))
    inbox.take(ExecutionSeen("a.01", 5, 1, 105, "", "", "AAA", "BUY", Decimal(10), Decimal(100), 1))
    inbox.close()
    recover(journal.events(), again := Blotter())
    assert again.entries["o-1"].order() == blotter.entries["o-1"].order()
    assert again.entries["o-1"].order_id == 5
