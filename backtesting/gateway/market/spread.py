"""Bid and ask, where no quotes are given: what a market order would be paid, or pay.

The price moved against the order by the configured slippage, at least one tick: the bid below it, the ask
above it. A bar of bids or asks is the bar of trades with each price so moved, a bar of midpoints their mean;
a bar of both (``BID_ASK``) opens at the bid, closes at the ask, and spans the lowest bid to the highest ask.
"""

from __future__ import annotations

from typing import Final

from backtesting.gateway.market.paths import Tick
from execution.book.matching import slip
from execution.models import Bar

TRADES: Final = "TRADES"
DERIVED: Final = ("MIDPOINT", "BID", "ASK", "BID_ASK")
SERVED: Final = (TRADES, "ADJUSTED_LAST", *DERIVED)
"""What history can show."""

UNKNOWN_VOLUME: Final = -1.0
"""How TWS says that bars of quotes have no volume."""


def bid_ask(price: float, tick: Tick, centi_bps: int) -> tuple[float, float]:
    """Return bid and ask around a price; the slippage is in hundredths of a basis point."""
    ticks = tick.count(price)
    bid = min(slip(-1, ticks, centi_bps), ticks - 1)
    ask = max(slip(+1, ticks, centi_bps), ticks + 1)
    return tick.price(max(1, bid)), tick.price(ask)


def quoted_bar(bar: Bar, what: str, tick: Tick, centi_bps: int) -> Bar:
    """Return a bar of trades as a bar of `what`: one of `SERVED`."""
    if what not in DERIVED:
        return bar
    quotes = [bid_ask(price, tick, centi_bps) for price in (bar.open, bar.high, bar.low, bar.close)]
    bids, asks = zip(*quotes, strict=True)
    if what == "BID_ASK":
        prices = [bids[0], max(asks), min(bids), asks[3]]
    elif what == "MIDPOINT":
        prices = [(bid + ask) / 2 for bid, ask in quotes]
    else:
        prices = list(bids if what == "BID" else asks)
    open_, high, low, close = (round(price, 10) for price in prices)
    return Bar(bar.symbol, bar.start_ns, bar.end_ns, open_, high, low, close, UNKNOWN_VOLUME)
