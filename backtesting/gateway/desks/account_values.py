"""What the accounts are worth, by the tags of account values.

Everything is derived from the broker's ledgers and last prices. The simulation has one currency, pays no
interest and settles at once, so accrued cash is zero and settled cash is cash; day trades are not restricted
(-1, as TWS says it); nothing expires or changes margin overnight, so the full and look-ahead requirements are
the current ones. What it does not know, such as SMA, is left out.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.desks.day_profit import DayProfit
from backtesting.gateway.wire.codec import money
from backtesting.margin import Balance
from execution.models import ZERO

CURRENCY: Final = "USD"
BASE: Final = "BASE"

_CENTS: Final = Decimal("0.01")
_SHARES: Final = Decimal("0.0001")
_LARGEST_BUYING_POWER: Final = Decimal("1E+15")

Values = dict[tuple[str, str], str]
"""Texts by tag and currency."""


class AccountValues:
    """Values of every account of the login.

    Parameters
    ----------
    book
        Orders over the simulated broker whose accounts these are.
    now_ns
        Simulated time.
    """

    def __init__(self, book: OrderBook, now_ns: int) -> None:
        self._book = book
        # The broker's only account may be without a name; on the wire it has the login's.
        self._keys = {key or book.account: key for key in book.broker.ledgers}
        self.ledgers = {name: book.broker.ledgers[key] for name, key in self._keys.items()}
        """By account, in the order of the login."""
        self.day = DayProfit(self.ledgers, book.broker, book.sessions, now_ns)
        self._known: dict[str, Values] = {}

    def fresh(self) -> None:
        """Forget the values of the moment before."""
        self._known.clear()

    def all(self, account: str, now_ns: int) -> Values:
        """Return every value of an account; the same until `fresh` is called."""
        known = self._known.get(account)
        if known is None:
            balance = self._book.broker.balance(self._keys[account], now_ns)
            known = self._known[account] = {
                **self._margin_values(account, balance, now_ns),
                **self._ledger_values(account, balance, now_ns),
            }
        return known

    def _margin_values(self, account: str, balance: Balance, now_ns: int) -> Values:
        net = balance.net_liquidation
        amounts = {
            "AccruedCash": ZERO,
            "AvailableFunds": balance.available,
            "BuyingPower": min(max(balance.buying_power, ZERO), _LARGEST_BUYING_POWER),
            "EquityWithLoanValue": balance.equity_with_loan,
            "ExcessLiquidity": balance.excess,
            "FullAvailableFunds": balance.available,
            "FullExcessLiquidity": balance.excess,
            "FullInitMarginReq": balance.initial,
            "FullMaintMarginReq": balance.maintenance,
            "GrossPositionValue": balance.gross,
            "InitMarginReq": balance.initial,
            "LookAheadAvailableFunds": balance.available,
            "LookAheadExcessLiquidity": balance.excess,
            "LookAheadInitMarginReq": balance.initial,
            "LookAheadMaintMarginReq": balance.maintenance,
            "MaintMarginReq": balance.maintenance,
            "NetLiquidation": net,
            "PreviousDayEquityWithLoanValue": self.day.previous_equity(account, now_ns),
            "RegTEquity": balance.equity_with_loan,
            "RegTMargin": balance.initial,
            "SettledCash": balance.settled_cash,
            "TotalCashValue": balance.cash,
        }
        values: Values = {(tag, CURRENCY): money(amount) for tag, amount in amounts.items()}
        values["AccountType", ""] = "INDIVIDUAL"
        values["DayTradesRemaining", ""] = "-1"
        for day in range(1, 5):
            values[f"DayTradesRemainingT+{day}", ""] = "-1"
        values["HighestSeverity", ""] = "0"
        values["LookAheadNextChange", ""] = "0"
        if net > 0:
            values["Cushion", ""] = str((balance.excess / net).quantize(_SHARES))
            values["Leverage", ""] = str((balance.gross / net).quantize(_CENTS))
        return values

    def _ledger_values(self, account: str, balance: Balance, now_ns: int) -> Values:
        profit = self.day.of_account(account, now_ns)
        held = {"STK": ZERO, "OPT": ZERO}
        for symbol, holding in self.ledgers[account].holdings.items():
            instrument = self._book.instruments[symbol]
            if holding.quantity and instrument.security_type in held:
                mark = self.day.mark(account, instrument)
                held[instrument.security_type] += holding.quantity * mark * instrument.multiplier
        amounts = {
            "CashBalance": balance.cash,
            "ExchangeRate": Decimal(1),
            "NetLiquidationByCurrency": balance.net_liquidation,
            "OptionMarketValue": held["OPT"],
            "RealizedPnL": profit.realized,
            "StockMarketValue": held["STK"],
            "TotalCashBalance": balance.cash,
            "UnrealizedPnL": profit.unrealized,
        }
        texts = {tag: money(amount) for tag, amount in amounts.items()}
        values: Values = {}
        for currency in (BASE, CURRENCY):
            values.update({(tag, currency): text for tag, text in texts.items()})
            values["Currency", currency] = currency
            values["RealCurrency", currency] = CURRENCY
        return values


LEDGER_TAGS: Final = frozenset(
    (
        *("CashBalance", "Currency", "ExchangeRate", "NetLiquidationByCurrency"),
        *("OptionMarketValue", "RealCurrency", "RealizedPnL", "StockMarketValue", "TotalCashBalance"),
        "UnrealizedPnL",
    )
)
"""Values that are told for the currency and for the base."""
