"""What prices and volumes say about themselves: spikes, standing prices, nothing traded, jumps of splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from data.bars import BoolArray, FloatArray
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.quality.finding import Finding, Kind, Severity
from data.quality.rows import Rows
from execution.clocks import timestamp

_AROUND: Final = 30
"""Bars on either side whose moves are the measure of a spike."""

_LEAST_JUMP: Final = 0.28
"""Smallest logarithmic jump that is compared with ratios of splits: 4-for-3."""

_RATIOS: Final = tuple(
    sorted(
        {Fraction(n) for n in range(2, 51)}
        | {Fraction(1, n) for n in range(2, 51)}
        | {Fraction(3, 2), Fraction(4, 3), Fraction(2, 3), Fraction(3, 4), Fraction(5, 2), Fraction(2, 5)}
    )
)


def spikes(rows: Rows, threshold: float) -> Iterator[Finding]:
    """Find closes far from both neighbours, which agree with each other.

    The move there and the move back are each `threshold` times the median absolute move of the bars around;
    what stays of them is less than half of the move there. Moves are relative, or differences where a price
    is zero or negative, which knows no relative move.
    """
    if len(rows) < 2 * _AROUND:
        return
    relative = bool((rows.close > 0).all())
    moves = np.diff(np.log(rows.close) if relative else rows.close)
    usual = _median_around(np.abs(moves))
    large = np.abs(moves) > threshold * np.maximum(usual, 1e-6)
    back = np.abs(moves[:-1] + moves[1:]) < 0.5 * np.abs(moves[:-1])
    for i in np.flatnonzero(large[:-1] & large[1:] & back):
        there = f"{rows.close[i + 1] / rows.close[i] - 1:+.1%}" if relative else f"{moves[i]:+g}"
        moment = timestamp(int(rows.end_ns[i + 1]))
        yield Finding(
            Severity.WARNING,
            Kind.SPIKE,
            rows.symbol,
            moment,
            moment,
            1,
            f"close {rows.close[i + 1]:g} is {there} from the bar before, and the next is back "
            f"at {rows.close[i + 2]:g}",
            "compare with another source before relying on it",
        )


def stale_runs(rows: Rows, least: int) -> Iterator[Finding]:
    """Find runs of equal bars: prices and volume."""
    same = np.ones(max(len(rows) - 1, 0), dtype=np.bool_)
    for column in (rows.open, rows.high, rows.low, rows.close, rows.volume):
        same &= column[1:] == column[:-1]
    for first, last in _true_runs(same):
        count = last - first + 2
        if count >= least:
            yield Finding(
                Severity.WARNING,
                Kind.STALE,
                rows.symbol,
                timestamp(int(rows.end_ns[first])),
                timestamp(int(rows.end_ns[last + 1])),
                count,
                f"{count} bars in a row are equal, prices and volume",
                "a feed that stood still looks like this: pull them again",
                pull=rows.symbol,
            )


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


def splits(
    rows: Rows, clock: ExchangeClock, actions: Sequence[CorporateAction], tolerance: float
) -> list[Finding]:
    """Compare jumps between sessions with the ratios of splits, and both with the known ones.

    A jump from or to a price that is zero or negative is none of a split.
    """
    if not len(rows):
        return []
    session = np.searchsorted(clock.closes_ns, rows.end_ns, side="left")
    first_of_day = np.flatnonzero(np.diff(session)) + 1
    before, after = rows.close[first_of_day - 1], rows.open[first_of_day]
    positive = (before > 0) & (after > 0)
    first_of_day, jump = first_of_day[positive], before[positive] / after[positive]
    known: dict[int, float] = {}
    for action in actions:
        if action.kind is ActionKind.SPLIT:
            at = int(np.searchsorted(rows.end_ns, clock.midnight_ns(action.ex_date), side="right"))
            known[at] = (
                known.get(at, 1.0) * action.amount
            )  # where bars are missing, several may have happened
    found = []
    for position, ratio in zip(first_of_day.tolist(), jump.tolist(), strict=True):
        expected = known.pop(position, None)
        if expected is not None:
            found.append(_known_split(rows, position, ratio, expected, tolerance))
            continue
        if abs(np.log(ratio)) < _LEAST_JUMP:
            continue
        near = min(_RATIOS, key=lambda one: abs(np.log(ratio / float(one))))
        if abs(np.log(ratio / float(near))) <= tolerance:
            found.append(_unknown_split(rows, clock, position, ratio, near))
    return found


def _known_split(rows: Rows, position: int, ratio: float, expected: float, tolerance: float) -> Finding:
    moment = timestamp(int(rows.end_ns[position]))
    name = _name(Fraction(expected).limit_denominator(1000))
    if abs(np.log(ratio / expected)) <= max(tolerance, abs(np.log(expected)) / 2):
        what = f"price jumps by {ratio:.3g} at the known split {name}"
        return Finding(Severity.NOTE, Kind.SPLIT, rows.symbol, moment, moment, 1, what, "")
    return Finding(
        Severity.ERROR,
        Kind.SPLIT_WITHOUT_JUMP,
        rows.symbol,
        moment,
        moment,
        1,
        f"price jumps by {ratio:.3g} at the known split {name}",
        "these bars seem to be adjusted: use raw ones, or they are adjusted twice",
    )


def _unknown_split(rows: Rows, clock: ExchangeClock, position: int, ratio: float, near: Fraction) -> Finding:
    moment = timestamp(int(rows.end_ns[position]))
    closing = clock.session_closing_after(int(rows.end_ns[position]) - 1)
    date = moment.date() if closing is None else closing.date
    return Finding(
        Severity.ERROR,
        Kind.SPLIT_UNEXPLAINED,
        rows.symbol,
        moment,
        moment,
        1,
        f"price falls to 1/{ratio:.3g}" if ratio > 1 else f"price rises {1 / ratio:.3g} times",
        f"if this was a split {_name(near)}, add to the corporate actions: {date},{rows.symbol},split,{near}",
        CorporateAction(rows.symbol, date, ActionKind.SPLIT, near, where="trade data check"),
    )


def _name(ratio: Fraction) -> str:
    return f"{ratio.numerator}-for-{ratio.denominator}"


def _median_around(values: FloatArray) -> FloatArray:
    """Return the median of the values around each, the ends using what there is of a full window."""
    width = min(2 * _AROUND + 1, len(values))
    windows = np.lib.stride_tricks.sliding_window_view(values, width)
    medians = np.median(windows, axis=1)
    index = np.clip(np.arange(len(values)) - width // 2, 0, len(medians) - 1)
    return np.asarray(medians[index], dtype=np.float64)


def _true_runs(mask: BoolArray) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], mask.view(np.int8), [0]))))
    for first, after in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        yield first, after - 1
