"""What a pre-trade rule is, and what it sees.

Reference price of an order, the figure its notional is taken at:

* a buy is valued at the highest of the mark and its own limit and stop prices: what it may pay at worst;
* a sell is valued at the mark: what the exposure it opens is worth; its limit, else its stop price, stands in
  while there is no mark.

Open orders are valued the same way when they are reserved; should the mark rise later, open buys count at
the mark. Worst case of a symbol: open orders of one side all trade and those of the other do not, so the
position ends somewhere between *position minus open sells* and *position plus open buys*. An order moves one
of the two ends. An order *reduces* when, after every open order of its side has traded, it still only brings
the position closer to zero without crossing it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from decimal import Decimal
from typing import ClassVar, NamedTuple

from execution.book.portfolio import Portfolio
from execution.clocks import TradingClock
from execution.models import ZERO, OrderRequest, Side
from risk.kill_switch import KillSwitch
from risk.protocols import SessionSource, TradingSession
from risk.reservations import Reservations

ONE = Decimal(1)


class Check(NamedTuple):
    """Outcome of one rule for one order; `limit` and `actual` are figures as text, for the record."""

    code: str
    limit: str
    actual: str
    passed: bool
    reason: str = ""


class Control(ABC):
    """One pre-trade rule with a stable code."""

    code: ClassVar[str]

    @abstractmethod
    def check(self, order: OrderRequest, view: RiskView) -> Check:
        """Judge an order against the rule; change nothing."""

    def passes(self, limit: str, actual: str) -> Check:
        """Return a check that the order passed."""
        return Check(self.code, limit, actual, passed=True)

    def refuses(self, limit: str, actual: str, reason: str) -> Check:
        """Return a check that refuses the order, with the reason a person reads."""
        return Check(self.code, limit, actual, passed=False, reason=reason)


class RiskView:
    """The book, its open promises and the market's hours, as the rules see them.

    Parameters
    ----------
    portfolio, reservations
        What is held, and what open orders may still trade.
    sessions, clock
        The market's calendar and time.
    kill_switch
        The daily-loss limit, or None.
    multipliers
        Contract multipliers by symbol; a symbol left out has 1.
    """

    def __init__(
        self,
        portfolio: Portfolio,
        reservations: Reservations,
        sessions: SessionSource,
        clock: TradingClock,
        kill_switch: KillSwitch | None,
        multipliers: Mapping[str, Decimal],
    ) -> None:
        self.portfolio = portfolio
        self.reservations = reservations
        self.kill_switch = kill_switch
        self._sessions = sessions
        self._clock = clock
        self._multipliers = multipliers

    def next_session(self) -> TradingSession | None:
        """Return the session an order sent now would trade in, or None if the calendar knows none."""
        return self._sessions.session_closing_after(self._clock.now_ns())

    def mark(self, symbol: str) -> Decimal | None:
        """Return the symbol's last price, or None if there is none that can be used."""
        mark = self.portfolio.mark(symbol)
        return mark if mark is not None and mark.is_finite() and mark > 0 else None

    def reference_price(self, order: OrderRequest) -> Decimal | None:
        """Return the price at which the order is valued, or None if nothing gives one."""
        mark = self.mark(order.symbol)
        if order.side is Side.SELL:
            return mark or order.limit_price or order.stop_price
        highest = mark
        for price in (order.limit_price, order.stop_price):
            if price is not None and (highest is None or price > highest):
                highest = price
        return highest

    def notional(self, order: OrderRequest) -> Decimal:
        """Return the order's value at its reference price, zero if it has none."""
        price = self.reference_price(order) or ZERO
        return order.quantity * price * self._multiplier(order.symbol)

    def quantity_after(self, order: OrderRequest) -> Decimal:
        """Return the signed position once the order and every open order of its side have traded."""
        waiting = self.reservations.side(order.symbol, order.side).quantity
        return self.portfolio.position(order.symbol) + order.side.sign * (waiting + order.quantity)

    def reduces(self, order: OrderRequest) -> bool:
        """Return whether the order can only bring the position closer to zero."""
        return self.quantity_after(order) * order.side.sign <= 0

    def exposure_after(self, order: OrderRequest) -> Decimal:
        """Return the worst-case absolute value of the symbol on the side that the order extends."""
        price = self.mark(order.symbol) or self.reference_price(order) or ZERO
        held = self.portfolio.position(order.symbol) * price * self._multiplier(order.symbol)
        return self._end(order.symbol, order.side, held, self.notional(order))

    def gross_after(self, order: OrderRequest) -> Decimal:
        """Return the book's worst-case gross exposure with the order in it: each symbol's worse side, summed.

        Positions without a mark count at cost.
        """
        held = self.portfolio.market_values(self._clock.now_ns())
        total = ZERO
        for symbol in sorted({order.symbol, *held, *self.reservations.symbols}):
            value = held.get(symbol, ZERO)
            bought = sold = ZERO
            if symbol == order.symbol:
                added = self.notional(order)
                bought, sold = (added, ZERO) if order.side is Side.BUY else (ZERO, added)
            total += max(
                self._end(symbol, Side.BUY, value, bought), self._end(symbol, Side.SELL, value, sold)
            )
        return total

    def _end(self, symbol: str, side: Side, held_value: Decimal, added: Decimal) -> Decimal:
        moved = self._open_value(symbol, side) + added
        return abs(held_value + moved if side is Side.BUY else held_value - moved)

    def _open_value(self, symbol: str, side: Side) -> Decimal:
        waiting = self.reservations.side(symbol, side)
        if not waiting.orders:
            return ZERO
        mark = self.mark(symbol)
        value = waiting.value
        if mark is not None:
            at_mark = waiting.quantity * mark
            value = max(value, at_mark) if side is Side.BUY else at_mark
        return value * self._multiplier(symbol)

    def _multiplier(self, symbol: str) -> Decimal:
        return self._multipliers.get(symbol, ONE)
