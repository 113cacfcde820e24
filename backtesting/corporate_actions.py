"""Splits and dividends: what they do to positions and to open orders.

1. A split multiplies a position; its cost stays. What is not a whole lot afterwards is paid out at the price
   after the split, as if it had been sold there, without commission.
2. Interactive Brokers cancels open orders on a split, forward or reverse, and does not reduce them for
   dividends (Trader Workstation users' guide, "Time in Force for Orders"). That is the rule here.
3. Where orders are to be adjusted instead, FINRA Rule 5330 is followed. A forward split multiplies what is
   left of an order, rounded down to a lot, and divides its prices: buy limits and sell stops rounded down to
   a tick, sell limits and buy stops up. A reverse split cancels it all the same. A dividend reduces buy
   limits and sell stops by its amount, rounded down to a tick; others stay. An order that would be left
   without a price stays as it is.
"""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal
from fractions import Fraction
from typing import Final

from backtesting.accounts import Accounts
from backtesting.orders import BrokerChange, BrokerEvent, WorkingOrder
from backtesting.working import WorkingOrders
from execution.book.adjustments import Adjustment, AdjustmentKind
from execution.book.ledger import Ledger
from execution.models import Instrument, Side

SPLIT: Final = "the contract was split"

_FRACTION: Final = Decimal("1e-15")
"""To which a fraction is kept: its value is exact to the last digit of money, and sums with it are exact."""

Ratio = Decimal | Fraction
"""New shares for each old one; a third is exact as a fraction only."""


def split(
    accounts: Accounts,
    orders: WorkingOrders,
    instrument: Instrument,
    ratio: Ratio,
    time_ns: int,
    *,
    adjust_orders: bool,
) -> list[BrokerEvent]:
    """Split a stock: holdings and mark follow, executions so far are final, open orders end or follow.

    Raises
    ------
    ValueError
        If the ratio is not positive.
    """
    symbol = instrument.symbol
    if ratio <= 0:
        raise ValueError(f"split of {symbol}: ratio {ratio} must be positive")
    new, old = ratio.as_integer_ratio()
    mark = accounts.mark(symbol)
    if mark is not None:
        accounts.closes[symbol] = float(mark * old / new)
    for ledger in accounts.ledgers.values():
        split_holding(ledger, instrument, ratio, accounts.mark(symbol))
    accounts.settle_symbol(symbol)
    events: list[BrokerEvent] = []
    for order in orders.resting(symbol):
        if order.status.is_final:  # it ended with its parent
            continue
        if adjust_orders and split_order(order, ratio):
            events.append(BrokerChange(order, "adjusted", time_ns))
        else:
            orders.finish(order, SPLIT, time_ns, events)
    return events


def go_ex_dividend(
    accounts: Accounts,
    orders: WorkingOrders,
    instrument: Instrument,
    per_share: Decimal,
    time_ns: int,
    *,
    adjust_orders: bool,
) -> list[BrokerEvent]:
    """Credit a dividend to holders and debit it to those who are short; open orders stay or are reduced.

    Raises
    ------
    ValueError
        If the dividend is not positive.
    """
    symbol = instrument.symbol
    if per_share <= 0:
        raise ValueError(f"dividend of {symbol}: {per_share} must be positive")
    for ledger in accounts.ledgers.values():
        ledger.receive(ledger.position(symbol) * per_share * instrument.multiplier)
    if not adjust_orders:
        return []
    return [
        BrokerChange(order, "adjusted", time_ns)
        for order in orders.resting(symbol)
        if reduce_order(order, per_share)
    ]


def split_holding(ledger: Ledger, instrument: Instrument, ratio: Ratio, price: Decimal | None) -> None:
    """Split a ledger's holding of an instrument (rule 1).

    Parameters
    ----------
    ledger, instrument
        The account and what it holds, if it does.
    ratio
        New shares for each old one.
    price
        Price after the split that fractions are paid at; None pays them at cost.
    """
    holding = ledger.holdings.get(instrument.symbol)
    if holding is None or not holding.quantity:
        return
    if price is None:
        new, old = ratio.as_integer_ratio()
        price = holding.average_cost * old / new
    ledger.adjust(split_adjustment(instrument, holding.quantity, ratio, price, 0))


def split_adjustment(
    instrument: Instrument, held: Decimal, ratio: Ratio, price: Decimal, time_ns: int, reason: str = ""
) -> Adjustment:
    """Return what a split does to a position (rule 1), so that every ledger books the same to the last digit.

    Parameters
    ----------
    instrument, held
        The stock, and the signed position in it.
    ratio
        New shares for each old one.
    price
        Price after the split that a fraction is paid out at.
    time_ns
        When it takes hold, UTC nanoseconds.
    reason
        What it is, in words.
    """
    exact = Fraction(held) * Fraction(ratio)
    kept = int(exact / Fraction(instrument.lot)) * instrument.lot
    left = exact - Fraction(kept)
    fraction = (Decimal(left.numerator) / Decimal(left.denominator)).quantize(_FRACTION)
    return Adjustment(
        AdjustmentKind.SPLIT, instrument.symbol, time_ns, kept - held, fraction, price, reason=reason
    )


def split_order(order: WorkingOrder, ratio: Ratio) -> bool:
    """Adjust what is left of an order to a forward split (rule 3); False if it must be cancelled instead."""
    new, old = ratio.as_integer_ratio()
    lots = order.remaining_lots * new // old
    if ratio <= 1 or not lots:
        return False
    order.remaining_lots = lots
    order.quantity = order.filled + lots * order.instrument.lot
    sells = order.request.side is Side.SELL
    order.limit_ticks = _divided(order.limit_ticks, ratio, up=sells)
    order.stop_ticks = _divided(order.stop_ticks, ratio, up=not sells)
    order.trail_ticks = _divided(order.trail_ticks, ratio, up=True)
    if order.offset_ticks:
        order.offset_ticks = _divided(order.offset_ticks, ratio, up=True)
    return True


def reduce_order(order: WorkingOrder, per_share: Decimal) -> bool:
    """Reduce a resting buy limit or sell stop by a dividend (rule 3); say whether it was."""
    ticks = int((per_share / order.instrument.tick).to_integral_value(rounding=ROUND_CEILING))
    if order.request.side is Side.SELL:
        if not order.waits_for_trigger or order.stop_ticks <= ticks:
            return False
        order.stop_ticks -= ticks
        if order.limit_ticks > ticks:
            order.limit_ticks -= ticks
        return True
    if order.limit_ticks <= ticks or order.stop_ticks:
        return False
    order.limit_ticks -= ticks
    return True


def _divided(ticks: int, ratio: Ratio, *, up: bool) -> int:
    if not ticks:
        return 0
    new, old = ratio.as_integer_ratio()
    return max(1, -(-ticks * old // new) if up else ticks * old // new)
