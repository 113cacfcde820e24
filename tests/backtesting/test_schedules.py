"""The published commissions: figures of a real statement, the bounds, and parts that add up to the whole."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.schedules import Traded, ibkr_commission
from execution.models import Instrument
from strategies.spec import IBKR_FIXED, IBKR_TIERED, CostSpec

AAPL = Instrument("AAPL")


def charged(plan: str, quantity: int, price: str, **fields: Any) -> Decimal:
    fields.setdefault("instrument", AAPL)
    fields.setdefault("sells", False)
    size = Decimal(quantity)
    return ibkr_commission(plan, Traded(quantity=size, value=size * Decimal(price), **fields))


def test_fixed_charges_what_a_paper_account_was_charged_on_2026_04_13() -> None:
    assert charged(IBKR_FIXED, 100, "292.79") == Decimal("1.0003")
    first = charged(IBKR_FIXED, 40, "292.33", sells=True)
    assert round(first, 4) == Decimal("1.2488")
    second = ibkr_commission(
        IBKR_FIXED, Traded(AAPL, True, Decimal(80), 40 * Decimal("292.33") + 40 * Decimal("292.30"))
    )
    assert round(second - first, 6) == Decimal("0.248775")


@pytest.mark.parametrize(
    ("quantity", "price", "fee"),
    [(1000, "50", "5.003"), (100, "50", "1.0003"), (10, "0.20", "0.02003"), (1000, "0.25", "2.503")],
)
def test_fixed_has_a_minimum_and_a_maximum_which_is_the_stronger(quantity: int, price: str, fee: str) -> None:
    assert charged(IBKR_FIXED, quantity, price) == Decimal(fee)


def test_the_activity_fee_of_a_large_sale_is_capped() -> None:
    fee = charged(IBKR_FIXED, 100_000, "1", sells=True)
    assert fee == Decimal("500") + Decimal("0.3") + Decimal("2.06") + Decimal("9.79")


def test_tiered_charges_each_share_at_the_rate_of_its_tier() -> None:
    plain: dict[str, Any] = {"takes": False}
    pass_through = Decimal(1) + Decimal("0.000175") + Decimal("0.00056")
    beside = Decimal("0.0002") + Decimal("0.000003")
    assert charged(IBKR_TIERED, 1000, "50", **plain) == round(
        Decimal("3.5") * pass_through + 1000 * beside, 6
    )
    over = charged(IBKR_TIERED, 1000, "50", volume_before=Decimal(299_500), **plain)
    assert over == round(Decimal("2.75") * pass_through + 1000 * beside, 6)
    assert charged(IBKR_TIERED, 10, "50", **plain) == round(Decimal("0.35") * pass_through + 10 * beside, 6)
    assert charged(IBKR_TIERED, 1000, "50") - charged(IBKR_TIERED, 1000, "50", **plain) == 3


@pytest.mark.parametrize("plan", [IBKR_FIXED, IBKR_TIERED])
@pytest.mark.parametrize(
    ("kind", "quantity", "price", "fee"),
    [
        ("FUT", 2, "5000", "4.50"),
        ("OPT", 1, "3", "1.00"),
        ("OPT", 4, "3", "2.60"),
        ("CASH", 20000, "1.10", "2.00"),
        ("CASH", 1000000, "1.10", "22.00"),
    ],
)
def test_other_products_have_their_own_rates(
    plan: str, kind: str, quantity: int, price: str, fee: str
) -> None:
    instrument = Instrument("X", security_type=kind)
    assert charged(plan, quantity, price, instrument=instrument) == Decimal(fee)


def test_an_unknown_plan_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="custom, ibkr_fixed, ibkr_tiered"):
        CostSpec(plan="free")
    with pytest.raises(ValueError, match="ibkr_fixed"):
        charged("custom", 1, "1")


@given(
    sizes=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    price=st.integers(1, 300),
    plan=st.sampled_from([IBKR_FIXED, IBKR_TIERED]),
    side=st.sampled_from(["BUY", "SELL"]),
)
def test_an_order_in_parts_is_charged_as_one(
    make_desk: Any, sizes: list[int], price: int, plan: str, side: str
) -> None:
    desk = make_desk(CostSpec(slippage_bps=Decimal(0), plan=plan, participation=Decimal(1)))
    order = desk.place(side, sum(sizes))
    for size in sizes:
        desk.bar(price, volume=float(size))
    assert order.fills == len(sizes)
    traded = Traded(desk.broker.instruments["SPY"], side == "SELL", order.filled, order.filled_value)
    assert order.fees == ibkr_commission(plan, traded)
    assert desk.broker.ledger.fees == order.fees


def test_the_month_s_volume_brings_the_next_order_to_a_lower_tier(make_desk: Any) -> None:
    desk = make_desk(CostSpec(slippage_bps=Decimal(0), plan=IBKR_TIERED))
    desk.place("BUY", 300_000)
    desk.bar(100)
    dear, cheap = desk.broker.orders[1], desk.place("BUY", 300_000)
    desk.bar(100)
    assert dear.fees > cheap.fees
    assert cheap.volume_before == 300_000
