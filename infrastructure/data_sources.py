"""Settings become sources of data: a connection for history, and who knows of corporate actions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import structlog

from data.calendars import ExchangeClock
from data.corporate_actions import CorporateActionSource, FileActionSource, NoActions, YahooActionSource
from data.corporate_actions.for_trading import TradingActions
from data.sources.ibkr import require_live_data
from execution.clocks import SystemClock, timestamp
from execution.ibkr.market_data import MarketDataSession
from execution.models import Instrument
from infrastructure.settings import Settings

YAHOO, NO_ACTIONS = "yahoo", "none"
OWN_CLIENT = 51
"""Added to the trader's client id for a look at what the login gets; `trade data pull` is 50 above it."""

_MARGIN = dt.timedelta(days=400)


async def require_market_data(settings: Settings, instruments: Sequence[Instrument]) -> None:
    """Refuse to trade where TWS says that quotes are delayed or not to be had.

    Raises
    ------
    DelayedDataError
        Unless `data.allow_delayed` says otherwise; without any quotes always.
    NotConnectedError
        If no connection for market data comes about.
    """
    ib = settings.data.ib
    session = MarketDataSession(timeout=ib.timeout_seconds)
    await session.open(ib.host, ib.port, ib.client_id + OWN_CLIENT)
    try:
        found = await require_live_data(session, instruments, allow_delayed=settings.data.allow_delayed)
    finally:
        session.close()
    for one in found:
        if not one.is_live:
            structlog.get_logger("market-data").warning(
                "quotes are not live", symbol=one.symbol, kind=one.kind, said=one.said or "TWS did not say"
            )


def action_source(
    settings: Settings, named: str | None = None, calendar: str | None = None
) -> CorporateActionSource | None:
    """Return who knows of corporate actions; None if nobody is named.

    Parameters
    ----------
    named
        A file or folder, ``yahoo``, or ``none`` for the statement that there were none; by default what
        `data.corporate_actions` says.
    calendar
        Exchange that turns a last date with the right into an ex date; by default `data.calendar`.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound.
    """
    chosen = settings.data.corporate_actions if named is None else named
    if chosen is None:
        return None
    if chosen == NO_ACTIONS:
        return NoActions()
    if chosen == YAHOO:
        return YahooActionSource(settings.data.cache_dir / YAHOO, SystemClock())
    return FileActionSource(Path(chosen), calendar or settings.data.calendar)


def trading_actions(settings: Settings) -> TradingActions | None:
    """Return who explains splits, dividends and new symbols to the order path; None if nobody does.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound.
    """
    source = action_source(settings)
    if source is None:
        return None
    today = timestamp(SystemClock().now_ns()).date()
    return TradingActions(source, ExchangeClock(settings.data.calendar, today - _MARGIN, today + _MARGIN))
