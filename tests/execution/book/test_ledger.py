"""The accounting: hand-worked books, and conservation of money over any sequence of fills."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.book.ledger import Holding, Ledger
from execution.models import Fill, Instrument, Side

MOMENT = pd.Timestamp("2024-01-02 14:30", tz="UTC")


def fill(side: Side, quantity: str, price: str, commission: str | None = None, symbol: str = "SPY") -> Fill:
    fee = None if commission is None else Decimal(commission)
    return Fill("1", "1", symbol, Decimal(quantity), Decimal(price), side, MOMENT, fee)


@pytest.fixture
def book() -> Callable[..., Ledger]:
    def make(*fills: Fill, cash: str = "10000", instruments: tuple[Instrument, ...] = ()) -> Ledger:
        ledger = Ledger(cash=Decimal(cash), instruments={item.symbol: item for item in instruments})
        for one in fills:
            ledger.apply(one)
        return ledger

    return make


def test_an_empty_book_holds_its_cash_and_nothing_else() -> None:
    ledger = Ledger(cash=Decimal(5))
    assert [ledger.position("SPY"), ledger.realized_pnl, ledger.fees] == [Decimal(0)] * 3
    assert Holding().average_cost == 0


def test_buying_twice_averages_the_cost(book: Callable[..., Ledger]) -> None:
    ledger = book(fill(Side.BUY, "10", "100", "1"), fill(Side.BUY, "30", "104", "1"))
    assert ledger.position("SPY") == 40
    assert ledger.holdings["SPY"].average_cost == Decimal("103")
    assert ledger.cash == Decimal("10000") - 1000 - 3120 - 2
    assert ledger.fees == 2


def test_selling_a_part_realises_its_share_of_the_cost(book: Callable[..., Ledger]) -> None:
    ledger = book(fill(Side.BUY, "3", "100"), fill(Side.BUY, "3", "101"), fill(Side.SELL, "4", "110"))
    holding = ledger.holdings["SPY"]
    assert holding.realized_pnl == Decimal("38")  # 440 - 4/6 of 603
    assert holding.cost == Decimal("201")
    assert holding.average_cost == Decimal("100.5")


def test_a_sale_through_zero_closes_the_long_and_opens_a_short(book: Callable[..., Ledger]) -> None:
    ledger = book(fill(Side.BUY, "10", "100"), fill(Side.SELL, "15", "90"))
    holding = ledger.holdings["SPY"]
    assert (holding.quantity, holding.cost, holding.average_cost) == (Decimal(-5), Decimal(-450), Decimal(90))
    assert holding.realized_pnl == -100


def test_covering_a_short_below_its_price_is_a_profit(book: Callable[..., Ledger]) -> None:
    ledger = book(fill(Side.SELL, "10", "50"), fill(Side.BUY, "10", "45"))
    assert ledger.realized_pnl == 50
    assert ledger.holdings["SPY"].cost == 0
    assert ledger.cash == 10050


def test_a_short_turned_to_a_long_is_bought_at_the_new_price(book: Callable[..., Ledger]) -> None:
    ledger = book(fill(Side.SELL, "10", "50"), fill(Side.BUY, "12", "60"))
    holding = ledger.holdings["SPY"]
    assert (holding.quantity, holding.average_cost, holding.realized_pnl) == (
        Decimal(2),
        Decimal(60),
        Decimal(-100),
    )


def test_a_multiplier_scales_cash_and_profit_but_not_the_average_cost(book: Callable[..., Ledger]) -> None:
    es = Instrument("ES", "FUT", multiplier=Decimal(50))
    ledger = book(
        fill(Side.BUY, "2", "4000", symbol="ES"), fill(Side.SELL, "1", "4010", symbol="ES"), instruments=(es,)
    )
    assert ledger.realized_pnl == 500
    assert ledger.cash == Decimal("10000") - 400_000 + 200_500
    assert ledger.holdings["ES"].average_cost == 4000


def test_a_commission_that_comes_later_is_charged_once(book: Callable[..., Ledger]) -> None:
    ledger = book(fill(Side.BUY, "1", "100"))
    assert ledger.fees == 0
    ledger.charge(Decimal("1.25"))
    ledger.charge(Decimal("-0.25"))
    assert (ledger.fees, ledger.cash) == (Decimal(1), Decimal(9899))


FILLS = st.lists(
    st.builds(
        lambda side, lots, cents, fee, symbol: Fill(
            "1", "1", symbol, Decimal(lots), Decimal(cents) / 100, side, MOMENT, Decimal(fee) / 100
        ),
        st.sampled_from(list(Side)),
        st.integers(1, 500),
        st.integers(1, 100_000),
        st.integers(-50, 500),
        st.sampled_from(["SPY", "IWM"]),
    ),
    max_size=40,
)


@given(FILLS, st.integers(1, 100_000), st.integers(1, 100_000))
def test_equity_is_the_initial_cash_plus_all_profit_less_fees_whatever_was_traded(
    fills: list[Fill], spy: int, iwm: int
) -> None:
    ledger = Ledger(cash=Decimal(1_000_000))
    for one in fills:
        ledger.apply(one)
    marks = {"SPY": Decimal(spy) / 100, "IWM": Decimal(iwm) / 100}
    value = sum((h.quantity * marks[s] for s, h in ledger.holdings.items()), Decimal(0))
    unrealised = sum((h.quantity * marks[s] - h.cost for s, h in ledger.holdings.items()), Decimal(0))
    assert ledger.cash + value == 1_000_000 + ledger.realized_pnl + unrealised - ledger.fees


@given(FILLS)
def test_positions_and_cash_are_the_sums_of_the_fills(fills: list[Fill]) -> None:
    ledger = Ledger()
    for one in fills:
        ledger.apply(one)
    for symbol in ("SPY", "IWM"):
        expected = sum((f.side.sign * f.quantity for f in fills if f.symbol == symbol), Decimal(0))
        assert ledger.position(symbol) == expected
    spent = sum((f.side.sign * f.quantity * f.price + (f.commission or 0) for f in fills), Decimal(0))
    assert ledger.cash == -spent


@given(FILLS)
def test_a_flat_holding_has_no_cost_and_an_open_one_a_cost_of_its_sign(fills: list[Fill]) -> None:
    ledger = Ledger()
    for one in fills:
        ledger.apply(one)
        holding = ledger.holdings[one.symbol]
        if not holding.quantity:
            assert holding.cost == 0
        else:
            assert holding.cost * holding.quantity > 0
