"""What prices and volumes say about themselves: spikes, standing prices, nothing traded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from data.bars import BoolArray, FloatArray
from data.quality.finding import Finding, Kind, Severity, summed_up
from data.quality.rows import Rows
from execution.clocks import timestamp

_AROUND: Final = 30
"""Bars on either side whose moves are the measure of a spike."""
_FEW: Final = 10
"""So many moves have to be known before they say what is usual of a price that mostly stands still."""
_BLOCK: Final = 50_000
"""Bars whose windows are in memory at a time: 25 MB."""
_REMEDY: Final = "compare with another source before relying on it"


def spikes(rows: Rows, threshold: float) -> list[Finding]:
    """Find closes far from both neighbours, which agree with each other, and highs and lows far from closes.

    A close's move there and its move back are each `threshold` times the median absolute move of the bars
    around; what stays of them is less than half of the move there. A high or low is as far from both the
    close before and its own: stop orders would trade there. Moves are relative, or differences where a price
    is zero or negative, which knows no relative move.
    """
    if len(rows) < 2 * _AROUND:
        return []
    relative = bool((rows.low > 0).all())
    close, high, low = (np.log(p) if relative else p for p in (rows.close, rows.high, rows.low))
    moves = np.diff(close)
    least = threshold * _usual(np.abs(moves))
    large = np.abs(moves) > least
    back = np.abs(moves[:-1] + moves[1:]) < 0.5 * np.abs(moves[:-1])
    there = np.append(large[:-1] & large[1:] & back, False)
    above = high[1:] - np.maximum(close[:-1], close[1:])
    below = np.minimum(close[:-1], close[1:]) - low[1:]
    found, sizes = [], []
    for i in np.flatnonzero(there | (above > least) | (below > least)):
        if there[i]:
            move = _move(rows.close[i], rows.close[i + 1], relative)
            what = (
                f"close {rows.close[i + 1]:g} is {move} from the bar before, and the next is back "
                f"at {rows.close[i + 2]:g}"
            )
        else:
            name, price = ("high", rows.high[i + 1]) if above[i] > below[i] else ("low", rows.low[i + 1])
            what = (
                f"{name} {price:g} is {_move(rows.close[i], price, relative)} from the close before, "
                f"{rows.close[i]:g}, and the bar closes at {rows.close[i + 1]:g}"
            )
        moment = timestamp(int(rows.end_ns[i + 1]))
        found.append(Finding(Severity.WARNING, Kind.SPIKE, rows.symbol, moment, moment, 1, what, _REMEDY))
        sizes.append(float(max(abs(moves[i]) if there[i] else 0.0, above[i], below[i]) / least[i]))
    return summed_up(found, sizes)


def _move(before: float, price: float, relative: bool) -> str:
    return f"{price / before - 1:+.1%}" if relative else f"{price - before:+g}"


def stale_runs(rows: Rows, least: int) -> list[Finding]:
    """Find runs of equal bars: prices and volume."""
    same = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
    for column in (rows.open, rows.high, rows.low, rows.close, rows.volume):
        same &= column[1:] == column[:-1]
    found = [
        Finding(
            Severity.WARNING,
            Kind.STALE,
            rows.symbol,
            timestamp(int(rows.end_ns[first])),
            timestamp(int(rows.end_ns[last + 1])),
            last - first + 2,
            f"{last - first + 2} bars in a row are equal, prices and volume",
            "a feed that stood still looks like this: pull them again",
            pull=rows.symbol,
        )
        for first, last in _true_runs(same)
        if last - first + 2 >= least
    ]
    return summed_up(found, [one.count for one in found])


def zero_volume(rows: Rows) -> Iterator[Finding]:
    """Sum up bars in which nothing traded; a series that never has a volume has none to check."""
    none = rows.volume == 0
    if not none.any() or none.all():
        return
    times = rows.end_ns[none]
    yield Finding(
        Severity.WARNING,
        Kind.ZERO_VOLUME,
        rows.symbol,
        timestamp(int(times[0])),
        timestamp(int(times[-1])),
        int(none.sum()),
        f"{int(none.sum())} bars without volume, {none.mean():.2%}: no order would have filled in them",
        "",
    )


def _usual(moves: FloatArray) -> FloatArray:
    """Return the median move around each; where most prices stand still, that of all that do not."""
    usual = median_around(moves, _AROUND)
    some = moves[moves > 0]
    typical = float(np.median(some)) if len(some) >= _FEW else 0.0
    return np.maximum(np.where(usual > 0, usual, typical), 1e-6)


def median_around(values: FloatArray, around: int) -> FloatArray:
    """Return the median of the values around each, the ends using what there is of a full window."""
    width = min(2 * around + 1, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    medians = np.concatenate(
        [np.median(windows[i : i + _BLOCK], axis=1) for i in range(0, len(windows), _BLOCK)]
    )
    index = np.clip(np.arange(len(values)) - width // 2, 0, len(medians) - 1)
    return np.asarray(medians[index], dtype=np.float64)


def _true_runs(mask: BoolArray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield first, after - 1
