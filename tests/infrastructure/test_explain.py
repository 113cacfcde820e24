"""An order's story, told from a journal."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from execution.errors import UnknownOrderError
from execution.journal import SqliteJournal
from infrastructure.explain import explain_order
from strategies.signals import Direction, Signal, StatedSignal

DECISION = {"approved": True, "rule": "", "reason": "", "checks": [["MAX_ORDER_QUANTITY", "100", "5"]]}


def request(name: str, side: str, **more: Any) -> dict[str, Any]:
    fields = {"client_order_id": name, "symbol": "SPY", "side": side, "quantity": "5", "order_type": "MARKET"}
    prices = {"limit_price": None, "stop_price": None, "time_in_force": "DAY", "strategy": "ma_crossover"}
    return {**fields, **prices, "trading_time": 10**18, "decision": DECISION, "dry_run": False, **more}


def fill(name: str, side: str, price: str, commission: str | None) -> dict[str, Any]:
    what = {"client_order_id": name, "fill_id": f"{name}-1", "exec_id": "e", "symbol": "SPY", "side": side}
    return {
        **what,
        "quantity": "5",
        "price": price,
        "time": 10**18,
        "commission": commission,
        "account": None,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, lambda: 7)
    refusal = {"approved": False, "rule": "KILL_SWITCH", "reason": "loss", "checks": []}
    status = {"order_id": "1", "old": "PENDING", "new": "FILLED", "filled": "5", "average_price": "10"}
    events = [
        ("order_submitted", request("in", "BUY")),
        ("order_status", {**status, "client_order_id": "in", "reason": None, "trading_time": 10**18}),
        ("fill", fill("in", "BUY", "10", None)),
        ("commission", {"client_order_id": "in", "fill_id": "in-1", "exec_id": "e", "commission": "1"}),
        ("order_submitted", request("out", "SELL")),
        ("order_cancelled", {"client_order_id": "out", "reason": "asked"}),
        ("fill", fill("out", "SELL", "12", "1.5")),
        ("order_refused", request("no", "BUY", decision=refusal)),
        ("order_submitted", request("dry", "BUY", dry_run=True)),
        ("order_released", {"client_order_id": "dry", "evidence": "not at the broker"}),
    ]
    for kind, body in events:
        journal.append(kind, body)
    journal.commit()
    journal.close()
    return path


def test_a_story_goes_from_the_signal_to_profit_and_loss(path: Path) -> None:
    story = explain_order(path, "out")
    assert story["signal"]["strategy"] == "ma_crossover"
    assert story["risk_decision"]["checks"] == ["MAX_ORDER_QUANTITY: limit 100, actual 5"]
    assert story["order"]["sent"] is True
    assert story["history"] == ["cancel asked for: asked"]
    assert "SELL 5 SPY at 12, commission 1.5" in story["fills"][0]
    assert story["profit_and_loss"] == {"realized": "10", "fees": "1.5"}


def test_a_commission_that_came_later_is_counted(path: Path) -> None:
    story = explain_order(path, "in")
    assert "PENDING -> FILLED, filled 5" in story["history"][0]
    assert "commission not known yet" in story["fills"][0]
    assert story["profit_and_loss"] == {"realized": "0", "fees": "1"}


def test_a_refused_and_a_dry_order_were_not_sent(path: Path) -> None:
    refused = explain_order(path, "no")
    assert (refused["order"]["sent"], refused["risk_decision"]["rule"]) == (False, "KILL_SWITCH")
    dry = explain_order(path, "dry")
    assert (dry["order"]["sent"], dry["history"]) == (False, ["released: not at the broker"])


def test_an_order_that_the_journal_does_not_know_is_an_error(path: Path) -> None:
    with pytest.raises(UnknownOrderError, match="trade audit show"):
        explain_order(path, "none")


def test_corrections_and_settlements_are_part_of_the_story(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    old = {"quantity": "5", "price": "10", "commission": "1"}
    more = {"old": old, "reason": "execution e.02 corrected to 5 at 11", "external": False}
    journal.append("fill_corrected", {**fill("in", "BUY", "11", "1.25"), **more})
    settled = {"client_order_id": "in", "by": "A. Smith", "status": "FILLED", "reason": "the statement"}
    journal.append("order_resolved", settled)
    journal.commit()
    journal.close()
    story = explain_order(path, "in")
    assert story["history"][-2:] == [
        "corrected: execution e.02 corrected to 5 at 11",
        "settled by A. Smith: FILLED (the statement)",
    ]
    assert story["fills"][-1] == "corrected: BUY 5 SPY at 11, instead of 5 at 10"
    assert story["profit_and_loss"] == {"realized": "-5", "fees": "1.25"}


def test_the_signal_that_an_order_came_from_is_told_with_what_it_rests_on(path: Path) -> None:
    journal = SqliteJournal(path, lambda: 7)
    seen = Signal("SPY", Direction.LONG, 0.5, Decimal(5), {"z": 1.5}, "breakout")
    for number in (1, 2):
        journal.append("signal", StatedSignal(f"s-{number}", "ma_crossover", 10**18, seen).to_body())
    journal.append("order_submitted", request("led", "BUY", signal_id="s-2"))
    journal.append("order_submitted", request("lost", "BUY", signal_id="s-9"))
    journal.append("order_lapsed", {"client_order_id": "led", "note": "ended unseen: its day is over"})
    journal.commit()
    journal.close()
    story = explain_order(path, "led")
    assert story["signal"] == {
        "strategy": "ma_crossover",
        "decided": "2001-09-09 01:46:40+00:00",
        "symbol": "SPY",
        "id": "s-2",
        "stated_on_bar_ending": "2001-09-09 01:46:40+00:00",
        "name": "breakout",
        "direction": "LONG",
        "strength": 0.5,
        "target": "5",
        "features": {"z": 1.5},
    }
    assert story["history"] == ["ended unseen: its day is over"]
    assert explain_order(path, "lost")["signal"]["stated_on_bar_ending"] == "not in this journal any more"
    assert "id" not in explain_order(path, "out")["signal"]
