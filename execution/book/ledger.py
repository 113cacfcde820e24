"""The only accounting: cash, positions, realised profit, fees and dividends, in Decimal.

Cost is kept as the total paid for what is held, so that opening is exact; closing a part takes the
proportional share, rounded once by `round_money`, and closing all of it takes what is left.

A ledger with a `history` keeps what moved each holding, so that a corrected execution is booked as if it had
been reported right at once: the holding is the outcome of replaying them in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from decimal import Decimal

from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.clocks import timestamp
from execution.models import ZERO, Fill, Instrument, Side
from execution.numbers import round_money


@dataclass(slots=True)
class Holding:
    """One symbol: signed quantity, its total cost (same sign), realised profit before fees."""

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    realized_pnl: Decimal = ZERO
    multiplier: Decimal = Decimal(1)

    @property
    def average_cost(self) -> Decimal:
        """Cost per unit of quantity, in price terms; zero when flat."""
        if not self.quantity:
            return ZERO
        return round_money(self.cost / (self.quantity * self.multiplier))


@dataclass(slots=True)
class History:
    """A holding as it was first, and what moved it since, in order."""

    before: Holding
    moves: list[Fill | Adjustment] = field(default_factory=list)


@dataclass(slots=True)
class Ledger:
    """Cash and holdings of one account, moved by fills, commissions and adjustments only.

    Who `watch`es is told the symbol of each holding that these moved.
    """

    cash: Decimal = ZERO
    fees: Decimal = ZERO
    holdings: dict[str, Holding] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    dividends: Decimal = ZERO
    history: dict[str, History] | None = None
    """What moved each holding, where corrections are to be booked exactly; None keeps nothing."""
    _watchers: list[Callable[[str], None]] = field(
        default_factory=list, init=False, repr=False, compare=False
    )

    def watch(self, heard: Callable[[str], None]) -> None:
        """Tell somebody the symbol of each holding that is moved from now on."""
        self._watchers.append(heard)

    def position(self, symbol: str) -> Decimal:
        """Return the signed quantity held of a symbol."""
        holding = self.holdings.get(symbol)
        return holding.quantity if holding else ZERO

    def realized(self, symbol: str) -> Decimal:
        """Return the realised profit of a symbol, before fees."""
        holding = self.holdings.get(symbol)
        return holding.realized_pnl if holding else ZERO

    @property
    def realized_pnl(self) -> Decimal:
        """Realised profit of all symbols, before fees."""
        return sum((h.realized_pnl for h in self.holdings.values()), ZERO)

    def apply(self, fill: Fill) -> None:
        """Book an execution, and its commission if it is already known."""
        if self.history is not None:
            self._history(fill.symbol).moves.append(fill)
        self._trade(fill)
        if fill.commission is not None:
            self.charge(fill.commission)

    def open(self, symbol: str, quantity: Decimal, average_cost: Decimal) -> None:
        """Set what was held of a symbol before anything else was booked."""
        instrument = self.instruments.get(symbol)
        multiplier = instrument.multiplier if instrument else Decimal(1)
        holding = Holding(quantity, quantity * average_cost, multiplier=multiplier)
        known = None if self.history is None else self.history.get(symbol)
        if known is None:
            self.holdings[symbol] = holding
        else:
            known.before = holding
            self.holdings[symbol] = self._replay(symbol, known).holdings[symbol]
        self._moved(symbol)

    def revise(self, old: Fill, new: Fill) -> None:
        """Book an execution with other figures; a new size of zero takes it back."""
        paid = (new.commission or ZERO) - (old.commission or ZERO)
        if paid:
            self.charge(paid)
        if (old.quantity, old.price) == (new.quantity, new.price):
            return
        symbol = old.symbol
        known = None if self.history is None else self.history.get(symbol)
        numbers = [n for n, move in enumerate(known.moves) if _is(move, old)] if known else []
        if known is None or not numbers:  # it moved the book before this began: the difference is traded
            self._trade(replace(old, side=Side.SELL if old.side is Side.BUY else Side.BUY))
            self._trade(new)
            return
        was = self._replay(symbol, known)
        known.moves[numbers[0]] = new
        now = self._replay(symbol, known)
        self.cash += now.cash - was.cash
        self.holdings[symbol] = now.holdings[symbol]
        self._moved(symbol)

    def adjust(self, adjustment: Adjustment) -> None:
        """Book a corporate action, or what a person accepted."""
        if adjustment.kind is AdjustmentKind.DIVIDEND:
            self.receive(adjustment.cash)
            return
        if self.history is not None:
            self._history(adjustment.symbol).moves.append(adjustment)
        self._move(adjustment)
        for symbol in filter(None, (adjustment.symbol, adjustment.new_symbol)):
            self._moved(symbol)
        if self.history is not None and adjustment.new_symbol:
            for symbol in (adjustment.symbol, adjustment.new_symbol):  # their past is one from here on
                self.history[symbol] = History(replace(self.holdings[symbol]))

    def _trade(self, fill: Fill) -> None:
        holding = self._holding(fill.symbol)
        signed = fill.quantity * fill.side.sign
        value = fill.price * holding.multiplier
        self.cash -= signed * value
        closing = min(abs(signed), abs(holding.quantity)) if signed * holding.quantity < 0 else ZERO
        if closing:
            direction = 1 if holding.quantity > 0 else -1
            share = holding.cost
            if closing != abs(holding.quantity):
                share = round_money(holding.cost * closing / abs(holding.quantity))
            holding.realized_pnl += direction * closing * value - share
            holding.cost -= share
        opening = abs(signed) - closing
        holding.cost += opening * fill.side.sign * value
        holding.quantity += signed
        self._moved(fill.symbol)

    def charge(self, commission: Decimal) -> None:
        """Book a commission: positive is paid, negative is a rebate."""
        self.cash -= commission
        self.fees += commission

    def receive(self, dividend: Decimal) -> None:
        """Book a dividend: positive is received on a long position, negative is owed on a short one."""
        self.cash += dividend
        self.dividends += dividend

    def split(self, symbol: str, new: int, old: int = 1) -> None:
        """Turn every `old` units held of a symbol into `new` ones; the total cost stays."""
        holding = self.holdings.get(symbol)
        if holding is not None:
            holding.quantity = holding.quantity * new / old
            self._moved(symbol)

    def pay_out(self, symbol: str, quantity: Decimal, price: Decimal) -> None:
        """Close a signed part of a holding at a price, as cash for a fraction is paid, without commission."""
        holding = self.holdings[symbol]
        share = holding.cost
        if quantity != holding.quantity:
            share = round_money(holding.cost * quantity / holding.quantity)
        value = round_money(quantity * price * holding.multiplier)
        self.cash += value
        holding.realized_pnl += value - share
        holding.cost -= share
        holding.quantity -= quantity
        self._moved(symbol)

    def _move(self, adjustment: Adjustment) -> None:
        holding = self._holding(adjustment.symbol)
        if adjustment.kind is AdjustmentKind.SPLIT:
            self.cash += adjustment.cash
            holding.quantity += adjustment.quantity + adjustment.fraction
            if not adjustment.fraction:
                return
            if adjustment.price is None:
                holding.quantity -= adjustment.fraction
            else:
                self.pay_out(adjustment.symbol, adjustment.fraction, adjustment.price)
        elif adjustment.kind is AdjustmentKind.SYMBOL_CHANGE:
            target = self._holding(adjustment.new_symbol)
            target.quantity -= adjustment.quantity
            target.cost += holding.cost
            holding.quantity += adjustment.quantity
            holding.cost = ZERO
        else:
            self._accept(adjustment, holding)

    def _accept(self, adjustment: Adjustment, holding: Holding) -> None:
        """Take over a position; cash moves only as it is told."""
        cash = self.cash + adjustment.cash
        if adjustment.quantity:
            price = holding.average_cost if adjustment.price is None else adjustment.price
            side = Side.BUY if adjustment.quantity > 0 else Side.SELL
            moment = timestamp(adjustment.time)
            self._trade(Fill("", "", adjustment.symbol, abs(adjustment.quantity), price, side, moment))
        self.cash = cash

    def _moved(self, symbol: str) -> None:
        for heard in self._watchers:
            heard(symbol)

    def _holding(self, symbol: str) -> Holding:
        holding = self.holdings.get(symbol)
        if holding is None:
            instrument = self.instruments.get(symbol)
            holding = Holding(multiplier=instrument.multiplier if instrument else Decimal(1))
            self.holdings[symbol] = holding
        return holding

    def _history(self, symbol: str) -> History:
        history = self.history
        assert history is not None  # noqa: S101 - asked for only where one is kept
        if symbol not in history:
            history[symbol] = History(replace(self._holding(symbol)))
        return history[symbol]

    def _replay(self, symbol: str, known: History) -> Ledger:
        again = Ledger(instruments=self.instruments)
        again.holdings[symbol] = replace(known.before)
        for move in known.moves:
            if isinstance(move, Fill):
                again._trade(move)
            else:
                again._move(move)
        return again


def _is(move: Fill | Adjustment, fill: Fill) -> bool:
    return isinstance(move, Fill) and move.fill_id == fill.fill_id
