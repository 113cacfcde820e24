"""Batches written beside the fold: what is under way, what another program did meanwhile, what fails."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from data.database import Database
from data.errors import DatabaseUnavailableError, ProjectionError
from data.projection import bulk
from data.projection.bulk import Part
from data.projection.events import Entry
from data.projection.transactions import Change, Transactions
from data.projector import Projector
from data.schema import AuditEventRow, CursorRow, OrderRow
from data.testing import LocalServer


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[Database]:
    opened = Database(postgres_url)
    opened.upgrade()
    yield opened
    opened.close()


def entry(seq: int, kind: str = "note", body: str = "{}") -> Entry:
    return seq, seq * 1_000, kind, body, "", ""


def batches(*sizes: int) -> Iterator[list[Entry]]:
    last = 0
    for size in sizes:
        yield [entry(seq) for seq in range(last + 1, last + size + 1)]
        last += size


def numbers(database: Database) -> list[int]:
    with database.session() as session:
        return list(session.scalars(select(AuditEventRow.seq).order_by(AuditEventRow.seq)))


def cursor(seq: int) -> Part:
    row = {"journal_id": "j", "run_id": "r", "last_seq": seq, "active": True}
    return Part.of(CursorRow, [row], replaces=True)


def test_a_change_is_written_only_where_the_cursor_stands_as_it_did(database: Database) -> None:
    with Transactions(database, "j") as writes:
        assert writes.settled()
        writes.hand_over(Change(0, 3, parts=[cursor(3)]))
        assert writes.settled()
        writes.hand_over(Change(0, 5, parts=[cursor(5)]))
        assert not writes.settled()
        writes.hand_over(Change(7))  # no events: nothing to write
        assert writes.settled()
    assert Projector(database, "j", "r").cursor() == 3


def test_the_next_batch_is_taken_while_the_server_works_on_the_last(
    postgres: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_go, store = threading.Event(), bulk.store

    def waiting(*arguments: Any) -> None:
        assert let_go.wait(30), "nobody asked for another batch meanwhile"
        store(*arguments)

    def told() -> Iterator[list[Entry]]:
        first, second = batches(2, 2)
        yield first
        let_go.set()
        yield second

    monkeypatch.setattr("data.projection.transactions.store", waiting)
    assert list(Projector(postgres, "j", "r").project_batches(told())) == [2, 2]
    assert numbers(postgres) == [1, 2, 3, 4]


def test_what_another_program_wrote_meanwhile_is_not_written_again(database: Database) -> None:
    everything = [entry(seq) for seq in range(1, 8)]

    def told() -> Iterator[list[Entry]]:
        yield everything[:2]
        Projector(database, "j", "r").project(everything[:5])
        yield everything[2:4]
        yield everything[4:]

    assert sum(Projector(database, "j", "r").project_batches(told())) in (2, 4)
    assert numbers(database) == [1, 2, 3, 4, 5, 6, 7]


def test_a_cursor_that_went_back_leaves_no_gap(database: Database) -> None:
    everything = [entry(seq) for seq in range(1, 7)]
    projector = Projector(database, "j", "r")
    projector.project(everything[:3])

    def told() -> Iterator[list[Entry]]:
        Projector(database, "j", "r").rebuild(())
        yield everything[3:]

    with pytest.raises(
        ProjectionError, match=r"event 1 is missing.*another program just removed what was projected"
    ):
        list(projector.project_batches(told()))
    assert numbers(database) == []
    assert projector.project(everything) == 6
    assert numbers(database) == [1, 2, 3, 4, 5, 6]


def test_what_was_folded_after_a_batch_that_failed_is_thrown_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    projector, store, calls = Projector(database, "j", "r"), bulk.store, []

    def failing(*arguments: Any) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise DatabaseUnavailableError("the server is away")
        store(*arguments)

    monkeypatch.setattr("data.projection.transactions.store", failing)
    with pytest.raises(DatabaseUnavailableError, match="the server is away"):
        list(projector.project_batches(batches(2, 2, 2)))
    assert (projector.cursor(), numbers(database)) == (2, [1, 2])
    assert sum(projector.project_batches(batches(2, 2, 2))) == 4
    assert numbers(database) == [1, 2, 3, 4, 5, 6]


def test_batches_before_a_faulty_event_are_written(database: Database) -> None:
    def told() -> Iterator[list[Entry]]:
        yield from batches(2, 2)
        yield [entry(5, "snapshot")]

    with pytest.raises(ProjectionError, match=r"event 5 \(snapshot\) cannot be projected"):
        list(Projector(database, "j", "r").project_batches(told()))
    assert numbers(database) == [1, 2, 3, 4]


ORDER = {
    "client_order_id": "a", "symbol": "SPY", "side": "BUY", "quantity": "1", "order_type": "MARKET",
    "time_in_force": "DAY", "trading_time": 1000, "attempt": 1, "order_id": 7,
}  # fmt: skip


@pytest.mark.parametrize("count", [1, 100], ids=["statements", "copy"])
@pytest.mark.parametrize(
    ("value", "what"),
    [
        ({"symbol": "X" * 33}, "symbol 'X+' is longer than 32 letters"),
        ({"symbol": None}, "symbol is missing"),
        ({"side": {"a": 1}}, "side .* is no text"),
        ({"attempt": 2**31}, "attempt '2147483648' is no number of 32 bits"),
        ({"quantity": "1e200000"}, "quantity .* is too large a number"),
    ],
    ids=["long", "missing", "no text", "integer", "digits"],
)
def test_an_event_whose_value_no_column_takes_is_named_and_nothing_of_its_batch_stays(
    postgres: Database, value: dict[str, Any], what: str, count: int
) -> None:
    orders = [ORDER | {"client_order_id": f"a{seq}"} for seq in range(2, 2 + count)]
    orders[-1] |= value
    told = [entry(seq, "order_submitted", json.dumps(body)) for seq, body in enumerate(orders, start=2)]
    projector = Projector(postgres, "j", "r")
    with pytest.raises(ProjectionError, match=f"orders run_id r, seq {1 + count}, created_at 1000: {what}"):
        projector.project([entry(1), *told])
    assert numbers(postgres) == []
    assert projector.project([entry(1)]) == 1


def test_what_a_server_refuses_for_another_reason_is_told_with_the_events_it_is_among(
    postgres: Database,
) -> None:
    with postgres.connection() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_events ADD CHECK (kind <> 'unheard-of')")
    with pytest.raises(ProjectionError, match=r"of the 2 after event 0: .* violates check constraint"):
        Projector(postgres, "j", "r").project([entry(1), entry(2, "unheard-of")])


def test_one_who_takes_no_more_loses_nothing_that_was_told(database: Database) -> None:
    projector = Projector(database, "j", "r")
    taking = projector.project_batches(batches(2, 2, 2))
    assert next(taking) == 2
    taking.close()
    assert numbers(database) == [1, 2]
    assert sum(projector.project_batches(batches(2, 2, 2))) == 4


def test_a_fold_reads_what_was_handed_over_before(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("data.projection.book._MOST_NAMES", 0)
    monkeypatch.setattr("data.projection.book._MOST_ORDERS", 0)
    wish = (
        '"client_order_id":"a","symbol":"SPY","side":"BUY","quantity":"1","order_type":"MARKET",'
        '"time_in_force":"DAY","trading_time":1000'
    )
    submitted = entry(1, "order_submitted", f'{{{wish},"attempt":1,"order_id":7}}')
    state = '{"client_order_id":"a","order_id":"7","new":"FILLED","filled":"1","trading_time":2000}'
    told = [[submitted], [entry(2, "order_status", state)]]
    assert sum(Projector(database, "j", "r").project_batches(told)) == 2
    with database.session() as session:
        assert session.scalars(select(OrderRow.status)).all() == ["FILLED"]


def test_a_server_that_dies_under_a_batch_costs_that_batch_only(
    postgres: Database, postgres_server: LocalServer
) -> None:
    projector = Projector(postgres, "j", "r")

    def told() -> Iterator[list[Entry]]:
        first, second, third = batches(2, 2, 2)
        yield first
        yield second
        postgres_server.crash()
        yield third

    try:
        with pytest.raises(DatabaseUnavailableError):
            list(projector.project_batches(told()))
    finally:
        postgres_server.start()
    assert projector.cursor() in (0, 2, 4)  # without synchronous_commit a crash costs what was told last, too
    projector.project([entry(seq) for seq in range(1, 7)])
    assert numbers(postgres) == [1, 2, 3, 4, 5, 6]
