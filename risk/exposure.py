"""What the book could come to at worst, kept as the book changes, so that asking costs the same however wide.

Open orders of one side of a symbol all trade and those of the other do not, so its position ends somewhere
between *position minus open sells* and *position plus open buys*; the worse end counts. The book's figure is
the sum over its symbols.

1. What is reserved, given back, executed, adjusted or marked makes the figures of its symbol stale.
2. Whoever asks has the stale ones taken anew; the sum moves by the difference, in Decimals that are never
   rounded, so that it equals a recomputation over all symbols at any time (`recomputed`).

A book that cannot tell what changes is recomputed each time it is asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Context, Decimal
from typing import NamedTuple

from execution.book.portfolio import Portfolio
from execution.models import ZERO, Side
from risk.reservations import Reservations

_EXACT = Context(prec=120)
_ONE = Decimal(1)


def usable(mark: Decimal | None) -> Decimal | None:
    """Return a price, or None if it is none that anything can be valued at."""
    return mark if mark is not None and mark.is_finite() and mark > 0 else None


class SymbolExposure(NamedTuple):
    """Values in one symbol: what is held (signed), and what open orders may still buy and sell."""

    held: Decimal = ZERO
    buying: Decimal = ZERO
    selling: Decimal = ZERO

    def worst(self, bought: Decimal = ZERO, sold: Decimal = ZERO) -> Decimal:
        """Return the larger absolute value of both ends, with so much more bought and sold."""
        high = _EXACT.add(self.held, _EXACT.add(self.buying, bought)).copy_abs()
        low = _EXACT.subtract(self.held, _EXACT.add(self.selling, sold)).copy_abs()
        return high if high >= low else low


_UNKNOWN = (SymbolExposure(), ZERO)


class Exposures:
    """Worst cases by symbol and in total.

    Parameters
    ----------
    portfolio, reservations
        What is held, and what open orders may still trade.
    multipliers
        Contract multipliers by symbol; a symbol left out has 1.
    """

    def __init__(
        self, portfolio: Portfolio, reservations: Reservations, multipliers: Mapping[str, Decimal]
    ) -> None:
        self._portfolio = portfolio
        self._reservations = reservations
        self._multipliers = multipliers
        self._known: dict[str, tuple[SymbolExposure, Decimal]] = {}
        self._total = ZERO
        self._stale: set[str] = set()
        self._begun = False
        self._is_told = portfolio.watch(self._stale.add)
        if self._is_told:
            reservations.watch(self._stale.add)

    def of(self, symbol: str, now_ns: int) -> tuple[SymbolExposure, Decimal]:
        """Return what one symbol could come to, and the worse end of it."""
        if not self._is_told:
            now = self._taken(symbol, now_ns)
            return now, now.worst()
        if not self._begun:
            self._begin(now_ns)
        if symbol in self._stale:
            self._settle(symbol, now_ns)
        return self._known.get(symbol, _UNKNOWN)

    def gross(self, now_ns: int) -> Decimal:
        """Return what the book could come to: each symbol's worse end, summed."""
        if not self._is_told:
            return self.recomputed(now_ns)
        if not self._begun:
            self._begin(now_ns)
        while self._stale:
            self._settle(next(iter(self._stale)), now_ns)
        return self._total

    def recomputed(self, now_ns: int) -> Decimal:
        """Return the same from nothing but the book and the open orders as they are."""
        total = ZERO
        for symbol in self._symbols(now_ns):
            total = _EXACT.add(total, self._taken(symbol, now_ns).worst())
        return total

    def open_value(self, symbol: str, side: Side) -> Decimal:
        """Return the value of a side's open orders: buys at the mark if that is higher, sells at it."""
        waiting = self._reservations.side(symbol, side)
        if not waiting.orders:
            return ZERO
        mark = usable(self._portfolio.mark(symbol))
        value = waiting.value
        if mark is not None:
            at_mark = _EXACT.multiply(waiting.quantity, mark)
            value = max(value, at_mark) if side is Side.BUY else at_mark
        return _EXACT.multiply(value, self._multipliers.get(symbol, _ONE))

    def _symbols(self, now_ns: int) -> set[str]:
        return {*self._portfolio.market_values(now_ns), *self._reservations.symbols}

    def _taken(self, symbol: str, now_ns: int) -> SymbolExposure:
        return SymbolExposure(
            self._portfolio.market_value(symbol, now_ns),
            self.open_value(symbol, Side.BUY),
            self.open_value(symbol, Side.SELL),
        )

    def _begin(self, now_ns: int) -> None:
        """Take what was there before anybody asked; until then nothing is known."""
        self._stale |= self._symbols(now_ns)
        self._begun = True

    def _settle(self, symbol: str, now_ns: int) -> None:
        """Take a symbol's figures anew; one that cannot be valued stays stale, and whoever asks is told."""
        now = self._taken(symbol, now_ns)
        worst = now.worst()
        before = self._known.get(symbol, _UNKNOWN)[1]
        if worst:
            self._known[symbol] = now, worst
        else:
            self._known.pop(symbol, None)
        if self._total.is_finite():
            self._total = _EXACT.add(self._total, _EXACT.subtract(worst, before))
        else:  # a mark beyond all bounds is taken back by no difference
            self._total = ZERO
            for _, one in self._known.values():
                self._total = _EXACT.add(self._total, one)
        self._stale.discard(symbol)
