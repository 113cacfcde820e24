"""The executions of each account, so that one can be corrected or taken back exactly.

A holding is the outcome of its executions in order, so a changed one is booked by replaying them: from the
holding as it was before the first execution on record, through all of them as they are now. Cash, cost and
realised profit come out as if the execution had been reported right at once. Commissions stay as charged on a
correction and are given back on a bust. What is settled (`settle_before`, or a corporate action) can no
longer be changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal

from execution.book.ledger import Holding, Ledger
from execution.clocks import timestamp
from execution.models import ZERO, Fill, Side

Key = tuple[str, str]
"""Account and symbol."""

Booked = tuple[int, int, int, Decimal, Decimal, Decimal, int]
"""An execution: order's number, number within it, sign, quantity, price, commission, time in nanoseconds.

A plain tuple of numbers: a run keeps very many, and the garbage collector need not look at them.
"""


class Bookings:
    """Executions by account and symbol, in order, over the holding before them."""

    def __init__(self) -> None:
        self._before: dict[Key, Holding] = {}
        self._booked: dict[Key, list[Booked]] = {}

    def add(self, account: str, symbol: str, booked: Booked) -> None:
        """Note an execution that has been booked in the account's ledger."""
        self._booked.setdefault((account, symbol), []).append(booked)

    def find(self, key: Key, perm_id: int, number: int) -> Booked | None:
        """Return an execution on record, or None."""
        booked = self._booked.get(key, ())
        return next((one for one in booked if one[:2] == (perm_id, number)), None)

    def rebook(self, key: Key, ledger: Ledger, old: Booked, new: Booked | None) -> Decimal | None:
        """Replace an execution by another, or by none, and book the holding anew.

        Returns the profit that the new one realised, or None if it closed nothing.
        """
        booked, symbol = self._booked[key], key[1]
        was = self._replay(key, ledger, booked)
        place = booked.index(old)
        booked[place : place + 1] = [] if new is None else [new]
        now = self._replay(key, ledger, booked)
        ledger.holdings[symbol] = now.holdings[symbol]
        ledger.cash += now.cash - was.cash
        if new is None:
            ledger.charge(-old[5])
            return None
        before = self._replay(key, ledger, booked[:place])
        if before.position(symbol) * new[2] >= 0:
            return None
        return self._replay(key, ledger, booked[: place + 1]).realized_pnl - before.realized_pnl

    def settle_before(self, before_ns: int, ledgers: Mapping[str, Ledger]) -> None:
        """Let executions before a moment be final."""
        for key, booked in list(self._booked.items()):
            final = [one for one in booked if one[6] < before_ns]
            if final:
                account, symbol = key
                self._before[key] = self._replay(key, ledgers[account], final).holdings[symbol]
                self._booked[key] = [one for one in booked if one[6] >= before_ns]

    def settle(self, symbol: str, ledgers: Mapping[str, Ledger]) -> None:
        """Let everything in a symbol be final, with the holdings of the ledgers as they are."""
        for account, ledger in ledgers.items():
            self._booked.pop((account, symbol), None)
            holding = ledger.holdings.get(symbol)
            if holding is not None:
                self._before[account, symbol] = replace(holding)

    def _replay(self, key: Key, ledger: Ledger, booked: Sequence[Booked]) -> Ledger:
        before, symbol = self._before.get(key), key[1]
        multiplier = ledger.holdings[symbol].multiplier
        again = Ledger(cash=ZERO, instruments=ledger.instruments)
        again.holdings[symbol] = Holding(multiplier=multiplier) if before is None else replace(before)
        for perm_id, number, sign, quantity, price, _fee, time_ns in booked:
            side = Side.BUY if sign > 0 else Side.SELL
            fill_id = f"{perm_id}-{number}"
            again.apply(Fill(fill_id, str(perm_id), symbol, quantity, price, side, timestamp(time_ns)))
        return again
