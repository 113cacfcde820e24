"""What is kept of the worst case equals a recomputation, whatever happens to the book and its open orders."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.book.ledger import Ledger
from execution.book.portfolio import LedgerPortfolio, Portfolio
from execution.clocks import NANOS, SteppedClock, timestamp
from execution.models import ZERO, Fill, Instrument, OrderRequest, OrderType, PortfolioSnapshot, Side
from risk.engine import RiskEngine
from risk.exposure import Exposures, SymbolExposure
from risk.limits import RiskLimits
from risk.reservations import Reservations

if TYPE_CHECKING:
    from .conftest import MakeDesk

SYMBOLS = ("AAA", "BBB", "CCC")
MULTIPLIERS = {"CCC": Decimal(50)}
LIMITS = RiskLimits(max_gross_exposure=Decimal(1_000_000), long_only=False)

symbols = st.sampled_from(SYMBOLS)
sides = st.sampled_from(Side)
sizes = st.integers(1, 500).map(Decimal)
prices = st.decimals("0.01", "500", places=2)


@dataclass(frozen=True)
class Always:
    """A market that is always open."""

    open_ns: int = 0
    close_ns: int = 10**18

    def session_closing_after(self, ns: int) -> Always:
        return self


def by_hand(portfolio: LedgerPortfolio, reservations: Reservations) -> Decimal:
    """The sum over every symbol of the worse end it can come to."""
    total = ZERO
    for symbol in SYMBOLS:
        multiplier, mark = MULTIPLIERS.get(symbol, Decimal(1)), portfolio.mark(symbol)
        holding = portfolio.ledger.holdings.get(symbol)
        held = ZERO
        if holding is not None and holding.quantity:
            held = holding.cost if mark is None else holding.quantity * mark * holding.multiplier
        buys, sells = (reservations.side(symbol, side) for side in (Side.BUY, Side.SELL))
        buying, selling = buys.value, sells.value
        if mark is not None:
            buying, selling = max(buying, buys.quantity * mark), sells.quantity * mark
        total += max(abs(held + buying * multiplier), abs(held - selling * multiplier))
    return total


class Trading(RuleBasedStateMachine):
    """A book with history under orders, brackets, fills, corrections, others' trades, marks and restarts."""

    orders: ClassVar[Bundle[OrderRequest]] = Bundle("orders")
    fills: ClassVar[Bundle[Fill]] = Bundle("fills")

    def __init__(self) -> None:
        super().__init__()
        instruments = {s: Instrument(s, multiplier=MULTIPLIERS.get(s, Decimal(1))) for s in SYMBOLS}
        self.portfolio = LedgerPortfolio(Ledger(instruments=instruments, history={}))
        self.made = 0
        self.start()

    def start(self) -> None:
        self.engine = RiskEngine(
            LIMITS, self.portfolio, Always(), SteppedClock(NANOS), multipliers=MULTIPLIERS
        )

    def name(self, what: str) -> str:
        self.made += 1
        return f"{what}-{self.made}"

    @rule(target=orders, symbol=symbols, side=sides, quantity=sizes, limit=st.none() | prices)
    def reserve(self, symbol: str, side: Side, quantity: Decimal, limit: Decimal | None) -> OrderRequest:
        kind = OrderType.MARKET if limit is None else OrderType.LIMIT
        order = OrderRequest(symbol, quantity, kind, side, limit, client_order_id=self.name("order"))
        self.engine.reserve(order)
        return order

    @rule(order=orders, size=sizes, built=sizes, undone=sizes)
    def reserve_the_exit_of(
        self, order: OrderRequest, size: Decimal, built: Decimal, undone: Decimal
    ) -> None:
        side = Side.SELL if order.side is Side.BUY else Side.BUY
        leg = OrderRequest(order.symbol, size, OrderType.MARKET, side, client_order_id=self.name("exit"))
        entry = order.client_order_id or ""
        self.engine.reserve_exit(leg, entry=entry, built=built, undone=min(built, undone))
        self.engine.on_built(entry, built + 1)

    @rule(order=consumes(orders))
    def release(self, order: OrderRequest) -> None:
        self.engine.release(order.client_order_id or "")

    @rule(target=fills, order=orders, quantity=sizes, price=prices)
    def fill(self, order: OrderRequest, quantity: Decimal, price: Decimal) -> Fill:
        fill = self.executed(order.symbol, order.side, quantity, price, order.client_order_id)
        self.engine.on_fill(fill)
        return fill

    @rule(target=fills, symbol=symbols, side=sides, quantity=sizes, price=prices)
    def others_trade(self, symbol: str, side: Side, quantity: Decimal, price: Decimal) -> Fill:
        return self.executed(symbol, side, quantity, price, None)

    def executed(self, symbol: str, side: Side, quantity: Decimal, price: Decimal, order: str | None) -> Fill:
        moment = timestamp(NANOS)
        fill = Fill(self.name("fill"), "1", symbol, quantity, price, side, moment, client_order_id=order)
        self.portfolio.ledger.apply(fill)
        return fill

    @rule(fill=fills, quantity=st.just(ZERO) | sizes, price=prices)
    def correct(self, fill: Fill, quantity: Decimal, price: Decimal) -> None:
        known = self.portfolio.ledger.history or {}
        moves = [m for m in known[fill.symbol].moves if isinstance(m, Fill)] if fill.symbol in known else []
        old = next((move for move in moves if move.fill_id == fill.fill_id), fill)
        new = Fill(old.fill_id, "1", old.symbol, quantity, price, old.side, old.timestamp)
        self.portfolio.ledger.revise(old, new)

    @rule(symbol=symbols, price=prices)
    def mark(self, symbol: str, price: Decimal) -> None:
        self.portfolio.set_mark(symbol, float(price))

    @rule(symbol=symbols, quantity=st.integers(-50, 50).map(Decimal), price=prices)
    def open(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        self.portfolio.ledger.open(symbol, quantity, price)

    @rule(symbol=symbols, quantity=st.integers(-50, 50).filter(bool).map(Decimal), price=prices)
    def accept(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        self.adjust(AdjustmentKind.ACCEPTED, symbol, quantity=quantity, price=price)

    @rule(symbol=symbols)
    def split_two_for_one(self, symbol: str) -> None:
        held = self.portfolio.position(symbol)
        if held:
            self.adjust(AdjustmentKind.SPLIT, symbol, quantity=held)

    @rule(symbol=symbols, new=st.integers(2, 4))
    def split_the_units(self, symbol: str, new: int) -> None:
        self.portfolio.ledger.split(symbol, new)

    @rule(symbol=symbols, price=prices)
    def pay_out_half(self, symbol: str, price: Decimal) -> None:
        if held := self.portfolio.position(symbol):
            self.portfolio.ledger.pay_out(symbol, held / 2, price)

    @rule()
    def rename(self) -> None:
        self.adjust(
            AdjustmentKind.SYMBOL_CHANGE, "AAA", quantity=-self.portfolio.position("AAA"), new_symbol="BBB"
        )

    def adjust(self, kind: AdjustmentKind, symbol: str, **terms: Any) -> None:
        self.portfolio.adjust(Adjustment(kind, symbol, time=NANOS, **terms))

    @rule()
    def restart(self) -> None:
        held = [(name, one) for name, one in self.engine.reservations if not one.entry]
        self.start()
        for name, one in held:
            if one.remaining:
                order = OrderRequest(
                    one.symbol, one.remaining, OrderType.MARKET, one.side, client_order_id=name
                )
                self.engine.reserve(order, one.price)

    @rule(symbol=symbols, side=sides, quantity=sizes)
    def an_order_counts_as_if_it_were_reserved(self, symbol: str, side: Side, quantity: Decimal) -> None:
        self.portfolio.set_mark(symbol, 10.0)
        order = OrderRequest(symbol, quantity, OrderType.MARKET, side, client_order_id="probe")
        figures = {code: actual for code, _, actual in self.engine.evaluate(order).checks}
        self.engine.reserve(order)
        after = by_hand(self.portfolio, self.engine.reservations)
        self.engine.release("probe")
        assert Decimal(figures["MAX_GROSS_EXPOSURE"]) == after

    @invariant()
    def the_sum_equals_a_recomputation(self) -> None:
        expected = by_hand(self.portfolio, self.engine.reservations)
        assert self.engine.exposures.recomputed(0) == expected
        assert self.engine.exposures.gross(0) == expected


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


class Silent(Portfolio):
    """A book that tells nobody what changes."""

    def __init__(self, book: LedgerPortfolio) -> None:
        self._book = book

    @property
    def cash(self) -> Decimal:
        return self._book.cash

    def position(self, symbol: str) -> Decimal:
        return self._book.position(symbol)

    def mark(self, symbol: str) -> Decimal | None:
        return self._book.mark(symbol)

    def equity(self) -> Decimal:
        return self._book.equity()

    def snapshot(self, now_ns: int) -> PortfolioSnapshot:
        return self._book.snapshot(now_ns)


def test_a_book_that_tells_nothing_is_asked_each_time(desk: MakeDesk) -> None:
    d = desk()
    exposures = Exposures(Silent(d.portfolio), d.engine.reservations, {})
    assert exposures.gross(0) == 0
    d.hold(3)
    assert exposures.gross(0) == 300
    assert exposures.of("AAA", 0)[0].held == 300
    d.engine.reserve(d.order(2))
    assert exposures.gross(0) == 500
    d.mark(50.0)
    assert exposures.gross(0) == 350  # what is held at the mark, the open buy at what it may pay


def test_what_was_there_before_anybody_asked_counts(desk: MakeDesk) -> None:
    d = desk()
    d.hold(3)
    d.engine.reserve(d.order(-1, "BBB", limit_price=Decimal(7)))
    late = Exposures(d.portfolio, d.engine.reservations, {})
    assert late.of("BBB", 0) == (SymbolExposure(selling=Decimal(7)), Decimal(7))
    assert late.gross(0) == 307


def test_only_what_changed_is_valued_anew(desk: MakeDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    d = desk()
    for symbol in ("AAA", "BBB", "CCC"):
        d.mark(10.0, symbol)
        d.hold(5, symbol)
    assert d.engine.exposures.gross(0) == 150
    valued: list[str] = []
    value = d.portfolio.market_value

    def noted(symbol: str, now_ns: int) -> Decimal:
        valued.append(symbol)
        return value(symbol, now_ns)

    monkeypatch.setattr(d.portfolio, "market_value", noted)
    d.engine.reserve(d.order(1, "BBB"))
    assert d.engine.exposures.gross(0) == 160
    assert d.engine.exposures.gross(0) == 160
    assert valued == ["BBB"]


@pytest.mark.parametrize("price", [float("inf"), float("nan")])
def test_a_price_beyond_all_bounds_does_no_lasting_harm(desk: MakeDesk, price: float) -> None:
    d = desk()
    d.mark(20.0, "BBB")
    d.hold(1, "BBB")
    d.hold(5)
    assert d.engine.exposures.gross(0) == 520
    d.mark(price)
    with suppress(InvalidOperation):  # what cannot be compared says so, each time
        assert not d.engine.exposures.gross(0).is_finite()
    d.mark(10.0)
    assert d.engine.exposures.gross(0) == d.engine.exposures.recomputed(0) == 70
