"""History from TWS or the gateway, over a connection of its own and within Interactive Brokers' limits."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import numpy as np

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
from execution.clocks import MonotonicClock
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
_HISTORY_FAILED: Final = 162
_PACING: Final = "pacing violation"
_NOT_KNOWN: Final = frozenset((200, 321, 354, 10089, 10090, 10186, 10187))
"""Codes that another try does not change: no such contract, no sense, no entitlement."""


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
        Ask for regular trading hours only.
    tries
        How often one question is asked before the source counts as unavailable.
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
    ) -> None:
        self.name = "ibkr" if regular_hours else "ibkr-all-hours"
        self._where = host, port, client_id
        self._calendar = calendar
        self._pace = HistoryPace(clock)
        self._as_traded = as_traded
        self._pause = pause
        self._regular_hours = regular_hours
        self._tries = tries
        self._timeout = timeout
        self._session: MarketDataSession | None = None

    def window_days(self, timeframe: Timeframe) -> int:
        """Return how many days one question covers."""
        return _WEEKS[timeframe] * 7

    def seconds_for(self, questions: int) -> float:
        """Return how long the limits make so many questions wait."""
        return self._pace.seconds_for(questions)

    async def head_ns(self, instrument: Instrument, timeframe: Timeframe) -> int:
        """Return the head timestamp of an instrument's trades; see `HistorySource`."""
        del timeframe
        self._splitting(instrument)
        return await self._asked(
            (instrument, "head"),
            instrument,
            lambda session: session.head(instrument, regular_hours=self._regular_hours),
        )

    async def bars(self, instrument: Instrument, timeframe: Timeframe, window: Window) -> BarSeries | None:
        """Return the bars of a window; see `HistorySource`."""
        found = await self._asked(
            (instrument, timeframe, window.end_ns),
            instrument,
            lambda session: session.history(
                instrument,
                timeframe,
                self._calendar,
                end_ns=window.end_ns,
                duration=_DURATIONS[timeframe],
                regular_hours=self._regular_hours,
            ),
        )
        inside = [bar for bar in found if window.start_ns <= bar.start_ns < window.end_ns]
        if not inside:
            return None
        series = series_of(instrument.symbol, timeframe, inside)
        undo = self._splitting(instrument)
        try:
            return series if undo is None else undo.bars(series)
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
        if self._session is not None:
            self._session.close()
            self._session = None

    async def _asked(
        self,
        request: tuple[object, ...],
        instrument: Instrument,
        ask: Callable[[MarketDataSession], Awaitable[_T]],
    ) -> _T:
        problem: Exception | None = None
        for attempt in range(self._tries):
            while (seconds := self._pace.wait_seconds(request, instrument)) > 0:
                await self._pause(seconds)
            try:
                session = await self._connected()
                self._pace.note(request, instrument)
                return await ask(session)
            except (NotConnectedError, BrokerUnavailableError) as error:
                problem = error
                await self._after(error)
            if attempt + 1 < self._tries:
                await self._pause(min(60.0, 2.0**attempt))
        raise HistoryUnavailableError(f"{problem}; asked {self._tries} times") from problem

    async def _after(self, error: NotConnectedError | BrokerUnavailableError) -> None:
        """Make ready for another try, or raise if it would get the same answer."""
        code = error.context.get("broker_code")
        if code is None:
            await self.close()  # no answer: a late one must find nobody
        elif code == _HISTORY_FAILED and _PACING in str(error):
            self._pace.fill_up()
        elif code == _HISTORY_FAILED or code in _NOT_KNOWN:
            raise HistoryRefusedError(f"{error}; check the contract and what the login is entitled to")

    async def _connected(self) -> MarketDataSession:
        if self._session is None or not self._session.is_open:
            session = MarketDataSession(timeout=self._timeout)
            await session.open(*self._where)
            self._session = session
        return self._session


def series_of(symbol: str, timeframe: Timeframe, bars: Sequence[Bar]) -> BarSeries:
    """Return bars, oldest first, as arrays."""
    names = ("start_ns", "end_ns", "open", "high", "low", "close", "volume")
    return BarSeries(symbol, timeframe, *(np.array([getattr(bar, name) for bar in bars]) for name in names))


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
    found = [await session.entitlement(instrument) for instrument in instruments]
    short = [one for one in found if one.kind == 0 or (one.kind in DELAYED_KINDS and not allow_delayed)]
    if short:
        said = "; ".join(f"{one.symbol}: {one.said or 'delayed'}" for one in short)
        raise DelayedDataError(
            f"no live market data: {said}. Subscribe at the broker, or set data.allow_delayed"
        )
    return found
