"""The runbook has an entry for every state of an order, gate or connection, every doubt and every alert."""

from __future__ import annotations

import enum
import re
from pathlib import Path

import pytest

from execution.desk.gate import GateState
from execution.link.outage import ConnectionChange
from execution.models import OrderStatus
from execution.reconciliation.doubts import DoubtKind, Resolution
from monitoring.alerts import ALERTS

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
KINDS: dict[str, type[enum.StrEnum]] = {
    "Order": OrderStatus,
    "Gate": GateState,
    "Connection": ConnectionChange,
    "Doubt": DoubtKind,
}
STATES = [(kind, state.value) for kind, states in KINDS.items() for state in states]


@pytest.mark.parametrize(("kind", "state"), STATES)
def test_every_state_has_its_cause_check_and_action(kind: str, state: str) -> None:
    section = re.search(rf"^### {kind} {re.escape(state)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert section, f"docs/runbook.md has no section '### {kind} {state}'"
    assert re.findall(r"^- (\w+):", section[1], re.M) == ["Cause", "Check", "Action"]


def test_no_section_is_about_a_state_that_is_gone() -> None:
    written = re.findall(r"^### (Order|Gate|Connection|Doubt) (\S+)$", PAGE, re.M)
    assert sorted(written) == sorted(STATES)


def test_every_kind_of_alert_has_its_cause_check_and_action() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+) \| (.+) \| (.+) \|$", PAGE, re.M)
    assert sorted(kind for kind, *_ in rows) == sorted(ALERTS)
    assert all(cell.strip() for row in rows for cell in row)


def test_every_answer_that_settles_an_order_is_named() -> None:
    assert set(re.findall(r"`trade orders resolve ID --as ([a-z-]+)", PAGE)) == {
        one.value for one in Resolution
    }


def test_links_within_the_page_lead_somewhere() -> None:
    heads = {
        re.sub(r"[^a-z0-9 _-]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.+)$", PAGE, re.M)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", PAGE)) <= heads
