"""The only accounting: cash, positions, realised profit, fees and dividends, in Decimal.

Cost is kept as the total paid for what is held, so that opening is exact; closing a part takes the
proportional share, rounded once by `round_money`, and closing all of it takes what is left.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from execution.models import ZERO, Fill, Instrument
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
class Ledger:
    """Cash and holdings of one account, moved by fills, commissions and corporate actions only."""

    cash: Decimal = ZERO
    fees: Decimal = ZERO
    holdings: dict[str, Holding] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    dividends: Decimal = ZERO

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
        holding = self.holdings.get(fill.symbol)
        if holding is None:
            instrument = self.instruments.get(fill.symbol)
            holding = Holding(multiplier=instrument.multiplier if instrument else Decimal(1))
            self.holdings[fill.symbol] = holding
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
        if fill.commission is not None:
            self.charge(fill.commission)

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
