"""Fill rules as scalar functions over int64 ticks and lots; no objects, no state.

The engine and the simulated gateway call these plainly; a compiled kernel can call the same functions.
The rules for one bar and one working order, in the order they are tried:

1. A market order fills at the open.
2. A limit order fills at the open if the open is at the limit or better, else at the limit if the bar
   touches it.
3. A stop order is triggered by the open if it gaps through the stop, else at the stop if the bar touches it;
   it then fills like a market order at the price that triggered it.
4. A stop-limit order is triggered the same way and becomes a limit order. If the triggering price is within
   the limit it fills there. Triggered by the open, it may still fill at its limit if the bar touches it;
   triggered within the bar, what came after is unknown and it waits for the next bar.
5. Slippage moves market and stop fills against the order by a share of the price, rounded up to a tick.
   Limit prices are never passed.

A fill `AT_OPEN` is stamped with the bar's start, a fill `WITHIN` with its end, in whole seconds.
"""

from __future__ import annotations

NO_FILL = 0
AT_OPEN = 1
WITHIN = 2

MARKET = 0
LIMIT = 1
STOP = 2
STOP_LIMIT = 3


def slip(sign: int, ticks: int, centi_bps: int) -> int:
    """Move a price against the order.

    Parameters
    ----------
    sign
        +1 for a buy, -1 for a sell.
    ticks
        Price in ticks.
    centi_bps
        Slippage in hundredths of a basis point (100 is 1 bp); the distance is rounded up to a whole tick.
    """
    distance = -(-ticks * centi_bps // 1_000_000)
    return max(1, ticks + sign * distance)


def capacity(volume: float, participation_ppm: int) -> int:
    """Return the lots that fill in one bar: a share of its volume (in lots), in parts per million."""
    return int(volume * participation_ppm // 1_000_000)


def match_limit(sign: int, limit: int, open_: int, high: int, low: int) -> tuple[int, int]:
    """Match a limit order against a bar; return (price in ticks, NO_FILL | AT_OPEN | WITHIN)."""
    if sign * (open_ - limit) <= 0:
        return open_, AT_OPEN
    reached = low <= limit if sign > 0 else high >= limit
    return (limit, WITHIN) if reached else (0, NO_FILL)


def trigger(sign: int, stop: int, open_: int, high: int, low: int) -> tuple[int, int]:
    """Find where a stop is triggered in a bar; return (price in ticks, NO_FILL | AT_OPEN | WITHIN)."""
    if sign * (open_ - stop) >= 0:
        return open_, AT_OPEN
    reached = high >= stop if sign > 0 else low <= stop
    return (stop, WITHIN) if reached else (0, NO_FILL)


def match(
    kind: int,
    sign: int,
    limit: int,
    stop: int,
    triggered: bool,
    open_: int,
    high: int,
    low: int,
    centi_bps: int,
) -> tuple[int, int, bool]:
    """Match one working order against one bar.

    Parameters
    ----------
    kind
        MARKET, LIMIT, STOP or STOP_LIMIT.
    sign
        +1 for a buy, -1 for a sell.
    limit, stop
        Prices in ticks; ignored where the kind has none.
    triggered
        Whether a stop or stop-limit was triggered on an earlier bar: what is left of a triggered stop is
        a market order, of a stop-limit a limit order.
    open_, high, low
        The bar in ticks.
    centi_bps
        Slippage in hundredths of a basis point.

    Returns
    -------
    tuple of int, int, bool
        Fill price in ticks, when (NO_FILL, AT_OPEN, WITHIN), and whether the order is triggered now.
    """
    if kind == MARKET or (kind == STOP and triggered):
        return slip(sign, open_, centi_bps), AT_OPEN, triggered
    if kind == LIMIT or (kind == STOP_LIMIT and triggered):
        price, when = match_limit(sign, limit, open_, high, low)
        return price, when, triggered
    price, when = trigger(sign, stop, open_, high, low)
    if when == NO_FILL:
        return 0, NO_FILL, False
    if kind == STOP:
        return slip(sign, price, centi_bps), when, True
    if sign * (price - limit) <= 0:
        slipped = slip(sign, price, centi_bps)
        return (slipped if sign * (slipped - limit) <= 0 else limit), when, True
    if when == AT_OPEN:
        price, when = match_limit(sign, limit, open_, high, low)
        return price, when, True
    return 0, NO_FILL, True
