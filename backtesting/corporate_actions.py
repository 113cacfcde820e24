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

from decimal import ROUND_CEILING, ROUND_DOWN, ROUND_FLOOR, Decimal
from typing import Final

from backtesting.orders import WorkingOrder
from execution.ledger import Ledger
from execution.models import Instrument, Side

SPLIT: Final = "the contract was split"


def split_holding(ledger: Ledger, instrument: Instrument, ratio: Decimal, price: Decimal | None) -> None:
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
    ledger.split(instrument.symbol, ratio)
    lots = (holding.quantity / instrument.lot).to_integral_value(rounding=ROUND_DOWN)
    fraction = holding.quantity - lots * instrument.lot
    if fraction:
        ledger.pay_out(instrument.symbol, fraction, holding.average_cost if price is None else price)


def split_order(order: WorkingOrder, ratio: Decimal) -> bool:
    """Adjust what is left of an order to a forward split (rule 3); False if it must be cancelled instead."""
    lots = int(order.remaining_lots * ratio)
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


def _divided(ticks: int, ratio: Decimal, *, up: bool) -> int:
    if not ticks:
        return 0
    exact = (ticks / ratio).to_integral_value(rounding=ROUND_CEILING if up else ROUND_FLOOR)
    return max(1, int(exact))
