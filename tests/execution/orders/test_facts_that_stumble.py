"""A fact that cannot be applied costs none of those that arrived with it."""

from __future__ import annotations

import decimal
from decimal import Decimal
from typing import Any

import pytest

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.errors import JournalError
from execution.journal import MemoryJournal
from execution.models import OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter
from execution.orders.entry import Entry
from execution.orders.evidence import ExecutionSeen
from execution.orders.inbox import Inbox
from execution.testing import RecordingHandler


def execution(number: int, quantity: str = "1") -> ExecutionSeen:
    return ExecutionSeen(
        f"e{number}.01", 3, 1, 1003, "o-1", "DU1", "AAA", "BUY", Decimal(quantity), Decimal(100), 10**18
    )


@pytest.fixture
def inbox() -> Inbox:
    blotter = Blotter(client_id=1)
    made = Inbox(blotter, AuditLogger(MemoryJournal(lambda: 0), SteppedClock()), None, [RecordingHandler()])
    blotter.submitted(
        Entry(OrderRequest("AAA", Decimal(100), OrderType.MARKET, Side.BUY, client_order_id="o-1"), 3, 0)
    )
    return made


@pytest.mark.parametrize("error", [JournalError("no room"), decimal.InvalidOperation(), KeyError("x")])
@pytest.mark.parametrize("where", ["apply", "subject_of"])
def test_the_facts_beside_one_that_stumbles_are_told(
    inbox: Inbox, monkeypatch: pytest.MonkeyPatch, where: str, error: Exception
) -> None:
    real = getattr(inbox.blotter, where)
    raised: list[int] = []

    def stumble(evidence: Any, *rest: Any) -> Any:
        if evidence.exec_id == "e2.01" and not raised:
            raised.append(1)
            raise error
        return real(evidence, *rest)

    monkeypatch.setattr(inbox.blotter, where, stumble)
    for n in (1, 2, 3):
        inbox.take(execution(n))
    with pytest.raises(type(error)):
        inbox.close()
    inbox.close()
    assert inbox.blotter.entries["o-1"].filled == 3
    assert inbox.net == {"AAA": Decimal(3)}
