"""What a pre-trade rule is, and what it sees.

Reference price of an order, the figure its notional is taken at:

* a buy is valued at the highest of the mark and its own limit and stop prices, a stop that trails the market
  at its distance from it: what it may pay at worst;
* a sell is valued at the mark: what the exposure it opens is worth; its limit, else its stop price, stands in
  while there is no mark.

Open orders are valued the same way when they are reserved; should the mark rise later, open buys count at
the mark. An order moves one of the two ends that its symbol can come to (`risk.exposure`). It *reduces* when,
after every open order of its side has traded, it still only brings the position closer to zero without
crossing it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import ClassVar, NamedTuple

from execution.book.portfolio import Portfolio
from execution.clocks import TradingClock
from execution.models import ZERO, OrderRequest, Side
from execution.numbers import format_decimal
from risk.exposure import Exposures, usable
from risk.kill_switch import KillSwitch
from risk.protocols import SessionSource, TradingSession
from risk.rate import OrderRate
from risk.reservations import Reservations

ONE = Decimal(1)
_WHOLE = Decimal(100)


Figures = tuple[str, str, str]
"""Code of a rule, its limit, and what an order comes to, as text for the record."""


class Refused(NamedTuple):
    """A rule's refusal of an order, with the reason a person reads."""

    figures: Figures
    reason: str


class Control(ABC):
    """One pre-trade rule with a stable code."""

    code: ClassVar[str]

    @abstractmethod
    def check(self, order: OrderRequest, view: OrderView) -> Figures | Refused:
        """Judge an order against the rule, change nothing; return the figures that it passes with."""

    def refuses(self, limit: str, actual: str, reason: str) -> Refused:
        """Return the refusal of an order."""
        return Refused((self.code, limit, actual), reason)


@dataclass(frozen=True, slots=True)
class LimitControl(Control):
    """A rule with one number; `text` is that number for the record."""

    limit: Decimal
    text: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", format_decimal(self.limit))


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
    rate
        How many orders were approved lately.
    """

    def __init__(
        self,
        portfolio: Portfolio,
        reservations: Reservations,
        sessions: SessionSource,
        clock: TradingClock,
        kill_switch: KillSwitch | None,
        multipliers: Mapping[str, Decimal],
        rate: OrderRate,
    ) -> None:
        self.portfolio = portfolio
        self.reservations = reservations
        self.kill_switch = kill_switch
        self.multipliers = multipliers
        self.exposures = Exposures(portfolio, reservations, multipliers)
        self.clock = clock
        self.rate = rate
        self._sessions = sessions
        self._session: TradingSession | None = None
        self._asked_ns = 0

    def of(self, order: OrderRequest) -> OrderView:
        """Return what the rules see of an order."""
        return OrderView(order, self)

    def next_session(self) -> TradingSession | None:
        """Return the session an order sent now would trade in, or None if the calendar knows none."""
        now, known = self.clock.now_ns(), self._session
        if known is not None and self._asked_ns <= now < known.close_ns:
            return known  # nothing closes between the moment it was asked for and its own close
        self._session, self._asked_ns = self._sessions.session_closing_after(now), now
        return self._session

    def reference_price(self, order: OrderRequest) -> Decimal | None:
        """Return the price at which the order is valued, or None if nothing gives one."""
        return _reference_price(order, usable(self.portfolio.mark(order.symbol)))


class OrderView:
    """One order in the book, as the rules see it; taken at one moment and asked by each rule.

    Attributes
    ----------
    price
        The order's reference price, or None if nothing gives one.
    notional
        Its value at that price, zero if it has none.
    after
        The signed position once the order and every open order of its side have traded.
    reduces
        Whether the order can only bring the position closer to zero.
    """

    __slots__ = (
        "_held",
        "_is_buy",
        "_mark",
        "_multiplier",
        "_symbol",
        "after",
        "book",
        "notional",
        "price",
        "reduces",
    )

    def __init__(self, order: OrderRequest, book: RiskView) -> None:
        symbol = order.symbol
        self.book = book
        self._symbol = symbol
        self._is_buy = order.side is Side.BUY
        self._mark = usable(book.portfolio.mark(symbol))
        self._multiplier = book.multipliers.get(symbol, ONE)
        self._held = book.portfolio.position(symbol)
        self.price = _reference_price(order, self._mark)
        self.notional = order.quantity * (self.price or ZERO) * self._multiplier
        moved = book.reservations.side(symbol, order.side).quantity + order.quantity
        self.after = self._held + moved if self._is_buy else self._held - moved
        self.reduces = self.after <= 0 if self._is_buy else self.after >= 0

    @property
    def equity(self) -> Decimal:
        """What the book is worth, at its marks."""
        return self.book.portfolio.equity()

    def exposure_after(self) -> Decimal:
        """Return the worst-case absolute value of the symbol on the side that the order extends."""
        now, _ = self.book.exposures.of(self._symbol, self.book.clock.now_ns())
        held = self._held * (self._mark or self.price or ZERO) * self._multiplier
        if self._is_buy:
            return abs(held + (now.buying + self.notional))
        return abs(held - (now.selling + self.notional))

    def gross_after(self) -> Decimal:
        """Return the book's worst-case gross exposure with the order in it: each symbol's worse side, summed.

        Positions without a mark count at cost.
        """
        exposures, now_ns = self.book.exposures, self.book.clock.now_ns()
        gross = exposures.gross(now_ns)
        now, before = exposures.of(self._symbol, now_ns)
        after = now.worst(bought=self.notional) if self._is_buy else now.worst(sold=self.notional)
        return gross - before + after


def _reference_price(order: OrderRequest, mark: Decimal | None) -> Decimal | None:
    if order.side is Side.SELL:
        return mark or order.limit_price or order.stop_price
    highest = mark
    prices: tuple[Decimal | None, ...] = (order.limit_price, order.stop_price)
    if order.order_type.trails:
        prices = (*prices, *_trailing(order, mark))
    for price in prices:
        if price is not None and (highest is None or price > highest):
            highest = price
    return highest


def _trailing(order: OrderRequest, mark: Decimal | None) -> tuple[Decimal | None, ...]:
    """Return where the stop of a trailing buy is, and where it would be set now; its limit lies beyond it."""
    beyond = order.limit_offset or ZERO
    stops = [order.trail_stop]
    if mark is not None and order.trail_amount is not None:
        stops.append(mark + order.trail_amount)
    if mark is not None and order.trail_percent is not None:
        stops.append(mark * (1 + order.trail_percent / _WHOLE))
    return tuple(None if stop is None else stop + beyond for stop in stops)
