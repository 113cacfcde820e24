"""Jumps between sessions held against the ratios of splits, and both against the splits that are known.

1. A jump is the close before a session against its first open.
2. At a known split it is explained, or the bars seem to be adjusted already.
3. Elsewhere it is one of a split if it is near a usual ratio, if prices stay at the new level, and if it is
   far beyond what prices move from session to session around it: a wrong print comes back, and a share that
   halves and doubles from day to day has not been split each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from data.bars import Int64Array
from data.calendars import ExchangeClock
from data.corporate_actions import ActionKind, CorporateAction
from data.quality.finding import Finding, Kind, Severity
from data.quality.rows import Rows
from execution.clocks import timestamp

_LEAST_JUMP: Final = 0.28
"""Smallest logarithmic jump that is compared with ratios of splits: 4-for-3."""
_LEVEL: Final = 5
"""Bars on either side whose median close is the level there."""
_AROUND: Final = 10
"""Sessions on either side whose moves are the measure of a jump."""
_BEYOND: Final = 6
"""A split's jump is so many times the usual move from session to session."""
_FEW: Final = 5
"""So many moves have to be known before they say what is usual."""
_NEARER: Final = 0.5
"""Share of a jump from which on its new level is nearer than the old one."""

_RATIOS: Final = tuple(
    sorted(
        {Fraction(n) for n in range(2, 51)}
        | {Fraction(1, n) for n in range(2, 51)}
        | {Fraction(3, 2), Fraction(4, 3), Fraction(2, 3), Fraction(3, 4), Fraction(5, 2), Fraction(2, 5)}
    )
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
    known: dict[int, float] = {}
    for action in actions:
        if action.kind is ActionKind.SPLIT:
            at = int(np.searchsorted(rows.end_ns, clock.midnight_ns(action.ex_date), side="right"))
            known[at] = known.get(at, 1.0) * action.amount  # several may lie where bars are missing
    found = []
    for n, position in enumerate(first_of_day.tolist()):
        before, after = float(rows.close[position - 1]), float(rows.open[position])
        if before <= 0 or after <= 0:
            continue
        ratio = before / after
        expected = known.pop(position, None)
        if expected is not None:
            found.append(_known_split(rows, position, ratio, expected, tolerance))
        elif abs(np.log(ratio)) >= _LEAST_JUMP:
            near = min(_RATIOS, key=lambda one: abs(np.log(ratio / float(one))))
            if (
                abs(np.log(ratio / float(near))) <= tolerance
                and abs(np.log(ratio)) > _BEYOND * _usual_move(rows, session, first_of_day, n)
                and _stays(rows, position, ratio)
            ):
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


def _stays(rows: Rows, position: int, ratio: float) -> bool:
    """Say whether the median close after a jump lies nearer to the new level than to the old one."""
    before = np.median(rows.close[max(position - _LEVEL, 0) : position])
    after = np.median(rows.close[position : position + _LEVEL])
    if before <= 0 or after <= 0:
        return False
    return bool(np.log(before / after) / np.log(ratio) > _NEARER)


def _usual_move(rows: Rows, session: Int64Array, first_of_day: Int64Array, n: int) -> float:
    """Return the usual move from close to close around the n-th jump, for as many sessions as it spans.

    Where most closes stand still it is that of all that do not; 0 if too little is known.
    """
    closes = rows.close[np.append(first_of_day - 1, len(rows) - 1)]
    if (closes <= 0).any():
        return 0.0
    apart = session[first_of_day] - session[first_of_day - 1]
    moves = np.abs(np.diff(np.log(closes))) / np.sqrt(apart)
    around = np.append(moves[max(n - _AROUND, 0) : n], moves[n + 1 : n + 1 + _AROUND])
    others = np.delete(moves, n)
    for known in (around, others[others > 0]):
        if len(known) >= _FEW and (usual := float(np.median(known))) > 0:
            return usual * float(np.sqrt(apart[n]))
    return 0.0
