"""The book as it will be once the entry of a bracket has traded: what its exits are judged in."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from execution.book.portfolio import Portfolio
from execution.models import ZERO, OrderRequest, PortfolioSnapshot, Position


class AfterEntry(Portfolio):
    """A book with one order more traded in full, at no gain or loss.

    Parameters
    ----------
    book
        The book as it is.
    entry
        The order taken as traded; what it moves is valued as the position it moves.
    """

    def __init__(self, book: Portfolio, entry: OrderRequest) -> None:
        self._book = book
        self._symbol = entry.symbol
        self._moved = entry.side.sign * entry.quantity

    @property
    def cash(self) -> Decimal:
        """Cash as it is."""
        return self._book.cash

    def position(self, symbol: str) -> Decimal:
        """Return the signed quantity held of a symbol."""
        held = self._book.position(symbol)
        return held + self._moved if symbol == self._symbol else held

    def mark(self, symbol: str) -> Decimal | None:
        """Return the last known price of a symbol, or None if there is none."""
        return self._book.mark(symbol)

    def equity(self) -> Decimal:
        """Return the equity as it is: trading changes it by costs only."""
        return self._book.equity()

    def snapshot(self, now_ns: int) -> PortfolioSnapshot:
        """Value every position at its mark, the moved one in proportion to what is left of it."""
        now = self._book.snapshot(now_ns)
        return replace(now, positions=tuple(self._after(position) for position in now.positions))

    def _after(self, position: Position) -> Position:
        if position.symbol != self._symbol or not position.quantity:
            return position
        left = position.quantity + self._moved
        share = left / position.quantity if left else ZERO
        return replace(
            position,
            quantity=left,
            market_value=position.value * share,
            unrealized_pnl=position.gain * share,
        )
