"""Accounts in the messages of the wire: holdings, values, profit."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from decimal import Decimal
from typing import Final

from backtesting.gateway.desks.account_values import BASE, CURRENCY, LEDGER_TAGS, AccountValues, Values
from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.wire import replies
from execution.models import ZERO, Instrument

Held = tuple[Decimal, Decimal]
"""Quantity and average cost in price terms times the multiplier."""

_NOT_HELD: Final[Held] = (ZERO, ZERO)


class AccountBook:
    """Encodes what the accounts of a login hold and are worth.

    Parameters
    ----------
    book
        Orders and executions.
    now_ns
        Simulated time.
    """

    def __init__(self, book: OrderBook, now_ns: int) -> None:
        self._book = book
        self.values = AccountValues(book, now_ns)

    @property
    def accounts(self) -> tuple[str, ...]:
        """The accounts of the login, in the order they were configured."""
        return tuple(self.values.ledgers)

    def held(self, account: str, symbol: str) -> Held:
        """Return an account's quantity of a symbol and its average cost."""
        holding = self.values.ledgers[account].holdings.get(symbol)
        if holding is None or not holding.quantity:
            return _NOT_HELD
        return holding.quantity, holding.average_cost * holding.multiplier

    def holdings(self, account: str, now_ns: int) -> Iterator[tuple[Instrument, Held]]:
        """Yield what an account holds in symbol order, with a zero for what it traded today and sold out."""
        traded = {
            execution.ticket.instrument.symbol
            for execution in self._book.executions_today(now_ns)
            if execution.ticket.account == account
        }
        for symbol, holding in sorted(self.values.ledgers[account].holdings.items()):
            if holding.quantity or symbol in traded:
                yield self._book.instruments[symbol], self.held(account, symbol)

    def position(self, account: str, symbol: str) -> bytes:
        """Encode a holding (61)."""
        return replies.position(account, self._book.instruments[symbol], *self.held(account, symbol))

    def position_multi(self, request_id: int, account: str, symbol: str) -> bytes:
        """Encode a holding under a request id (71)."""
        instrument = self._book.instruments[symbol]
        return replies.position_multi(request_id, account, instrument, *self.held(account, symbol))

    def portfolio(self, account: str, symbol: str, now_ns: int) -> bytes:
        """Encode a holding with its value (7)."""
        instrument = self._book.instruments[symbol]
        quantity, cost = self.held(account, symbol)
        day = self.values.day
        profit = day.of_holding(account, symbol, now_ns)
        return replies.portfolio_value(
            account,
            instrument,
            quantity,
            day.mark(account, instrument),
            cost,
            profit.unrealized if profit else ZERO,
            profit.realized if profit else ZERO,
        )

    def update(self, account: str, values: Values) -> Iterator[bytes]:
        """Encode values of account updates (6) in alphabetical order."""
        for (tag, currency), text in sorted(values.items()):
            yield replies.account_value(account, tag, text, currency)

    def multi(self, request_id: int, account: str, values: Values) -> Iterator[bytes]:
        """Encode values under a request id (73)."""
        for (tag, currency), text in sorted(values.items()):
            yield replies.account_update_multi(request_id, account, tag, text, currency)

    def summary(self, request_id: int, account: str, values: Values) -> Iterator[bytes]:
        """Encode values of a summary (63) in alphabetical order, whatever the order of the tags."""
        for (tag, currency), text in sorted(values.items()):
            yield replies.account_summary(request_id, account, tag, text, currency)

    def every_value(self, account: str, now_ns: int) -> Values:
        """Return what account updates tell: every value, and the account itself."""
        return {
            **self.values.all(account, now_ns),
            ("AccountCode", ""): account,
            ("AccountOrGroup", BASE): account,
            ("AccountOrGroup", CURRENCY): account,
            ("AccountReady", ""): "true",
        }

    def ledger_and_net(self, account: str, now_ns: int) -> Values:
        """Return the values of the ledger, and net liquidation."""
        values = self.values.all(account, now_ns)
        return {
            key: text for key, text in values.items() if key[0] in LEDGER_TAGS or key[0] == "NetLiquidation"
        }

    def summary_values(self, account: str, tags: Collection[str], now_ns: int) -> Values:
        """Return the values a summary asked for: ``$LEDGER`` is the base, ``$LEDGER:ALL`` every currency."""
        currencies: set[str] = set()
        for tag in tags:
            if tag == "$LEDGER":
                currencies.add(BASE)
            elif tag == "$LEDGER:ALL":
                currencies |= {BASE, CURRENCY}
            elif tag.startswith("$LEDGER:"):
                currencies.add(tag.removeprefix("$LEDGER:"))
        return {
            (tag, currency): text
            for (tag, currency), text in self.values.all(account, now_ns).items()
            if (currency in currencies if tag in LEDGER_TAGS else tag in tags)
        }

    def profit(self, request_id: int, account: str, now_ns: int) -> bytes:
        """Encode the profit of an account (94): of the day, open, realised."""
        return replies.pnl(request_id, *self.values.day.of_account(account, now_ns))

    def profit_single(self, request_id: int, account: str, symbol: str, now_ns: int) -> bytes:
        """Encode the profit of a holding (95); unset where the account never held it."""
        profit = self.values.day.of_holding(account, symbol, now_ns)
        if profit is None:
            return replies.pnl_single(request_id, ZERO, None, None, None, None)
        return replies.pnl_single(request_id, *profit)
