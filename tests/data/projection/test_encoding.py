"""The forms in which columns are sent: one field is one value, whatever it holds."""

from __future__ import annotations

import struct
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.projection.encoding import encoded, form_of
from data.schema import AuditEventRow, Base, CommissionRow, OrderEventRow

TEXTS = st.lists(st.none() | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")))


def fields(stream: bytes) -> list[list[bytes | None]]:
    """Read the binary form as PostgreSQL's manual describes it."""
    assert stream.startswith(b"PGCOPY\n\xff\r\n\0" + bytes(8))
    at, rows = 19, []
    while (count := struct.unpack_from(">h", stream, at)[0]) != -1:
        at, row = at + 2, []
        for _ in range(count):
            (length,) = struct.unpack_from(">i", stream, at)
            at += 4
            row.append(None if length < 0 else stream[at : at + length])
            at += max(0, length)
        rows.append(row)
    assert at + 2 == len(stream)
    return rows


def sent(table: Any, columns: dict[str, list[Any]]) -> bytes:
    return b"".join(map(bytes, encoded(table.__table__, columns)))


def test_amounts_of_money_are_sent_as_text_and_all_else_in_binary() -> None:
    names = ("audit_events", "order_events", "orders", "fills")
    assert {name: form_of(Base.metadata.tables[name]) for name in names} == {
        "audit_events": "BINARY",
        "order_events": "BINARY",
        "orders": "CSV",
        "fills": "CSV",
    }


@given(TEXTS)
def test_any_text_is_one_field_and_nothing_is_not_an_empty_text(texts: list[str | None]) -> None:
    numbers = list(range(len(texts)))
    binary = fields(sent(AuditEventRow, {"client_order_id": texts, "seq": numbers}))
    assert binary == [
        [None if text is None else text.encode(), struct.pack(">q", i)] for i, text in enumerate(texts)
    ]
    lines = sent(CommissionRow, {"fill_id": texts, "seq": numbers}).decode()
    quoted = ["" if t is None else '"' + t.replace('"', '""') + '"' for t in texts]
    assert lines == "".join(f"{text},{i}\n" for i, text in enumerate(quoted))


def test_a_moment_is_cut_to_the_microsecond_also_before_the_epoch() -> None:
    times = [946_684_800_000_000_999, -1]
    assert fields(sent(AuditEventRow, {"recorded_at": times})) == [
        [struct.pack(">q", 0)], [struct.pack(">q", -946_684_800_000_001)],
    ]  # fmt: skip


def test_a_document_has_its_version_before_it() -> None:
    assert fields(sent(OrderEventRow, {"body": ["{}", '{"a":"é"}']})) == [
        [b"\x01{}"], [b"\x01" + '{"a":"é"}'.encode()],
    ]  # fmt: skip


@pytest.mark.parametrize(("odd", "stored"), [("a\0b", "a\ufffdb"), ("a\ud800b", "a?b")])
def test_what_no_server_stores_is_replaced(odd: str, stored: str) -> None:
    assert fields(sent(AuditEventRow, {"body": [odd, "c"]})) == [[stored.encode()], [b"c"]]
    assert sent(CommissionRow, {"fill_id": [odd]}).decode() == f'"{stored}"\n'


def test_an_amount_keeps_its_digits() -> None:
    amounts = [Decimal("1.50"), Decimal("1E+3"), Decimal("-0.0000001")]
    assert sent(CommissionRow, {"commission": amounts}) == b'"1.50"\n"1000"\n"-0.0000001"\n'
