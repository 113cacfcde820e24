"""What is traded in a seed: enough, in two symbols, of many types; the same for the same seed."""

from __future__ import annotations

from decimal import Decimal

import pytest

from backtesting.simulation.market import SYMBOLS
from backtesting.simulation.options import Options
from backtesting.simulation.traffic import Deed, plan, requests_of
from backtesting.simulation.world import World
from execution.errors import OrderInDoubtError
from execution.executor import IBKROrderExecutor
from execution.models import OrderRequest, OrderType, Side

SECONDS = 1800.0
MARK = Decimal("100.00")


def test_every_seed_has_eight_orders_in_two_symbols_within_its_time() -> None:
    for seed in range(200):
        deeds = plan(seed, SECONDS)
        requests = [request for deed in deeds for request in orders_of(deed)]
        assert len(requests) >= 8
        assert {request.symbol for request in requests} == set(SYMBOLS)
        assert all(0 < deed.at < SECONDS for deed in deeds)
        assert [deed.at for deed in deeds] == sorted(deed.at for deed in deeds)


def test_a_plan_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    assert plan(7, SECONDS) == plan(7, SECONDS)
    assert plan(7, SECONDS) != plan(8, SECONDS)


def test_all_kinds_of_deeds_and_orders_come_up() -> None:
    deeds = [deed for seed in range(200) for deed in plan(seed, SECONDS)]
    assert {deed.kind for deed in deeds} == {
        *("order", "bracket", "oca", "modify", "cancel", "again", "cancel all", "flatten", "burst")
    }
    types = {request.order_type for deed in deeds for request in orders_of(deed)}
    assert types >= {
        *(OrderType.MARKET, OrderType.LIMIT, OrderType.STOP, OrderType.STOP_LIMIT),
        *(OrderType.TRAIL, OrderType.MARKET_IF_TOUCHED),
    }


def orders_of(deed: Deed) -> list[OrderRequest]:
    return list(requests_of(deed, MARK)) if deed.kind in ("order", "bracket", "oca") else []


def test_a_bracket_closes_what_its_entry_opens() -> None:
    entry, profit, loss = requests_of(Deed(1.0, "bracket", "b", side=Side.SELL), MARK)
    assert (entry.side, profit.side, loss.side) == (Side.SELL, Side.BUY, Side.BUY)
    assert profit.limit_price is not None
    assert loss.stop_price is not None
    assert profit.limit_price < MARK < loss.stop_price
    assert {r.client_order_id for r in (entry, profit, loss)} == {"b", "b-tp", "b-sl"}


def test_orders_of_a_group_share_it() -> None:
    first, second = requests_of(Deed(1.0, "oca", "o"), MARK)
    assert first.oca_group == second.oca_group == "go"
    assert first.client_order_id != second.client_order_id


def test_orders_that_are_missing_in_the_end_are_made_up_in_both_symbols() -> None:
    world = World(3, Options.calm())
    for deed in world.deeds:
        deed.done = True  # as where the way was closed until the end
    outcome = world.run()
    assert outcome.violations == []
    assert outcome.orders == 8
    assert outcome.symbols == 2


def test_an_order_that_was_not_asked_for_yet_is_tried_again_after_a_doubt() -> None:
    world = World(3, Options.calm())
    deed = next(deed for deed in world.deeds if orders_of(deed))
    deed.patient = False
    refused: list[int] = []
    original = IBKROrderExecutor.ensure_ready

    async def in_doubt_once(executor: IBKROrderExecutor) -> None:
        if world.loop.time() > deed.at and not refused:
            refused.append(1)
            raise OrderInDoubtError("in doubt, for this once")
        await original(executor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(IBKROrderExecutor, "ensure_ready", in_doubt_once)
        assert world.run().violations == []
    assert refused
    assert deed.requests
