"""The data desk: history, its updates, where the data begins, and real-time bars.

In whole steps a subscription is told of each bar that a step completes. Where the market runs, it also hears
of the bar that is forming every five seconds of simulated time, and only of the last of several such moments
that fall into one part. Real-time bars are cut out of the path of the price; a whole step tells those of the
bars it completes, provided that these are of an hour at most.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from backtesting.gateway.errors import RequestRefusedError
from backtesting.gateway.market.bars import Step
from backtesting.gateway.market.history import Pacing, Subscription
from backtesting.gateway.market.schedule import SCHEDULE, schedule
from backtesting.gateway.market.spread import quoted_bar
from backtesting.gateway.session import ClientSession
from backtesting.gateway.state import GatewayState, Handlers, no_answer
from backtesting.gateway.wire import data_replies
from backtesting.gateway.wire import requests as ask
from execution.clocks import NANOS
from execution.models import Bar

REAL_TIME_NS: Final = 5 * NANOS
LONGEST_IN_STEPS: Final = 3600
"""Seconds of the longest bars that whole steps cut real-time bars from."""

_REAL_TIME_KINDS: Final = ("TRADES", "MIDPOINT", "BID", "ASK")


@dataclass(slots=True)
class RealTimeLine:
    """A client's wish for bars of five seconds."""

    request_id: int
    symbol: str
    what: str
    rth: bool
    since_ns: int
    """End of the last bar told."""


@dataclass(slots=True)
class Feed:
    """What one client has subscribed to."""

    histories: dict[int, Subscription] = field(default_factory=dict)
    by_symbol: dict[str, list[Subscription]] = field(default_factory=dict)
    real_time: dict[int, RealTimeLine] = field(default_factory=dict)
    pacing: Pacing = field(default_factory=Pacing)

    def add(self, wish: Subscription) -> None:
        """Take up a subscription to history."""
        self.histories[wish.request_id] = wish
        self.by_symbol.setdefault(wish.symbol, []).append(wish)

    def drop(self, request_id: int) -> bool:
        """End a subscription to history; return whether there was one."""
        wish = self.histories.pop(request_id, None)
        if wish is None:
            return False
        self.by_symbol[wish.symbol].remove(wish)
        return True


class DataDesk:
    """Bars: historical, as they end, and of five seconds.

    Parameters
    ----------
    state
        What the desks share.
    wall
        Wall time in seconds, for the pacing of requests; None does not limit them.
    """

    def __init__(self, state: GatewayState, wall: Callable[[], float] | None = None) -> None:
        self._state = state
        self._wall = wall
        self._feeds: dict[ClientSession, Feed] = {}
        self.handlers: Handlers = {
            ask.History: self._history,
            ask.CancelHistory: self._cancel_history,
            ask.HeadTimestamp: self._head_timestamp,
            ask.CancelHeadTimestamp: no_answer,
            ask.RealTimeBars: self._real_time,
            ask.CancelRealTimeBars: self._cancel_real_time,
        }

    def forget(self, session: ClientSession) -> None:
        """End everything a client has subscribed to."""
        self._feeds.pop(session, None)

    def tell(self, step: Step) -> None:
        """Send what a step has brought to who subscribed to it."""
        if not self._feeds:
            return
        cache: dict[object, bytes] = {}
        whole = step.bars is step.completed
        completed = step.completed
        for session, feed in self._feeds.items():
            if feed.histories:
                by_symbol, update = feed.by_symbol, self._state.market.history.update
                for bar in completed:
                    for wish in by_symbol.get(bar.symbol, ()):
                        if data := update(wish, bar, step.end_ns, cache):
                            session.send(data)
                if not whole:
                    self._tell_forming(session, feed, step, cache)
            for line in feed.real_time.values():
                self._tell_real_time(session, line)

    def _tell_forming(
        self, session: ClientSession, feed: Feed, step: Step, cache: dict[object, bytes]
    ) -> None:
        ended = {bar.symbol for bar in step.completed}
        for bar in step.bars:
            if bar.symbol in ended:
                continue
            for wish in feed.by_symbol.get(bar.symbol, ()):
                if data := self._state.market.history.update(wish, None, step.end_ns, cache):
                    session.send(data)

    def _tell_real_time(self, session: ClientSession, line: RealTimeLine) -> None:
        calendar = self._state.calendar
        for bar in self._cut(line):
            if line.rth and calendar.session_at(bar.start_ns) is None:
                continue
            prices = (bar.open, bar.high, bar.low, bar.close)
            average = round(sum(prices) / len(prices), 4)
            session.send(
                data_replies.real_time_bar(
                    line.request_id, bar.start_ns // NANOS, prices, bar.volume, average, int(bar.volume > 0)
                )
            )

    def _cut(self, line: RealTimeLine) -> Iterator[Bar]:
        market = self._state.market
        tick, slippage = market.ticks[line.symbol], market.slippage
        for path, until in market.played_since(line.symbol, line.since_ns):
            start = max(line.since_ns, path.bar.start_ns)
            while True:
                end = min(start // REAL_TIME_NS * REAL_TIME_NS + REAL_TIME_NS, path.bar.end_ns)
                if end > until or start >= end:
                    break
                yield quoted_bar(path.part(start, end), line.what, tick, slippage)
                start = end
            line.since_ns = max(line.since_ns, start)

    # requests

    def _feed(self, session: ClientSession) -> Feed:
        return self._feeds.setdefault(session, Feed())

    def _history(self, session: ClientSession, wish: ask.History) -> None:
        state, feed = self._state, self._feed(session)
        instrument = state.book.find(wish.contract)
        if wish.request_id in feed.histories:
            raise RequestRefusedError(
                322, "Error processing request.-'bO' : cause - Duplicate historical data request id"
            )
        if self._wall is not None:
            feed.pacing.check(wish, self._wall())
        if wish.what == SCHEDULE:
            session.send(schedule(wish, state.calendar, state.now_ns))
            return
        session.send(state.market.history.answer(wish, instrument, state.now_ns))
        if wish.keep_up_to_date:
            feed.add(state.market.history.subscription(wish, instrument))

    def _cancel_history(self, session: ClientSession, wish: ask.CancelHistory) -> None:
        if not self._feed(session).drop(wish.request_id):
            raise RequestRefusedError(366, f"No historical data query found for ticker id:{wish.request_id}")
        text = "Historical Market Data Service error message:API historical data query cancelled: "
        session.send_error(wish.request_id, 162, f"{text}{wish.request_id}")

    def _head_timestamp(self, session: ClientSession, wish: ask.HeadTimestamp) -> None:
        instrument = self._state.book.find(wish.contract)
        text = self._state.market.history.head_timestamp(wish, instrument)
        session.send(data_replies.head_timestamp(wish.request_id, text))

    def _real_time(self, session: ClientSession, wish: ask.RealTimeBars) -> None:
        state, feed = self._state, self._feed(session)
        symbol = state.book.find(wish.contract).symbol
        if wish.request_id in feed.real_time:
            raise RequestRefusedError(
                322, "Error processing request.-'bO' : cause - Duplicate real-time bars request id"
            )
        if wish.what not in _REAL_TIME_KINDS:
            raise RequestRefusedError(
                321, "Error validating request.-'bW' : cause - What to show field is missing or incorrect."
            )
        series = state.market.series.get(symbol)
        if series is None:
            raise RequestRefusedError(420, f"Invalid Real-time Query:No bars of {symbol}")
        if not state.running and series.timeframe.seconds > LONGEST_IN_STEPS:
            size = series.timeframe.ib_bar_size
            raise RequestRefusedError(
                420, f"Invalid Real-time Query:Bars of {size} played in whole steps hold no bars of 5 secs"
            )
        feed.real_time[wish.request_id] = RealTimeLine(
            wish.request_id, symbol, wish.what, wish.rth, state.now_ns
        )

    def _cancel_real_time(self, session: ClientSession, wish: ask.CancelRealTimeBars) -> None:
        if self._feed(session).real_time.pop(wish.request_id, None) is None:
            raise RequestRefusedError(300, f"Can't find EId with tickerId:{wish.request_id}")
