"""Pull bars from a source into a store: in windows, resumable, each window whole or not at all.

1. Ask where the bars of each instrument begin, and cut the span into windows, up to now: what the source
   says that it is, where that is earlier than this machine does.
2. Leave out windows that were answered before and whose bars the store still holds.
3. Ask for each of the others, write those of its bars that are over, then note the answer. Stopped anywhere,
   the same command goes on with what is missing; bars that come again change nothing.
4. Say of each symbol that got nothing new why that is so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from data.errors import BarConflictError, BarDataError, HistoryRefusedError
from data.sources.history import OPTIONS, HistorySource, Window, windows
from data.sources.outcome import Outcome
from data.sources.record import PullRecord
from data.stores.base import BarStore
from execution.clocks import NANOS, TradingClock, timestamp
from execution.ibkr.description import Description
from execution.models import Instrument
from execution.timeframes import Timeframe

if TYPE_CHECKING:
    from data.bars import BarSeries
    from data.stores.option_minutes import OptionMinutes

_EARLIER_NS: Final = 2 * 86_400 * NANOS
"""How far before a source's first trade its first bar may begin: that of a session begins at its open."""
_RECENT_NS: Final = 3_600 * NANOS
"""For how long an earlier pull may count against a source's limits."""
_ODD_NS: Final = 60 * NANOS
"""A difference between two clocks that is told."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a pull is: questions answered, all questions, whose turn it is, and waits to come."""

    done: int
    total: int
    symbol: str
    waiting_seconds: float


@dataclass(slots=True)
class PullReport:
    """What a pull did: windows asked for and skipped, and rows as in `WriteReport`.

    `empty` of those asked brought no bars. `refused` says, by symbol, why the source gave nothing, or why
    what it gave cannot be stored; the other symbols are complete. `notes` say, by symbol, why there is
    nothing new. `contracts` are those that the source knows, with what it says of them where that was asked.
    """

    asked: int = 0
    empty: int = 0
    skipped: int = 0
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    contracts: list[Description] = field(default_factory=list)


async def pull(
    source: HistorySource,
    store: BarStore,
    record: PullRecord,
    instruments: Sequence[Instrument],
    timeframe: Timeframe,
    clock: TradingClock,
    *,
    start_ns: int,
    end_ns: int,
    options: OptionMinutes | None = None,
    describe: Collection[str] = (),
    again: bool = False,
    progress: Callable[[Progress], None] = lambda _: None,
) -> PullReport:
    """Bring the bars of ``[start_ns, end_ns)`` from a source into a store.

    Parameters
    ----------
    source, store, record
        Where bars come from, where they go, and what was answered before.
    instruments, timeframe
        What is asked for.
    clock
        Says when bars are learnt; a window that is not over, here or at the source, is asked again next time.
    start_ns, end_ns
        The span, UTC nanoseconds; a start before the source's first bar is moved to it. A source that does
        not say where its bars begin needs a start, one above 0.
    options
        Where minutes of options go; None puts them into `store` with all others.
    describe
        Symbols of which the source is asked what it knows of their contracts.
    again
        Ask for windows that were answered before, too: what the source revised becomes a revision.
    progress
        Told before each question and at the end.

    Raises
    ------
    HistoryUnavailableError
        If the source cannot be reached. What came before is stored; run it again.
    BarStoreError, DatabaseUnavailableError
        If a window cannot be written; what came before is stored.
    """
    work = _Work(source, store, record, timeframe, clock, options, again=again)
    report = work.report
    now_ns = clock.now_ns()
    for name, asked_ns in record.asked_since(now_ns - _RECENT_NS):
        source.was_asked(name, max(0.0, (now_ns - asked_ns) / NANOS))
    try:
        for instrument in instruments:
            progress(Progress(0, 0, instrument.symbol, 0.0))
            await work.plan(instrument, start_ns, end_ns, describe)
        todo = [(one, window) for one in work.outcomes for window in one.missing]
        for done, (one, window) in enumerate(todo):
            if one.instrument.symbol in report.refused:
                continue
            waits = source.seconds_for(len(todo) - done)
            progress(Progress(done, len(todo), one.instrument.symbol, waits))
            await work.take(one, window)
        progress(Progress(len(todo), len(todo), "", 0.0))
    finally:
        await source.close()
    for one in work.outcomes:
        if (note := one.note()) and one.instrument.symbol not in report.refused:
            report.notes[one.instrument.symbol] = note
    return report


@dataclass(slots=True)
class _Work:
    """A pull under way."""

    source: HistorySource
    store: BarStore
    record: PullRecord
    timeframe: Timeframe
    clock: TradingClock
    options: OptionMinutes | None
    again: bool
    report: PullReport = field(default_factory=PullReport)
    outcomes: list[Outcome] = field(default_factory=list)
    told_of_clocks: bool = False

    async def plan(
        self, instrument: Instrument, start_ns: int, end_ns: int, describe: Collection[str]
    ) -> None:
        """Find out which windows of an instrument have to be asked for."""
        symbol = instrument.symbol
        try:
            head_ns = await self.source.head_ns(instrument, self.timeframe)
            if head_ns is None and start_ns <= 0:
                self._refuse(symbol, "the source does not say where its bars begin: name --start")
                return
            self.report.contracts.append(await self._described(instrument, describe))
            now_ns = await self._now_ns()
            first = start_ns if head_ns is None else max(start_ns, head_ns - _EARLIER_NS)
            cut = windows(self.source.window_days(self.timeframe), first, min(end_ns, now_ns))
            one = Outcome(instrument, start_ns, end_ns, now_ns, head_ns, cut)
            one.missing = [window for window in cut if self.again or not self._is_there(one, window)]
        except HistoryRefusedError as error:
            self._refuse(symbol, str(error))
            return
        self.report.skipped += len(cut) - len(one.missing)
        self.outcomes.append(one)

    async def take(self, one: Outcome, window: Window) -> None:
        """Ask for a window, write those of its bars that are over, and note the answer."""
        instrument, report = one.instrument, self.report
        try:
            asked_ns = await self._now_ns()
            bars = await self.source.bars(instrument, self.timeframe, window)
            basis = self.source.basis(instrument, window, asked_ns)
            report.asked += 1
            count = 0 if bars is None else bars.completed(one.now_ns)  # one that still forms is not history
            if bars is not None:
                one.forming += len(bars) - count
            if bars is not None and count:
                self._write(one, bars.slice(0, count))
        except HistoryRefusedError as error:
            self._refuse(instrument.symbol, f"{window}: {error}")
            return
        except (BarDataError, BarConflictError) as error:
            self._refuse(
                instrument.symbol,
                f"{window}: what came cannot be stored: {error}. Pull what lies before and after it by "
                "--start and --end, or from another source",
            )
            return
        if bars is None:
            one.empty += 1
            report.empty += 1
        if bars is None or count == len(bars):
            self.record.add(self._key(instrument), window, count, asked_ns, basis)

    def _write(self, one: Outcome, bars: BarSeries) -> None:
        report, instrument = self.report, one.instrument
        written = self._target(instrument).write(
            bars,
            known_at=timestamp(self.clock.now_ns()),
            timeframe=self.timeframe,
            signed=[instrument.symbol] if instrument.is_signed else [],
        )
        one.new += written.inserted + written.revised
        one.held += written.unchanged
        report.inserted += written.inserted
        report.revised += written.revised
        report.unchanged += written.unchanged

    async def _now_ns(self) -> int:
        """Return the earlier of what time it is here and at the source."""
        here_ns, there_ns = self.clock.now_ns(), await self.source.now_ns()
        if there_ns is None:
            return here_ns
        if abs(here_ns - there_ns) > _ODD_NS and not self.told_of_clocks:
            self.told_of_clocks = True
            structlog.get_logger("pull").warning(
                "the clocks of this machine and of the source differ; bars up to the earlier time are pulled",
                here=str(timestamp(here_ns)),
                there=str(timestamp(there_ns)),
            )
        return min(here_ns, there_ns)

    async def _described(self, instrument: Instrument, describe: Collection[str]) -> Description:
        """Return what the source says of a contract, or what the caller knows of it."""
        told = None
        if instrument.symbol in describe:
            try:
                told = await self.source.describe(instrument)
            except HistoryRefusedError as error:  # its bars come all the same; the next pull asks again
                structlog.get_logger("pull").warning(
                    "the source does not describe the contract", symbol=instrument.symbol, why=str(error)
                )
        return told or Description(instrument)

    def _refuse(self, symbol: str, why: str) -> None:
        self.report.refused[symbol] = why.removeprefix(f"{symbol}: ")

    def _key(self, instrument: Instrument) -> tuple[str, str, str]:
        return self.source.name, instrument.symbol, self.timeframe.value

    def _target(self, instrument: Instrument) -> BarStore | OptionMinutes:
        is_option = instrument.security_type in OPTIONS and self.timeframe is Timeframe.MINUTE
        return self.options if self.options is not None and is_option else self.store

    def _is_there(self, one: Outcome, window: Window) -> bool:
        """Return whether a window was answered, on what is still known, its bars being still in the store."""
        instrument = one.instrument
        answer = self.record.answer(self._key(instrument), window)
        if answer is None:
            return False
        if not answer.bars:
            one.known_empty += 1
            return True
        if answer.basis != self.source.basis(instrument, answer.window, answer.asked_ns):
            return False
        span = timestamp(answer.window.start_ns), timestamp(answer.window.end_ns)
        held = self._target(instrument).read(instrument.symbol, self.timeframe, *span)
        return len(held.to_arrow()) >= answer.bars
