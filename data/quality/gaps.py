"""What the calendar expects and the bars do not have."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from data.bars import BoolArray, Int64Array
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.quality.finding import Finding, Kind, Severity
from data.quality.rows import Rows
from execution.clocks import timestamp
from execution.timeframes import Timeframe

_LONG_GAP = 20
"""Sessions; a stock that is away for so long has more often changed its ticker than not traded."""


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
    found = list(_missing_sessions(rows, clock, session, actions))
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


def _within_sessions(rows: Rows, clock: ExchangeClock, gap_bars: int) -> Iterator[Finding]:
    due = _due(rows, clock)
    missing = ~np.isin(due, rows.end_ns)
    if not missing.any():
        return
    long = np.zeros(len(due), dtype=np.bool_)
    for first, last in _runs(missing, np.searchsorted(clock.closes_ns, due, side="left")):
        count = last - first + 1
        if count >= gap_bars:
            long[first : last + 1] = True
            yield Finding(
                Severity.WARNING,
                Kind.GAP,
                rows.symbol,
                timestamp(int(due[first]) - rows.timeframe.nanos),
                timestamp(int(due[last])),
                count,
                f"{count} bars in a row are missing within a session",
                "pull them again; where the stock was halted nothing is missing",
                pull=rows.symbol,
            )
    single = missing & ~long
    if single.any():
        times = due[single]
        share = single.sum() / len(due)
        yield Finding(
            Severity.NOTE,
            Kind.SPARSE,
            rows.symbol,
            timestamp(int(times[0])),
            timestamp(int(times[-1])),
            int(single.sum()),
            f"{int(single.sum())} single bars missing, {share:.2%} of those due: nothing traded, or a hole",
            "",
        )


def _due(rows: Rows, clock: ExchangeClock) -> Int64Array:
    """Return the bar ends of every session that has a bar, between the first bar and the last."""
    sessions = np.unique(np.searchsorted(clock.closes_ns, rows.end_ns, side="left"))
    step = rows.timeframe.nanos
    ends = []
    for i in sessions:
        opens, closes = int(clock.opens_ns[i]), int(clock.closes_ns[i])
        whole = np.arange((opens // step + 1) * step, closes + 1, step, dtype=np.int64)
        ends.append(whole if len(whole) and whole[-1] == closes else np.append(whole, closes))
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
