"""Refusals leave memory, and the same id has the same answer all the same."""

from __future__ import annotations

import gc
import sqlite3
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.errors import DuplicateOrderError, JournalError, RiskCheckError
from execution.events import RiskDecision
from execution.models import OrderRequest, OrderType, Side
from execution.orders.refusals import Refusal, Refusals
from execution.orders.scratch import Scratch

if TYPE_CHECKING:
    from ..conftest import MakeRig


def request(number: int, shares: int = 10) -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(shares), OrderType.MARKET, Side.BUY, client_order_id=f"o-{number}", account="DU1234567"
    )


def refusal(number: int, rule: str = "MAX_ORDER_SIZE") -> Refusal:
    return request(number), RiskDecision(False, rule, f"too much: {number}")


def filled(count: int, keep: int = 0) -> Refusals:
    refusals = Refusals(keep)
    for number in range(count):
        refusals[f"o-{number}"] = refusal(number)
    return refusals


def requests_in_memory() -> int:
    gc.collect()
    return sum(isinstance(one, OrderRequest) for one in gc.get_objects())


def test_of_thousands_of_refusals_only_the_newest_stay_in_memory() -> None:
    before = requests_in_memory()
    refusals = filled(5_000, keep=100)
    assert len(refusals) == 5_000
    assert requests_in_memory() - before < 400


def test_each_of_them_is_the_same_as_it_was_and_in_its_place() -> None:
    refusals = filled(1_000)
    assert refusals == dict(zip((f"o-{n}" for n in range(1_000)), map(refusal, range(1_000)), strict=True))
    assert list(refusals) == [f"o-{n}" for n in range(1_000)]
    assert "o-3" in refusals
    assert refusals.get("o-1000") is None
    with pytest.raises(KeyError):
        refusals["o-1000"]


@pytest.mark.parametrize("number", [0, 999])
def test_a_refusal_under_the_same_id_takes_the_place_of_the_one_before(number: int) -> None:
    refusals = filled(1_000)
    refusals[f"o-{number}"] = refusal(number, "LONG_ONLY")
    assert refusals[f"o-{number}"] == refusal(number, "LONG_ONLY")
    assert len(refusals) == len(list(refusals)) == 1_000


def test_where_there_is_no_room_on_disk_refusals_stay_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    tries = 0

    def full(*_: object) -> None:
        nonlocal tries
        tries += 1
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Scratch, "write", full)
    refusals = filled(1_000)
    assert len(refusals) == 1_000
    assert refusals["o-0"] == refusal(0)
    assert tries < 5


def test_refusals_that_cannot_be_read_say_what_to_do() -> None:
    refusals = filled(1_000)
    refusals._file.rows("DROP TABLE refusals")
    with pytest.raises(JournalError, match="make room where temporary files lie and restart"):
        refusals.get("o-0")


async def test_an_executor_gives_the_same_answer_to_an_id_it_refused_thousands_of_orders_ago(
    rig: MakeRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig(risk_check_callback=lambda _: False)
    await r.executor.ensure_ready()
    before = requests_in_memory()
    with monkeypatch.context() as patch:
        patch.setattr(r.journal, "commit", lambda: None)  # one commit for all of them
        for number in range(3_000):
            r.executor.record_refusal(*refusal(number))
    r.journal.commit()
    assert requests_in_memory() - before < 2_000
    for _ in range(2):
        with pytest.raises(RiskCheckError, match="too much: 0"):
            r.executor.submit(request(0))
        with pytest.raises(DuplicateOrderError, match="o-0 was used for another order"):
            r.executor.submit(request(0, shares=11))
        r.executor.record_refusal(*refusal(0, "LONG_ONLY"))  # once, however often it is proposed
        assert r.kinds().count("order_refused") == 3_000
        await r.shut()
        before = requests_in_memory()
        r = rig(risk_check_callback=lambda _: False)
        assert requests_in_memory() - before < 2_000
        await r.executor.ensure_ready()
