"""History from TWS or the gateway, over a connection of its own and within Interactive Brokers' limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import numpy as np
import structlog

from data.bars import BarSeries
from data.calendars import ExchangeClock
from data.corporate_actions import AsTraded
from data.errors import (
    CorporateActionDataError,
    DelayedDataError,
    HistoryRefusedError,
    HistoryUnavailableError,
    SourceNotInstalledError,
)
from data.sources.history import HistorySource, Window
from data.sources.pacing import HistoryPace
from execution.clocks import NANOS, MonotonicClock
from execution.errors import BrokerUnavailableError, NotConnectedError
from execution.ibkr.description import Description
from execution.ibkr.market_data import MarketDataSession
from execution.ibkr.tick import DELAYED_KINDS, Entitlement
from execution.models import Bar, Instrument
from execution.timeframes import Timeframe

_T = TypeVar("_T")
_WEEKS: Final = {Timeframe.MINUTE: 1, Timeframe.HOUR: 12, Timeframe.DAY: 260}
"""Weeks of one question: about 2,000, 420 and 1,300 bars."""
_DURATIONS: Final = {Timeframe.MINUTE: "1 W", Timeframe.HOUR: "12 W", Timeframe.DAY: "5 Y"}
_NAMES: Final = ("ibkr", "ibkr-all-hours")
_HISTORY_FAILED: Final = 162
_PACING: Final = "pacing violation"
_PASSING: Final = ("disconnect", "connection attempt", "exited", "cancelled", "timed out")
"""Words by which the service for history says that it failed this time only."""
_NOT_KNOWN: Final = frozenset((166, 200, 321, 354, 10089, 10090, 10168, 10186, 10187))
"""Codes that another try does not change: no such contract, no sense, no entitlement."""
ALL_HOURS: Final = frozenset(("FUT", "FOP", "CASH"))
"""What trades around the clock: "regular hours" would be a part of its sessions."""


async def _now() -> None:
    """Wait for nothing."""


class IbkrHistory(HistorySource):
    """Bars of trades as they were traded.

    Interactive Brokers adjusts a stock's bars for its splits up to the day of the question, not for
    dividends. That is undone here, so that what is stored does not depend on when it was asked for.

    Parameters
    ----------
    host, port, client_id
        Where TWS or the gateway listens, and who asks: another client id than the trader's.
    calendar
        Sessions of the instruments; bars outside them are left out.
    clock
        Wall time, for the limits.
    as_traded
        Undoes the adjustment for splits. Without it stocks are refused: nobody could say in which shares
        their prices are.
    pause
        Waits for seconds.
    regular_hours
        Ask for regular trading hours only: of what trades around the clock, for the calendar's sessions.
        Else bars outside the sessions are kept, too.
    tries
        How often one question is asked before the source counts as unavailable.
    outage_seconds
        For how long a source that did answer is waited for, such as a gateway that restarts at night.
    """

    def __init__(
        self,
        host: str,
        port: int,
        client_id: int,
        calendar: ExchangeClock,
        clock: MonotonicClock,
        *,
        as_traded: AsTraded | None = None,
        pause: Callable[[float], Awaitable[None]] = asyncio.sleep,
        regular_hours: bool = True,
        tries: int = 5,
        timeout: float = 60.0,
        outage_seconds: float = 900.0,
    ) -> None:
        self.name = _NAMES[not regular_hours]
        self._where = host, port, client_id
        self._calendar = calendar
        self._clock = clock
        self._pace = HistoryPace(clock)
        self._as_traded = as_traded
        self._pause = pause
        self._regular_hours = regular_hours
        self._tries = tries
        self._timeout = timeout
        self._outage_seconds = outage_seconds
        self._answered = False
        self._session: MarketDataSession | None = None
        self._told: tuple[int, float] | None = None

    def window_days(self, timeframe: Timeframe) -> int:
        """Return how many days one question covers."""
        return _WEEKS[timeframe] * 7

    def was_asked(self, source: str, seconds_ago: float) -> None:
        """Count a question of an earlier pull: the limits are those of the login, not of a pull."""
        if source in _NAMES:
            self._pace.asked_before(seconds_ago)

    def seconds_for(self, questions: int) -> float:
        """Return how long the limits make so many questions wait."""
        return self._pace.seconds_for(questions)

    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int | None:
        """Return the head timestamp of an instrument's trades; see `HistorySource`."""
        del timeframe
        self._splitting(instrument)
        regular = self._in_regular_hours(instrument)
        return await self._asked(
            (instrument, "head"),
            instrument,
            lambda session: session.head(instrument, regular_hours=regular),
        )

    async def now_ns(self) -> int:
        """Return what time it is at TWS; see `HistorySource`. A connection asks once."""
        told_ns, at = await self._tried(self._time)
        return told_ns + int((self._clock.monotonic() - at) * NANOS)

    async def _time(self, session: MarketDataSession) -> tuple[int, float]:
        if self._told is None:
            self._told = await session.now_ns(), self._clock.monotonic()
        return self._told

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        """Return the bars of a window; see `HistorySource`."""
        regular, undo = self._in_regular_hours(instrument), self._splitting(instrument)
        asked_ns = await self.now_ns() if undo is not None else 0
        found = await self._asked(
            (instrument, timeframe, window.end_ns),
            instrument,
            lambda session: session.history(
                instrument,
                timeframe,
                self._calendar,
                end_ns=self._whole_bars_ns(window, timeframe),
                duration=_DURATIONS[timeframe],
                regular_hours=regular,
                outside=not self._regular_hours,
            ),
        )
        inside = [bar for bar in found if window.start_ns <= bar.start_ns < window.end_ns]
        if not inside:
            return None
        series = series_of(instrument.symbol, timeframe, inside)
        try:
            return series if undo is None else undo.bars(series, asked_ns)
        except (CorporateActionDataError, SourceNotInstalledError) as error:
            raise HistoryRefusedError(f"{instrument.symbol}: splits are not known: {error}") from error

    async def describe(self, instrument: Instrument) -> Description | None:
        """Return id, name, increment, exchange and industry of a contract; see `HistorySource`."""
        return await self._asked(
            (instrument, "details"), instrument, lambda session: session.describe(instrument)
        )

    def basis(self, instrument: Instrument, window: Window, asked_ns: int) -> str:
        """Return the splits that were undone in a window's bars, or which contract it is of, if no stock.

        A name of this house may stand for another contract tomorrow.
        """
        undo = self._splitting(instrument)
        try:
            if undo is not None:
                return undo.basis(instrument.symbol, window.start_ns, asked_ns)
            terms = (instrument.security_type, instrument.underlying, instrument.expiry, instrument.exchange)
            return " ".join((*terms, str(instrument.strike or ""), instrument.right)).strip()
        except (CorporateActionDataError, SourceNotInstalledError) as error:
            raise HistoryRefusedError(f"{instrument.symbol}: splits are not known: {error}") from error

    def _whole_bars_ns(self, window: Window, timeframe: Timeframe) -> int:
        """Return the end of the last bar that begins in a window: up to its own end TWS would cut it."""
        if timeframe is not Timeframe.DAY:
            return -(-window.end_ns // timeframe.nanos) * timeframe.nanos
        session = self._calendar.session_at(window.end_ns - 1)
        return window.end_ns if session is None else max(window.end_ns, session.close_ns)

    def _in_regular_hours(self, instrument: Instrument) -> bool:
        return self._regular_hours and instrument.security_type not in ALL_HOURS

    def _splitting(self, instrument: Instrument) -> AsTraded | None:
        """Return what undoes splits; None for what has none."""
        if instrument.security_type != "STK":
            return None
        if self._as_traded is None:
            raise HistoryRefusedError(
                f"{instrument.symbol}: Interactive Brokers adjusts prices for splits; name who knows the "
                "splits, so that what was traded can be stored: --actions FILE, yahoo or none"
            )
        return self._as_traded

    async def close(self) -> None:
        """Close the connection."""
        self._told = None
        if self._session is not None:
            self._session.close()
            self._session = None

    async def _asked(
        self,
        request: tuple[object, ...],
        instrument: Instrument,
        ask: Callable[[MarketDataSession], Awaitable[_T]],
    ) -> _T:
        """Ask a question about an instrument's history, within the limits."""

        async def turn() -> None:
            while (seconds := self._pace.wait_seconds(request, instrument)) > 0:
                await self._pause(seconds)

        async def noted(session: MarketDataSession) -> _T:
            self._pace.note(request, instrument)
            return await ask(session)

        return await self._tried(noted, turn)

    async def _tried(
        self, ask: Callable[[MarketDataSession], Awaitable[_T]], turn: Callable[[], Awaitable[None]] = _now
    ) -> _T:
        """Ask in turn, and again where that may help: some times, and for a while if it ever answered."""
        failed, since = 0, 0.0
        while True:
            await turn()
            try:
                found = await ask(await self._connected())
            except (NotConnectedError, BrokerUnavailableError) as error:
                failed += 1
                await self._after(error)
                now = self._clock.monotonic()
                since = since or now
                if failed >= self._tries and not (self._answered and now - since < self._outage_seconds):
                    raise HistoryUnavailableError(
                        f"{error}; asked {failed} times. What came before is stored: run the same command "
                        "again, and it goes on"
                    ) from error
                if self._answered:
                    structlog.get_logger("pull").warning("asked in vain", times=failed, why=str(error))
                await self._pause(min(60.0, 2.0 ** (failed - 1)))
            else:
                self._answered = True
                return found

    async def _after(self, error: NotConnectedError | BrokerUnavailableError) -> None:
        """Make ready for another try, or raise if it would get the same answer."""
        code, said = error.context.get("broker_code"), str(error)
        if code is None:
            await self.close()  # no answer: a late one must find nobody
        elif code == _HISTORY_FAILED and _PACING in said:
            self._pace.fill_up()
        elif self._session is not None and self._session.is_cut:
            return  # without the broker TWS knows no contract and has no data
        elif code in _NOT_KNOWN or (code == _HISTORY_FAILED and not any(word in said for word in _PASSING)):
            raise HistoryRefusedError(f"{error}; check the contract and what the login is entitled to")

    async def _connected(self) -> MarketDataSession:
        if self._session is None or not self._session.is_open:
            await self.close()
            session = MarketDataSession(timeout=self._timeout)
            await session.open(*self._where)
            self._session = session
        return self._session


def series_of(symbol: str, timeframe: Timeframe, bars: Sequence[Bar]) -> BarSeries:
    """Return bars, oldest first, as arrays."""
    names = ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    return BarSeries(symbol, timeframe, *(np.array([getattr(bar, name) for bar in bars]) for name in names))


_LINES: Final = 50
"""Quotes asked for at once: a login has a hundred lines, and may use others elsewhere."""


async def require_live_data(
    session: MarketDataSession, instruments: Sequence[Instrument], *, allow_delayed: bool = False
) -> list[Entitlement]:
    """Return what the login gets of each instrument, refusing to go on where TWS says that it is not live.

    Parameters
    ----------
    session
        A connection for market data.
    instruments
        What is to be traded.
    allow_delayed
        Go on with delayed quotes; without any it never goes on.

    Raises
    ------
    DelayedDataError
        Naming each instrument and what TWS said.
    """
    if allow_delayed:
        session.allow_delayed()
    found: list[Entitlement] = []
    for first in range(0, len(instruments), _LINES):
        at_once = instruments[first : first + _LINES]
        found += await asyncio.gather(*(session.entitlement(instrument) for instrument in at_once))
    short = [one for one in found if one.kind == 0 or (one.kind in DELAYED_KINDS and not allow_delayed)]
    if short:
        said = "; ".join(f"{one.symbol}: {one.said or 'delayed'}" for one in short)
        raise DelayedDataError(
            f"no live market data: {said}. Subscribe at the broker, or set data.allow_delayed"
        )
    return found
