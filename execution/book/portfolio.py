"""A ledger plus marks: what the book is worth."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from decimal import Decimal

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.book.ledger import Holding, Ledger
from execution.clocks import timestamp
from execution.models import ZERO, PortfolioSnapshot, Position
from execution.numbers import ARITHMETIC, reckoned, round_money


class Portfolio(ABC):
    """What strategies and risk may ask of the book."""

    @property
    @abstractmethod
    def cash(self) -> Decimal:
        """Cash in account currency."""

    @abstractmethod
    def position(self, symbol: str) -> Decimal:
        """Return the signed quantity held of a symbol."""

    @abstractmethod
    def mark(self, symbol: str) -> Decimal | None:
        """Return the last known price of a symbol, or None if there is none."""

    @abstractmethod
    def equity(self) -> Decimal:
        """Return cash plus the value of all positions at their marks."""

    @abstractmethod
    def snapshot(self, now_ns: int) -> PortfolioSnapshot:
        """Value every position at its mark."""

    def market_values(self, now_ns: int) -> dict[str, Decimal]:
        """Return the value of each position that is not flat, as `snapshot` has it."""
        return {position.symbol: position.value for position in self.snapshot(now_ns).positions}

    def market_value(self, symbol: str, now_ns: int) -> Decimal:
        """Return the value of one position, as `market_values` has it; zero if it is flat."""
        return self.market_values(now_ns).get(symbol, ZERO)

    def watch(self, heard: Callable[[str], None]) -> bool:  # noqa: ARG002  one that can tell does
        """Tell somebody each symbol whose position or mark changes; return whether this book can."""
        return False


class LedgerPortfolio(Portfolio):
    """The book of one ledger, valued at the last completed bars."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._marks: dict[str, Decimal] = {}
        self._watchers: list[Callable[[str], None]] = []

    @property
    def cash(self) -> Decimal:
        """Cash in account currency."""
        return self.ledger.cash

    def position(self, symbol: str) -> Decimal:
        """Return the signed quantity held of a symbol."""
        return self.ledger.position(symbol)

    def mark(self, symbol: str) -> Decimal | None:
        """Return the last known price of a symbol, or None if there is none."""
        return self._marks.get(symbol)

    def set_mark(self, symbol: str, price: float) -> None:
        """Take a bar's close as the symbol's price (already rounded to the tick)."""
        self._marks[symbol] = Decimal(repr(price))
        self._marked(symbol)

    def watch(self, heard: Callable[[str], None]) -> bool:
        """Tell somebody each symbol whose position or mark changes."""
        self._watchers.append(heard)
        self.ledger.watch(heard)
        return True

    @reckoned
    def adjust(self, adjustment: Adjustment) -> None:
        """Book an adjustment; marks follow a split or a new symbol until the next bar sets them."""
        symbol = adjustment.symbol
        before = self.ledger.position(symbol)
        self.ledger.adjust(adjustment)
        mark = self._marks.get(symbol)
        if mark is None:
            return
        if adjustment.kind is AdjustmentKind.SYMBOL_CHANGE:
            self._marks.setdefault(adjustment.new_symbol, mark)
            self._marked(adjustment.new_symbol)
        elif adjustment.kind is AdjustmentKind.SPLIT and before:
            units = before + adjustment.quantity + adjustment.fraction
            self._marks[symbol] = round_money(mark * before / units)
            self._marked(symbol)

    def _marked(self, symbol: str) -> None:
        for heard in self._watchers:
            heard(symbol)

    @reckoned
    def equity(self) -> Decimal:
        """Return cash plus the value of all positions at their marks (at cost where there is no mark yet)."""
        total = self.ledger.cash
        for symbol, holding in self.ledger.holdings.items():
            if holding.quantity:
                total += self._value(symbol, holding)
        return total

    def market_values(self, now_ns: int) -> dict[str, Decimal]:  # noqa: ARG002  marks are those of now
        """Return the value of each position that is not flat, at its mark, or at cost while there is none."""
        held = ((symbol, one) for symbol, one in self.ledger.holdings.items() if one.quantity)
        return {symbol: self._value(symbol, holding) for symbol, holding in held}

    def market_value(self, symbol: str, now_ns: int) -> Decimal:  # noqa: ARG002  marks are those of now
        """Return the value of one position, as `market_values` has it; zero if it is flat."""
        holding = self.ledger.holdings.get(symbol)
        return self._value(symbol, holding) if holding is not None and holding.quantity else ZERO

    def _value(self, symbol: str, holding: Holding) -> Decimal:
        mark = self._marks.get(symbol)
        if mark is None:
            return holding.cost
        return ARITHMETIC.multiply(ARITHMETIC.multiply(holding.quantity, mark), holding.multiplier)

    @reckoned
    def snapshot(self, now_ns: int) -> PortfolioSnapshot:
        """Value every position at its mark; positions are sorted by symbol, flat ones left out."""
        moment = timestamp(now_ns)
        positions = []
        unrealized = gross = ZERO
        equity = self.ledger.cash
        for symbol in sorted(self.ledger.holdings):
            holding = self.ledger.holdings[symbol]
            if not holding.quantity:
                continue
            value = self._value(symbol, holding)
            gain = value - holding.cost
            positions.append(Position(symbol, holding.quantity, holding.average_cost, value, gain, moment))
            equity += value
            unrealized += gain
            gross += abs(value)
        return PortfolioSnapshot(
            timestamp=moment,
            cash=self.ledger.cash,
            equity=equity,
            unrealized_pnl=unrealized,
            realized_pnl=self.ledger.realized_pnl,
            fees=self.ledger.fees,
            gross_exposure=gross,
            positions=tuple(positions),
        )
