from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from monitoring.verdict import BookFacts, ChainFacts, Verdict

D = Decimal
BOOK = BookFacts(
    orders={"a": (D(100), D(100)), "b": (D(50), D(0))},
    fills=1,
    positions={"SPY": D(100), "IWM": D(0)},
    cash=D("989876.54"),
)
INTACT = ChainFacts(True, 1234, "ab" * 32)


def failing(verdict: Verdict) -> list[str]:
    return [line.name for line in verdict.lines if not line.ok]


def test_books_that_agree_pass() -> None:
    verdict = Verdict.of(BOOK, BOOK, INTACT)
    assert verdict.ok
    assert failing(verdict) == []
    assert verdict.text().endswith("verdict: everything agrees")


@pytest.mark.parametrize(
    ("broker", "name", "detail"),
    [
        (replace(BOOK, orders={"a": (D(100), D(100))}), "orders sent", "not at the broker: b"),
        (replace(BOOK, orders={**BOOK.orders, "z": (D(1), D(0))}), "orders sent", "not in our journal: z"),
        (
            replace(BOOK, orders={**BOOK.orders, "b": (D(51), D(0))}),
            "orders sent",
            "with other quantities: b",
        ),
        (replace(BOOK, fills=2), "fills", "difference -1"),
        (replace(BOOK, positions={"SPY": D(99)}), "position SPY", "difference 1"),
        (replace(BOOK, positions={"SPY": D(100), "QQQ": D(-5)}), "position QQQ", "difference 5"),
        (replace(BOOK, cash=D("989876.53")), "cash", "difference 0.01"),
    ],
)
def test_each_difference_fails_its_own_line(broker: BookFacts, name: str, detail: str) -> None:
    verdict = Verdict.of(BOOK, broker, INTACT)
    assert not verdict.ok
    assert failing(verdict) == [name]
    assert next(line.detail for line in verdict.lines if not line.ok) == detail
    assert "✗" in verdict.text()


def test_another_executed_quantity_of_an_order_fails_orders_and_executions() -> None:
    broker = replace(BOOK, orders={"a": (D(100), D(90)), "b": (D(50), D(0))})
    assert failing(Verdict.of(BOOK, broker, INTACT)) == ["orders sent", "shares executed"]


def test_a_broken_chain_fails_with_its_problem() -> None:
    verdict = Verdict.of(BOOK, BOOK, ChainFacts(False, 10, "", "event 7 was altered"))
    assert failing(verdict) == ["journal chain"]
    assert "event 7 was altered" in verdict.text()


def test_orders_in_doubt_fail_and_are_named_up_to_five() -> None:
    verdict = Verdict.of(BOOK, BOOK, INTACT, in_doubt=[f"o{n}" for n in range(7)])
    assert failing(verdict) == ["orders in doubt"]
    assert verdict.lines[-1].detail == "o0, o1, o2, o3, o4 and 2 more"


def test_every_line_shows_both_figures() -> None:
    lines = {line.name: (line.ours, line.theirs) for line in Verdict.of(BOOK, BOOK, INTACT).lines}
    assert lines["cash"] == ("989,876.54", "989,876.54")
    assert lines["orders sent"] == ("2", "2")
    assert lines["position SPY"] == ("100", "100")
    assert lines["journal chain"] == ("1,234 events, head abababababab", "intact")


def test_two_flat_books_say_so() -> None:
    flat = replace(BOOK, positions={"SPY": D(0)})
    lines = {line.name: line.ours for line in Verdict.of(flat, replace(BOOK, positions={}), INTACT).lines}
    assert lines["positions"] == "flat"


def test_a_negative_amount_keeps_its_sign_and_cents() -> None:
    short = replace(BOOK, cash=D("-0.25"))
    assert "-0.25" in Verdict.of(short, short, INTACT).text()


def test_the_dict_is_plain_json() -> None:
    shown = json.loads(json.dumps(Verdict.of(BOOK, BOOK, INTACT).as_dict()))
    assert shown["ok"] is True
    assert set(shown["lines"][0]) == {"name", "ours", "theirs", "ok", "detail"}
