"""A book valued at its marks."""

from __future__ import annotations

from decimal import Decimal

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.models import Fill, Instrument, Side

MOMENT = pd.Timestamp("2024-01-02 14:30", tz="UTC")


def fill(symbol: str, side: Side, quantity: int, price: str) -> Fill:
    return Fill("1", "1", symbol, Decimal(quantity), Decimal(price), side, MOMENT, Decimal(1))


@pytest.fixture
def portfolio() -> LedgerPortfolio:
    ledger = Ledger(cash=Decimal(10_000), instruments={"ES": Instrument("ES", multiplier=Decimal(50))})
    return LedgerPortfolio(ledger)


def test_an_empty_book_is_worth_its_cash(portfolio: LedgerPortfolio) -> None:
    snapshot = portfolio.snapshot(0)
    assert {snapshot.equity, snapshot.cash, portfolio.equity(), portfolio.cash} == {Decimal(10_000)}
    assert snapshot.positions == ()
    assert snapshot.timestamp == pd.Timestamp(0, tz="UTC")


def test_a_position_without_a_mark_counts_at_cost(portfolio: LedgerPortfolio) -> None:
    portfolio.ledger.apply(fill("SPY", Side.BUY, 10, "100"))
    assert portfolio.mark("SPY") is None
    assert portfolio.equity() == portfolio.snapshot(0).equity == 9_999


def test_a_mark_is_the_decimal_that_the_close_spells(portfolio: LedgerPortfolio) -> None:
    portfolio.set_mark("SPY", 0.1 + 0.2)
    assert portfolio.mark("SPY") == Decimal("0.30000000000000004")
    portfolio.set_mark("SPY", 101.1)
    assert portfolio.mark("SPY") == Decimal("101.1")


def test_a_snapshot_lists_open_positions_by_symbol_with_long_and_short_value(
    portfolio: LedgerPortfolio,
) -> None:
    ledger = portfolio.ledger
    for one in (
        fill("SPY", Side.BUY, 10, "100"),
        fill("IWM", Side.SELL, 5, "40"),
        fill("QQQ", Side.BUY, 1, "30"),
        fill("QQQ", Side.SELL, 1, "31"),
        fill("ES", Side.BUY, 1, "4000"),
    ):
        ledger.apply(one)
    for symbol, price in (("SPY", 102.0), ("IWM", 41.0), ("ES", 3990.0)):
        portfolio.set_mark(symbol, price)
    snapshot = portfolio.snapshot(MOMENT.value)
    assert [(p.symbol, p.quantity, p.market_value, p.unrealized_pnl) for p in snapshot.positions] == [
        ("ES", Decimal(1), Decimal(199_500), Decimal(-500)),
        ("IWM", Decimal(-5), Decimal(-205), Decimal(-5)),
        ("SPY", Decimal(10), Decimal(1_020), Decimal(20)),
    ]
    assert snapshot.gross_exposure == 199_500 + 205 + 1_020
    assert (snapshot.unrealized_pnl, snapshot.realized_pnl, snapshot.fees) == (
        Decimal(-485),
        Decimal(1),
        Decimal(5),
    )
    assert snapshot.equity == portfolio.equity() == 10_000 - 485 + 1 - 5
    assert portfolio.position("IWM") == -5
    assert snapshot.timestamp == MOMENT


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["A", "B"]), st.sampled_from(list(Side)), st.integers(1, 99), st.integers(1, 9999)
        ),
        max_size=25,
    ),
    st.integers(1, 9999),
)
def test_a_snapshot_adds_up_after_any_trading(trades: list[tuple[str, Side, int, int]], mark: int) -> None:
    portfolio = LedgerPortfolio(Ledger(cash=Decimal(1000)))
    portfolio.set_mark("A", mark / 100)
    for symbol, side, quantity, cents in trades:
        portfolio.ledger.apply(fill(symbol, side, quantity, str(Decimal(cents) / 100)))
    snapshot = portfolio.snapshot(0)
    assert snapshot.equity == snapshot.cash + sum((p.value for p in snapshot.positions), Decimal(0))
    assert snapshot.equity == 1000 + snapshot.unrealized_pnl + snapshot.realized_pnl - snapshot.fees
    assert snapshot.gross_exposure == sum((abs(p.value) for p in snapshot.positions), Decimal(0))
    assert snapshot.equity == portfolio.equity()


def test_who_watches_is_told_each_symbol_whose_position_or_mark_changes(portfolio: LedgerPortfolio) -> None:
    heard: list[str] = []

    def told() -> set[str]:
        names = set(heard)
        heard.clear()
        return names

    portfolio.ledger.apply(fill("SPY", Side.BUY, 10, "100"))
    assert portfolio.watch(heard.append)
    assert told() == set()
    portfolio.ledger.apply(fill("ES", Side.BUY, 1, "4000"))
    assert told() == {"ES"}
    portfolio.set_mark("SPY", 101.0)
    assert told() == {"SPY"}
    portfolio.ledger.revise(fill("SPY", Side.BUY, 10, "100"), fill("SPY", Side.BUY, 9, "100"))
    assert told() == {"SPY"}
    portfolio.ledger.split("SPY", 2)
    assert told() == {"SPY"}
    portfolio.ledger.pay_out("SPY", Decimal(1), Decimal(50))
    assert told() == {"SPY"}
    portfolio.ledger.open("QQQ", Decimal(3), Decimal(400))
    assert told() == {"QQQ"}
    moved = Adjustment(AdjustmentKind.SYMBOL_CHANGE, "SPY", 0, quantity=Decimal(-17), new_symbol="VOO")
    portfolio.adjust(moved)
    assert told() == {"SPY", "VOO"}
    portfolio.adjust(Adjustment(AdjustmentKind.DIVIDEND, "VOO", 0, cash=Decimal(5)))
    portfolio.ledger.charge(Decimal(1))
    assert told() == set()
    assert portfolio.market_value("VOO", 0) == portfolio.market_values(0)["VOO"] == 17 * 101
    assert portfolio.market_value("SPY", 0) == 0
