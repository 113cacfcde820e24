"""How long an order lives: which session it is for, and when it ends by itself.

1. A DAY order ends with the session in progress at its placement, or with the next one; orders on the close,
   on the open, IOC and FOK are for that session too. An order on the open is for the next session that opens.
2. With `outside_rth` a day ends four hours after the session's close: at 20:00 New York, or 17:00 after a
   half day, as extended trading in US stocks does. It begins at any time before the session opens.
3. A GTD order ends at its moment, a GTC order never by itself (Interactive Brokers also ends it after a
   quarter, and after ninety days without a login; no simulated login lasts that long).
4. IOC and FOK orders cannot wait for a session to open; everything else can.
"""

from __future__ import annotations

from typing import Final, Protocol

from backtesting.errors import EXCHANGE_CLOSED, GTD_PAST, REJECTED, BrokerRejection
from execution.clocks import NANOS, utc_ns
from execution.models import OrderRequest, TimeInForce

EXTENDED_NS: Final = 4 * 3600 * NANOS
"""How long extended trading goes on after a session's close."""


class TradingSession(Protocol):
    """One session: UTC nanoseconds of its open and close."""

    @property
    def open_ns(self) -> int:
        """Its open."""

    @property
    def close_ns(self) -> int:
        """Its close."""


class Sessions(Protocol):
    """What the broker needs of a market calendar; ``data.calendars.ExchangeClock`` is one."""

    def session_at(self, ns: int) -> TradingSession | None:
        """Return the session open at `ns`, or None."""

    def session_closing_after(self, ns: int) -> TradingSession | None:
        """Return the first session that closes after `ns`: the running one or the next; else None."""


def expiry(sessions: Sessions, request: OrderRequest, now_ns: int) -> int | None:
    """Return when an order placed at `now_ns` ends by itself, or None if it does not.

    Raises
    ------
    BrokerRejection
        201, for a GTD order whose moment has passed.
    """
    life = request.time_in_force
    if life is TimeInForce.GTC:
        return None
    if life is TimeInForce.GTD and request.good_till is not None:
        end_ns = utc_ns(request.good_till)
        if end_ns <= now_ns:
            raise BrokerRejection(REJECTED, GTD_PAST)
        return end_ns
    if life is TimeInForce.OPG:
        session = opening(sessions, now_ns)
        return None if session is None else session.close_ns
    longer = EXTENDED_NS if request.outside_rth else 0
    session = sessions.session_closing_after(now_ns - longer)
    return None if session is None else session.close_ns + longer


def auction(sessions: Sessions, request: OrderRequest, now_ns: int) -> int | None:
    """Return the open that an order on the open is for; None for any other, and without a session to come."""
    if request.time_in_force is not TimeInForce.OPG:
        return None
    session = opening(sessions, now_ns)
    return None if session is None else session.open_ns


def opening(sessions: Sessions, now_ns: int) -> TradingSession | None:
    """Return the first session that opens at or after `now_ns`."""
    session = sessions.session_closing_after(now_ns)
    if session is not None and session.open_ns < now_ns:
        session = sessions.session_closing_after(session.close_ns)
    return session


def require_open(sessions: Sessions, request: OrderRequest, now_ns: int) -> None:
    """Refuse what cannot wait while no session is open.

    Raises
    ------
    BrokerRejection
        201: the exchange is closed. A calendar that knows no session from here on does not refuse.
    """
    if request.time_in_force not in (TimeInForce.IOC, TimeInForce.FOK):
        return
    if sessions.session_at(now_ns) is None and sessions.session_closing_after(now_ns) is not None:
        raise BrokerRejection(REJECTED, EXCHANGE_CLOSED)


class RegularHours:
    """Tells bars of extended trading; `open_ns` and `close_ns` are of the session it looked up last."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.open_ns = 0
        self.close_ns = 0

    def outside(self, start_ns: int, end_ns: int) -> bool:
        """Say whether a bar lies wholly outside the sessions; where the calendar knows none, it does not."""
        if self.open_ns <= start_ns < self.close_ns:
            return False
        session = self._sessions.session_closing_after(start_ns)
        if session is None:
            return False
        self.open_ns, self.close_ns = session.open_ns, session.close_ns
        return end_ns <= session.open_ns
