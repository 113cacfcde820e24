"""Requests with end marks: turns, deadlines that count from the last row, and requests nobody waits for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from execution.errors import BrokerUnavailableError, NotConnectedError
from execution.ibkr.requests import Requests


class Desk:
    """A session that a test answers for."""

    def __init__(self, patience: float = 0.2) -> None:
        self.is_open = True
        self.given_up: list[str] = []
        self.notes: list[dict[str, Any]] = []
        self.sent: list[str] = []
        self.requests = Requests(
            lambda: self.is_open, self.give_up, lambda _, facts: self.notes.append(facts)
        )
        self.requests.patience = patience

    def give_up(self, why: str) -> None:
        self.given_up.append(why)
        self.is_open = False
        self.requests.fail_all(why)

    def ask(self, name: str, **more: Any) -> asyncio.Task[list[list[str]]]:
        return asyncio.create_task(self.requests.ask(name, lambda: self.sent.append(name), **more))


async def test_an_answer_is_its_rows_up_to_its_end_mark() -> None:
    desk = Desk()
    asking = desk.ask("positions")
    await asyncio.sleep(0)
    assert desk.requests.row("positions", ["61", "a"])
    assert desk.requests.row("positions", ["61", "b"])
    desk.requests.finish("positions")
    assert await asking == [["61", "a"], ["61", "b"]]
    assert not desk.requests.row("positions", ["61", "late"])
    (note,) = desk.notes
    assert note.pop("milliseconds") >= 0
    assert note == {"request": "positions", "outcome": "answered", "rows": 2}


async def test_a_long_answer_is_not_cut_off_and_one_that_stops_is_found() -> None:
    desk = Desk(patience=0.1)
    asking = desk.ask("executions", number=7)
    for _ in range(6):  # together longer than the patience
        await asyncio.sleep(0.05)
        assert desk.requests.row("executions 7")
    assert not asking.done()
    with pytest.raises(BrokerUnavailableError, match=r"executions 7: no complete answer within 0.1 s"):
        await asking
    assert desk.given_up == ["executions 7: no complete answer within 0.1 s"]
    assert desk.notes[0]["rows"] == 6
    assert desk.notes[0]["outcome"] == "failed"


async def test_what_is_not_vital_leaves_the_session_alone() -> None:
    desk = Desk(patience=5)
    with pytest.raises(BrokerUnavailableError):
        await desk.ask("contract details", number=8, vital=False, patience=0.01)
    assert desk.given_up == []


async def test_the_end_of_a_request_that_nobody_waits_for_does_not_complete_the_next() -> None:
    desk = Desk()
    first = desk.ask("positions")
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    second = desk.ask("positions")
    await asyncio.sleep(0)
    assert desk.sent == ["positions"]  # the second waits until the first is over at the broker
    desk.requests.row("positions", ["61", "of the first"])
    desk.requests.finish("positions")
    while len(desk.sent) < 2:  # noqa: ASYNC110 - two turns of the loop
        await asyncio.sleep(0)
    desk.requests.row("positions", ["61", "of the second"])
    desk.requests.finish("positions")
    assert await second == [["61", "of the second"]]
    assert [each["outcome"] for each in desk.notes] == ["cut off", "answered"]


async def test_a_request_left_alone_and_never_answered_ends_the_session_of_the_next() -> None:
    desk = Desk(patience=0.05)
    first = desk.ask("positions")
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(BrokerUnavailableError):
        await desk.ask("positions")
    assert desk.given_up
    assert desk.sent == ["positions"]


async def test_a_refusal_that_nobody_waits_for_is_no_ones() -> None:
    desk = Desk()
    first = desk.ask("open orders")
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    desk.requests.fail("open orders", BrokerUnavailableError("read-only"))
    second = desk.ask("open orders")
    await asyncio.sleep(0)
    desk.requests.finish("open orders")
    assert await second == []


async def test_without_a_session_nothing_is_asked_and_a_lost_one_fails_all() -> None:
    desk = Desk()
    pending = [desk.ask("positions"), desk.ask("bars", number=3)]
    await asyncio.sleep(0)
    desk.give_up("cable cut")
    for asking in pending:
        with pytest.raises(BrokerUnavailableError, match="cable cut before the answer was complete"):
            await asking
    with pytest.raises(NotConnectedError):
        await desk.ask("positions")
    assert desk.sent == ["positions", "bars"]
    assert [each["request"] for each in desk.notes] == ["positions"]  # bars are no record of orders
