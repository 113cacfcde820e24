"""What is asked of TWS and sent to it is in the journal, once each, and never on the way of an order."""

from __future__ import annotations

import asyncio
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.audit import AuditLogger
from execution.clocks import SteppedClock
from execution.errors import BrokerUnavailableError, JournalError, NotConnectedError, PacingError
from execution.ibkr import record
from execution.ibkr.record import InteractionRecord
from execution.journal import JournalEvent, MemoryJournal
from execution.link.heartbeat import HeartbeatTerms
from execution.models import Instrument, OrderRequest, OrderType, Side

from .conftest import POSITIONS

if TYPE_CHECKING:
    from .conftest import MakeFloor, MakeRig, ScriptedBroker

FUTURE = Instrument(
    "ESH8", "FUT", "CME", tick=Decimal("0.25"), multiplier=Decimal(50), underlying="ES", expiry="20180316"
)


def resting(name: str = "o-1", symbol: str = "AAA") -> OrderRequest:
    return OrderRequest(symbol, Decimal(10), OrderType.LIMIT, Side.BUY, Decimal(50), client_order_id=name)


def of(events: list[JournalEvent], kind: str) -> list[dict[str, Any]]:
    return [event.body for event in events if event.kind == kind]


async def test_each_request_of_a_session_is_in_the_journal_with_what_came_of_it(floor: MakeFloor) -> None:
    async with floor(contracts=(FUTURE,), contract_details=True) as f:
        await f.step()
        await f.executor.submit_order(resting())
        await f.executor.submit_order(resting("o-2", "ESH8"))
        await f.executor.what_if(resting("o-3"))
        await f.executor.get_account_summary()
        await f.executor.get_positions()
        await f.executor.reconcile()
        await f.executor.cancel_order("o-1")
        await f.step()
        await f.executor.manager.disconnect()
        events = list(f.journal.events())
    asked = of(events, "api_request")
    assert Counter(each["request"] for each in asked) == {
        "open orders": 2,
        "completed orders": 2,
        "executions": 2,
        "positions": 3,
        "account summary": 2,  # the opening book, and one by hand
        "what if": 1,
        "contract details": 1,
        "market rule 67": 1,
    }
    assert {each["outcome"] for each in asked} == {"answered"}
    listed = [each["rows"] for each in asked if each["request"] == "open orders"]
    assert listed == [0, 2]
    assert all(each["milliseconds"] >= 0 for each in asked)
    assert [each["symbol"] for each in of(events, "margin_asked")] == ["AAA"]
    (margin,) = of(events, "margin_answered")
    assert Decimal(margin["figures"]["initial_change"]) > 0
    (terms,) = of(events, "api_contract")
    assert (terms["symbol"], terms["increments"], terms["last_day"]) == ("ESH8", [["0", "0.25"]], "20180316")
    number = f.executor.blotter.entries["o-1"].order_id
    assert of(events, "api_cancel") == [{"order_id": number, "written": True}]
    told = {body["event"]: body["details"] for body in of(events, "connection")}
    assert told["connected"]["server_version"] == 176
    assert told["connected"]["accounts"] == ["DU0000001"]
    assert {"client_id", "next_valid_id", "host", "port"} <= told["connected"].keys()
    assert told["disconnected"]["messages_received"] > 20
    assert told["disconnected"]["unreadable"] == 0


async def test_a_reconciliation_adds_one_event_for_each_request(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    before = Counter(r.kinds())
    for _ in range(10):
        await r.executor.reconcile()
    added = Counter(r.kinds()) - before
    assert added == {"api_request": 40, "reconciled": 10}


async def test_a_request_that_is_not_answered_or_refused_is_on_record_with_the_reason(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(timeout=0.2)
    await r.manager.connect()
    number = r.manager.session.next_order_id
    broker.executions = [broker.error(number, 162, "no data")]
    with pytest.raises(BrokerUnavailableError):
        await r.manager.session.executions()
    broker.mute.add(POSITIONS)
    with pytest.raises(BrokerUnavailableError):
        await r.manager.session.positions()
    asked = of(list(r.journal.events()), "api_request")
    assert [(each["request"], each["outcome"]) for each in asked] == [("executions", "failed")]
    assert "162: no data" in asked[0]["error"]
    assert not r.manager.is_connected()
    r.journal.commit()
    late = of(list(r.journal.events()), "api_request")[-1]
    assert (late["request"], late["outcome"]) == ("positions", "failed")
    assert "no complete answer within 0.2 s" in late["error"]
    (lost,) = [b for b in of(list(r.journal.events()), "connection") if b["event"] == "disconnected"]
    assert "positions: no complete answer" in lost["details"]["reason"]


async def test_a_message_that_cannot_be_read_is_on_record_as_it_came_and_so_is_how_many_there_were(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig()
    await r.manager.connect()
    broker.say(*(broker.status(number, "Submitted", filled="x" * 9000) for number in range(50)))
    await broker.until(lambda: r.manager.session.undecodable == 50)
    await r.manager.disconnect()
    events = list(r.journal.events())
    unreadable = of(events, "api_unreadable")
    assert len(unreadable) == 20
    assert "'3', '0', 'Submitted', 'xxx" in unreadable[0]["raw"]
    assert max(len(str(each)) for each in unreadable) < 1000
    assert of(events, "connection")[-1]["details"]["unreadable"] == 50


async def test_orders_and_cancels_that_find_no_room_are_on_record_without_filling_it(rig: MakeRig) -> None:
    r = rig()
    await r.executor.ensure_ready()
    client: Any = r.manager.session._ib.client
    client.MaxRequests = len(client._timeQ)
    for _ in range(1000):
        with pytest.raises(PacingError):
            r.manager.session.require_open_lane()
    with pytest.raises(PacingError):
        r.manager.session.cancel(7)
    await r.manager.disconnect()
    with pytest.raises(NotConnectedError):
        r.manager.session.cancel(8)
    events = list(r.journal.events())
    (paced,) = of(events, "api_paced")
    assert paced["refused"] == 1
    (unwritten,) = of(events, "api_cancel")
    assert (unwritten["order_id"], unwritten["written"]) == (7, False)


async def test_a_heartbeat_that_finds_the_connection_deaf_is_on_record(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(heartbeat=HeartbeatTerms(interval=0.1, deadline=0.2, deaf_after=0.5))
    await r.executor.ensure_ready()
    stop = asyncio.Event()

    async def chatter() -> None:  # bytes that answer nothing
        while not stop.is_set():
            broker.say(broker.status(99, "Submitted", client=5))
            await asyncio.sleep(0.03)

    chat = asyncio.create_task(chatter())
    await broker.until(lambda: not r.manager.is_connected())
    stop.set()
    await chat
    told = [b["details"] for b in of(list(r.journal.events()), "connection") if b["event"] == "disconnected"]
    assert [("nothing was answered" in each["reason"], each["heartbeats"]) for each in told] == [(True, 1)]


async def test_what_nobody_commits_is_durable_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record, "_WITHIN", 0.01)
    clock = SteppedClock(0)
    journal = MemoryJournal(clock.now_ns)
    noted = InteractionRecord(lambda: AuditLogger(journal, clock))
    noted.note("api_request", {"request": "positions"})
    noted.note("api_request", {"request": "executions"})
    assert list(journal.events()) == []  # an order that is on its way does not wait for it
    await asyncio.sleep(0.05)
    assert [event.body["request"] for event in journal.events()] == ["positions", "executions"]
    noted.note("api_request", {"request": "open orders"})
    noted.settle()
    await asyncio.sleep(0.05)
    assert len(list(journal.events())) == 2


async def test_a_journal_that_cannot_be_written_is_said_and_what_it_holds_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(record, "_WITHIN", 0.01)
    clock = SteppedClock(0)
    journal = MemoryJournal(clock.now_ns)
    commit = journal.commit

    def full() -> None:
        raise JournalError("no space left on device")

    monkeypatch.setattr(journal, "commit", full)
    noted = InteractionRecord(lambda: AuditLogger(journal, clock))
    noted.note("api_request", {"request": "positions"})
    await asyncio.sleep(0.05)
    commit()
    assert len(list(journal.events())) == 1


def test_without_an_audit_trail_nothing_is_recorded() -> None:
    InteractionRecord(lambda: None).note("api_request", {})
