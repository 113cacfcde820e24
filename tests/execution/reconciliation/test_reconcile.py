"""The outcome of a reconciliation; how it comes about is tested with the executor."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from execution.reconciliation.reconcile import Reconciliation

if TYPE_CHECKING:
    from ..conftest import MakeRig, ScriptedBroker


def test_an_outcome_names_each_difference() -> None:
    assert Reconciliation().agrees
    assert Reconciliation().describe() == "broker and journal agree"
    broken = Reconciliation({"o-1": "why"}, [], {"AAA": (Decimal(1), Decimal(2))})
    assert not broken.agrees
    assert broken.describe() == "order o-1: why; position AAA: journal 1, broker 2"


async def test_positions_of_other_accounts_are_not_ours(rig: MakeRig, broker: ScriptedBroker) -> None:
    broker.positions = [("AAA", "7", "100")]
    r = rig(account="DU2")
    await r.manager.connect()
    r.executor._rooms.positions.opening = {"positions": {}, "cash": "5"}
    assert (await r.executor.reconcile()).agrees


async def test_rows_of_one_symbol_add_up(rig: MakeRig, broker: ScriptedBroker) -> None:
    broker.positions = [("AAA", "7", "100"), ("AAA", "-2", "100")]
    r = rig()
    await r.executor.ensure_ready()
    opening = r.executor.opening
    assert opening is not None
    assert opening["positions"]["AAA"]["quantity"] == "5"
