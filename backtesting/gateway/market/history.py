"""History: what a request gets, what follows it, and where the data begins."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import pandas as pd

from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.bars import Tape
from backtesting.gateway.market.durations import end_of, reach
from backtesting.gateway.market.spread import SERVED
from backtesting.gateway.market.views import FAILED, BarView, Views, encode_row, encode_update, invalid
from backtesting.gateway.wire.codec import time_text
from backtesting.gateway.wire.frames import frame
from backtesting.gateway.wire.requests import HeadTimestamp, History
from execution.clocks import NANOS
from execution.models import Bar, Instrument

EPOCH_DATES: Final = 2
"""formatDate of a request that wants seconds since the epoch for intraday bars."""

FORMING_NS: Final = 5 * NANOS
"""How often a running market tells of a forming bar."""

_SHOWN: Final = {"TRADES": "Trades", "MIDPOINT": "Midpoint", "BID": "Bid", "ASK": "Ask", "BID_ASK": "Bid_Ask"}


@dataclass(slots=True)
class Subscription:
    """A client's wish for every further bar of a view."""

    request_id: int
    view: BarView
    epoch: bool
    head: bytes
    """The message up to and including the request id."""
    told_ns: int = 0
    """Time of the last update."""
    told_bars: int = 0
    """Complete bars at the last update."""

    @property
    def symbol(self) -> str:
        """Whose bars."""
        return self.view.key.symbol


class HistoryRoom:
    """Answers requests for bars.

    Parameters
    ----------
    tape
        The bars.
    views
        The bars by size and kind.
    """

    def __init__(self, tape: Tape, views: Views) -> None:
        self._tape = tape
        self._views = views

    def subscription(self, wish: History, instrument: Instrument) -> Subscription:
        """Return what a client's wish for updates amounts to; raise as `answer` does."""
        view = self._views.find(instrument.symbol, wish.bar_size, wish.what, rth=wish.rth)
        epoch = wish.date_format == EPOCH_DATES
        return Subscription(
            wish.request_id,
            view,
            epoch,
            b"90\0%d\0" % wish.request_id,
            self._tape.now_ns,
            view.completed(),
        )

    def answer(self, wish: History, instrument: Instrument, now_ns: int) -> bytes:
        """Answer a history request with one message 17.

        Raises
        ------
        RequestRefusedError
            321 for a request that makes no sense, 162 for data that is not there.
        """
        if wish.date_format not in (1, EPOCH_DATES):
            raise invalid("Invalid date format: 1 and 2 are served")
        if wish.keep_up_to_date and wish.end:
            raise invalid("End date not supported with keepUpToDate")
        if wish.what == "ADJUSTED_LAST" and wish.end:
            raise invalid("End date not supported with adjusted last")
        view = self._views.find(instrument.symbol, wish.bar_size, wish.what, rth=wish.rth)
        epoch = wish.date_format == EPOCH_DATES
        end_ns = end_of(wish.end, now_ns)
        last = min(view.completed(), int(view.table.end_ns.searchsorted(end_ns, side="right")))
        forming = view.forming() if end_ns == now_ns else None
        first, start_ns = _first(wish.duration, view, last, end_ns, forming)
        rows = view.rows(first, last, epoch)
        count = last - first
        if forming is not None:
            rows += encode_row(view.date(forming.start_ns, view.day_of(forming), epoch), forming)
            count += 1
        if not count and not wish.keep_up_to_date:
            what = _SHOWN.get(wish.what, "Trades")
            raise RequestRefusedError(
                162, f"{FAILED}HMDS query returned no data: {instrument.symbol}@{instrument.exchange} {what}"
            )
        head = f"17\0{wish.request_id}\0{time_text(start_ns)}\0{time_text(end_ns)}\0{count}\0"
        return frame(head.encode() + rows)

    def head_timestamp(self, wish: HeadTimestamp, instrument: Instrument) -> str:
        """Return the start of a symbol's earliest bar, as asked: UTC text, or seconds since the epoch.

        Raises
        ------
        RequestRefusedError
            321 for a request that makes no sense, 162 for a symbol or kind without bars.
        """
        symbol = instrument.symbol
        if wish.date_format not in (1, EPOCH_DATES):
            raise invalid("Invalid date format: 1 and 2 are served")
        if wish.what not in SERVED or symbol not in self._tape.series:
            raise RequestRefusedError(162, f"{FAILED}No head time stamp")
        held = [self._tape.series[symbol]]
        held += [series for (owner, _), series in self._tape.coarser.items() if owner == symbol]
        first_ns = min(int(series.start_ns[0]) for series in held)
        if wish.date_format == EPOCH_DATES:
            return str(first_ns // NANOS)
        return pd.Timestamp(first_ns, unit="ns", tz="UTC").strftime("%Y%m%d-%H:%M:%S")

    def update(
        self, wish: Subscription, completed: Bar | None, now_ns: int, cache: dict[object, bytes]
    ) -> bytes:
        """Return what a subscription is told after a step: one message 90, or nothing.

        Parameters
        ----------
        wish
            The subscription; its notes of what it has been told are brought up to date.
        completed
            The symbol's bar that the step completed, if any.
        now_ns
            The end of the step.
        cache
            What has been encoded of this step, shared by all subscriptions.
        """
        if completed is None and now_ns - wish.told_ns < FORMING_NS:
            return b""
        wish.told_ns = now_ns
        count = wish.view.completed()
        key = (wish.view, wish.epoch)
        tail = cache.get(key)
        if tail is None:
            tail = cache[key] = self._tail(wish, completed, count)
        wish.told_bars = count
        return frame(wish.head + tail) if tail else b""

    def _tail(self, wish: Subscription, completed: Bar | None, count: int) -> bytes:
        """Encode the newest bar of a subscription: the one just completed, else the one that is forming."""
        view = wish.view
        if completed is not None and count > wish.told_bars:
            bar: Bar | None = completed if view.is_plain else view.bar(count - 1)
            day = int(view.table.days[count - 1]) if view.is_daily else 0
        else:
            bar = view.forming()
            day = 0 if bar is None else view.day_of(bar)
        if bar is None:
            return b""
        return encode_update(view.date(bar.start_ns, day, wish.epoch), bar)


class Pacing:
    """The limits that TWS puts on historical requests, per client: 60 in ten minutes, no same one in 15 s."""

    def __init__(self) -> None:
        self._asked: deque[tuple[float, History]] = deque()

    def check(self, wish: History, now: float) -> None:
        """Note a request at `now` (wall seconds).

        Raises
        ------
        RequestRefusedError
            162, pacing violation.
        """
        while self._asked and now - self._asked[0][0] >= 600.0:  # noqa: PLR2004  ten minutes
            self._asked.popleft()
        same = any(_same(wish, other) for at, other in self._asked if now - at < 15.0)  # noqa: PLR2004
        if same or len(self._asked) >= 60:  # noqa: PLR2004  the documented limit
            raise RequestRefusedError(162, f"{FAILED}Historical data request pacing violation")
        self._asked.append((now, wish))


def _same(wish: History, other: History) -> bool:
    return (wish.contract, wish.end, wish.bar_size, wish.duration, wish.what) == (
        other.contract,
        other.end,
        other.bar_size,
        other.duration,
        other.what,
    )


def _first(duration: str, view: BarView, last: int, end_ns: int, forming: Bar | None) -> tuple[int, int]:
    """Return the first bar of a duration, and the moment the duration starts."""
    days, start_ns = reach(duration, end_ns)
    starts = view.table.start_ns
    if days:
        new_day = forming is not None and (not last or view.table.days[last - 1] != view.day_of(forming))
        first = view.days_back(last, days - new_day)
        if first < last:
            return first, int(starts[first])
        return first, end_ns if forming is None else forming.start_ns
    return min(last, int(starts.searchsorted(start_ns, side="left"))), start_ns
