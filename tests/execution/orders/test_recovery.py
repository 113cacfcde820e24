"""Folding a journal; that it rebuilds the blotter is tested with the blotter."""

from __future__ import annotations

from decimal import Decimal

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.events import RiskDecision
from execution.journal import MemoryJournal
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.orders.evidence import CommissionSeen, ExecutionSeen
from execution.orders.inbox import Inbox
from execution.orders.recovery import BookedFill, recover


def test_executions_come_back_in_the_groups_in_which_they_were_told() -> None:
    journal, clock = MemoryJournal(lambda: 7), SteppedClock(10)
    audit, blotter = AuditLogger(journal, clock), Blotter()
    inbox = Inbox(blotter, audit, None)
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.SELL, client_order_id="o-1")
    audit.log("run_started", run_id="r")
    audit.log("opening", positions={}, cash="1")
    audit.log_intent(Entry(request, 5, 1), RiskDecision(True))
    blotter.submitted(Entry(request, 5, 1))
    refused = OrderRequest("AAA", Decimal(9), OrderType.MARKET, Side.BUY, client_order_id="o-2")
    audit.log_refusal(refused, RiskDecision(False, "R", "why", (("R", "1", "2"),)))
    audit.log("snapshot", trading_time=4)
    audit.log("kill_switch", loss="1")
    audit.log("something_new", x=1)

    def executed(name: str, time: int) -> ExecutionSeen:
        return ExecutionSeen(name, 5, 1, 105, "o-1", "", "AAA", "SELL", Decimal(4), Decimal(2), time)

    inbox.take(executed("a.01", 10))
    inbox.take(CommissionSeen("a.01", Decimal(1), "USD"))
    inbox.close(barrier=True)
    clock.advance_to(20)
    inbox.take(executed("b.01", 20))
    inbox.close()
    inbox.take(CommissionSeen("b.01", Decimal(1), "USD"))
    inbox.close()
    audit.log("session_closed", positions={})
    rebuilt = Blotter()
    found = recover(journal.events(), rebuilt)
    ((moment, group),) = found.groups
    told, late = ([b for b in some if isinstance(b, BookedFill)] for some in (group, found.loose))
    assert (moment, [b.fill.fill_id for b in told]) == (10, ["o-1-1"])
    assert told[0].fill.commission == 1
    assert [(b.fill.fill_id, b.late_commission) for b in late] == [("o-1-2", False)]
    assert late[0].fill.commission == 1
    assert found.net() == {"AAA": Decimal(-8)} == inbox.net
    assert found.refusals == {"o-2": (refused, RiskDecision(False, "R", "why", (("R", "1", "2"),)))}
    assert (found.last_snapshot_ns, found.started, found.opening) == (
        4,
        {"run_id": "r"},
        {"positions": {}, "cash": "1"},
    )
    assert found.kill_switch == {"loss": "1"}
    assert found.session_closed == {"positions": {}}
    assert rebuilt.entries["o-1"].status is OrderStatus.PARTIALLY_FILLED
