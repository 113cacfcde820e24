"""What the journal holds before and after an order is sent, and what happens when it cannot be written."""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.errors import (
    AcknowledgementTimeoutError,
    JournalError,
)
from execution.models import OrderRequest, OrderStatus, OrderType, Side

from .test_executor import Ledger, buy

if TYPE_CHECKING:
    from .conftest import MakeRig, Rig, ScriptedBroker


def is_ready(r: Rig) -> bool:
    """Look again: to the type checker a property keeps the value of its last assertion."""
    return r.executor.is_ready


def let_the_journal_die_after_a_write(r: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every commit fail from the next order that is written."""
    place = r.manager.session.place

    def dead() -> None:
        raise JournalError("no space")

    def place_and_die(*args: Any, **options: Any) -> None:
        place(*args, **options)
        monkeypatch.setattr(r.journal, "commit", dead)

    monkeypatch.setattr(r.manager.session, "place", place_and_die)


async def test_the_intent_is_durable_before_a_byte_is_sent(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    seen: list[list[str]] = []
    reader = sqlite3.connect(r.journal.path)
    place = r.manager.session.place

    def watched(*args: Any, **more: Any) -> None:
        seen.append([kind for (kind,) in reader.execute("SELECT kind FROM events")])
        place(*args, **more)

    monkeypatch.setattr(r.manager.session, "place", watched)
    r.executor.submit(buy())
    reader.close()
    assert seen[0][-1] == "order_submitted"


async def test_nothing_is_written_to_the_socket_while_the_journal_is_dead(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    validator = Ledger()
    r = rig(validator=validator)
    await r.executor.ensure_ready()
    blocker = sqlite3.connect(r.journal.path, isolation_level=None)
    r.journal._db.execute("PRAGMA busy_timeout=0")
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(JournalError):
        r.executor.submit(buy())
    assert validator.held == {}
    blocker.execute("ROLLBACK")
    blocker.close()
    await r.executor.manager.session.current_time()
    assert broker.placed == []
    # Once it can be written again the same order goes out, as a second attempt.
    assert (await r.executor.submit_order(buy())).status is OrderStatus.SUBMITTED
    assert [e.body["attempt"] for e in r.journal.events() if e.kind == "order_submitted"] == [1, 2]
    assert len(broker.placed) == 1


async def test_grouped_facts_wait_until_the_inbox_is_closed(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig(grouped=True)
    await r.executor.ensure_ready()
    r.executor.submit(buy())
    await r.manager.session.current_time()
    assert r.executor.orders()[0].status is OrderStatus.PENDING
    r.executor.close_inbox()
    assert r.executor.orders()[0].status is OrderStatus.SUBMITTED
    broker.say(broker.execution(int(broker.placed[0][1]), "e.01"))
    await r.manager.session.current_time()
    r.executor.close_inbox()
    assert r.kinds()[-1] == "barrier"
    r.executor.close_inbox()
    assert r.kinds().count("barrier") == 1


async def test_a_commit_that_fails_on_arrival_is_owed_and_submissions_wait(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.submit_order(buy())
    order_id = int(broker.placed[0][1])

    def fail() -> None:
        raise JournalError("disk full")

    with monkeypatch.context() as patched:
        patched.setattr(r.journal, "commit", fail)
        broker.say(broker.execution(order_id, "e.01", "10", ref="o-1"))
        await broker.until(lambda: not r.executor.is_ready)
    assert r.handler.names().count("fill") == 0
    broker.positions = [("AAA", "10", "100.5")]
    await r.executor.ensure_ready()
    assert r.handler.names().count("fill") == 1


async def test_a_reservation_is_restored_at_the_price_it_was_made_at(rig: MakeRig) -> None:
    first = rig(validator=Ledger())
    await first.executor.submit_order(buy())
    (sent,) = [event.body for event in first.journal.events() if event.kind == "order_submitted"]
    assert sent["reserved_price"] == "99.5"
    await first.shut()
    again = Ledger()
    rig(validator=again)
    assert again.held == {"o-1": Decimal(10)}
    assert again.prices == [Decimal("99.5")]


async def test_a_grouped_executor_finds_the_answer_that_waits_in_its_own_inbox(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(grouped=True, acknowledgement_timeout=1.0)
    assert (await r.executor.submit_order(buy("o-1"))).status is OrderStatus.SUBMITTED
    exits = (
        OrderRequest("AAA", Decimal(10), OrderType.LIMIT, Side.SELL, limit_price=Decimal(200)),
        OrderRequest("AAA", Decimal(10), OrderType.STOP, Side.SELL, stop_price=Decimal(50)),
    )
    legs = await r.executor.submit_bracket(buy("o-2"), *exits)
    assert {leg.status for leg in legs} == {OrderStatus.SUBMITTED}


async def test_an_order_that_is_sent_is_never_said_to_be_unsent_by_a_journal_that_dies_then(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(acknowledgement_timeout=0.4)
    await r.executor.ensure_ready()
    commit = r.journal.commit
    let_the_journal_die_after_a_write(r, monkeypatch)
    broker.on_place = lambda order_id, ref: []
    with pytest.raises(AcknowledgementTimeoutError) as raised:
        await r.executor.submit_order(buy("o-1"))
    assert raised.value.order.status is OrderStatus.UNKNOWN
    assert not r.executor.is_ready
    monkeypatch.setattr(r.journal, "commit", commit)
    r.executor.inbox.close()
    assert r.handler.names() == ["status"]


async def test_an_order_whose_news_could_not_be_committed_in_time_is_what_they_say_and_not_unknown(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(acknowledgement_timeout=0.4)
    await r.executor.ensure_ready()
    commit = r.journal.commit
    let_the_journal_die_after_a_write(r, monkeypatch)
    with suppress(AcknowledgementTimeoutError, JournalError):
        await r.executor.submit_order(buy("o-1"))
    monkeypatch.setattr(r.journal, "commit", commit)
    r.executor.inbox.close()
    order = r.executor.known("o-1")
    assert order is not None
    assert order.status is OrderStatus.SUBMITTED
    assert "order_doubted" not in {event.kind for event in r.journal.events()}


async def test_an_opening_that_could_not_be_committed_at_once_opens_the_book_all_the_same(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    log = r.executor.audit.log

    def fails_after(kind: str, **body: Any) -> None:
        r.executor.audit.note(kind, **body)
        if kind == "opening":
            raise JournalError("no space")

    with monkeypatch.context() as patch:
        patch.setattr(r.executor.audit, "log", fails_after)
        with pytest.raises(JournalError):
            await r.executor.ensure_ready()
    assert r.executor.audit.log == log
    await r.executor.ensure_ready()
    assert r.executor.blotter.book_open
    assert r.kinds().count("opening") == 1
