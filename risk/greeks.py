"""Greeks of the book: how its value answers to moves of the underlyings, from those on record of each option.

All four are in account currency, so that they add up over underlyings of any price:

- `delta`: gain for a rise of every underlying by 100 per cent, were the response linear; a share, a future
  and every other position that is no option counts with its market value;
- `gamma`: change of `delta` for a rise by one per cent;
- `vega`: gain for a rise of implied volatility by one percentage point;
- `theta`: gain for the passing of one day.

Source: Hull, "Options, Futures, and Other Derivatives", 9th ed. (2015), chapter 19; Interactive Brokers
states vega per percentage point and theta per day. What is not known is said to be unknown, with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from execution.clocks import NANOS, timestamp
from execution.models import Position

LONGEST_AGE_NS: Final = 24 * 3_600 * NANOS
"""Age from which Greeks on record say nothing of the book any more."""
_OPTION: Final = re.compile(r"[A-Z0-9.]+ +[0-9]{6}[CP][0-9.]+", re.ASCII)
"""Names of options, such as ``SPY 261218C600`` and ``SPY   261218C00600000``."""


@dataclass(frozen=True, slots=True)
class OptionGreeks:
    """Greeks of an option for one unit of its underlying, at `time_ns`, with the price of that underlying."""

    delta: float
    gamma: float
    vega: float
    theta: float
    underlying_price: float
    multiplier: float
    time_ns: int


@dataclass(frozen=True, slots=True)
class BookGreeks:
    """Greeks of a book; where the four figures are None, `unknown` says why."""

    delta: float | None = None
    gamma: float | None = None
    vega: float | None = None
    theta: float | None = None
    unknown: str | None = None


def book_greeks(positions: Sequence[Position], known: Mapping[str, OptionGreeks], now_ns: int) -> BookGreeks:
    """Return the Greeks of positions from those of each option held, as they were known at `now_ns`.

    An option without Greeks on record of the day before `now_ns` leaves all four unknown: a sum without it
    would be that of another book.
    """
    delta = gamma = vega = theta = 0.0
    for one in sorted(positions, key=lambda held: held.symbol):
        if not one.quantity:
            continue
        greeks = known.get(one.symbol)
        if greeks is None and not _OPTION.fullmatch(one.symbol):
            delta += float(one.value)
            continue
        if greeks is None or greeks.time_ns > now_ns:
            return BookGreeks(unknown=f"{one.symbol} has no Greeks on record; trade data record keeps them")
        if now_ns - greeks.time_ns > LONGEST_AGE_NS:
            moment = f"{timestamp(greeks.time_ns):%Y-%m-%d %H:%M} UTC"
            return BookGreeks(unknown=f"the newest Greeks of {one.symbol} on record are of {moment}")
        units, price = float(one.quantity) * greeks.multiplier, greeks.underlying_price
        delta += units * greeks.delta * price
        gamma += units * greeks.gamma * price * price / 100
        vega += units * greeks.vega
        theta += units * greeks.theta
    return BookGreeks(delta, gamma, vega, theta)
