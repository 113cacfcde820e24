"""What positions are worth is the broker's word, or unknown."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from backtesting.gateway.config import AccountConfig, GatewayConfig
from backtesting.gateway.wire.codec import message
from execution.models import Instrument, OrderRequest, OrderType, Position, Side

from ..test_executor import buy

if TYPE_CHECKING:
    from ..conftest import MakeFloor, MakeRig, ScriptedBroker

FUTURE = Instrument("ESH8", "FUT", "CME", expiry="20180316", underlying="ES", multiplier=Decimal(50))


def row(quantity: str, price: str, value: str, gain: str, account: str = "DU1", kind: str = "STK") -> bytes:
    """Return a row of an account's portfolio."""
    contract = ("0", "AAA", kind, "", "0", "0", "", "", "USD", "AAA", "NMS")
    return message(7, 8, *contract, quantity, price, value, "100", gain, "0", account)


async def test_positions_are_valued_at_the_brokers_prices(floor: MakeFloor) -> None:
    async with floor() as f:
        await f.step()
        await f.executor.submit_order(buy("o-1"))
        await f.executor.submit_order(OrderRequest("BBB", Decimal(7), OrderType.MARKET, Side.SELL))
        await f.step(2)
        long, short = await f.executor.get_positions()
        mark = f.server.service.accounts._book.values.day.mark("DU0000001", Instrument("AAA"))
        assert mark != long.average_cost
        assert (long.market_value, long.unrealized_pnl) == (10 * mark, 10 * (mark - long.average_cost))
        assert short.value < 0
        assert short.gain == short.value + 7 * short.average_cost


async def test_a_future_is_valued_with_its_multiplier(floor: MakeFloor) -> None:
    async with floor(contracts=(FUTURE,)) as f:
        await f.step()
        await f.executor.submit_order(OrderRequest("ESH8", Decimal(2), OrderType.MARKET, Side.BUY))
        await f.step(2)
        (held,) = await f.executor.get_positions()
        assert held.gain == held.value - 2 * 50 * held.average_cost
        assert held.gain != 0


async def test_each_account_tells_its_own_values(floor: MakeFloor) -> None:
    config = GatewayConfig(accounts=(AccountConfig("DU1"), AccountConfig("DU2")))
    async with floor(config=config) as f:
        await f.step()
        for account, quantity in (("DU1", "3"), ("DU2", "4")):
            await f.executor.submit_order(buy(f"o-{account}", quantity, account=account))
        await f.step(2)
        one, two = await f.executor.get_positions()
        assert (one.account, two.account) == ("DU1", "DU2")
        assert one.value / 3 == two.value / 4


@pytest.mark.parametrize(
    ("told", "known"),
    [
        ([row("10", "101.5", "1015", "15")], (Decimal(1015), Decimal(15))),
        ([row("10", "0", "0", "-1000")], (None, None)),
        ([row("10", "1.7976931348623157E308", "", "")], (None, None)),
        ([row("4", "101.5", "406", "6")], (None, None)),
        ([row("10", "101.5", "1015", "15", account="DU2")], (None, None)),
        ([row("10", "101.5", "1015", "15", kind="CFD")], (None, None)),
        ([], (None, None)),
        ([row("ten", "101.5", "1015", "15")], (None, None)),
    ],
)
async def test_a_value_counts_for_the_position_that_it_names_and_no_other(
    rig: MakeRig, broker: ScriptedBroker, told: list[bytes], known: tuple[Decimal | None, Decimal | None]
) -> None:
    r = rig()
    await r.executor.ensure_ready()
    broker.positions, broker.values = [("AAA", "10", "100")], told
    (held,) = await r.executor.get_positions()
    assert (held.quantity, held.average_cost) == (Decimal(10), Decimal(100))
    assert (held.market_value, held.unrealized_pnl) == known


async def test_values_that_do_not_come_leave_positions_known_and_the_session_standing(
    rig: MakeRig, broker: ScriptedBroker
) -> None:
    r = rig(timeout=0.2)
    await r.executor.ensure_ready()
    broker.positions, broker.mute = [("AAA", "10", "100")], {"6"}
    (held,) = await r.executor.get_positions()
    assert held.quantity == 10
    with pytest.raises(ValueError, match="AAA: its market value is not known"):
        _ = held.value
    assert r.manager.is_connected()
    broker.mute, broker.values = set(), [row("10", "101.5", "1015", "15")]
    (held,) = await r.executor.get_positions()
    assert held.gain == 15


async def test_the_account_is_left_unwatched(rig: MakeRig, broker: ScriptedBroker) -> None:
    r = rig()
    await r.executor.ensure_ready()
    assert await r.executor.get_positions() == []
    assert "6" not in broker.requests
    broker.positions = [("AAA", "10", "100")]
    await r.executor.get_positions()
    await broker.until(lambda: broker.requests.count("6") == 2)


def test_what_is_unknown_is_not_taken_for_a_number() -> None:
    held = Position("AAA", Decimal(1), Decimal(100), None, None, None)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unrealised profit is not known"):
        _ = held.gain
