"""What is told of a journal, over real files; and that no kind of event is forgotten."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from execution.journal import SqliteJournal
from monitoring.alerts import ALERTS, LOGGED, QUIET, Alert, JournalAlerts

ROOT = Path(__file__).parents[2]
WRITERS = ("execution", "strategies", "risk", "infrastructure")
CALLS = {"_append", "append", "log", "note", "_note", "log_interaction"}
OTHER: dict[str, Any] = {
    "key": "external-9", "perm_id": 9, "client": 0, "order_ref": "", "account": "DU1", "symbol": "SPY",
    "side": "BUY", "quantity": "10", "limit_price": None,
}  # fmt: skip


def kinds_of(path: Path) -> Iterator[str]:
    """Yield the kinds of the events that a module writes: literal first arguments of what records them."""
    tree = ast.parse(path.read_text())
    chosen: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.IfExp):
            ends = [node.value.body, node.value.orelse]
            texts = [e.value for e in ends if isinstance(e, ast.Constant) and isinstance(e.value, str)]
            chosen |= {target.id: texts for target in node.targets if isinstance(target, ast.Name)}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args):
            continue
        whom, first = ast.unparse(node.func), node.args[0]
        own = path.name == "audit.py" or path.parent.name == "ibkr"
        if node.func.attr not in CALLS or not (own or "audit" in whom or "journal" in whom):
            continue
        if isinstance(first, ast.Constant) and isinstance(first.value, str):
            yield first.value
        elif isinstance(first, ast.Name):
            yield from chosen.get(first.id, ())


def emitted() -> set[str]:
    paths = (path for folder in WRITERS for path in (ROOT / folder).rglob("*.py"))
    return {kind for path in paths if "examples" not in path.parts for kind in kinds_of(path)}


def test_every_kind_that_is_written_is_told_or_left_out_for_a_stated_reason() -> None:
    written = emitted()
    assert {"external_order", "external_fill", "snapshot", "api_request", "session_closed"} <= written
    assert written - ALERTS.keys() - QUIET.keys() == set()


def test_nothing_is_both_told_and_left_out_and_nothing_told_is_never_written() -> None:
    assert ALERTS.keys() & QUIET.keys() == set()
    assert ALERTS.keys() - emitted() == set()


def test_what_is_in_the_log_already_names_the_module_that_writes_it_there() -> None:
    assert LOGGED.keys() <= ALERTS.keys()
    for kind, module in LOGGED.items():
        source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text()
        assert "self._log." in source, kind


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("external_order", OTHER, "order of somebody else appeared: BUY 10 SPY, a person in TWS"),
        ("external_order_ended", OTHER | {"client": 3}, "order of somebody else ended: BUY 10 SPY, client 3"),
        ("external_fill", OTHER | {"price": "4"}, "somebody else traded: BUY 10 SPY at 4"),
        (
            "order_status",
            {"client_order_id": "o", "new": "REJECTED", "reason": "201: no"},
            "order o is REJECTED: 201: no",
        ),
        (
            "order_status",
            {"client_order_id": "o", "new": "UNKNOWN", "reason": None},
            "order o is UNKNOWN: no reason was given",
        ),
        ("order_status", {"client_order_id": "o", "new": "FILLED", "reason": None}, None),
        ("order_doubted", {"client_order_id": "o", "reason": "r"}, "order o is in doubt: r"),
        ("order_twinned", {"client_order_id": "o"}, "the broker has a second order under o"),
        ("twin_cancelled", {"client_order_id": "o"}, "a cancel was sent for the second order under o"),
        (
            "order_modify_refused",
            {"client_order_id": "o", "decision": {"reason": "r"}},
            "change of order o refused: r",
        ),
        ("order_modified", {"client_order_id": "o", "number": 1, "reason": ""}, None),
        (
            "order_modified",
            {"client_order_id": "o", "number": 0, "reason": "r"},
            "order o was changed at the broker: r",
        ),
        ("order_lapsed", {"client_order_id": "o", "note": "ended unseen: r"}, "order o ended unseen: r"),
        (
            "order_resolved",
            {"client_order_id": "o", "by": "A", "status": "FILLED"},
            "order o settled by A: FILLED",
        ),
        (
            "fill_corrected",
            {"fill_id": "f", "symbol": "SPY"},
            "execution f of SPY was corrected by the broker",
        ),
        (
            "adjustment",
            {"what": "split", "symbol": "SPY", "reason": "2 for 1"},
            "book adjusted, split of SPY: 2 for 1",
        ),
        ("reconciled", {"in_doubt": [], "breaks": {}}, None),
        (
            "reconciled",
            {"in_doubt": ["o"], "breaks": {"SPY": ["1", "2"]}},
            "broker and journal differ: order o is in doubt; SPY: journal 1, broker 2",
        ),
        ("connection", {"event": "connected"}, None),
        ("connection", {"event": "frozen"}, "TWS lost the broker: nothing is sent"),
        (
            "kill_switch",
            {"loss": "6", "limit": "5"},
            "kill switch: loss 6, limit 5; new risk is refused",
        ),
        ("kill_switch_reset", {"by": "A", "reason": "r"}, "kill switch reset by A: r"),
        ("handler_failed", {"handler": "H", "hook": "on_fill", "error": "E"}, "H.on_fill failed: E"),
        ("fill", {}, None),
    ],
)
def test_an_event_is_told_in_words(tmp_path: Path, kind: str, body: dict[str, Any], said: str | None) -> None:
    journal = SqliteJournal(tmp_path / "journal.db", lambda: 7)
    journal.append(kind, body)
    journal.commit()
    told = JournalAlerts(tmp_path / "journal.db", 0).read()
    journal.close()
    assert [alert.text for alert in told] == ([] if said is None else [said])


def test_each_event_is_told_once_when_it_is_durable_and_old_ones_are_not(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = SqliteJournal(path, lambda: 7)
    journal.append("external_order", OTHER)
    journal.commit()
    heard: list[Alert] = []
    alerts = JournalAlerts(path, 1, heard.append)
    alerts.tell(alerts.read())
    assert heard == []
    journal.append("external_order_ended", OTHER)
    alerts.tell(alerts.read())
    assert heard == []  # not durable yet
    journal.commit()
    alerts.tell(alerts.read())
    alerts.tell(alerts.read())
    journal.close()
    (alert,) = heard
    assert (alert.seq, alert.kind) == (2, "external_order_ended")
    assert alert.as_dict() == {
        "time": "1970-01-01 00:00:00.000000007+00:00", "kind": alert.kind, "what": alert.text
    }  # fmt: skip
