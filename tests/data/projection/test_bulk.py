"""Rows in bulk: what goes in comes out, on every kind of server, whatever the texts hold."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import select

from data.database import Database
from data.errors import DatabaseUnavailableError
from data.projection import bulk
from data.projection.bulk import Part, Removal, money, prepare, store
from data.schema import AuditEventRow, OrderEventRow, PositionHistoryRow, PositionRow

ODD = [
    "plain", "tab\tline\nreturn\r", "back\\slash \\N \\.", "", "é 漢 😀", "unit\x1fseparator", "\\N",
    "\\.", "x\n\\.\ny", 'a "quoted", text', "NULL",
]  # fmt: skip


@pytest.fixture(params=["few", "many"], autouse=True)
def few(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Send the same rows as statements, and copied as many rows are."""
    monkeypatch.setattr(bulk, "_FEW", 64 if request.param == "few" else 0)


def write(database: Database, *parts: Part, removals: Sequence[Removal] = ()) -> None:
    prepared = prepare(database.engine.dialect.name, removals, parts)
    with database.connection() as connection:
        store(connection, prepared)


def position(symbol: str, quantity: str = "1", at: int = 1_000) -> dict[str, Any]:
    amounts = {n: Decimal("2.50") for n in ("average_cost", "market_value", "unrealized_pnl")}
    return {"run_id": "r", "symbol": symbol, "timestamp": at, "quantity": Decimal(quantity), **amounts}


def event(seq: int, text: str, name: str | None = None) -> dict[str, Any]:
    return {
        "journal_id": "j", "seq": seq, "recorded_at": 1_700_000_000_123_456_789, "time_ns": seq, "kind": "k",
        "client_order_id": name, "body": text, "prev_hash": "", "hash": "",
    }  # fmt: skip


def test_texts_come_back_as_they_went_in(database: Database) -> None:
    write(database, Part.of(AuditEventRow, [event(i, text) for i, text in enumerate(ODD)]))
    with database.session() as session:
        found = session.scalars(select(AuditEventRow).order_by(AuditEventRow.seq)).all()
    assert [row.body for row in found] == ODD
    assert {row.client_order_id for row in found} == {None}
    assert {row.recorded_at.value for row in found} == {1_700_000_000_123_456_000}
    assert [row.time_ns for row in found] == list(range(len(ODD)))


@pytest.mark.parametrize("text", ['{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"a":"\\ud83d\\ude00 \\\\u0000"}'])
def test_a_document_that_a_server_would_refuse_is_stored_all_the_same(database: Database, text: str) -> None:
    row = {
        "run_id": "r", "seq": 1, "timestamp": 1_000, "client_order_id": "a", "kind": "k", "old_status": None,
        "new_status": None, "body": text,
    }  # fmt: skip
    write(database, Part.of(OrderEventRow, [row]))
    with database.session() as session:
        found = session.scalars(select(OrderEventRow)).one().body
    assert set(found) == {"a"}
    if "ude00" in text:
        assert found["a"][0] == "\N{GRINNING FACE}"


def test_rows_are_put_in_the_place_of_those_with_the_same_key(database: Database) -> None:
    write(database, Part.of(PositionRow, [position("SPY"), position("QQQ", "-3")], replaces=True))
    write(
        database,
        Part.of(PositionRow, [position("SPY", "7.125", at=2_000)], replaces=True),
        Part.of(PositionHistoryRow, []),
    )
    with database.session() as session:
        found = session.scalars(select(PositionRow).order_by(PositionRow.symbol)).all()
    assert [(r.symbol, r.quantity, r.timestamp.value) for r in found] == [
        ("QQQ", Decimal(-3), 1_000), ("SPY", Decimal("7.125"), 2_000),
    ]  # fmt: skip


def test_what_is_removed_gives_way_to_what_is_added(database: Database) -> None:
    history = [position("SPY", at=at) for at in (1_000, 2_000, 3_000)]
    write(database, Part.of(PositionHistoryRow, history), Part.of(PositionRow, [position("QQQ")]))
    write(
        database,
        Part.of(PositionHistoryRow, [position("IWM", at=2_000)]),
        Part.of(PositionRow, [position("IWM")]),
        removals=[
            Removal.of(PositionHistoryRow, "r", [2_000]),
            Removal.of(PositionHistoryRow, "r", []),
            Removal.of(PositionHistoryRow, "another", [1_000]),
            Removal.of(PositionRow, "r"),
        ],
    )
    with database.session() as session:
        kept = session.scalars(select(PositionHistoryRow).order_by(PositionHistoryRow.timestamp)).all()
        held = session.scalars(select(PositionRow)).all()
    assert [(r.symbol, r.timestamp.value) for r in kept] == [("SPY", 1_000), ("IWM", 2_000), ("SPY", 3_000)]
    assert [r.symbol for r in held] == ["IWM"]


def test_what_a_server_refuses_is_told_and_nothing_of_it_stays(database: Database) -> None:
    if database.url.drivername == "sqlite":
        pytest.skip("SQLite takes a text of any length")
    with pytest.raises(Exception, match="too long"):
        write(database, Part.of(AuditEventRow, [event(1, "x"), event(2, "x", "n" * 65)]))
    with database.session() as session:
        assert session.scalars(select(AuditEventRow)).all() == []


def test_a_missing_table_names_the_remedy(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(DatabaseUnavailableError, match="trade db upgrade"):
        write(database, Part.of(AuditEventRow, [event(1, "x")]))
    database.close()


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        money(text)
    assert json.dumps(str(money("1.50"))) == '"1.50"'
