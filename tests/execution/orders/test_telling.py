"""A handler that raises is reported and told again, in order; the others are told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.journal import MemoryJournal
from execution.models import Order, OrderRequest, OrderType, Side
from execution.orders.blotter import Blotter, Entry
from execution.orders.evidence import ExecutionSeen, OpenOrderSeen
from execution.orders.inbox import Inbox
from execution.orders.telling import MOST_ATTEMPTS, HandlerFailure, Receiver
from execution.testing import RecordingHandler


class Moody(RecordingHandler):
    """Raises so many times before it takes something."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.times = times

    def on_order_status(self, order: Order) -> None:
        if self.times:
            self.times -= 1
            raise RuntimeError("the database of a receiver is down")
        super().on_order_status(order)


class Timers:
    """Keeps what is to be called back, and when."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def __call__(self, seconds: float, action: Callable[[], None]) -> None:
        self.waiting.append((seconds, action))

    def fire(self) -> float:
        seconds, action = self.waiting.pop(0)
        action()
        return seconds


@pytest.fixture
def journal() -> MemoryJournal:
    return MemoryJournal(lambda: 7)


def inbox_of(journal: MemoryJournal, *handlers: Any) -> Inbox:
    blotter = Blotter()
    request = OrderRequest("AAA", Decimal(10), OrderType.MARKET, Side.BUY, client_order_id="o-1")
    blotter.submitted(Entry(request, 5, 1))
    return Inbox(blotter, AuditLogger(journal, SteppedClock(1)), None, handlers)


def send(inbox: Inbox) -> None:
    inbox.take(OpenOrderSeen(5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10)))
    inbox.close()


def fill(inbox: Inbox) -> None:
    inbox.take(ExecutionSeen("a.01", 5, 1, 105, "o-1", "", "AAA", "BUY", Decimal(10), Decimal(100), 1))
    inbox.close()


def test_what_a_handler_did_not_take_is_reported_in_the_journal_and_told_again(
    journal: MemoryJournal,
) -> None:
    moody, calm = Moody(2), RecordingHandler()
    inbox = inbox_of(journal, moody, calm)
    send(inbox)
    assert (moody.names(), calm.names()) == ([], ["status"])
    assert [(name, told.hook) for name, told in inbox.undelivered] == [("Moody", "on_order_status")]
    inbox.retry()
    inbox.retry()
    assert (moody.names(), inbox.undelivered, inbox.failures) == (["status"], [], 2)
    reports = [e.body for e in journal.events() if e.kind == "handler_failed"]
    assert [(r["handler"], r["attempt"], r["gave_up"]) for r in reports] == [
        ("Moody", 1, False),
        ("Moody", 2, False),
    ]
    assert {(r["client_order_id"], r["perm_id"], r["hook"]) for r in reports} == {
        ("o-1", 105, "on_order_status")
    }
    assert reports[0]["error"] == "RuntimeError: the database of a receiver is down"


def test_later_events_wait_behind_the_one_that_was_not_taken(journal: MemoryJournal) -> None:
    moody = Moody(1)
    inbox = inbox_of(journal, moody)
    send(inbox)
    fill(inbox)
    assert moody.names() == []
    inbox.close(barrier=True)  # a step begins with nothing left over
    assert moody.names() == ["status", "fill", "status"]


async def test_the_event_loop_tells_again_after_a_pause(journal: MemoryJournal) -> None:
    moody = Moody(1)
    send(inbox_of(journal, moody))
    async with asyncio.timeout(5):
        while not moody.names():  # noqa: ASYNC110 - what it waits for is seen from outside only
            await asyncio.sleep(0.01)
    assert moody.names() == ["status"]


def test_after_the_last_attempt_it_is_put_aside_and_the_line_moves_on() -> None:
    failures: list[HandlerFailure] = []
    timers = Timers()
    moody = Moody(MOST_ATTEMPTS)
    receiver = Receiver(moody, failures.append, timers)
    receiver.tell("on_order_status", "order")
    receiver.tell("on_fill", "fill")
    receiver.tell("no_such_hook")
    pauses = [timers.fire() for _ in range(MOST_ATTEMPTS - 1)]
    assert pauses == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]
    assert [failure.gave_up for failure in failures] == [False] * (MOST_ATTEMPTS - 1) + [True]
    assert [told.hook for told in receiver.undelivered] == ["on_order_status"]
    assert (moody.names(), receiver.line, timers.waiting) == (["fill"], (), [])


def test_what_a_handler_causes_itself_is_told_after_it_has_returned() -> None:
    order: list[str] = []

    class Chatty:
        def on_fill(self, what: str) -> None:
            order.append(f"begin {what}")
            if what == "first":
                receiver.tell("on_fill", "second")
            order.append(f"end {what}")

    receiver = Receiver(Chatty(), lambda _: None)
    receiver.tell("on_fill", "first")
    assert order == ["begin first", "end first", "begin second", "end second"]
