"""Rows in bulk: what goes in comes out, on every kind of server, whatever the texts hold."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from data.database import Database
from data.errors import DatabaseUnavailableError
from data.projection.bulk import Part, append, encoded, money, replace
from data.schema import AuditEventRow, OrderEventRow, PositionRow

ODD = [
    "plain", "tab\tline\nreturn\r", "back\\slash \\N \\.", "", "é 漢 😀", "unit\x1fseparator", "\\N",
    "\\.", "x\n\\.\ny", 'a "quoted", text', "NULL",
]  # fmt: skip


def position(symbol: str, quantity: str = "1", at: int = 1_000) -> dict[str, Any]:
    amounts = {n: Decimal("2.50") for n in ("average_cost", "market_value", "unrealized_pnl")}
    return {"run_id": "r", "symbol": symbol, "timestamp": at, "quantity": Decimal(quantity), **amounts}


def event(seq: int, text: str, name: str | None = None) -> dict[str, Any]:
    return {
        "journal_id": "j", "seq": seq, "recorded_at": 1_700_000_000_123_456_789, "time_ns": seq, "kind": "k",
        "client_order_id": name, "body": text, "prev_hash": "", "hash": "",
    }  # fmt: skip


def test_texts_come_back_as_they_went_in(database: Database) -> None:
    with database.session() as session:
        append(session, AuditEventRow, [event(i, text) for i, text in enumerate(ODD)])
    with database.session() as session:
        found = session.scalars(select(AuditEventRow).order_by(AuditEventRow.seq)).all()
    assert [row.body for row in found] == ODD
    assert {row.client_order_id for row in found} == {None}
    assert {row.recorded_at.value for row in found} == {1_700_000_000_123_456_000}


@pytest.mark.parametrize("text", ['{"a":"\\u0000"}', '{"a":"\\ud800"}', '{"a":"\\ud83d\\ude00 \\\\u0000"}'])
def test_a_document_that_a_server_would_refuse_is_stored_all_the_same(database: Database, text: str) -> None:
    row = {
        "run_id": "r", "seq": 1, "timestamp": 1_000, "client_order_id": "a", "kind": "k", "old_status": None,
        "new_status": None, "body": text,
    }  # fmt: skip
    with database.session() as session:
        append(session, OrderEventRow, [row])
    with database.session() as session:
        found = session.scalars(select(OrderEventRow)).one().body
    assert set(found) == {"a"}
    if "ude00" in text:
        assert found["a"][0] == "\N{GRINNING FACE}"


def test_rows_are_put_in_the_place_of_those_with_the_same_key(database: Database) -> None:
    with database.session() as session:
        replace(session, PositionRow, [position("SPY"), position("QQQ", "-3")])
        replace(session, PositionRow, [position("SPY", "7.125", at=2_000)])
        append(session, PositionRow, [])
        replace(session, PositionRow, [])
    with database.session() as session:
        found = session.scalars(select(PositionRow).order_by(PositionRow.symbol)).all()
    assert [(r.symbol, r.quantity, r.timestamp.value) for r in found] == [
        ("QQQ", Decimal(-3), 1_000), ("SPY", Decimal("7.125"), 2_000),
    ]  # fmt: skip


def test_what_a_server_refuses_is_told_and_nothing_of_it_stays(database: Database) -> None:
    if database.url.drivername == "sqlite":
        pytest.skip("SQLite takes a text of any length")
    with pytest.raises(Exception, match="too long"), database.session() as session:
        append(session, AuditEventRow, [event(1, "x"), event(2, "x", "n" * 65)])
    with database.session() as session:
        assert session.scalars(select(AuditEventRow)).all() == []


def test_a_missing_table_names_the_remedy(postgres_url: str) -> None:
    database = Database(postgres_url)
    with pytest.raises(DatabaseUnavailableError, match="trade db upgrade"), database.session() as session:
        append(session, AuditEventRow, [event(1, "x")])
    database.close()


@given(st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))))
def test_any_text_is_one_field_and_nothing_is_not_an_empty_text(texts: list[str | None]) -> None:
    rows = [{"client_order_id": text, "seq": i} for i, text in enumerate(texts, start=1)]
    part = Part.of(AuditEventRow, rows)
    block = encoded(part.table, part.columns).to_pybytes().decode() if part else ""
    fields = [
        f"{'' if text is None else chr(34) + text.replace(chr(34), chr(34) * 2) + chr(34)},{i}\n"
        for i, text in enumerate(texts, start=1)
    ]
    assert block == "".join(fields)


@pytest.mark.parametrize("text", ["NaN", "Infinity"])
def test_what_is_no_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no amount"):
        money(text)
    assert json.dumps(str(money("1.50"))) == '"1.50"'
