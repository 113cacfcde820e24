"""What an account may owe: cash accounts and Regulation T margin, balances and the check of a new order.

1. Stocks on margin: initial requirement 50 % of the value, long or short (Federal Reserve, Regulation T, 12
   CFR 220.12); maintenance 25 % long, 30 % short (FINRA Rule 4210(c)). Futures, options and currencies by the
   simple rates of `RATES`: real ones come from the exchanges' SPAN and house models, which are not simulated.
2. Equity with loan value is cash and stocks; long options have none, short ones count against it. A futures
   position has no value of its own, its gains are in the cash (daily settlement).
3. An order is accepted if equity with loan value, less commissions and option premiums still to be paid,
   covers the initial margin of the positions that would be there after it and all other working orders of the
   account: of each contract, the dearer of all its buys filled and all its sells filled; of an OCA group, its
   largest order. Children that wait for their parent reserve nothing. An order that does not raise the
   initial margin always passes.
4. Below 2,000 USD of equity nothing may be borrowed and nothing sold short (FINRA Rule 4210(b)).
5. Buying power is twice the available funds: what Regulation T allows overnight. (Pattern day traders have
   four times intraday; it is not granted here.)
6. A cash account buys with settled cash and sells what it holds. Proceeds of stocks settle at the open of the
   first session after the trade (T+1), before 2024-05-28 of the second (T+2; SEC Rule 15c6-1).
7. Nothing is liquidated when maintenance is no longer covered, and no interest is charged.
8. Everything is taken to be in one currency.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final

from backtesting.errors import (
    INSUFFICIENT,
    MINIMUM_EQUITY,
    NO_SHORT_IN_CASH,
    REJECTED,
    BrokerRejection,
)
from backtesting.orders import WorkingOrder
from execution.book.ledger import Holding, Ledger
from execution.models import ZERO, Instrument, Side

UNCHECKED: Final = "unchecked"
CASH: Final = "cash"
MARGIN: Final = "margin"
KINDS: Final = (UNCHECKED, CASH, MARGIN)

MINIMUM: Final = Decimal(2000)
"""Equity below which nothing is lent."""
BUYING_POWER: Final = 2
"""Available funds times this is buying power."""
T_PLUS_ONE_NS: Final = 1_716_868_800_000_000_000
"""2024-05-28 00:00 New York: trades from here on settle one session later, before that two."""


@dataclass(frozen=True, slots=True)
class AccountTerms:
    """Opening cash of an account and what it may owe: ``unchecked``, ``cash`` or ``margin``.

    Raises
    ------
    ValueError
        If the kind is none of these.
    """

    cash: Decimal
    kind: str = UNCHECKED

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"account kind {self.kind!r}: use one of {', '.join(KINDS)}")


@dataclass(frozen=True, slots=True)
class Rates:
    """Share of the value of a long and a short position that is required."""

    initial_long: Decimal
    initial_short: Decimal
    maintenance_long: Decimal
    maintenance_short: Decimal


_HALF, _QUARTER = Decimal("0.50"), Decimal("0.25")
STOCK: Final = Rates(_HALF, _HALF, _QUARTER, Decimal("0.30"))
RATES: Final[Mapping[str, Rates]] = {
    "STK": STOCK,
    "FUT": Rates(Decimal("0.10"), Decimal("0.10"), Decimal("0.08"), Decimal("0.08")),
    "CASH": Rates(Decimal("0.03"), Decimal("0.03"), Decimal("0.03"), Decimal("0.03")),
    "OPT": Rates(ZERO, Decimal("0.20"), ZERO, Decimal("0.20")),
}
"""By security type; a short option's share is that of its strike, others' of the value. Stocks' for any
other."""


@dataclass(frozen=True, slots=True)
class Balance:
    """An account at the latest prices, in account currency.

    `cash` is what a statement calls total cash; `gross` the absolute value of the positions;
    `net_liquidation` cash and the value of all positions. `initial` and `maintenance` are those of the
    positions alone; `available` is equity with loan value above initial, `excess` above maintenance;
    `reserved` what working orders would add to the initial margin (of a cash account: what they may cost),
    `buying_power` what is left for stocks after it.
    """

    cash: Decimal
    settled_cash: Decimal
    net_liquidation: Decimal
    equity_with_loan: Decimal
    gross: Decimal
    initial: Decimal
    maintenance: Decimal
    reserved: Decimal
    available: Decimal
    excess: Decimal
    buying_power: Decimal


@dataclass(frozen=True, slots=True)
class MarginImpact:
    """What an order would do to an account if it were filled, beside the other working orders."""

    initial_before: Decimal
    initial_after: Decimal
    maintenance_before: Decimal
    maintenance_after: Decimal
    equity_before: Decimal
    equity_after: Decimal
    commission: Decimal

    @property
    def initial_change(self) -> Decimal:
        """Initial margin after less before."""
        return self.initial_after - self.initial_before

    @property
    def maintenance_change(self) -> Decimal:
        """Maintenance margin after less before."""
        return self.maintenance_after - self.maintenance_before

    @property
    def equity_change(self) -> Decimal:
        """Equity with loan value after less before."""
        return self.equity_after - self.equity_before


@dataclass(frozen=True, slots=True)
class Reservation:
    """What one working order would trade: signed size, price each, and commission."""

    quantity: Decimal
    price: Decimal
    commission: Decimal
    multiplier: Decimal = Decimal(1)

    @property
    def cost(self) -> Decimal:
        """What it would pay (positive) or bring in, before the commission."""
        return self.quantity * self.price * self.multiplier


@dataclass(slots=True)
class Account:
    """One account at the simulated broker: its terms, its ledger, proceeds that are not settled."""

    name: str
    terms: AccountTerms
    ledger: Ledger
    unsettled: list[tuple[int, Decimal]] = field(default_factory=list)
    month: str = ""
    month_volume: Decimal = ZERO

    def settle(self, now_ns: int) -> None:
        """Let proceeds that have settled by `now_ns` be cash."""
        if self.unsettled:
            self.unsettled = [item for item in self.unsettled if item[0] > now_ns]

    def settled(self, cash: Decimal) -> Decimal:
        """Return the part of `cash` that is settled."""
        return cash - sum((amount for _, amount in self.unsettled), ZERO)


Mark = Callable[[str], Decimal | None]
"""Latest price of a symbol, or None."""

Reservations = Mapping[str, list[Reservation]]
"""What the working orders of an account would trade, by symbol."""


def balance(account: Account, mark: Mark, working: Reservations) -> Balance:
    """Return an account's balance at the latest prices; what has none counts at its cost."""
    cash = net = account.ledger.cash
    equity = gross = initial = maintenance = ZERO
    for symbol, holding in account.ledger.holdings.items():
        if not holding.quantity:
            continue
        instrument = account.ledger.instruments[symbol]
        price = _price(symbol, holding, mark)
        value = holding.quantity * price * instrument.multiplier
        net += value
        if instrument.security_type == "FUT":
            cash += value
        elif instrument.security_type != "OPT" or value < 0:
            equity += value
        gross += abs(value)
        initial += requirement(instrument, holding.quantity, price, initial=True)
        maintenance += requirement(instrument, holding.quantity, price, initial=False)
    settled = account.settled(cash)
    if account.terms.kind == CASH:
        equity, initial, maintenance = settled, ZERO, ZERO
        reserved = cash_needed(working)
    else:
        equity += cash
        reserved = initial_margin(account, mark, working) - initial
    available = equity - initial - reserved
    return Balance(
        cash=cash,
        settled_cash=settled,
        net_liquidation=net,
        equity_with_loan=equity,
        gross=gross,
        initial=initial,
        maintenance=maintenance,
        reserved=reserved,
        available=equity - initial,
        excess=equity - maintenance,
        buying_power=max(ZERO, available * (1 if account.terms.kind == CASH else BUYING_POWER)),
    )


def requirement(instrument: Instrument, quantity: Decimal, price: Decimal, *, initial: bool) -> Decimal:
    """Return the margin of a position of signed `quantity` at `price`."""
    rates = RATES.get(instrument.security_type, STOCK)
    if quantity > 0:
        rate = rates.initial_long if initial else rates.maintenance_long
    else:
        rate = rates.initial_short if initial else rates.maintenance_short
        if instrument.security_type == "OPT" and instrument.strike is not None:
            price = instrument.strike
    return abs(quantity) * price * instrument.multiplier * rate


def initial_margin(account: Account, mark: Mark, working: Reservations, *, initial: bool = True) -> Decimal:
    """Return the margin of the positions that working orders could lead to (rule 3)."""
    total = ZERO
    holdings = account.ledger.holdings
    for symbol in holdings.keys() | working.keys():
        holding = holdings.get(symbol) or Holding()
        instrument = account.ledger.instruments[symbol]
        price = _price(symbol, holding, mark)
        outcomes = [requirement(instrument, holding.quantity, price, initial=initial)]
        wishes = working.get(symbol, ())
        for sign in (1, -1):
            wished = [wish for wish in wishes if wish.quantity * sign > 0]
            added = sum((wish.quantity for wish in wished), ZERO)
            if not added:
                continue
            paid = sum((wish.quantity * wish.price for wish in wished), ZERO) / added
            outcomes.append(_after(instrument, holding.quantity, price, added, paid, initial))
        total += max(outcomes)
    return total


def _after(
    instrument: Instrument, held: Decimal, price: Decimal, added: Decimal, paid: Decimal, initial: bool
) -> Decimal:
    after = held + added
    if held * added >= 0:  # more of the same: each part at its own price
        return requirement(instrument, held, price, initial=initial) + requirement(
            instrument, added, paid, initial=initial
        )
    return requirement(instrument, after, paid if after * added > 0 else price, initial=initial)


def cash_needed(working: Reservations) -> Decimal:
    """Return what the buys among the working orders may cost, commissions included."""
    return sum(
        (wish.cost + wish.commission for wishes in working.values() for wish in wishes if wish.quantity > 0),
        ZERO,
    )


def impact(
    account: Account, mark: Mark, before: Reservations, after: Reservations, commission: Decimal
) -> MarginImpact:
    """Return what changes for an account if its working orders become `after` instead of `before`.

    `commission` is that of the order that makes the difference.
    """
    equity = balance(account, mark, {}).equity_with_loan

    def need(orders: Reservations, *, initial: bool) -> Decimal:
        if account.terms.kind == CASH:
            return ZERO
        return initial_margin(account, mark, orders, initial=initial)

    return MarginImpact(
        initial_before=need(before, initial=True),
        initial_after=need(after, initial=True),
        maintenance_before=need(before, initial=False),
        maintenance_after=need(after, initial=False),
        equity_before=equity,
        equity_after=equity - commission,
        commission=commission,
    )


def check(
    account: Account, mark: Mark, before: Reservations, after: Reservations, order: WorkingOrder
) -> None:
    """Refuse an order that the account cannot afford.

    Parameters
    ----------
    account, mark
        The account and the latest prices.
    before, after
        What its working orders would trade without and with the order.
    order
        The order.

    Raises
    ------
    BrokerRejection
        201, in TWS's words with the figures. Nothing changed.
    """
    symbol, currency = order.request.symbol, order.instrument.currency
    sold = sum((wish.quantity for wish in after.get(symbol, ()) if wish.quantity < 0), ZERO)
    shorts = order.request.side is Side.SELL and account.ledger.position(symbol) + sold < 0
    if account.terms.kind == CASH:
        _check_cash(account, mark, after, order, shorts)
        return
    effect = impact(account, mark, before, after, ZERO)
    if effect.initial_change <= 0 and _premiums(account, after) <= _premiums(account, before):
        return
    if effect.equity_before < MINIMUM and (shorts or account.ledger.cash < cash_needed(after)):
        raise BrokerRejection(REJECTED, MINIMUM_EQUITY)
    charges = sum((wish.commission for wishes in after.values() for wish in wishes), ZERO)
    equity = effect.equity_before - charges - _premiums(account, after)
    if equity < effect.initial_after:
        raise _insufficient(equity, effect.initial_after, currency)


def _check_cash(account: Account, mark: Mark, after: Reservations, order: WorkingOrder, shorts: bool) -> None:
    if shorts:
        raise BrokerRejection(REJECTED, NO_SHORT_IN_CASH)
    settled, needed = balance(account, mark, {}).settled_cash, cash_needed(after)
    if order.request.side is Side.BUY and settled < needed:
        raise _insufficient(settled, needed, order.instrument.currency)


def _premiums(account: Account, working: Reservations) -> Decimal:
    instruments = account.ledger.instruments
    return sum(
        (
            wish.cost
            for symbol, wishes in working.items()
            if instruments[symbol].security_type == "OPT"
            for wish in wishes
            if wish.quantity > 0
        ),
        ZERO,
    )


def _insufficient(equity: Decimal, initial: Decimal, currency: str) -> BrokerRejection:
    return BrokerRejection(REJECTED, INSUFFICIENT.format(equity=equity, initial=initial, currency=currency))


def _price(symbol: str, holding: Holding, mark: Mark) -> Decimal:
    price = mark(symbol)
    return holding.average_cost if price is None else price


def largest_of_groups(
    orders: Iterable[WorkingOrder], reserve: Callable[[WorkingOrder], Reservation]
) -> dict[str, list[Reservation]]:
    """Return what working orders would trade by symbol, of each OCA group only its largest per side."""
    single: dict[str, list[Reservation]] = {}
    groups: dict[tuple[str, bool], tuple[str, Reservation]] = {}
    for order in orders:
        wish = reserve(order)
        symbol = order.request.symbol
        if order.oca_group is None:
            single.setdefault(symbol, []).append(wish)
            continue
        key = (order.oca_group, wish.quantity > 0)
        known = groups.get(key)
        if known is None or abs(wish.cost) > abs(known[1].cost):
            groups[key] = (symbol, wish)
    for symbol, wish in groups.values():
        single.setdefault(symbol, []).append(wish)
    return single
