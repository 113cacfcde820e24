"""What the calendar expects and the bars do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypeAlias

import numpy as np
import pandas as pd

from data.bars import BoolArray, Int64Array
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.quality.finding import Finding, Kind, Severity, summed_up
from data.quality.rows import Rows
from execution.clocks import timestamp
from execution.timeframes import Timeframe

Run: TypeAlias = tuple[int, int]
"""Positions of the first and the last of several bars in a row."""

_LONG_GAP: Final = 20
"""Sessions; a stock that is away for so long has more often changed its ticker than not traded."""
_OFTEN: Final = 0.6
"""Share of the sessions in which the same stretch is missing that makes it a pause."""
_FEW: Final = 5
"""Fewer sessions do not."""


def gaps(
    rows: Rows, clock: ExchangeClock, gap_bars: int, actions: Sequence[CorporateAction] = ()
) -> list[Finding]:
    """Find sessions without a bar, and long stretches of a session without one.

    Parameters
    ----------
    rows
        Sound rows inside sessions, in ascending order.
    clock
        The exchange.
    gap_bars
        Bars in a row from which a stretch within a session is a gap.
    actions
        Known corporate actions of the symbol: a change of ticker explains the gap that begins with it.

    Returns
    -------
    list of Finding
        Runs of missing sessions; stretches within sessions; and, summed up, what is missing in single bars.
        What comes before the first bar and after the last is not known to be missing.
    """
    session = np.searchsorted(clock.closes_ns, rows.end_ns, side="left")
    found: list[Finding] = []
    away = list(_missing_sessions(rows, clock, session, actions))
    for severity in Severity:
        alike = [one for one in away if one.severity is severity]
        found += summed_up(alike, [one.count for one in alike])
    if rows.timeframe is not Timeframe.DAY:
        found += _within_sessions(rows, clock, gap_bars)
    return found


def _missing_sessions(
    rows: Rows, clock: ExchangeClock, session: Int64Array, actions: Sequence[CorporateAction]
) -> Iterator[Finding]:
    renamed = {action.ex_date: action for action in actions if action.kind is ActionKind.RENAME}
    present = np.unique(session)
    for i in np.flatnonzero(np.diff(present) > 1):
        first, last = int(present[i]) + 1, int(present[i + 1]) - 1
        count = last - first + 1
        days = f"{clock.dates[first]}" if count == 1 else f"{clock.dates[first]} to {clock.dates[last]}"
        what = f"{count} session{'s' if count > 1 else ''} without a bar: {days}"
        remedy = "pull these days from a source that has them"
        severity, ticker = Severity.ERROR, rows.symbol
        change = renamed.get(clock.dates[first])
        if change is not None and change.new_symbol:
            severity, ticker = Severity.WARNING, change.new_symbol
            what += f"; it traded as {ticker}"
            remedy = f"take the bars of {ticker} for these days, and read both tickers as one series"
        elif count >= _LONG_GAP:
            remedy += "; a gap this long is often a change of ticker: look for the bars under the other name"
        yield Finding(
            severity,
            Kind.GAP,
            rows.symbol,
            timestamp(int(clock.opens_ns[first])),
            timestamp(int(clock.closes_ns[last])),
            count,
            what,
            remedy,
            pull=ticker,
        )


def _within_sessions(rows: Rows, clock: ExchangeClock, gap_bars: int) -> list[Finding]:
    due = _due(rows, clock, whole=True)
    missing = _missing(due, rows)
    if rows.timeframe is Timeframe.HOUR:  # of minutes both are the same
        other = _due(rows, clock, whole=False)
        due, missing = min(((due, missing), (other, _missing(other, rows))), key=lambda of: of[1].sum())
    if not missing.any():
        return []
    session = np.searchsorted(clock.closes_ns, due, side="left")
    runs = [(a, b) for a, b in _runs(missing, session) if b - a + 1 >= gap_bars]
    long = np.zeros(len(due), dtype=np.bool_)
    for first, last in runs:
        long[first : last + 1] = True
    pauses, others = _pauses(runs, due, clock, len(np.unique(session)))
    found = [_pause(rows, clock, due, pause) for pause in pauses]
    found += summed_up(
        [_stretch(rows, due, *run) for run in others], [last - first for first, last in others]
    )
    single = missing & ~long
    if single.any():
        times = due[single]
        count, share = int(single.sum()), single.sum() / len(due)
        found.append(
            Finding(
                Severity.NOTE,
                Kind.SPARSE,
                rows.symbol,
                timestamp(int(times[0])),
                timestamp(int(times[-1])),
                count,
                f"{count:,} single bar{'s' if count > 1 else ''} missing, {share:.2%} of those due: "
                "nothing traded, or a hole",
                "",
            )
        )
    return found


def _stretch(rows: Rows, due: Int64Array, first: int, last: int) -> Finding:
    return Finding(
        Severity.WARNING,
        Kind.GAP,
        rows.symbol,
        timestamp(int(due[first]) - rows.timeframe.nanos),
        timestamp(int(due[last])),
        last - first + 1,
        f"{last - first + 1} bars in a row are missing within a session",
        "pull them again; where the stock was halted nothing is missing",
        pull=rows.symbol,
    )


def _pauses(
    runs: Sequence[Run], due: Int64Array, clock: ExchangeClock, sessions: int
) -> tuple[list[list[Run]], list[Run]]:
    """Part stretches that are missing in most sessions, at the same time at the exchange, from the others."""
    if len(runs) < max(_OFTEN * sessions, _FEW):
        return [], list(runs)
    local = pd.DatetimeIndex(due[[at for run in runs for at in run]], tz="UTC").tz_convert(clock.tz)
    minutes = (local.hour * 60 + local.minute).to_numpy().reshape(-1, 2).tolist()
    alike: dict[tuple[int, ...], list[Run]] = {}
    for run, at in zip(runs, minutes, strict=True):
        alike.setdefault(tuple(at), []).append(run)
    pauses = [of for of in alike.values() if len(of) >= max(_OFTEN * sessions, _FEW)]
    regular = {run for of in pauses for run in of}
    return pauses, [run for run in runs if run not in regular]


def _pause(rows: Rows, clock: ExchangeClock, due: Int64Array, runs: Sequence[Run]) -> Finding:
    (first, last), bars = runs[0], sum(b - a + 1 for a, b in runs)
    begins, ends = (
        timestamp(ns).tz_convert(clock.tz) for ns in (int(due[first]) - rows.timeframe.nanos, int(due[last]))
    )
    return Finding(
        Severity.WARNING,
        Kind.SPARSE,
        rows.symbol,
        timestamp(int(due[first]) - rows.timeframe.nanos),
        timestamp(int(due[runs[-1][1]])),
        bars,
        f"{bars:,} bars missing, from {begins:%H:%M} to {ends:%H:%M} ({clock.tz}) in {len(runs):,} sessions: "
        "a pause of this market, or a source without these hours",
        "",
    )


def _missing(due: Int64Array, rows: Rows) -> BoolArray:
    at = np.minimum(np.searchsorted(rows.end_ns, due), len(rows) - 1)
    missing: BoolArray = rows.end_ns[at] != due
    return missing


def _due(rows: Rows, clock: ExchangeClock, *, whole: bool) -> Int64Array:
    """Return the bar ends of every session that has a bar, between the first bar and the last.

    Bars begin on `whole` multiples of their size, the first one at the open, or are counted from the open.
    What lies wholly in a lunch break is not due; a session's last bar ends with it.
    """
    sessions = np.unique(np.searchsorted(clock.closes_ns, rows.end_ns, side="left"))
    step = rows.timeframe.nanos
    ends = []
    for i in sessions:
        opens, closes = int(clock.opens_ns[i]), int(clock.closes_ns[i])
        first = (opens // step + 1) * step if whole else opens + step
        inside = np.arange(first, closes + 1, step, dtype=np.int64)
        inside = inside if len(inside) and inside[-1] == closes else np.append(inside, closes)
        begins, back = (int(of[i]) for of in clock.breaks_ns)
        if begins < back:
            inside = inside[(inside - step < begins) | (inside > back)]
        ends.append(inside)
    due: Int64Array = np.concatenate(ends)
    between: Int64Array = due[(due >= rows.end_ns[0]) & (due <= rows.end_ns[-1])]
    return between


def _runs(mask: BoolArray, group: Int64Array) -> Iterator[tuple[int, int]]:
    """Yield first and last position of each run of True within one group."""
    positions = np.flatnonzero(mask)
    breaks = np.flatnonzero((np.diff(positions) > 1) | (np.diff(group[positions]) != 0))
    firsts = np.concatenate(([0], breaks + 1))
    lasts = np.concatenate((breaks, [len(positions) - 1]))
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        yield int(positions[first]), int(positions[last])
