"""Record what streams in: real-time bars of shares, quotes and Greeks of options; a snapshot at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from data.sources.recorder import MinuteRecorder, OptionRecorder
from execution.clocks import TradingClock
from execution.ibkr.market_data import MarketDataSession
from execution.ibkr.tick import QuoteTick
from execution.models import Instrument

SHORTEST_SECONDS, LONGEST_SECONDS = 60.0, 300.0


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

    Parameters
    ----------
    session
        An open connection for market data; see `sources.ibkr.require_live_data` for what it is entitled to.
    instruments
        Options go into `options`, all others into `minutes`.
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
    refused: dict[str, str] = {}
    nothing_left = asyncio.Event()

    def take(tick: QuoteTick) -> None:
        assert options is not None  # noqa: S101 - checked before the stream began
        options.on_tick(tick, clock.now_ns())

    for instrument in instruments:
        symbol = instrument.symbol

        def refuse(said: str, symbol: str = symbol) -> None:
            refused[symbol] = said
            if len(refused) == len(instruments):
                nothing_left.set()
            structlog.get_logger("recorder").error("refused", symbol=symbol, said=said)

        if instrument.security_type in ("OPT", "FOP"):
            if options is None:
                raise ValueError(f"{symbol}: an option needs a database to be recorded in")
            session.watch_quotes(instrument, take, refuse, open_interest=True)
        else:
            session.watch_real_time(instrument, minutes.on_bar, refuse)
    ends = [asyncio.ensure_future(end) for end in (stop.wait(), session.closed(), nothing_left.wait())]
    recorders: list[MinuteRecorder | OptionRecorder] = [minutes] if options is None else [minutes, options]
    try:
        over = False
        while not over:
            done, _ = await asyncio.wait(ends, timeout=every_seconds, return_when=asyncio.FIRST_COMPLETED)
            over = bool(done)
            for recorder in recorders:
                recorder.snapshot(clock.now_ns())
            written()
    finally:
        for recorder in recorders:
            recorder.broken_off(clock.now_ns())
        for end in ends:
            end.cancel()
    return refused
