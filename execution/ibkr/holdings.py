"""Positions and account figures as TWS tells them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from execution.errors import NumberFormatError
from execution.ibkr.contract_book import ContractBook
from execution.models import ZERO
from execution.numbers import parse_wire_decimal, round_money

SUMMARY_TAGS = "NetLiquidation,TotalCashValue"
_NO_ID = ("", "0")
_CURRENCY = 6
"""Place of the currency in a row."""


@dataclass(frozen=True, slots=True)
class BrokerPosition:
    """A position as the broker reports it, under our symbol (see `ContractBook.symbol_of`).

    `average_cost` is what was paid for one contract, so of a future or option it includes the multiplier.
    `is_ours` is false for a contract that no instrument was given for, other than a US stock.
    """

    account: str
    symbol: str
    quantity: Decimal
    average_cost: Decimal
    security_type: str = "STK"
    multiplier: Decimal = Decimal(1)
    is_ours: bool = True

    @property
    def average_price(self) -> Decimal:
        """Average cost in price terms, as orders and fills have it."""
        return round_money(self.average_cost / self.multiplier)


@dataclass(frozen=True, slots=True)
class BrokerValue:
    """What a position is worth to the broker, in the contract's currency; None where it has no price."""

    account: str
    symbol: str
    security_type: str
    quantity: Decimal
    market_value: Decimal | None
    unrealized_pnl: Decimal | None


def read_values(rows: Sequence[list[str]], contracts: ContractBook) -> list[BrokerValue]:
    """Read the rows of an account's portfolio (message 7).

    Without market data TWS gives a share the price 0, and a gain as if it were lost: both are unknown then.

    Raises
    ------
    NumberFormatError
        If a number in one cannot be read.
    """
    found = []
    for row in rows:
        quantity = parse_wire_decimal(row[13], name="position") or ZERO
        price = parse_wire_decimal(row[14], name="market price")
        value = parse_wire_decimal(row[15], name="market value")
        gain = parse_wire_decimal(row[17], name="unrealised profit")
        if price is None or value is None or (quantity and not price and row[4] == "STK"):
            value = gain = None
        found.append(BrokerValue(row[19], contracts.symbol_in(row, 2), row[4], quantity, value, gain))
    return found


def read_positions(rows: Sequence[list[str]], contracts: ContractBook) -> list[BrokerPosition]:
    """Read the rows of a list of positions (message 61); rows of zero are left out.

    TWS goes on to tell what moves while it lists: the last row of a contract in an account counts.

    Raises
    ------
    NumberFormatError
        If a number in one cannot be read.
    """
    found = []
    # By account and contract id; rows without an id are told apart by their places.
    newest = {
        (row[2], row[3] if row[3] not in _NO_ID else str(-place)): row for place, row in enumerate(rows)
    }
    for row in newest.values():
        quantity = parse_wire_decimal(row[14], name="position")
        if quantity:
            cost = parse_wire_decimal(row[15], name="average cost") or ZERO
            multiplier = parse_wire_decimal(row[9], name="multiplier") or Decimal(1)
            symbol = contracts.symbol_in(row, 3)
            ours = symbol == row[4] or symbol in contracts.instruments
            found.append(BrokerPosition(row[2], symbol, quantity, cost, row[5], multiplier, ours))
    return found


def read_summary(rows: Sequence[list[str]], account: str | None) -> dict[str, Decimal]:
    """Read the rows of an account summary (message 63), of one account or of all of them together.

    Raises
    ------
    NumberFormatError
        If a figure cannot be read, or accounts in different currencies would have to be added up.
    """
    told: dict[tuple[str, str], Decimal] = {}
    currencies: dict[str, str] = {}
    for row in rows:
        holder, tag, value = row[3], row[4], parse_wire_decimal(row[5], name=row[4])
        if account not in (None, holder) or value is None:
            continue
        currency = row[6] if len(row) > _CURRENCY else ""
        if currencies.setdefault(tag, currency) != currency:
            raise NumberFormatError(
                f"{tag}: figures in {currencies[tag]} and {currency} are not added up; name one account"
            )
        told[holder, tag] = value
    totals: dict[str, Decimal] = {}
    for (_, tag), value in told.items():
        totals[tag] = totals.get(tag, ZERO) + value
    return totals
