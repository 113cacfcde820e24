"""What stands in doubt is read from the journal without holding up orders."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from decimal import Decimal

from execution.journal import JournalEvent
from execution.models import OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.reconciliation.doubts import doubts_of, in_doubt, story_of
from execution.reconciliation.settlement import Settlement


def blotter() -> Blotter:
    made = Blotter()
    for number in (1, 2):
        name = f"o-{number}"
        request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id=name)
        made.submitted(Entry(request, number, 1_000))
        made.doubted(name, "no answer")
    return made


def event(name: str) -> JournalEvent:
    body = {"client_order_id": name, "evidence": "none"}
    return JournalEvent(1, 1_000, "order_released", body, "", "")


class Journal:
    """Notes in which thread it is read."""

    def __init__(self) -> None:
        self.read_in: list[threading.Thread] = []

    def events(self) -> Iterator[JournalEvent]:
        """Yield an event of each order."""
        self.read_in.append(threading.current_thread())
        yield from (event("o-1"), event("o-2"))


class Parts:
    """What `Settlement` uses of a desk."""

    def __init__(self) -> None:
        self.blotter = blotter()
        self.journal = Journal()
        self.audit = self


async def test_the_journal_is_read_beside_the_event_loop() -> None:
    parts = Parts()
    settlement = Settlement(parts, None, None, lambda: None)  # type: ignore[arg-type]  # the rest is not used
    doubts = await settlement.read_doubts()
    assert [doubt.name for doubt in doubts] == ["o-1", "o-2"]
    assert parts.journal.read_in != []
    assert threading.current_thread() not in parts.journal.read_in
    assert doubts == settlement.doubts()


def test_an_order_that_comes_into_doubt_while_the_journal_is_read_is_told_without_evidence() -> None:
    made = blotter()
    first, second = doubts_of(made, None, story_of(["o-1"], [event("o-1"), event("o-2")]))
    assert len(first.evidence) == 1
    assert second.evidence == ()


def test_a_journal_is_not_read_where_nothing_is_in_doubt() -> None:
    read = iter([event("o-1")])
    assert doubts_of(Blotter(), None, story_of(in_doubt(Blotter(), None), read)) == []
    assert next(read).body["client_order_id"] == "o-1"
