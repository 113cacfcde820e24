"""Legs of a bracket that was cut off before its last part are cancelled, on the simulated gateway."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from execution.errors import NotConnectedError, OrderInDoubtError
from execution.ibkr.session import IBSession
from execution.models import OrderRequest, OrderStatus, OrderType, Side

if TYPE_CHECKING:
    from ..conftest import Floor, MakeFloor


class Killed(Exception):  # noqa: N818  it is no error: the process is gone
    """The end of the process."""


def bracket() -> tuple[OrderRequest, OrderRequest, OrderRequest]:
    def leg(kind: OrderType, side: Side, name: str, **prices: Any) -> OrderRequest:
        return OrderRequest("AAA", Decimal(10), kind, side, client_order_id=name, **prices)

    return (
        leg(OrderType.LIMIT, Side.BUY, "o", limit_price=Decimal(50)),
        leg(OrderType.LIMIT, Side.SELL, "o-tp", limit_price=Decimal(200)),
        leg(OrderType.STOP, Side.SELL, "o-sl", stop_price=Decimal(20)),
    )


def cut_off(monkeypatch: pytest.MonkeyPatch, written: int, how: Exception) -> None:
    """Let writes end with `how` after so many orders."""
    place, count = IBSession.place, 0

    def counting(self: IBSession, *arguments: Any, **named: Any) -> None:
        nonlocal count
        count += 1
        if count > written:
            raise how
        place(self, *arguments, **named)

    monkeypatch.setattr(IBSession, "place", counting)


def held(f: Floor) -> list[str]:
    """Return what the gateway holds back and could still transmit."""
    return [each.order_ref for each in f.book.tickets.values() if not each.told and each.completed_ns is None]


@pytest.mark.parametrize("written", [1, 2])
@pytest.mark.parametrize("released", [False, True])
async def test_legs_that_a_killed_process_left_behind_are_cancelled_by_the_next(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch, written: int, released: bool
) -> None:
    async with floor() as f:
        with monkeypatch.context() as patch:
            cut_off(patch, written, Killed())
            with pytest.raises(Killed):
                f.executor.bracket(*bracket())
        await f.executor.manager.session.current_time()
        assert held(f) == ["o", "o-tp"][:written]
        await f.shut()
        f.another(release_absent=released)
        if released:
            await f.executor.ensure_ready()
        else:
            with pytest.raises(OrderInDoubtError):
                await f.executor.ensure_ready()
        await f.executor.manager.session.current_time()
        assert held(f) == []
        asked = [event.body for event in f.journal.events() if event.kind == "order_cancelled"]
        assert [body["client_order_id"] for body in asked] == ["o-sl", "o-tp", "o"]
        assert all("cut off" in body["reason"] for body in asked)
        await f.executor.reconcile()
        assert f.kinds().count("order_cancelled") == 3  # once in a session


async def test_legs_of_a_bracket_that_found_no_room_are_cancelled_in_the_same_session(
    floor: MakeFloor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with floor() as f:
        with monkeypatch.context() as patch:
            cut_off(patch, 2, NotConnectedError("gone"))
            with pytest.raises(NotConnectedError):
                f.executor.bracket(*bracket())
        with pytest.raises(OrderInDoubtError):
            await f.executor.ensure_ready()
        await f.executor.ensure_ready()
        assert held(f) == []
        assert [order.status for order in f.executor.orders()] == [
            OrderStatus.CANCELLED,
            OrderStatus.CANCELLED,
            OrderStatus.NOT_SENT,
        ]
