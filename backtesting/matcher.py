"""The orders at work in a symbol against one bar: who takes part, in which turn, and with how much of it.

It is the inner loop of every run: plain orders are decided here by `execution.book.matching` alone, the
others by `backtesting.filling`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from backtesting.accounts import Accounts
from backtesting.costs import participation_ppm, slippage_centi_bps
from backtesting.filling import (
    WHOLE,
    Ticks,
    attempt,
    ends_with_its_bar,
    follow,
    in_turn,
    missed_its_open,
    takes_part,
    triggered_at_open,
)
from backtesting.lives import RegularHours, Sessions
from backtesting.orders import BrokerChange, BrokerEvent, WorkingOrder
from backtesting.working import WorkingOrders
from execution.book.matching import AT_OPEN, NO_FILL, capacity, match
from execution.clocks import NANOS
from execution.models import Bar, Instrument
from strategies.spec import CostSpec

NOT_AT_ONCE: Final = "not filled at once"
NOT_AT_OPEN: Final = "not filled at the open"


class Matcher:
    """Fills orders from bars.

    Parameters
    ----------
    instruments
        What is traded, by symbol.
    costs
        Slippage and participation.
    sessions
        The market calendar, for regular hours.
    accounts
        Where fills are booked.
    """

    def __init__(
        self, instruments: Mapping[str, Instrument], costs: CostSpec, sessions: Sessions, accounts: Accounts
    ) -> None:
        self.working = WorkingOrders(instruments, sessions, self._start_trail)
        """The orders."""
        self._accounts = accounts
        self._at_work = self.working.at_work
        self._groups = self.working.groups.members
        self._hours = RegularHours(sessions)
        self._slippage = slippage_centi_bps(costs)
        self._participation = participation_ppm(costs)
        self._ticks = {symbol: float(item.tick) for symbol, item in instruments.items()}
        self._lots = {symbol: float(item.lot) for symbol, item in instruments.items()}

    def _start_trail(self, order: WorkingOrder) -> None:
        if order.request.order_type.trails:
            symbol = order.request.symbol
            follow(order, round(self._accounts.closes.get(symbol, 0.0) / self._ticks[symbol]))

    def fill_from(self, bar: Bar, events: list[BrokerEvent]) -> None:
        """Match a sound bar with the orders at work in its symbol; what happens is added to `events`."""
        tick = self._ticks[bar.symbol]
        open_, high, low = round(bar.open / tick), round(bar.high / tick), round(bar.low / tick)
        room = None if self._participation is None else self._room(bar, self._participation)
        start_ns = bar.start_ns
        hours = self._hours
        regular = hours.open_ns <= start_ns < hours.close_ns
        outside = not regular and hours.outside(start_ns, bar.end_ns)
        working = self._at_work[bar.symbol]
        filled = False
        queue = working.copy()
        if self._groups:
            queue = in_turn(queue, bar, (open_, high, low, round(bar.close / tick)), self._slippage)
        for order in queue:
            if outside and not order.request.outside_rth:
                continue
            if not order.plain:
                ticks = (open_, high, low, round(bar.close / tick))
                lots = self._work(order, bar, ticks, room, events)
                if lots:
                    filled = True
                    room = None if room is None else room - lots
                continue
            if order.from_ns > start_ns:
                continue
            if order.expires_ns is not None and order.expires_ns <= start_ns:
                continue
            before = order.triggered
            price, when, triggered = match(
                order.kind,
                order.request.side.sign,
                order.limit_ticks,
                order.stop_ticks,
                before,
                open_,
                high,
                low,
                self._slippage,
            )
            if triggered is not before:
                self._note_trigger(order, bar, open_, events)
            lots = order.remaining_lots if room is None else min(room, order.remaining_lots)
            if when == NO_FILL or lots == 0:
                continue
            if room is not None:
                room -= lots
            filled = True
            moment = start_ns if when == AT_OPEN else bar.end_ns
            events.append(self._accounts.book(order, lots, price, moment - moment % NANOS))
            if order.children:
                self.working.filled(order, lots, (moment, bar.end_ns), events)
        if filled:
            working[:] = [order for order in working if order.remaining_lots]

    def _room(self, bar: Bar, participation: int) -> int:
        return capacity(bar.volume / self._lots[bar.symbol], participation)

    def _work(
        self, order: WorkingOrder, bar: Bar, ticks: Ticks, room: int | None, events: list[BrokerEvent]
    ) -> int:
        if order.status.is_final:  # a mate's fill ended it in this bar
            return 0
        if not takes_part(order, bar):
            if missed_its_open(order, bar):
                self.working.finish(order, NOT_AT_OPEN, bar.start_ns, events)
            return 0
        before, stop = order.triggered, order.stop_ticks
        price, when = attempt(order, bar, ticks, self._slippage)
        if order.triggered is not before:
            self._note_trigger(order, bar, ticks[0], events)
        elif order.stop_ticks != stop:
            events.append(BrokerChange(order, "trailed", bar.end_ns))
        left = order.remaining_lots
        lots = left if room is None else min(room, left)
        if when == NO_FILL or (
            lots < left and (order.request.all_or_none or order.request.time_in_force is WHOLE)
        ):
            lots = 0
        moment = bar.start_ns if when == AT_OPEN else bar.end_ns
        moment -= moment % NANOS
        if lots:
            events.append(self._accounts.book(order, lots, price, moment))
            self.working.filled(order, left, (moment, bar.end_ns), events)
        if order.remaining_lots and ends_with_its_bar(order):
            late = lots == 0 and when == NO_FILL and order.triggered
            self.working.finish(order, NOT_AT_ONCE, bar.end_ns if late else moment, events)
        return lots

    def _note_trigger(self, order: WorkingOrder, bar: Bar, open_: int, events: list[BrokerEvent]) -> None:
        order.triggered = True
        moment = bar.start_ns if triggered_at_open(order, open_) else bar.end_ns
        events.append(BrokerChange(order, "triggered", moment - moment % NANOS))
