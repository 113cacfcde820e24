"""Settings become sources of data: a connection for history, and who knows of corporate actions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from data.calendars import ExchangeClock
from data.corporate_actions import CorporateActionSource, FileActionSource, NoActions, YahooActionSource
from data.corporate_actions.for_trading import TradingActions
from data.errors import CorporateActionDataError
from data.sources.ibkr import require_live_data
from execution.clocks import SystemClock, timestamp
from execution.ibkr.market_data import MarketDataSession
from execution.models import Instrument
from infrastructure.settings import Settings

if TYPE_CHECKING:
    import pandas as pd

    from data.corporate_actions.stored_source import StoredActionSource

YAHOO, NO_ACTIONS, STORED = "yahoo", "none", "stored"
OWN_CLIENT = 51
"""Added to the trader's client id for a look at what the login gets; `trade data pull` is 50 above it."""

_PATIENCE_SECONDS = 5
"""A trader asks between two steps: a server that does not answer must not hold it up."""
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
    settings: Settings,
    named: str | None = None,
    calendar: str | None = None,
    *,
    as_of: pd.Timestamp | None = None,
) -> CorporateActionSource | None:
    """Return who knows of corporate actions; None if nobody is named and the database holds none.

    Parameters
    ----------
    named
        A file or folder; ``yahoo``; ``stored`` for those of the database (`trade db import-actions`), or
        ``stored:NAME`` for those imported under a name; ``none`` for the statement that there were none. By
        default what `data.corporate_actions` says, else those of the database, if there are any.
    calendar
        Exchange that turns a last date with the right into an ex date; by default `data.calendar`.
    as_of
        Of those of the database, what was known at this moment; the other sources do not say.

    Raises
    ------
    CorporateActionDataError
        If the file is unsound.
    """
    chosen = settings.data.corporate_actions if named is None else named
    if chosen is None:
        return _stored_if_any(settings, as_of)
    kind, _, origin = str(chosen).partition(":")
    if kind == STORED:
        return _stored(settings, as_of, origin or None)
    if chosen == NO_ACTIONS:
        return NoActions()
    if chosen == YAHOO:
        return YahooActionSource(settings.data.cache_dir / YAHOO, SystemClock())
    return FileActionSource(Path(chosen), calendar or settings.data.calendar)


def _stored(settings: Settings, as_of: pd.Timestamp | None, origin: str | None) -> StoredActionSource:
    from data.corporate_actions.stored_source import StoredActionSource
    from infrastructure.databases import database_of

    database = database_of(settings, connect_timeout=_PATIENCE_SECONDS)
    return StoredActionSource(database, as_of=as_of, origin=origin)


def _stored_if_any(settings: Settings, as_of: pd.Timestamp | None) -> StoredActionSource | None:
    from infrastructure.databases import HOUSE_FILE

    if settings.database.url is None and not (settings.var_dir / HOUSE_FILE).is_file():
        return None  # asked first: the database's drivers take a second to import
    source = _stored(settings, as_of, None)
    try:
        return source if source.holds_any() else None
    except CorporateActionDataError as error:
        structlog.get_logger("corporate-actions").warning("not asked, nobody was named", why=str(error))
        return None


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
