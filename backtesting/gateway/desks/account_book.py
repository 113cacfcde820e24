"""What the account is worth, in the messages of the wire."""

from __future__ import annotations

from collections.abc import Callable, Collection
from decimal import Decimal
from typing import Final

from backtesting.gateway.desks.book import OrderBook
from backtesting.gateway.wire import replies
from backtesting.gateway.wire.codec import message, moment, money, number
from execution.models import ZERO, Instrument

_CURRENCY: Final = "USD"

_VALUES: Final[dict[str, Callable[[Decimal, Decimal, Decimal], Decimal]]] = {
    "AvailableFunds": lambda cash, _net, _gross: cash,
    "BuyingPower": lambda cash, _net, _gross: max(cash, ZERO),
    "EquityWithLoanValue": lambda _cash, net, _gross: net,
    "ExcessLiquidity": lambda cash, _net, _gross: cash,
    "GrossPositionValue": lambda _cash, _net, gross: gross,
    "NetLiquidation": lambda _cash, net, _gross: net,
    "SettledCash": lambda cash, _net, _gross: cash,
    "TotalCashValue": lambda cash, _net, _gross: cash,
}
"""Account values by tag, from cash, net liquidation and gross position value: a cash account."""

_LEDGER: Final = ("CashBalance", "NetLiquidationByCurrency", "RealizedPnL", "UnrealizedPnL")


class AccountBook:
    """Values and holdings of the one account."""

    def __init__(self, desk: OrderBook) -> None:
        self._desk = desk
        self.account = desk.account

    def mark(self, instrument: Instrument) -> Decimal:
        """Return the last close, or the average cost before the first bar."""
        known = self._desk.broker.mark(instrument.symbol)
        holding = self._desk.broker.ledger.holdings.get(instrument.symbol)
        return known if known is not None else (holding.average_cost if holding else ZERO)

    def values(self) -> dict[str, Decimal]:
        """Return the account's values by tag, in alphabetical order."""
        ledger = self._desk.broker.ledger
        net, gross = ledger.cash, ZERO
        for symbol, holding in ledger.holdings.items():
            instrument = self._desk.instruments[symbol]
            value = holding.quantity * self.mark(instrument) * instrument.multiplier
            net += value
            gross += abs(value)
        return {tag: rule(ledger.cash, net, gross) for tag, rule in _VALUES.items()}

    def ledger_values(self) -> dict[str, Decimal]:
        """Return the values of the base currency's ledger."""
        ledger = self._desk.broker.ledger
        net = self.values()["NetLiquidation"]
        cost = sum((holding.cost for holding in ledger.holdings.values()), ZERO)
        return dict(
            zip(_LEDGER, (ledger.cash, net, ledger.realized_pnl, net - ledger.cash - cost), strict=True)
        )

    def positions(self, now_ns: int, symbols: Collection[str] | None = None) -> list[bytes]:
        """Encode holdings (61), with a zero row for what was traded today and is flat."""
        traded = {e.ticket.instrument.symbol for e in self._desk.executions_today(now_ns)}
        rows = []
        for symbol, holding in sorted(self._desk.broker.ledger.holdings.items()):
            held = bool(holding.quantity) or symbol in traded
            if held if symbols is None else symbol in symbols:
                instrument = self._desk.instruments[symbol]
                cost = holding.average_cost * instrument.multiplier
                rows.append(replies.position(self.account, instrument, holding.quantity, cost))
        return rows

    def updates(self, now_ns: int, symbols: Collection[str] | None = None) -> list[bytes]:
        """Encode values (6), holdings (7) and the time (8) as account updates send them."""
        rows = [message(6, 2, "AccountCode", self.account, "", self.account)] if symbols is None else []
        values = {**self.values(), **self.ledger_values()}
        rows += [message(6, 2, tag, money(v), _CURRENCY, self.account) for tag, v in sorted(values.items())]
        for symbol, holding in sorted(self._desk.broker.ledger.holdings.items()):
            if (symbol in symbols) if symbols is not None else holding.quantity:
                instrument = self._desk.instruments[symbol]
                mark = self.mark(instrument)
                value = holding.quantity * mark * instrument.multiplier
                cost = holding.average_cost * instrument.multiplier
                rows.append(
                    replies.portfolio_value(
                        self.account,
                        instrument,
                        holding.quantity,
                        mark,
                        cost,
                        value - holding.cost,
                        holding.realized_pnl,
                    )
                )
        rows.append(message(8, 1, moment(now_ns).strftime("%H:%M")))
        return rows

    def multi(self, request_id: int) -> list[bytes]:
        """Encode values under a request id (73)."""
        values = {**self.values(), **self.ledger_values()}
        head = (73, 1, request_id, self.account, "")
        rows = [message(*head, "Currency", _CURRENCY, _CURRENCY)]
        return rows + [message(*head, tag, money(v), _CURRENCY) for tag, v in sorted(values.items())]

    def summary(self, request_id: int, tags: str) -> list[bytes]:
        """Encode the values asked for (63) in alphabetical order, whatever the order of the tags."""
        wanted = {tag.strip() for tag in tags.split(",")}
        rows: dict[str, tuple[str, str]] = {}
        if "AccountType" in wanted:
            rows["AccountType"] = ("INDIVIDUAL", "")
        for tag, value in self.values().items():
            if tag in wanted:
                rows[tag] = (money(value), _CURRENCY)
        if any(tag.startswith("$LEDGER") for tag in wanted):
            for tag, value in self.ledger_values().items():
                rows[tag] = (number(value), _CURRENCY)
        return [message(63, 1, request_id, self.account, tag, *row) for tag, row in sorted(rows.items())]
