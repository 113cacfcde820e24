"""Streaming indicators: one value in, one value or None (not yet) out.

A restart replays history from some earlier bar and must arrive at the same decisions, to the last bit. So a
window is summed afresh at each update with `math.fsum`, whose result is exactly rounded and depends on the
window's values alone, never by a running float sum that remembers where it began. `EMA` cannot have this
property; its documentation says what to do.
"""

from __future__ import annotations

import math
from collections import deque

from strategies.registry import indicator


@indicator("sma")
class SMA:
    """Simple moving average of the last `window` values; depends on those values alone."""

    def __init__(self, window: int) -> None:
        self.window = _at_least_one("window", window)
        self._values: deque[float] = deque(maxlen=window)

    def update(self, x: float) -> float | None:
        """Take a value; return the average, or None until `window` values have been seen.

        Raises
        ------
        ValueError
            If the value is not a finite number; the indicator keeps its state.
        """
        self._values.append(_finite(x))
        if len(self._values) < self.window:
            return None
        return math.fsum(self._values) / self.window

    def scale(self, factor: float) -> None:
        """Multiply the values that are kept, as a split does to prices."""
        self._values = _scaled(self._values, factor)


@indicator("roc")
class RateOfChange:
    """Relative change over `window` steps, x / x[-window] - 1; depends on window + 1 values alone."""

    def __init__(self, window: int) -> None:
        self.window = _at_least_one("window", window)
        self._values: deque[float] = deque(maxlen=window + 1)

    def update(self, x: float) -> float | None:
        """Take a positive value; return the change as a fraction, or None until window + 1 values.

        Raises
        ------
        ValueError
            If the value is not a positive finite number; the indicator keeps its state.
        """
        if _finite(x) <= 0:
            raise ValueError(f"{x} is not positive: a rate of change needs prices above zero")
        self._values.append(x)
        if len(self._values) <= self.window:
            return None
        return x / self._values[0] - 1.0

    def scale(self, factor: float) -> None:
        """Multiply the values that are kept, as a split does to prices."""
        self._values = _scaled(self._values, factor)


@indicator("ema")
class EMA:
    """Exponential moving average with weight alpha = 2 / (span + 1), started at its first value.

    Its value depends on where it began: what came before the first value is missing with a weight of
    (1 - alpha) ** n after n updates. Replay the same history, or let at least `warmup` updates pass; the
    default of ten spans leaves a weight of 2e-9, which is small and not zero.
    """

    def __init__(self, span: int, warmup: int | None = None) -> None:
        self.span = _at_least_one("span", span)
        self.warmup = 10 * span if warmup is None else _at_least_one("warmup", warmup)
        self._alpha = 2.0 / (span + 1.0)
        self._value = 0.0
        self._seen = 0

    def update(self, x: float) -> float | None:
        """Take a value; return the average, or None until `warmup` values have been seen.

        Raises
        ------
        ValueError
            If the value is not a finite number; the indicator keeps its state.
        """
        _finite(x)
        self._value = x if self._seen == 0 else self._value + self._alpha * (x - self._value)
        self._seen = min(self._seen + 1, self.warmup)
        return self._value if self._seen >= self.warmup else None

    def scale(self, factor: float) -> None:
        """Multiply the average, as a split does to prices."""
        self._value *= factor


@indicator("atr")
class ATR:
    """Average true range: the simple mean of the last `window` true ranges (Wilder 1978, without smoothing).

    A true range needs the close before it, so the first bar only provides one; the value depends on the last
    window + 1 bars alone.
    """

    def __init__(self, window: int) -> None:
        self._mean = SMA(window)
        self._close: float | None = None

    def update(self, high: float, low: float, close: float) -> float | None:
        """Take a bar's high, low and close; return the average, or None until window + 1 bars.

        Raises
        ------
        ValueError
            If one of them is not a finite number; the indicator keeps its state.
        """
        before, value = self._close, None
        for price in (high, low, close):
            _finite(price)
        if before is not None:
            value = self._mean.update(max(high, before) - min(low, before))
        self._close = close
        return value

    def scale(self, factor: float) -> None:
        """Multiply the ranges and the close that are kept, as a split does to prices."""
        self._mean.scale(factor)
        self._close = None if self._close is None else self._close * factor


def _scaled(values: deque[float], factor: float) -> deque[float]:
    return deque((value * factor for value in values), maxlen=values.maxlen)


def _finite(x: float) -> float:
    if not math.isfinite(x):
        raise ValueError(f"{x} is not a finite number: leave the bar out")
    return x


def _at_least_one(name: str, count: int) -> int:
    if count < 1:
        raise ValueError(f"{name} = {count}: it must be at least 1")
    return count
