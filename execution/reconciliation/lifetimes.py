"""How long an order can live at the most: by its terms, its contract, and the hours of its exchange.

* A contract that is not traded any more has no orders.
* A GTD order ends at its moment.
* An order for the day ends with its session: of a US stock by the exchange's calendar, once midnight has
  passed there and in New York; of any other contract by the hours that the broker stated of it, once midnight
  has passed in New York. The record has them from the time at which its details were asked for.

Hours do not say which stretches make one trading day, with its breaks and its evening. So all that begin
within eight hours of the end of the first belong to it; where the stated hours end before that, it is not
known. Clocks differ, so everything is over some minutes later than it says.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from execution.clocks import NANOS, timestamp, utc_ns
from execution.ibkr.contract_book import ContractBook
from execution.journal import JournalEvent
from execution.models import Instrument, OrderRequest, TimeInForce
from execution.orders.entry import Entry

FOR_THE_DAY: Final = (TimeInForce.DAY, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG)
_BROKERS_DAY: Final = ZoneInfo("America/New_York")
_LAST_ZONE: Final = dt.timezone(dt.timedelta(hours=-12))
"""The day ends here last of all; for contracts whose zone is not known."""
_MINUTE: Final = 60 * NANOS
_ALLOWED: Final = 10 * _MINUTE
"""By how much our clock, the broker's and what it takes to list an end may differ."""
_BREAK: Final = 8 * 60 * _MINUTE
_DATE_LENGTH: Final = 8

Stretches = Sequence[tuple[int, int]]
"""Stretches of trading, UTC nanoseconds, ascending."""


class SessionDay(Protocol):
    """A trading session."""

    @property
    def date(self) -> dt.date:
        """Its date at the exchange."""

    @property
    def close_ns(self) -> int:
        """Close, UTC nanoseconds."""


class TradingDays(Protocol):
    """Knows the sessions of the exchange; an exchange's calendar is one."""

    def session_closing_after(self, ns: int) -> SessionDay | None:
        """Return the first session that closes after a moment; None where it is not known."""

    def midnight_ns(self, date: dt.date) -> int:
        """Return the moment at which a date begins at the exchange."""


@dataclass(frozen=True, slots=True)
class Life:
    """Whether an order can still live.

    `over` says why it cannot, and is empty while it may; `unknown` says what would have to be known.
    """

    over: str = ""
    unknown: str = ""


class Lifetimes:
    """Tells whether an order can still live.

    Parameters
    ----------
    days
        Sessions of the exchange of US stocks; None knows of none.
    contracts
        Our instruments, and what the broker stated of their contracts.
    now_ns
        The time, UTC nanoseconds.
    events
        The record, which is read for the hours of contracts where an order's life depends on them.
    """

    def __init__(
        self,
        days: TradingDays | None,
        contracts: ContractBook,
        now_ns: Callable[[], int],
        events: Callable[[], Iterable[JournalEvent]],
    ) -> None:
        self.days = days
        self._contracts = contracts
        self._now_ns = now_ns
        self._events = events
        self._closes: dict[tuple[str, int, int], int | None] = {}
        """End of an order's trading day, by its id, attempt and the session in which it was looked up."""

    async def learn(self, entries: Iterable[Entry], session: int) -> None:
        """Read in the record when the trading days of orders end that no calendar tells.

        Parameters
        ----------
        entries
            The orders in question.
        session
            Number of the session: what is not on record is looked for once in each.
        """
        due = {
            (entry.client_order_id, entry.attempt, session): entry
            for entry in entries
            if entry.request.time_in_force in FOR_THE_DAY
            and not self._by_calendar(entry.request.symbol)
            and self._close_of(entry) is None
        }
        due = {key: entry for key, entry in due.items() if key not in self._closes}
        if not due:
            return
        symbols = {entry.request.symbol for entry in due.values()}
        stated = await asyncio.to_thread(_stated_hours, symbols, self._events())
        for key, entry in due.items():
            self._closes[key] = _close_after(stated[entry.request.symbol], entry.submitted_ns)

    def of(self, entry: Entry) -> Life:
        """Return whether an order can still live."""
        symbol = entry.request.symbol
        gone = self.last_traded(symbol)
        if gone:
            return Life(f"its contract was last traded on {gone}")
        terms = [entry.request] if entry.modification is None else [entry.request, entry.modification.request]
        lives = [self._life(entry, request) for request in terms]
        return next((life for life in lives if not life.over), lives[0])

    def last_traded(self, symbol: str) -> str:
        """Return the day on which a symbol's contract was last traded; empty while it may be traded."""
        terms, instrument = self._contracts.terms_of(symbol), self._contracts.instruments.get(symbol)
        day, zone = ("", "") if terms is None else (terms.last_day, terms.zone)
        if len(day) != _DATE_LENGTH and instrument is not None:  # an expired one is not described any more
            day, zone = instrument.expiry, ""
        try:
            last = dt.datetime.strptime(day, "%Y%m%d").replace(tzinfo=_zone(zone))
        except ValueError:  # a month only, or none
            return ""
        over_ns = int((last + dt.timedelta(days=1)).timestamp()) * NANOS + _ALLOWED
        now_ns = self._now_ns()
        return f"{last:%Y-%m-%d}" if now_ns >= over_ns and broker_day(now_ns) > last.date() else ""

    def _life(self, entry: Entry, request: OrderRequest) -> Life:
        now_ns = self._now_ns()
        if request.time_in_force is TimeInForce.GTD and request.good_till is not None:
            if now_ns < utc_ns(request.good_till) + _ALLOWED:
                return Life()
            return Life(f"a GTD order that was good till {request.good_till.tz_convert('UTC')}")
        if request.time_in_force not in FOR_THE_DAY:
            return Life()
        if self._by_calendar(request.symbol):
            close_ns, over_ns = self._close_by_calendar(entry.submitted_ns)
        else:
            close_ns = self._close_of(entry) or 0
            over_ns = close_ns + _ALLOWED
        if not close_ns:
            if self._by_calendar(request.symbol) or broker_day(now_ns) <= broker_day(entry.submitted_ns):
                return Life()
            since = timestamp(entry.submitted_ns)
            return Life(unknown=f"the hours of {request.symbol} from {since} on are not on record in full")
        if now_ns < over_ns or broker_day(now_ns) <= broker_day(close_ns):
            return Life()
        return Life(
            f"a {request.time_in_force} order of {timestamp(entry.submitted_ns)}, whose session closed at "
            f"{timestamp(close_ns)}"
        )

    def _close_by_calendar(self, since_ns: int) -> tuple[int, int]:
        """Return the close of a stock order's session, and when its day is over; zeros if not known."""
        session = None if self.days is None else self.days.session_closing_after(since_ns)
        if self.days is None or session is None:
            return 0, 0
        return session.close_ns, self.days.midnight_ns(session.date + dt.timedelta(days=1))

    def _close_of(self, entry: Entry) -> int | None:
        return next(
            (
                close
                for (name, attempt, _), close in self._closes.items()
                if name == entry.client_order_id and attempt == entry.attempt and close is not None
            ),
            None,
        )

    def _by_calendar(self, symbol: str) -> bool:
        """Return whether a symbol is a US stock; what nobody named is taken as one."""
        one: Instrument | None = self._contracts.instruments.get(symbol)
        return one is None or (one.security_type == "STK" and one.currency == "USD")


def broker_day(ns: int) -> dt.date:
    """Return the date of a moment in New York, by which the broker's lists of the day begin."""
    return dt.datetime.fromtimestamp(ns // NANOS, _BROKERS_DAY).date()


def close_of(hours: Stretches, since_ns: int) -> int | None:
    """Return when the trading day ends that a moment lies in, or is followed by; None if hours do not show.

    Parameters
    ----------
    hours
        Stretches of trading as the broker stated them at one time, without gaps in between.
    since_ns
        The moment.
    """
    later = [span for span in hours if span[1] > since_ns]
    of_day = [span for span in later if span[0] <= later[0][1] + _BREAK]
    if len(of_day) == len(later):  # another stretch of the day may follow beyond what was stated
        return None
    return max(end for _, end in of_day)


def _close_after(stated: Sequence[tuple[int, Stretches]], since_ns: int) -> int | None:
    """Return the same by the newest statement of before that shows it, or else the first one after."""
    before = [hours for time_ns, hours in stated if time_ns <= since_ns]
    after = [hours for time_ns, hours in stated if time_ns > since_ns]
    found = (close_of(hours, since_ns) for hours in [*reversed(before), *after])
    return next((close for close in found if close is not None), None)


def _stated_hours(
    symbols: Iterable[str], events: Iterable[JournalEvent]
) -> dict[str, list[tuple[int, Stretches]]]:
    """Read what a record says of the hours of contracts, with the time at which each was stated."""
    found: dict[str, list[tuple[int, Stretches]]] = {symbol: [] for symbol in symbols}
    for event in events:
        if event.kind == "api_contract" and event.body["symbol"] in found and event.body.get("hours"):
            hours = [(start, end) for start, end in event.body["hours"]]
            found[event.body["symbol"]].append((event.time_ns, hours))
    return found


def _zone(name: str) -> dt.tzinfo:
    try:
        return ZoneInfo(name) if name else _LAST_ZONE
    except (ZoneInfoNotFoundError, OSError, ValueError):
        return _LAST_ZONE
