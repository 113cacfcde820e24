"""The runbook has a section for every state that an order, the gate or the connection can be in."""

from __future__ import annotations

import enum
import re
from pathlib import Path

import pytest

from execution.desk.gate import GateState
from execution.link.outage import ConnectionChange
from execution.models import OrderStatus

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "runbook.md").read_text(encoding="utf-8")
KINDS: dict[str, type[enum.StrEnum]] = {
    "Order": OrderStatus,
    "Gate": GateState,
    "Connection": ConnectionChange,
}
STATES = [(kind, state.value) for kind, states in KINDS.items() for state in states]


@pytest.mark.parametrize(("kind", "state"), STATES)
def test_every_state_has_its_cause_check_and_action(kind: str, state: str) -> None:
    section = re.search(rf"^### {kind} {re.escape(state)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert section, f"docs/runbook.md has no section '### {kind} {state}'"
    assert re.findall(r"^- (\w+):", section[1], re.M) == ["Cause", "Check", "Action"]


def test_no_section_is_about_a_state_that_is_gone() -> None:
    written = re.findall(r"^### (Order|Gate|Connection) (\S+)$", PAGE, re.M)
    assert sorted(written) == sorted(STATES)
