"""Bars kept up to date: which are subscribed, and what TWS sends of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import ib_insync

from execution.errors import BrokerUnavailableError
from execution.ibkr.bars import SessionCalendar, read_history, read_update
from execution.ibkr.requests import Requests
from execution.ibkr.translate import parse_time
from execution.models import Bar
from execution.numbers import parse_integer
from execution.timeframes import Timeframe


@dataclass(frozen=True, slots=True)
class _Subscription:
    symbol: str
    timeframe: Timeframe
    calendar: SessionCalendar


class BarSubscriptions:
    """The subscriptions of one session.

    Parameters
    ----------
    client, requests
        The session's connection, and its requests.
    on_bar
        Takes each update of a subscribed bar.
    time_zone
        Zone of times that TWS sends without one.
    """

    def __init__(
        self,
        client: ib_insync.Client,
        requests: Requests,
        on_bar: Callable[[Bar], None],
        time_zone: str,
    ) -> None:
        self._client = client
        self._requests = requests
        self._on_bar = on_bar
        self._time_zone = time_zone
        self._standing: dict[int, _Subscription] = {}

    def __len__(self) -> int:
        """Return how many stand."""
        return len(self._standing)

    async def subscribe(
        self,
        symbol: str,
        contract: ib_insync.Contract,
        timeframe: Timeframe,
        calendar: SessionCalendar,
        *,
        duration: str,
        regular_hours: bool,
        patience: float,
    ) -> tuple[int, list[Bar]]:
        """Ask for history and keep it up to date; see `IBSession.subscribe_bars`."""
        client = self._client
        self._end(symbol, timeframe)
        number = client.getReqId()
        self._standing[number] = _Subscription(symbol, timeframe, calendar)
        size, regular = timeframe.ib_bar_size, int(regular_hours)
        try:
            rows = await self._requests.ask(
                "bars",
                lambda: client.reqHistoricalData(
                    number, contract, "", duration, size, "TRADES", regular, 2, True, []
                ),
                number=number,
                patience=patience,
            )
        except BrokerUnavailableError:
            self._standing.pop(number, None)
            raise
        end_text, bars = read_history(rows[0], symbol, timeframe, calendar)
        return parse_time(end_text, self._time_zone), bars

    def _end(self, symbol: str, timeframe: Timeframe) -> None:
        """End what stands for the same bars: two subscriptions would tell each bar twice."""
        same = [n for n, old in self._standing.items() if (old.symbol, old.timeframe) == (symbol, timeframe)]
        for number in same:
            del self._standing[number]
            self._client.cancelHistoricalData(number)

    def update(self, fields: list[str]) -> None:
        """Take an update of a bar (message 90)."""
        found = self._standing.get(parse_integer(fields[1], name="request id"))
        if found is not None:
            bar = read_update(fields, found.symbol, found.timeframe, found.calendar)
            if bar is not None:
                self._on_bar(bar)

    def lost(self) -> None:
        """Take note that TWS has ended them all."""
        self._standing.clear()
