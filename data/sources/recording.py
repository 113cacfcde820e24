"""Record what streams in: real-time bars of shares, quotes and Greeks of options; a snapshot at intervals."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

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
) -> dict[str, str]:
    """Record until told to stop, or until the session is gone; what is in memory is written at the end.

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

    def take(tick: QuoteTick) -> None:
        assert options is not None  # noqa: S101 - checked before the stream began
        options.on_tick(tick, clock.now_ns())

    for instrument in instruments:
        symbol = instrument.symbol

        def refuse(said: str, symbol: str = symbol) -> None:
            refused[symbol] = said
            structlog.get_logger("recorder").error("refused", symbol=symbol, said=said)

        if instrument.security_type in ("OPT", "FOP"):
            if options is None:
                raise ValueError(f"{symbol}: an option needs a database to be recorded in")
            session.watch_quotes(instrument, take, refuse, open_interest=True)
        else:
            session.watch_real_time(instrument, minutes.on_bar, refuse)
    ends = [asyncio.ensure_future(stop.wait()), asyncio.ensure_future(session.closed())]
    try:
        over = False
        while not over:
            done, _ = await asyncio.wait(ends, timeout=every_seconds, return_when=asyncio.FIRST_COMPLETED)
            over = bool(done)
            minutes.snapshot(clock.now_ns())
            if options is not None:
                options.snapshot(clock.now_ns())
    finally:
        for end in ends:
            end.cancel()
    return refused
