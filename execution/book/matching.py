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

6. An order that fills if touched is triggered as a stop is, from the other side: a buy when the price falls
   to its trigger. A market-if-touched order then fills like a stop (3), a limit-if-touched one like a
   stop-limit (4).
7. A trailing stop of a sell lies a distance below the highest price seen, of a buy above the lowest; it never
   moves away again. A bar does not tell the order of its prices, so it is taken in the worst one that is
   known to be possible: the stop of earlier bars is held against the open; then the open trails it; then it
   is held against the bar's adverse extreme (the low for a sell), as if that came first; only then the
   favourable extreme trails it. If the close lies beyond the stop so trailed, the price must have come back
   through it, and it is triggered there. A distance in per cent is that share of the price that trails it,
   rounded up to a tick.
8. A triggered trailing stop is a market order; a triggered trailing stop-limit is a limit order, its limit a
   fixed offset beyond the stop that was triggered.
9. An order on the close fills at the close of the bar that ends its session: a market order with slippage, a
   limit order if the close is at its limit or better. An order that knows only the open of a bar (on the
   open, immediate or cancel, fill or kill, or one whose life ends within the bar) is matched against a bar of
   that price alone.

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
MARKET_IF_TOUCHED = 4
LIMIT_IF_TOUCHED = 5
TRAIL = 6
TRAIL_LIMIT = 7
MARKET_ON_CLOSE = 8
LIMIT_ON_CLOSE = 9

CONTINGENT = frozenset((STOP, STOP_LIMIT, MARKET_IF_TOUCHED, LIMIT_IF_TOUCHED, TRAIL, TRAIL_LIMIT))
"""Kinds that wait for a price before they can fill."""

LIMIT_KINDS = frozenset((LIMIT, STOP_LIMIT, LIMIT_IF_TOUCHED, TRAIL_LIMIT, LIMIT_ON_CLOSE))
"""Kinds that have a limit price."""


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
    price, when = release_limit(sign, limit, price, when, open_, high, low, centi_bps)
    return price, when, True


def release_limit(
    sign: int, limit: int, price: int, when: int, open_: int, high: int, low: int, centi_bps: int
) -> tuple[int, int]:
    """Match what became a limit order at `price` in this bar (rule 4); return (price, when)."""
    if sign * (price - limit) <= 0:
        slipped = slip(sign, price, centi_bps)
        return (slipped if sign * (slipped - limit) <= 0 else limit), when
    if when == AT_OPEN:
        return match_limit(sign, limit, open_, high, low)
    return 0, NO_FILL


def match_touched(
    kind: int,
    sign: int,
    limit: int,
    touch: int,
    triggered: bool,
    open_: int,
    high: int,
    low: int,
    centi_bps: int,
) -> tuple[int, int, bool]:
    """Match a MARKET_IF_TOUCHED or LIMIT_IF_TOUCHED order (rule 6); as `match`, `touch` being its trigger."""
    if triggered:
        plain = MARKET if kind == MARKET_IF_TOUCHED else LIMIT
        return match(plain, sign, limit, 0, True, open_, high, low, centi_bps)
    price, when = trigger(-sign, touch, open_, high, low)
    if when == NO_FILL:
        return 0, NO_FILL, False
    if kind == MARKET_IF_TOUCHED:
        return slip(sign, price, centi_bps), when, True
    price, when = release_limit(sign, limit, price, when, open_, high, low, centi_bps)
    return price, when, True


def trail(sign: int, stop: int, price: int, amount: int, ppm: int) -> int:
    """Move a trailing stop after the market was seen at `price`.

    Parameters
    ----------
    sign
        +1 for a buy, whose stop follows falling prices from above; -1 for a sell.
    stop
        The stop so far in ticks, 0 if it has seen no price.
    amount, ppm
        Its distance in ticks; where that is 0, in parts per million of the price, rounded up to a tick.
    """
    distance = amount or -(-price * ppm // 1_000_000)
    followed = max(1, price + sign * distance)
    if not stop:
        return followed
    return min(stop, followed) if sign > 0 else max(stop, followed)


def trigger_trail(
    sign: int, stop: int, amount: int, ppm: int, open_: int, high: int, low: int, close: int
) -> tuple[int, int, int]:
    """Trail a stop through a bar (rule 7); return (price that triggered it, when, the stop after the bar)."""
    if stop and sign * (open_ - stop) >= 0:
        return open_, AT_OPEN, stop
    stop = trail(sign, stop, open_, amount, ppm)
    price, when = trigger(sign, stop, open_, high, low)
    if when != NO_FILL:
        return price, when, stop
    stop = trail(sign, stop, low if sign > 0 else high, amount, ppm)
    if sign * (close - stop) >= 0:
        return stop, WITHIN, stop
    return 0, NO_FILL, stop


def match_close(kind: int, sign: int, limit: int, close: int, centi_bps: int) -> tuple[int, int]:
    """Match an order on the close against the close (rule 9); return (price, NO_FILL | WITHIN)."""
    if kind == MARKET_ON_CLOSE:
        return slip(sign, close, centi_bps), WITHIN
    return (close, WITHIN) if sign * (close - limit) <= 0 else (0, NO_FILL)
