"""Record what streams in: real-time bars of shares, quotes and Greeks of options; a snapshot at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from data.sources.history import OPTIONS
from data.sources.ibkr import ALL_HOURS
from data.sources.recorder import MinuteRecorder, OptionRecorder
from execution.clocks import TradingClock
from execution.ibkr.market_data import MarketDataSession
from execution.ibkr.tick import QuoteTick
from execution.models import Instrument

SHORTEST_SECONDS, LONGEST_SECONDS = 60.0, 300.0
RESUME_SECONDS, PACING_SECONDS = 5.0, 610.0
"""After how long a stream is begun again that TWS has ended, and one that came too soon after others."""


async def record(
    session: MarketDataSession,
    instruments: Sequence[Instrument],
    clock: TradingClock,
    stop: asyncio.Event,
    *,
    minutes: MinuteRecorder,
    options: OptionRecorder | None = None,
    every_seconds: float = SHORTEST_SECONDS,
    written: Callable[[], None] = lambda: None,
) -> dict[str, str]:
    """Record until told to stop, until the session is gone, or until TWS has refused every stream.

    Every minute of which all has come is written at the end. The recorders can go on with another session.
    A stream that TWS ends and asks to begin again is begun again. The minute in which that happens, or in
    which TWS loses the broker or a farm, stays unwritten.

    Parameters
    ----------
    session
        An open connection for market data; see `sources.ibkr.require_live_data` for what it is entitled to.
    instruments
        Options go into `options`, all others into `minutes`; what trades around the clock is recorded at all
        hours, else at regular ones.
    clock
        The broker's time.
    stop
        Set to end it.
    every_seconds
        Time between two snapshots, one minute to five.
    written
        Told after each snapshot.

    Returns
    -------
    dict
        By symbol, why TWS refused its stream.

    Raises
    ------
    ValueError
        If `every_seconds` is out of range, or an option is given and nowhere to record it.
    """
    if not SHORTEST_SECONDS <= every_seconds <= LONGEST_SECONDS:
        raise ValueError(f"every {every_seconds:g} s: take a snapshot every 60 to 300 seconds")
    missing = [one.symbol for one in instruments if one.security_type in OPTIONS]
    if missing and options is None:
        raise ValueError(f"{', '.join(missing)}: an option needs a database to be recorded in")
    recorders: list[MinuteRecorder | OptionRecorder] = [minutes] if options is None else [minutes, options]
    streams = _Streams(session, instruments, clock, minutes, options, recorders)
    ends = [asyncio.ensure_future(end) for end in (stop.wait(), session.closed(), streams.none_left.wait())]
    try:
        streams.begin()
        over = False
        while not over:
            done, _ = await asyncio.wait(ends, timeout=every_seconds, return_when=asyncio.FIRST_COMPLETED)
            over = bool(done)
            for recorder in recorders:
                recorder.snapshot(clock.now_ns())
            written()
    finally:
        streams.end()
        for end in ends:
            end.cancel()
    return streams.refused


class _Streams:
    """The streams of one connection, and what becomes of them."""

    def __init__(
        self,
        session: MarketDataSession,
        instruments: Sequence[Instrument],
        clock: TradingClock,
        minutes: MinuteRecorder,
        options: OptionRecorder | None,
        recorders: Sequence[MinuteRecorder | OptionRecorder],
    ) -> None:
        self.refused: dict[str, str] = {}
        self.none_left = asyncio.Event()
        self._session = session
        self._instruments = instruments
        self._clock = clock
        self._minutes = minutes
        self._options = options
        self._recorders = recorders
        self._later: list[asyncio.TimerHandle] = []
        self._log = structlog.get_logger("recorder")

    def begin(self) -> None:
        """Begin every stream, and hear of holes in them."""
        self._session.watch_link(self._broken_off)
        for instrument in self._instruments:
            self._watch(instrument)

    def end(self) -> None:
        """Take note that the streams have ended."""
        for handle in self._later:
            handle.cancel()
        for recorder in self._recorders:
            recorder.broken_off(self._clock.now_ns())

    def _watch(self, instrument: Instrument) -> None:
        def refuse(said: str) -> None:
            self.refused[instrument.symbol] = said
            if len(self.refused) == len(self._instruments):
                self.none_left.set()
            self._log.error("refused", symbol=instrument.symbol, said=said)

        def resume(said: str) -> None:
            self._broken_off(said, instrument.symbol)
            seconds = PACING_SECONDS if "pacing" in said.lower() else RESUME_SECONDS
            loop = asyncio.get_running_loop()
            self._later.append(loop.call_later(seconds, self._watch_again, instrument))

        if instrument.security_type in OPTIONS:
            self._session.watch_quotes(instrument, self._take, refuse, on_ended=resume, open_interest=True)
        else:
            self._session.watch_real_time(
                instrument,
                self._minutes.on_bar,
                refuse,
                on_ended=resume,
                regular_hours=instrument.security_type not in ALL_HOURS,
            )

    def _watch_again(self, instrument: Instrument) -> None:
        if self._session.is_open:  # else the next connection begins it
            self._watch(instrument)

    def _take(self, tick: QuoteTick) -> None:
        assert self._options is not None  # noqa: S101 - checked before the streams began
        self._options.on_tick(tick, self._clock.now_ns())

    def _broken_off(self, said: str, symbol: str | None = None) -> None:
        self._log.warning("a hole in the stream", symbol=symbol or "all", said=said)
        for recorder in self._recorders:
            recorder.broken_off(self._clock.now_ns(), symbol)
