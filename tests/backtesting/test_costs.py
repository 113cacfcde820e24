"""Commission per order, charged across its fills, and slippage in the unit of matching."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtesting.costs import commission, order_commission, participation_ppm, slippage_centi_bps
from strategies.spec import CostSpec

COSTS = CostSpec()


@dataclass
class Charged:
    filled: Decimal = Decimal(0)
    fees: Decimal = Decimal(0)


def charge(costs: CostSpec, *sizes: str) -> list[Decimal]:
    order, charges = Charged(), []
    for size in map(Decimal, sizes):
        charges.append(commission(costs, order, size))
        order.filled += size
        order.fees += charges[-1]
    return charges


def test_a_small_order_costs_the_minimum() -> None:
    assert charge(COSTS, "100") == [Decimal(1)]


def test_a_large_order_costs_its_shares() -> None:
    assert charge(COSTS, "1000") == [Decimal(5)]


def test_the_first_fill_carries_the_minimum_and_later_ones_what_exceeds_it() -> None:
    assert charge(COSTS, "100", "50", "150") == [Decimal(1), Decimal(0), Decimal("0.5")]


def test_the_fixed_part_is_charged_once_an_order() -> None:
    costs = CostSpec(commission_fixed=Decimal(2), commission_minimum=Decimal(0))
    assert charge(costs, "100", "100") == [Decimal("2.5"), Decimal("0.5")]


@given(
    sizes=st.lists(st.integers(1, 10_000), min_size=1, max_size=12),
    per_share=st.decimals(0, 1, places=7),
    minimum=st.decimals(0, 10, places=2),
    fixed=st.decimals(0, 10, places=2),
)
def test_parts_cost_together_what_the_whole_costs(
    sizes: list[int], per_share: Decimal, minimum: Decimal, fixed: Decimal
) -> None:
    costs = CostSpec(commission_per_share=per_share, commission_minimum=minimum, commission_fixed=fixed)
    charges = charge(costs, *map(str, sizes))
    assert sum(charges) == order_commission(costs, Decimal(sum(sizes)))
    assert all(fee >= 0 for fee in charges)


def test_slippage_and_participation_come_in_the_units_of_matching() -> None:
    costs = CostSpec(slippage_bps=Decimal("1.25"), participation=Decimal("0.1"))
    assert slippage_centi_bps(costs) == 125
    assert participation_ppm(costs) == 100_000
    assert participation_ppm(COSTS) is None


@pytest.mark.parametrize("bps", ["-1", "0.001"])
def test_slippage_that_is_negative_or_too_fine_is_refused(bps: str) -> None:
    with pytest.raises(ValueError, match="slippage_bps"):
        slippage_centi_bps(CostSpec(slippage_bps=Decimal(bps)))


def test_a_negative_participation_is_refused() -> None:
    with pytest.raises(ValueError, match="participation"):
        participation_ppm(CostSpec(participation=Decimal("-0.1")))
