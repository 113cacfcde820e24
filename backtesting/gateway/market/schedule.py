"""The schedule of an exchange as history: ``whatToShow`` SCHEDULE."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Final

from backtesting.gateway.market.durations import end_of, reach
from backtesting.gateway.market.views import invalid
from backtesting.gateway.wire.codec import moment
from backtesting.gateway.wire.data_replies import historical_schedule
from backtesting.gateway.wire.requests import History
from data.calendars import MarketClock, Session
from execution.clocks import NANOS

SCHEDULE: Final = "SCHEDULE"

_DAYS_A_SESSION: Final = 2
_LONGEST_CLOSURE: Final = 14
_DAY_NS: Final = 86_400 * NANOS


def schedule(wish: History, calendar: MarketClock, now_ns: int) -> bytes:
    """Answer a request for the regular sessions that a duration reaches back to.

    Raises
    ------
    RequestRefusedError
        321 for a request that makes no sense, 10314 for an end that is no time.
    """
    if wish.bar_size != "1 day":
        raise invalid("Historical schedule requests are supported for 1 day bars only")
    if wish.keep_up_to_date:
        raise invalid("Historical schedule requests are not supported with keepUpToDate")
    end_ns = end_of(wish.end, now_ns)
    days, start_ns = reach(wish.duration, end_ns)
    if days:
        start_ns = max(0, end_ns - (_DAYS_A_SESSION * days + _LONGEST_CLOSURE) * _DAY_NS)
    found = list(_sessions(calendar, start_ns, end_ns))[-days:]
    rows = [(_text(one.open_ns), _text(one.close_ns), f"{one.date:%Y%m%d}") for one in found]
    first_ns, last_ns = (found[0].open_ns, found[-1].close_ns) if found else (start_ns, end_ns)
    return historical_schedule(wish.request_id, _text(first_ns), _text(last_ns), rows)


def _sessions(calendar: MarketClock, start_ns: int, end_ns: int) -> Iterator[Session]:
    date, last = moment(start_ns).date(), moment(end_ns).date()
    while date <= last:
        session = calendar.session_on(date)
        if session is not None and start_ns < session.close_ns and session.open_ns <= end_ns:
            yield session
        date += dt.timedelta(days=1)


def _text(ns: int) -> str:
    return moment(ns).strftime("%Y%m%d-%H:%M:%S")
