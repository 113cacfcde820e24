"""Events of the journal as lines for people."""

from __future__ import annotations

from typing import Any

import pytest

from execution.journal import JournalEvent, readable


def line(kind: str, body: dict[str, Any]) -> str:
    return readable(JournalEvent(12, 1_514_903_400_123_456_789, kind, body, "", ""))


@pytest.mark.parametrize(
    ("kind", "body", "text"),
    [
        (
            "api_request",
            {"request": "positions", "outcome": "answered", "rows": 0, "milliseconds": 12},
            "api_request      positions answered rows=0 milliseconds=12",
        ),
        (
            "api_cancel",
            {"order_id": 5, "written": False, "error": "no room"},
            "api_cancel       order_id=5 written=False error='no room'",
        ),
        (
            "connection",
            {"event": "connected", "details": {"port": 7497, "accounts": ["DU1", "DU2"], "after": ""}},
            "connection       connected details.port=7497 details.accounts=DU1,DU2",
        ),
        ("broker_message", {"message": "error", "text": "bad\x1b[2J"}, "error text='bad\\x1b[2J'"),
        ("barrier", {"trading_time": None}, "barrier"),
    ],
)
def test_a_line_says_when_and_what_without_empty_facts(kind: str, body: dict[str, Any], text: str) -> None:
    shown = line(kind, body)
    assert shown.startswith("      12 2018-01-02 14:30:00.123 ")
    assert shown.endswith(text)
