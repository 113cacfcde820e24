"""A client order id travels as the order's reference: what TWS may cut off is not sent."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from execution.clocks import random_id
from execution.errors import InvalidOrderError
from execution.models import OrderRequest, OrderStatus, OrderType, Side
from execution.vocabulary import require_reference

from .test_modification import limit

if TYPE_CHECKING:
    from ..conftest import MakeFloor

LONG = "o-" + "x" * 38
TOO_LONG = LONG + "x"


async def test_the_longest_reference_is_sent_and_found_again(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.executor.submit_order(limit(name=LONG))
        assert (await f.executor.reconcile()).agrees


async def test_a_longer_reference_is_refused_before_anything_is_recorded(floor: MakeFloor) -> None:
    async with floor() as f:
        with pytest.raises(InvalidOrderError, match="41 characters, and TWS may keep only 40"):
            f.executor.submit(limit(name=TOO_LONG))
        assert not {"order_submitted", "order_refused"} & set(f.kinds())
        assert f.executor.orders() == []


async def test_exits_named_after_their_entry_count_too(floor: MakeFloor) -> None:
    async with floor() as f:
        entry = OrderRequest("AAA", Decimal(1), OrderType.MARKET, Side.BUY, client_order_id=LONG)
        profit = OrderRequest("AAA", Decimal(1), OrderType.LIMIT, Side.SELL, limit_price=Decimal(200))
        loss = OrderRequest("AAA", Decimal(1), OrderType.STOP, Side.SELL, stop_price=Decimal(20))
        with pytest.raises(InvalidOrderError, match="at most 37"):
            f.executor.bracket(entry, profit, loss)
        assert f.executor.orders() == []
        f.executor.bracket(replace(entry, client_order_id=LONG[:37]), profit, loss)


def test_ids_that_are_made_here_leave_room_for_the_exits_of_a_bracket() -> None:
    require_reference(random_id() + "-tp")


async def test_a_journal_with_longer_ids_is_restored_and_its_orders_are_worked_on(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def anything(_: str | None) -> None:
        """Refuse nothing, as versions before."""

    with monkeypatch.context() as before:
        before.setattr("execution.desk.submission.require_reference", anything)
        async with floor() as f:
            name = "o-" + "y" * 60
            await f.executor.submit_order(limit(name=name))
            await f.shut()
            before.undo()
            again = f.another()
            await again.ensure_ready()
            known = again.known(name)
            assert known is not None
            assert known.status is OrderStatus.SUBMITTED
            assert again.submit(limit(name=name)).client_order_id == name
            changed = await again.modify_order(name, limit_price=Decimal(91))
            assert changed.limit_price == 91
            await again.cancel_order(name)
            assert await again.cancel_all() == {}
