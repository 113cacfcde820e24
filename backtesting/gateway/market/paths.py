"""The path of the price inside a bar, by which a running market plays it in parts.

The price moves in straight lines through open, first extreme, second extreme and close, each leg a third
of the time. A bar that does not fall (close at or above open) goes to its low first, a falling one to its
high. In between the price is rounded to the tick; at the four points it is the bar's own, so that parts of
a bar, however it is cut, have together its open, high, low, close and volume exactly. Volume is spread evenly
over the time, in whole units; what is left of a broken volume comes last.
"""

from __future__ import annotations

from decimal import Decimal
from math import floor

from execution.models import Bar

LEGS = 3


class Tick:
    """A price increment, for rounding floats to their exact spelling.

    A tick is a whole number over a power of ten; ticks times that number is exact in a float and one division
    rounds it correctly, so that a price equals the float its decimal spelling parses to.
    """

    def __init__(self, tick: Decimal) -> None:
        exponent = tick.as_tuple().exponent
        places = -exponent if isinstance(exponent, int) else 0
        self._unit = int(tick.scaleb(places)) if places > 0 else int(tick)
        self._scale = float(10 ** max(places, 0))
        self.decimal = tick

    def count(self, price: float) -> int:
        """Return a price in ticks, the nearest."""
        return round(price * self._scale / self._unit)

    def price(self, count: int) -> float:
        """Return the price of so many ticks."""
        return count * self._unit / self._scale

    def round(self, price: float) -> float:
        """Return the nearest price on the tick."""
        return self.price(self.count(price))


class Path:
    """Where the price is at each moment of one sound bar."""

    def __init__(self, bar: Bar, tick: Tick) -> None:
        self.bar = bar
        self._tick = tick
        rising = bar.close >= bar.open
        extremes = (bar.low, bar.high) if rising else (bar.high, bar.low)
        self._points = (bar.open, *extremes, bar.close)
        self._length = bar.end_ns - bar.start_ns
        self._asked = (bar.start_ns, bar.open)
        """The price asked for last: the next part begins where the last one ended."""

    def price(self, ns: int) -> float:
        """Return the price at a moment within the bar, its start and end included."""
        at, price = self._asked
        if ns != at:
            price = self._compute(ns)
            self._asked = (ns, price)
        return price

    def _compute(self, ns: int) -> float:
        leg, rest = divmod(LEGS * (ns - self.bar.start_ns), self._length)
        if rest == 0:
            return self._points[leg]
        before, after = self._points[leg], self._points[leg + 1]
        rounded = self._tick.round(before + (after - before) * (rest / self._length))
        return min(max(rounded, min(before, after)), max(before, after))

    def volume(self, ns: int) -> float:
        """Return the volume traded from the bar's start up to a moment."""
        if ns >= self.bar.end_ns:
            return self.bar.volume
        return float(floor(self.bar.volume) * (ns - self.bar.start_ns) // self._length)

    def part(self, start_ns: int, end_ns: int) -> Bar:
        """Return what happens from one moment to a later (or the same) one, as a bar."""
        bar = self.bar
        if start_ns == bar.start_ns and end_ns == bar.end_ns:
            return bar
        first, last = self.price(start_ns), self.price(end_ns)
        prices = [first, last]
        elapsed, until = LEGS * (start_ns - bar.start_ns), LEGS * (end_ns - bar.start_ns)
        prices += [self._points[i] for i in range(LEGS + 1) if elapsed <= i * self._length <= until]
        volume = self.volume(end_ns) - self.volume(start_ns)
        return Bar(bar.symbol, start_ns, end_ns, first, max(prices), min(prices), last, volume)


def merge(parts: list[Bar]) -> Bar:
    """Join bars of one symbol that follow each other into one; there must be at least one."""
    first, last = parts[0], parts[-1]
    return Bar(
        first.symbol,
        first.start_ns,
        last.end_ns,
        first.open,
        max(bar.high for bar in parts),
        min(bar.low for bar in parts),
        last.close,
        sum(bar.volume for bar in parts),
    )
