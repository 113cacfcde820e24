"""Pull bars from a source into a store: in windows, resumable, each window whole or not at all.

1. Ask where the bars of each instrument begin, and cut the span into windows.
2. Leave out windows that were answered before and whose bars the store still holds.
3. Ask for each of the others, write its bars, then note the answer. Stopped anywhere, the same command
   goes on with what is missing; bars that come again change nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog

from data.errors import HistoryRefusedError
from data.sources.history import HistorySource, Window, windows
from data.sources.record import PullRecord
from data.stores.base import BarStore
from execution.clocks import TradingClock, timestamp
from execution.ibkr.description import Description
from execution.models import Instrument
from execution.timeframes import Timeframe

if TYPE_CHECKING:
    from data.stores.option_minutes import OptionMinutes

OPTIONS: Final = frozenset(("OPT", "FOP"))


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

    `refused` says, by symbol, why the source gave nothing; the other symbols are complete. `contracts` are
    those that the source knows, with what it says of them where that was asked for.
    """

    asked: int = 0
    skipped: int = 0
    inserted: int = 0
    revised: int = 0
    unchanged: int = 0
    refused: dict[str, str] = field(default_factory=dict)
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
        Says when bars are learnt; a window that is not over is asked again next time.
    start_ns, end_ns
        The span, UTC nanoseconds; a start before the source's first bar is moved to it.
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
    BarStoreError, DatabaseUnavailableError, BarDataError
        If a window cannot be written; what came before is stored.
    """
    report = PullReport()
    work: list[tuple[Instrument, Window]] = []
    try:
        for instrument in instruments:
            progress(Progress(0, 0, instrument.symbol, 0.0))
            try:
                head_ns = await source.head_ns(instrument, timeframe)
            except HistoryRefusedError as error:
                report.refused[instrument.symbol] = str(error)
                continue
            report.contracts.append(await _described(source, instrument, describe))
            cut = windows(source.window_days(timeframe), max(start_ns, head_ns), min(end_ns, clock.now_ns()))
            target = _target(store, options, instrument, timeframe)
            try:
                missing = [
                    w for w in cut if again or not _is_there(source, target, record, instrument, timeframe, w)
                ]
            except HistoryRefusedError as error:
                report.refused[instrument.symbol] = str(error)
                continue
            report.skipped += len(cut) - len(missing)
            work += [(instrument, window) for window in missing]
        for done, (instrument, window) in enumerate(work):
            if instrument.symbol in report.refused:
                continue
            waits = source.seconds_for(len(work) - done)
            progress(Progress(done, len(work), instrument.symbol, waits))
            target = _target(store, options, instrument, timeframe)
            await _take(source, target, record, report, instrument, timeframe, window, clock)
        progress(Progress(len(work), len(work), "", 0.0))
    finally:
        await source.close()
    return report


async def _described(source: HistorySource, instrument: Instrument, describe: Collection[str]) -> Description:
    """Return what the source says of a contract, or what the caller knows of it."""
    told = None
    if instrument.symbol in describe:
        try:
            told = await source.describe(instrument)
        except HistoryRefusedError as error:  # its bars come all the same; the next pull asks again
            structlog.get_logger("pull").warning(
                "the source does not describe the contract", symbol=instrument.symbol, why=str(error)
            )
    return told or Description(instrument)


def _target(
    store: BarStore, options: OptionMinutes | None, instrument: Instrument, timeframe: Timeframe
) -> BarStore | OptionMinutes:
    is_option = instrument.security_type in OPTIONS and timeframe is Timeframe.MINUTE
    return options if options is not None and is_option else store


async def _take(
    source: HistorySource,
    store: BarStore | OptionMinutes,
    record: PullRecord,
    report: PullReport,
    instrument: Instrument,
    timeframe: Timeframe,
    window: Window,
    clock: TradingClock,
) -> None:
    try:
        bars = await source.bars(instrument, timeframe, window)
        now_ns = clock.now_ns()
        basis = source.basis(instrument, window, now_ns)
    except HistoryRefusedError as error:
        report.refused[instrument.symbol] = f"{window}: {error}"
        return
    report.asked += 1
    count = 0
    if bars is not None:
        finished = bars.slice(0, bars.completed(now_ns))  # a bar that still forms is not history
        count = len(finished)
        if count:
            signed = [instrument.symbol] if instrument.is_signed else []
            written = store.write(finished, known_at=timestamp(now_ns), timeframe=timeframe, signed=signed)
            report.inserted += written.inserted
            report.revised += written.revised
            report.unchanged += written.unchanged
    record.add((source.name, instrument.symbol, timeframe.value), window, count, now_ns, basis)


def _is_there(
    source: HistorySource,
    store: BarStore | OptionMinutes,
    record: PullRecord,
    instrument: Instrument,
    timeframe: Timeframe,
    window: Window,
) -> bool:
    """Return whether a window was answered, on what is still known, and its bars are still in the store."""
    answer = record.answer((source.name, instrument.symbol, timeframe.value), window)
    if answer is None:
        return False
    if not answer.bars:
        return True
    if answer.basis != source.basis(instrument, answer.window, answer.asked_ns):
        return False
    span = timestamp(answer.window.start_ns), timestamp(answer.window.end_ns)
    return len(store.read(instrument.symbol, timeframe, *span).to_arrow()) >= answer.bars
