"""Settings become sources of data: a connection for history, and who knows of corporate actions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import structlog

from data.calendars import ExchangeClock
from data.corporate_actions import FileActionSource, YahooActionSource
from data.corporate_actions.for_trading import TradingActions
from data.sources.ibkr import require_live_data
from execution.clocks import SystemClock, timestamp
from execution.ibkr.market_data import MarketDataSession
from execution.models import Instrument
from infrastructure.settings import Settings

YAHOO = "yahoo"
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


def trading_actions(settings: Settings) -> TradingActions | None:
    """Return who explains splits, dividends and new symbols to the order path; None if nobody does.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound.
    """
    named = settings.data.corporate_actions
    if named is None:
        return None
    clock, today = SystemClock(), timestamp(SystemClock().now_ns()).date()
    exchange = ExchangeClock(settings.data.calendar, today - _MARGIN, today + _MARGIN)
    if named == YAHOO:
        return TradingActions(YahooActionSource(settings.data.cache_dir / YAHOO, clock), exchange)
    return TradingActions(FileActionSource(Path(named), settings.data.calendar), exchange)
