"""A write that fails for a reason nobody foresaw: what may have left is in doubt, and the way is closed."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.models import OrderRequest, OrderStatus, OrderType, Side

if TYPE_CHECKING:
    from ..conftest import MakeRig, Rig, ScriptedBroker


def limit(name: str | None = "o-1", side: Side = Side.BUY, price: str = "100") -> OrderRequest:
    return OrderRequest(
        "AAA", Decimal(10), OrderType.LIMIT, side, limit_price=Decimal(price), client_order_id=name
    )


def stop() -> OrderRequest:
    return OrderRequest("AAA", Decimal(10), OrderType.STOP, Side.SELL, stop_price=Decimal(90))


def stumble_at(r: Rig, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Let the write of that number raise."""
    session, place, calls = r.manager.session, r.manager.session.place, []

    def placed(*args: Any, **more: Any) -> None:
        calls.append(args)
        if len(calls) == number:
            raise KeyError("a contract that cannot be spelt")
        place(*args, **more)

    monkeypatch.setattr(session, "place", placed)


async def test_an_order_whose_write_stumbles_is_in_doubt(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    stumble_at(r, monkeypatch, 1)
    with pytest.raises(KeyError):
        await r.executor.submit_order(limit())
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.UNKNOWN
    assert not r.executor.is_ready
    assert "order_doubted" in r.kinds()


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_bracket_whose_write_stumbles_is_in_doubt_as_far_as_it_was_written(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    stumble_at(r, monkeypatch, number)
    with pytest.raises(KeyError):
        r.executor.bracket(limit(), limit(None, Side.SELL, "110"), stop())
    states = [(await r.executor.get_order_status(name)).status for name in ("o-1", "o-1-tp", "o-1-sl")]
    assert states == [OrderStatus.UNKNOWN] * number + [OrderStatus.NOT_SENT] * (3 - number)
    assert not r.executor.is_ready


async def test_a_change_whose_write_stumbles_is_in_doubt(
    rig: MakeRig, broker: ScriptedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    r = rig()
    await r.executor.submit_order(limit())
    stumble_at(r, monkeypatch, 1)
    with pytest.raises(KeyError):
        await r.executor.modify_order("o-1", limit_price=Decimal(101))
    assert (await r.executor.get_order_status("o-1")).status is OrderStatus.UNKNOWN
    assert not r.executor.is_ready
