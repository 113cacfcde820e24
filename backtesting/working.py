"""The orders at the broker: which are at work, which are held, and how one's end or fill touches its kin."""

from __future__ import annotations

import heapq
from bisect import bisect_left, insort
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Final

from backtesting.errors import MISSING_PARENT, MISSING_PARENT_TEXT, BrokerRejection
from backtesting.lives import Sessions, auction, expiry
from backtesting.oca import OcaGroups
from backtesting.orders import BrokerCancel, BrokerChange, BrokerEvent, WorkingOrder
from execution.book.matching import LIMIT_ON_CLOSE, MARKET_ON_CLOSE
from execution.models import OrderStatus, TimeInForce

DAY_EXPIRED: Final = "DAY order expired"
EXPIRED: Final = "the order's time is over"
NOT_AT_CLOSE: Final = "not filled at the close"
PARENT_ENDED: Final = "the parent order ended unfilled"
MATE_FILLED: Final = "another order of its OCA group was filled"

REDUCING: Final = 3
"""OCA type of the children of one parent."""

_PERM_ID = attrgetter("perm_id")


class WorkingOrders:
    """Orders by number, and those that can trade by symbol, in order of acceptance.

    Parameters
    ----------
    symbols
        What can be traded.
    sessions
        The market calendar.
    on_work
        Called with each order as it is put to work.
    """

    def __init__(
        self, symbols: Iterable[str], sessions: Sessions, on_work: Callable[[WorkingOrder], None]
    ) -> None:
        self.by_number: dict[int, WorkingOrder] = {}
        self.at_work: dict[str, list[WorkingOrder]] = {symbol: [] for symbol in symbols}
        self.groups = OcaGroups()
        self.last_perm_id = 0
        self._held: dict[int, WorkingOrder] = {}
        self._sessions = sessions
        self._on_work = on_work
        self.expiries: list[tuple[int, int]] = []
        """A heap of (moment, number) of orders that end by themselves."""

    # -- acceptance ------------------------------------------------------------------------------------

    def parent_of(self, child: WorkingOrder, parent: int) -> WorkingOrder:
        """Make `child` wait for a parent, unless that is filled already; return the parent.

        Raises
        ------
        BrokerRejection
            10006: there is no such order, it has ended unfilled, or is of another account.
        """
        above = self.by_number.get(parent)
        ended = above is not None and above.status.is_final and above.status is not OrderStatus.FILLED
        if above is None or ended or above.account != child.account:
            raise BrokerRejection(MISSING_PARENT, MISSING_PARENT_TEXT)
        child.parent = above.perm_id
        child.waits = above.status is not OrderStatus.FILLED
        group(child)
        return above

    def accept(self, order: WorkingOrder) -> None:
        """Take in an order without a parent and put it to work."""
        order.transmitted = True
        self.last_perm_id = order.perm_id
        self.by_number[order.perm_id] = order
        self.at_work[order.request.symbol].append(order)
        self._watch(order)
        if not order.plain:
            self.groups.add(order)
            self._on_work(order)

    def add(self, order: WorkingOrder) -> None:
        """Take in an order that is not transmitted yet."""
        self.last_perm_id = order.perm_id
        self.by_number[order.perm_id] = order
        self._held[order.perm_id] = order
        if order.parent is not None:
            self.by_number[order.parent].children += (order.perm_id,)

    def untransmitted(self, member: WorkingOrder) -> list[WorkingOrder]:
        """Return what is not transmitted of an order's family: its topmost parent and all below."""
        top = member
        while top.parent is not None and top.parent in self.by_number:
            top = self.by_number[top.parent]
        family, found = [top], []
        while family:
            one = family.pop()
            family += [self.by_number[number] for number in one.children if number in self.by_number]
            if not one.transmitted and not one.status.is_final:
                found.append(one)
        return sorted(found, key=_PERM_ID)

    def require_alive(self, family: Iterable[WorkingOrder], now_ns: int) -> None:
        """Refuse to let orders go whose life ended while they were held; raise `BrokerRejection` 201."""
        for order in family:
            expiry(self._sessions, order.request, now_ns)

    def transmit(self, family: Iterable[WorkingOrder], now_ns: int) -> None:
        """Let held orders go: those that wait for no parent are put to work."""
        for order in family:
            order.transmitted = True
            if order.from_ns != now_ns:
                order.from_ns = now_ns
                order.expires_ns = expiry(self._sessions, order.request, now_ns)
                order.opens_ns = auction(self._sessions, order.request, now_ns)
            self.groups.add(order)
            self._watch(order)
            if not order.waits:
                self._put_to_work(order)

    def amend(self, order: WorkingOrder, new: WorkingOrder, now_ns: int) -> None:
        """Give an order what `new`, drafted from its changed request, has; it keeps its number and fills."""
        old, request = order.request, new.request
        triggers = ("order_type", "stop_price", "trail_amount", "trail_percent", "trail_stop")
        goes_on = all(getattr(old, name) == getattr(request, name) for name in triggers)
        triggered, stop = order.triggered, order.stop_ticks
        order.price(request)
        if goes_on:
            order.triggered, order.stop_ticks = triggered, stop
        order.quantity, order.remaining_lots = new.quantity, new.remaining_lots
        order.from_ns, order.opens_ns = now_ns, new.opens_ns
        if order.expires_ns != new.expires_ns:
            order.expires_ns = new.expires_ns
            if order.transmitted:
                self._watch(order)
        if order.transmitted:
            self.groups.remove(order)
        order.oca_group = request.oca_group
        group(order)
        if order.transmitted:
            self.groups.add(order)
        if order.transmitted and not order.waits:
            self._on_work(order)

    def _watch(self, order: WorkingOrder) -> None:
        if order.expires_ns is not None:
            heapq.heappush(self.expiries, (order.expires_ns, order.perm_id))

    def _put_to_work(self, order: WorkingOrder) -> None:
        del self._held[order.perm_id]
        working = self.at_work[order.request.symbol]
        if not working or working[-1].perm_id < order.perm_id:
            working.append(order)
        else:
            insort(working, order, key=_PERM_ID)
        self._on_work(order)

    # -- answers ---------------------------------------------------------------------------------------

    def open_orders(self) -> list[WorkingOrder]:
        """Return the orders that can still trade, held children included, in order of acceptance."""
        held = (order for order in self._held.values() if order.transmitted)
        working = (order for orders in self.at_work.values() for order in orders)
        return sorted((*working, *held), key=_PERM_ID)

    def resting(self, symbol: str) -> list[WorkingOrder]:
        """Return a symbol's orders that have not ended, transmitted or not, in order of acceptance."""
        held = (order for order in self._held.values() if order.request.symbol == symbol)
        return sorted((*self.at_work[symbol], *held), key=_PERM_ID)

    # -- ends and fills --------------------------------------------------------------------------------

    def finish(self, order: WorkingOrder, reason: str, time_ns: int, events: list[BrokerEvent]) -> None:
        """End an order; its waiting children end with it, or go on in proportion if it was filled in part."""
        order.status = OrderStatus.CANCELLED
        order.reason = reason
        order.ended_ns = time_ns
        if self._held.pop(order.perm_id, None) is None:
            working = self.at_work[order.request.symbol]
            del working[bisect_left(working, order.perm_id, key=_PERM_ID)]
        self.groups.remove(order)
        events.append(BrokerCancel(order, reason, time_ns))
        for child in self._waiting_children(order):
            lots = int(child.remaining_lots * order.filled // order.quantity)
            if not lots:
                self.finish(child, PARENT_ENDED, time_ns, events)
                continue
            self._reduce(child, lots, time_ns, events)
            self._release(child, time_ns, events)

    def filled(
        self, order: WorkingOrder, before: int, ns: tuple[int, int], events: list[BrokerEvent]
    ) -> None:
        """Let an order's kin know of its fill: mates shrink or end, children of a filled order are released.

        Parameters
        ----------
        order
            The order, the fill booked on it.
        before
            Its remaining lots before the fill.
        ns
            When it filled, and when children may begin.
        events
            What happened, to add to.
        """
        if order.oca_group is not None:
            for mate, lots in self.groups.shares(order, before):
                if mate.status.is_final:  # it ended with its parent, a mate too
                    continue
                if lots == 0:
                    self.finish(mate, MATE_FILLED, ns[0], events)
                elif lots != mate.remaining_lots:
                    self._reduce(mate, lots, ns[0], events)
        if order.remaining_lots:
            return
        self.groups.remove(order)
        for child in self._waiting_children(order):
            self._release(child, ns[1], events)

    def expire(self, end_ns: int, events: list[BrokerEvent]) -> None:
        """End the orders whose life is over at `end_ns`."""
        expiries = self.expiries
        while expiries and expiries[0][0] <= end_ns:
            expires_ns, perm_id = heapq.heappop(expiries)
            order = self.by_number.get(perm_id)
            if order is not None and not order.status.is_final and order.expires_ns == expires_ns:
                self.finish(order, _expired(order), expires_ns, events)

    def forget(self, before_ns: int) -> int:
        """Drop orders that ended before a moment; return how many."""
        ended = [
            order.perm_id
            for order in self.by_number.values()
            if order.ended_ns is not None and order.ended_ns < before_ns
        ]
        for perm_id in ended:
            del self.by_number[perm_id]
        return len(ended)

    def _waiting_children(self, order: WorkingOrder) -> list[WorkingOrder]:
        children = (self.by_number.get(number) for number in order.children)
        return [
            child for child in children if child is not None and child.waits and not child.status.is_final
        ]

    def _reduce(self, order: WorkingOrder, lots: int, time_ns: int, events: list[BrokerEvent]) -> None:
        if lots != order.remaining_lots:
            order.remaining_lots = lots
            order.quantity = order.filled + lots * order.instrument.lot
            events.append(BrokerChange(order, "reduced", time_ns))

    def _release(self, child: WorkingOrder, from_ns: int, events: list[BrokerEvent]) -> None:
        child.waits = False
        child.from_ns = max(child.from_ns, from_ns)
        if child.transmitted:
            self._put_to_work(child)
            events.append(BrokerChange(child, "activated", from_ns))


def group(order: WorkingOrder) -> None:
    """Let a child that names no OCA group be in that of its parent's children."""
    if order.oca_group is None and order.parent is not None:
        order.oca_group, order.oca_type = str(order.parent), REDUCING
    order.classify()


def _expired(order: WorkingOrder) -> str:
    if order.kind in (MARKET_ON_CLOSE, LIMIT_ON_CLOSE):
        return NOT_AT_CLOSE
    return DAY_EXPIRED if order.request.time_in_force is TimeInForce.DAY else EXPIRED
