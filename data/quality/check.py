"""All checks of one symbol's rows, in the order in which each rests on the one before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from data.bars import BoolArray, Int64Array, defects
from data.calendars import ExchangeClock
from data.corporate_actions import CorporateAction
from data.quality.finding import Finding, Kind, Severity
from data.quality.gaps import gaps
from data.quality.prices import spikes, stale_runs, zero_volume
from data.quality.rows import Rows
from data.quality.splits import splits
from data.quality.times import mistimed
from execution.clocks import timestamp
from execution.timeframes import Timeframe

_FUTURES: Final = "; if it is a future, a spread or an index, name it by --futures"
_ORDER: Final = {severity: i for i, severity in enumerate(Severity)}


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From where on a thing is reported.

    Attributes
    ----------
    gap_bars
        Bars of one session missing in a row, of an intraday series.
    spike
        Move there and back, in multiples of the median absolute move of the surrounding bars.
    stale_bars
        Equal bars in a row.
    split_tolerance
        Relative distance of a jump from the ratio of a split.
    """

    gap_bars: int = 5
    spike: float = 20.0
    stale_bars: int = 5
    split_tolerance: float = 0.04


def check(
    rows: Rows,
    clock: ExchangeClock,
    actions: Sequence[CorporateAction] = (),
    thresholds: Thresholds = Thresholds(),
) -> list[Finding]:
    """Check the bars of one symbol.

    Parameters
    ----------
    rows
        The bars as they came.
    clock
        The exchange; its range holds every row.
    actions
        Known corporate actions of the symbol.
    thresholds
        From where on a thing is reported.

    Returns
    -------
    list of Finding
        The gravest first, then by time. Empty for no rows: nothing can be said of them.
    """
    found: list[Finding] = []
    kept = rows
    for own, check_rows in (
        (_unsound, True),
        (_disorder, False),
        (_duplicates, True),
        (_odd, True),
        (_outside, True),
    ):
        findings, keep = own(kept, clock)
        found += findings
        if check_rows or findings:
            kept = kept.select(keep)
        if own is _duplicates and (wrong := mistimed(kept, clock)):
            return by_gravity([*found, wrong])  # what else would be found is its consequence
    if len(kept):
        found += gaps(kept, clock, thresholds.gap_bars, actions)
        found += splits(kept, clock, actions, thresholds.split_tolerance)
        found += spikes(kept, thresholds.spike)
        found += stale_runs(kept, thresholds.stale_bars)
        found += zero_volume(kept)
    return by_gravity(found)


def by_gravity(found: Iterable[Finding]) -> list[Finding]:
    """Sort findings: the gravest first, then by time, those without one before; what sums up comes last."""

    def place(one: Finding) -> tuple[int, bool, int, Kind]:
        return _ORDER[one.severity], one.further > 0, 0 if one.first is None else one.first.value, one.kind

    return sorted(found, key=place)


def _unsound(rows: Rows, _clock: ExchangeClock) -> tuple[list[Finding], BoolArray]:
    bad = np.zeros(len(rows), dtype=np.bool_)
    found = []
    for rule, broken in defects(rows.open, rows.high, rows.low, rows.close, rows.volume, signed=rows.signed):
        fresh = broken & ~bad  # a price that is no number is not also outside of low and high
        bad |= broken
        if fresh.any():
            found.append(
                _finding(
                    Severity.ERROR,
                    Kind.UNSOUND,
                    rows,
                    fresh,
                    f"{_rows(fresh)}: {rule}",
                    "take these rows from another source, or leave them out"
                    + (_FUTURES if "positive" in rule else ""),
                )
            )
    return found, ~bad


def _disorder(rows: Rows, _clock: ExchangeClock) -> tuple[list[Finding], Int64Array]:
    back = np.zeros(len(rows), dtype=np.bool_)
    back[1:] = np.diff(rows.end_ns) < 0
    order = np.argsort(rows.end_ns, kind="stable")
    if not back.any():
        return [], order
    what = f"{_rows(back)} earlier than the row before"
    return [_finding(Severity.WARNING, Kind.DISORDER, rows, back, what, "sort the rows by time")], order


def _duplicates(rows: Rows, _clock: ExchangeClock) -> tuple[list[Finding], BoolArray]:
    again = np.zeros(len(rows), dtype=np.bool_)
    again[1:] = np.diff(rows.end_ns) == 0
    if not again.any():
        return [], ~again
    same = again.copy()
    for column in (rows.open, rows.high, rows.low, rows.close, rows.volume):
        same[1:] &= column[1:] == column[:-1]
    other = again & ~same
    found = []
    if same.any():
        what = f"{_rows(same)} with what the row before says"
        found.append(_finding(Severity.WARNING, Kind.DUPLICATE, rows, same, what, "keep one of each"))
    if other.any():
        what = f"{_rows(other)} with other values for a bar that is there already"
        remedy = "find out which is right; nobody else can"
        found.append(_finding(Severity.ERROR, Kind.DUPLICATE, rows, other, what, remedy))
    return found, ~again


def _odd(rows: Rows, _clock: ExchangeClock) -> tuple[list[Finding], BoolArray]:
    odd = rows.end_ns % Timeframe.MINUTE.nanos != 0
    if rows.timeframe is Timeframe.DAY or not odd.any():
        return [], np.ones(len(rows), dtype=np.bool_)
    what, remedy = f"{_rows(odd)} not on a whole minute", "correct these times, or leave the rows out"
    return [_finding(Severity.ERROR, Kind.MISTIMED, rows, odd, what, remedy)], ~odd


def _outside(rows: Rows, clock: ExchangeClock) -> tuple[list[Finding], BoolArray]:
    if not len(clock):
        inside = np.zeros(len(rows), dtype=np.bool_)
    else:
        i = np.maximum(np.searchsorted(clock.opens_ns, rows.end_ns, side="left") - 1, 0)
        inside = (clock.opens_ns[i] < rows.end_ns) & (rows.end_ns <= clock.closes_ns[i])
    if inside.all():
        return [], inside
    outside = int((~inside).sum())
    what = f"{outside:,} of {len(rows):,} bars lie outside the sessions of {clock.name}"
    severity, remedy = Severity.NOTE, ""
    if not inside.any():
        severity, remedy = Severity.ERROR, "nothing of it can be used: name its exchange by --calendar"
    elif rows.timeframe is Timeframe.DAY:
        severity = Severity.WARNING
        remedy = "the exchange was closed on these dates; they are left out: name its exchange by --calendar"
    return [_finding(severity, Kind.OUTSIDE, rows, ~inside, what, remedy)], inside


def _rows(which: BoolArray) -> str:
    count = int(which.sum())
    return f"{count} row" if count == 1 else f"{count} rows"


def _finding(
    severity: Severity, kind: Kind, rows: Rows, which: BoolArray, what: str, proposal: str
) -> Finding:
    times = rows.end_ns[which]
    first, last = timestamp(int(times.min())), timestamp(int(times.max()))
    return Finding(severity, kind, rows.symbol, first, last, int(which.sum()), what, proposal)
