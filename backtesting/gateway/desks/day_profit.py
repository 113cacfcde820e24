"""Profit and loss of the day: what accounts and holdings have gained since the session before.

The day counts from the close of the session before the running one; after a close it is still that session's
day, until the next session opens. Values at a close are those after the last step that does not pass it. An
account's daily profit includes commissions; that of a holding does not.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

from backtesting.broker import SimulatedBroker
from data.calendars import MarketClock
from execution.book.ledger import Holding, Ledger
from execution.models import ZERO, Instrument


@dataclass(frozen=True, slots=True)
class Close:
    """What everything was worth at the end of a session."""

    next_open_ns: int | None
    """When the session after it opens; None where the calendar knows none."""
    equity: dict[str, Decimal]
    """By account."""
    profits: dict[tuple[str, str], tuple[Decimal, Decimal]] = field(default_factory=dict)
    """Realised and total profit so far, by account and symbol."""


class AccountProfit(NamedTuple):
    """Profit of an account: of the day, open, and realised today."""

    daily: Decimal
    unrealized: Decimal
    realized: Decimal


class HoldingProfit(NamedTuple):
    """A holding's size, profit of the day, open profit, profit realised today, and value."""

    quantity: Decimal
    daily: Decimal
    unrealized: Decimal
    realized: Decimal
    value: Decimal


class DayProfit:
    """Measures accounts against the close of the session before.

    Parameters
    ----------
    ledgers
        By account, in the order of the login.
    broker
        Whose last prices hold.
    sessions
        When days begin and end.
    now_ns
        Simulated time.
    """

    def __init__(
        self, ledgers: dict[str, Ledger], broker: SimulatedBroker, sessions: MarketClock, now_ns: int
    ) -> None:
        self._ledgers = ledgers
        self._broker = broker
        self._sessions = sessions
        self._previous = self._latest = Close(None, self._equities())
        self._closes_ns = self._next_close(now_ns - 1)

    def mark(self, account: str, instrument: Instrument) -> Decimal:
        """Return the last price, or the account's average cost before the first."""
        known = self._broker.mark(instrument.symbol)
        if known is not None:
            return known
        holding = self._ledgers[account].holdings.get(instrument.symbol)
        return holding.average_cost if holding else ZERO

    def before_step(self, end_ns: int) -> None:
        """Take the values of a close that the coming step, up to `end_ns`, goes past."""
        if self._closes_ns is not None and end_ns > self._closes_ns:
            self._take(self._closes_ns)
            self._closes_ns = self._next_close(end_ns - 1)

    def on_step(self, now_ns: int) -> None:
        """Take the values of a close that the step has reached."""
        if self._closes_ns is not None and now_ns >= self._closes_ns:
            self._take(now_ns)
            self._closes_ns = self._next_close(now_ns)

    def _take(self, close_ns: int) -> None:
        following = self._sessions.session_closing_after(close_ns)
        profits = {
            (account, symbol): self._profits(symbol, holding)
            for account, ledger in self._ledgers.items()
            for symbol, holding in ledger.holdings.items()
        }
        self._previous = self._latest
        self._latest = Close(following.open_ns if following else None, self._equities(), profits)

    def previous_equity(self, account: str, now_ns: int) -> Decimal:
        """Return an account's equity at the close the day is counted from."""
        return self._since(now_ns).equity[account]

    def net(self, account: str) -> Decimal:
        """Return cash and value of an account's holdings."""
        ledger = self._ledgers[account]
        return ledger.cash + sum((self._value(s, h) for s, h in ledger.holdings.items()), ZERO)

    def of_account(self, account: str, now_ns: int) -> AccountProfit:
        """Return the profit of an account."""
        since = self._since(now_ns)
        ledger = self._ledgers[account]
        realized = unrealized = ZERO
        for symbol, holding in ledger.holdings.items():
            before = since.profits.get((account, symbol), (ZERO, ZERO))[0]
            realized += holding.realized_pnl - before
            unrealized += self._value(symbol, holding) - holding.cost
        return AccountProfit(self.net(account) - since.equity[account], unrealized, realized)

    def of_holding(self, account: str, symbol: str, now_ns: int) -> HoldingProfit | None:
        """Return the profit of a holding; None if the account never had one."""
        holding = self._ledgers[account].holdings.get(symbol)
        if holding is None:
            return None
        before, total_before = self._since(now_ns).profits.get((account, symbol), (ZERO, ZERO))
        realized, total = self._profits(symbol, holding)
        value = self._value(symbol, holding)
        return HoldingProfit(
            holding.quantity, total - total_before, value - holding.cost, realized - before, value
        )

    def _since(self, now_ns: int) -> Close:
        return self._latest if self._has_opened(now_ns) else self._previous

    def _has_opened(self, now_ns: int) -> bool:
        return self._latest.next_open_ns is not None and now_ns >= self._latest.next_open_ns

    def _next_close(self, now_ns: int) -> int | None:
        session = self._sessions.session_closing_after(now_ns)
        return session.close_ns if session else None

    def _equities(self) -> dict[str, Decimal]:
        return {account: self.net(account) for account in self._ledgers}

    def _value(self, symbol: str, holding: Holding) -> Decimal:
        if not holding.quantity:
            return ZERO
        mark = self._broker.mark(symbol)
        price = holding.average_cost if mark is None else mark
        return holding.quantity * price * holding.multiplier

    def _profits(self, symbol: str, holding: Holding) -> tuple[Decimal, Decimal]:
        realized = holding.realized_pnl
        return realized, realized + self._value(symbol, holding) - holding.cost
