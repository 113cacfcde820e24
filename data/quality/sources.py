"""The checks over a folder of files or a store of bars, one symbol and timeframe after the other."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from data.bars import DAY_NS
from data.calendars import ExchangeClock
from data.corporate_actions import CorporateAction, CorporateActionSource
from data.errors import CalendarRecordsError, CorporateActionDataError
from data.files import bar_files
from data.quality.check import Thresholds, by_gravity, check
from data.quality.finding import Finding, Kind, Severity
from data.quality.reading import read_leniently, timeframe_of
from data.quality.rows import Rows
from data.signs import is_signed
from data.stores import BarStore
from execution.clocks import timestamp
from execution.timeframes import Timeframe

_EARLIEST, _LATEST = dt.date(1900, 1, 1), dt.date(2098, 12, 31)


@dataclass(frozen=True, slots=True, eq=False)
class Checked:
    """One symbol's bars of one timeframe, and what was found in them, the gravest first."""

    symbol: str
    timeframe: Timeframe | None
    """None where no row could be read."""
    rows: Rows | None
    clock: ExchangeClock | None
    findings: tuple[Finding, ...]

    @property
    def bars(self) -> int:
        """Rows that could be read."""
        return 0 if self.rows is None else len(self.rows)

    @property
    def errors(self) -> int:
        """Findings that make results wrong."""
        return sum(one.severity is Severity.ERROR for one in self.findings)


@dataclass(frozen=True, slots=True)
class CheckPlan:
    """What is to be checked: its name, how many parts it has, and the checks, done as they are taken."""

    source: str
    total: int
    run: Callable[[], Iterator[Checked]]


@dataclass(frozen=True, slots=True)
class Against:
    """What bars are held against: the exchange's name, known corporate actions (or none), thresholds.

    `signed` names symbols whose prices may be zero or negative, beside those of `data.signs`.
    """

    calendar: str = "XNYS"
    actions: CorporateActionSource | None = None
    thresholds: Thresholds = field(default_factory=Thresholds)
    signed: Collection[str] = ()


def plan_folder(
    folder: Path, symbols: Sequence[str] | None = None, against: Against = Against()
) -> CheckPlan:
    """Plan the check of a folder of CSV or Parquet files, one a symbol.

    Raises
    ------
    BarFileError
        If the folder is missing or holds no file of bars, or none of a symbol asked for.
    """
    paths = bar_files(folder, symbols)

    def run() -> Iterator[Checked]:
        clocks = _Clocks(against.calendar)
        for symbol, path in paths.items():
            raw, unreadable = read_leniently(path, symbol)
            if raw is None:
                yield Checked(symbol, None, None, None, tuple(unreadable))
                continue
            size = timeframe_of(raw)
            # Days of daily rows, nanoseconds of others.
            first, last = (
                int(of) // (1 if raw.daily else DAY_NS) for of in (raw.times.min(), raw.times.max())
            )
            try:
                clock = clocks.over(first, last)
            except CalendarRecordsError as error:
                yield _unknown_days(symbol, size, len(raw.times), str(error))
                continue
            signed = is_signed(symbol, against.signed)
            rows = Rows.of_raw(symbol, raw, size, clock, signed=signed)
            yield _checked(rows, clock, against, unreadable)

    return CheckPlan(str(folder), len(paths), run)


def plan_store(
    store: BarStore,
    symbols: Sequence[str] | None = None,
    timeframe: Timeframe | None = None,
    as_of: pd.Timestamp | None = None,
    against: Against = Against(),
) -> CheckPlan:
    """Plan the check of stored bars, as they are known now or were at a moment.

    Parameters
    ----------
    symbols, timeframe
        Only these; None for all.
    """
    held = [
        one
        for one in store.holdings()
        if (symbols is None or one.symbol in symbols) and timeframe in (None, one.timeframe)
    ]

    def run() -> Iterator[Checked]:
        clocks = _Clocks(against.calendar)
        for one in held:
            series = store.read(one.symbol, one.timeframe, as_of=as_of).to_series().get(one.symbol)
            if series is None:
                continue  # nothing was known of it at that moment
            try:
                clock = clocks.over(int(series.end_ns[0]) // DAY_NS, int(series.end_ns[-1]) // DAY_NS)
            except CalendarRecordsError as error:
                yield _unknown_days(one.symbol, one.timeframe, len(series), str(error))
                continue
            rows = Rows.of_series(series, signed=is_signed(one.symbol, against.signed))
            yield _checked(rows, clock, against, [])

    return CheckPlan(str(store), len(held), run)


class _Clocks:
    """One clock that is widened as symbols need it: to build one takes a tenth of a second."""

    def __init__(self, calendar: str) -> None:
        self._calendar = calendar
        self._clock: ExchangeClock | None = None

    def over(self, first_day: int, last_day: int) -> ExchangeClock:
        """Return a clock over days since the epoch, and one more on either side."""
        first, last = (_date(first_day - 1), _date(last_day + 1))
        if self._clock is not None:
            if self._clock.start <= first and last <= self._clock.end:
                return self._clock
            first, last = min(first, self._clock.start), max(last, self._clock.end)
        self._clock = ExchangeClock(self._calendar, first, last)
        return self._clock


def _date(day: int) -> dt.date:
    earliest, latest = ((of - dt.date(1970, 1, 1)).days for of in (_EARLIEST, _LATEST))
    return dt.date(1970, 1, 1) + dt.timedelta(days=min(max(day, earliest), latest))


def _checked(rows: Rows, clock: ExchangeClock, against: Against, found: list[Finding]) -> Checked:
    actions, unknown = _actions(rows, against.actions)
    found = [*found, *unknown, *check(rows, clock, actions, against.thresholds)]
    return Checked(rows.symbol, rows.timeframe, rows, clock, tuple(by_gravity(found)))


def _unknown_days(symbol: str, size: Timeframe, count: int, why: str) -> Checked:
    found = Finding(Severity.ERROR, Kind.OUTSIDE, symbol, None, None, count, why, "nothing of it was checked")
    return Checked(symbol, size, None, None, (found,))


def _actions(
    rows: Rows, source: CorporateActionSource | None
) -> tuple[Sequence[CorporateAction], list[Finding]]:
    if source is None:
        return (), []
    first, last = timestamp(int(rows.end_ns.min())), timestamp(int(rows.end_ns.max()))
    try:
        return source.actions(rows.symbol, first.date(), last.date()), []
    except CorporateActionDataError as error:
        remedy = "name a source that covers it, or one that says it had none"
        unknown = Finding(
            Severity.WARNING, Kind.ACTIONS_UNKNOWN, rows.symbol, first, last, len(rows), str(error), remedy
        )
        return (), [unknown]
