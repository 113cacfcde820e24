"""Brackets before the rules: judged as a whole."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio
from execution.events import KillSwitchEvent
from execution.models import Fill, OrderRequest, OrderType, Side
from execution.testing import START
from execution.validators import BracketValidator, judge_bracket
from risk.after_entry import AfterEntry

if TYPE_CHECKING:
    from .conftest import Desk, MakeDesk


def exits(d: Desk, signed: int) -> tuple[OrderRequest, OrderRequest]:
    """Return a take-profit and a stop-loss that undo an entry of `signed` units."""
    profit = d.order(-signed, limit_price=Decimal(110 if signed > 0 else 90))
    stop = Decimal(90 if signed > 0 else 110)
    return profit, d.order(-signed, order_type=OrderType.STOP, stop_price=stop)


def test_the_engine_is_asked_about_a_bracket_as_a_whole(desk: MakeDesk) -> None:
    d = desk()
    assert isinstance(d.engine, BracketValidator)
    assert judge_bracket(d.engine, d.order(10), exits(d, 10)).approved


@pytest.mark.parametrize("signed", [10, -10])
def test_exits_reduce_and_pass_where_each_alone_would_be_refused(desk: MakeDesk, signed: int) -> None:
    d = desk(long_only=signed > 0, per_symbol_notional_cap=1_500, max_gross_exposure=1_500)
    entry, (profit, stop) = d.order(signed), exits(d, signed)
    assert d.engine.evaluate_bracket(entry, (profit, stop)).approved
    if signed > 0:
        assert not d.engine.evaluate(profit).approved
        assert not d.engine.evaluate(stop).approved


def test_the_entry_counts_once(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=1_000)
    assert d.engine.evaluate_bracket(d.order(10), exits(d, 10)).approved
    refusal = d.engine.evaluate_bracket(d.order(11), exits(d, 11))
    assert (refusal.approved, refusal.rule) == (False, "SYMBOL_NOTIONAL_CAP")


def test_a_second_bracket_is_judged_while_the_exits_of_the_first_are_held(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=2_000)
    for _ in range(2):
        entry, legs = d.order(10), exits(d, 10)
        assert d.engine.evaluate_bracket(entry, legs).approved
        for leg in (entry, *legs):
            d.engine.reserve(leg)
    assert d.engine.evaluate_bracket(d.order(1), exits(d, 1)).rule == "SYMBOL_NOTIONAL_CAP"


def test_rules_that_hold_for_every_order_hold_for_exits(desk: MakeDesk) -> None:
    d = desk()
    profit, _ = exits(d, 10)
    late = d.order(-10, order_type=OrderType.STOP, stop_price=Decimal(90), outside_rth=True)
    refusal = d.engine.evaluate_bracket(d.order(10), (profit, late))
    assert (refusal.approved, refusal.rule) == (False, "SESSION")
    assert [code for code, _, _ in refusal.checks].count("SESSION") == 3


def test_exits_that_take_risk_again_are_judged_in_the_book_after_the_entry(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=1_000)
    d.hold(20)  # carried beyond the cap by the market
    assert d.engine.evaluate(d.order(-20)).approved
    refusal = d.engine.evaluate_bracket(d.order(-20), exits(d, -20))
    assert (refusal.approved, refusal.rule) == (False, "SYMBOL_NOTIONAL_CAP")
    assert d.engine.evaluate_bracket(d.order(-5), exits(d, -5)).rule == "SYMBOL_NOTIONAL_CAP"


def test_a_tripped_switch_lets_no_bracket_reopen_what_its_entry_closes(desk: MakeDesk) -> None:
    d = desk(max_daily_loss=100)
    d.hold(10)
    d.kill_switch.restore(KillSwitchEvent(START, loss=Decimal(101), limit=Decimal(100)))
    assert d.engine.evaluate(d.order(-10)).approved
    assert d.engine.evaluate_bracket(d.order(-10), exits(d, -10)).rule == "KILL_SWITCH"


def test_judging_a_bracket_changes_nothing(desk: MakeDesk) -> None:
    d = desk(per_symbol_notional_cap=1_000)
    for _ in range(3):
        assert d.engine.evaluate_bracket(d.order(10), exits(d, 10)).approved
    assert len(d.engine.reservations) == 0
    assert d.portfolio.position("AAA") == 0


@given(
    held=st.integers(-50, 50).filter(bool),
    moved=st.integers(-50, 50).filter(bool),
    other=st.integers(-5, 5).filter(bool),
)
def test_the_book_after_an_entry_is_the_book_that_trading_it_leaves(
    held: int, moved: int, other: int
) -> None:
    def trade(book: LedgerPortfolio, symbol: str, signed: int) -> None:
        side = Side.BUY if signed > 0 else Side.SELL
        book.ledger.apply(Fill("f", "1", symbol, Decimal(abs(signed)), Decimal(100), side, START))
        book.set_mark(symbol, 100.0)

    before, after = LedgerPortfolio(Ledger()), LedgerPortfolio(Ledger())
    for book in (before, after):
        trade(book, "AAA", held)
        trade(book, "BBB", other)
    trade(after, "AAA", moved)
    entry = OrderRequest("AAA", Decimal(abs(moved)), OrderType.MARKET, Side.BUY if moved > 0 else Side.SELL)
    seen = AfterEntry(before, entry)
    assert seen.cash == before.cash
    assert seen.equity() == before.equity() == after.equity()
    assert seen.mark("AAA") == after.mark("AAA")
    for symbol in ("AAA", "BBB"):
        assert seen.position(symbol) == after.position(symbol)
    values = {p.symbol: p.value for p in seen.snapshot(0).positions if p.quantity}
    assert {symbol: round(value, 9) for symbol, value in values.items()} == {
        p.symbol: p.market_value for p in after.snapshot(0).positions
    }
