"""A broker in memory: what stands at its side of the wire, told as the facts that TWS would tell.

1. An order arrives through the session's `place`; what the script says of it comes first: it may be refused,
   held back, taken in silence, or never arrive.
2. An order that is taken is told as open, then with its status. Exits of a bracket wait for their entry.
3. A price is a market at rest: `trade` matches what works in the symbol by the rules of
   `execution.book.matching`, against a bar of that one price. A market order fills on arrival where a price
   is known.
4. An execution is told, then the status it leads to, then the commission; what it ends or shrinks in its
   group or bracket is told after it. Mates of type 1 end; others, and the exits of a bracket, shrink in
   proportion to what was executed, as the simulated gateway does it.

Facts are queued on the event loop in the order they arise and heard one by one, so a run is the same every
time. Without a session they are not told; whoever reconnects asks.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

from execution.book.ledger import Ledger
from execution.clocks import TradingClock, timestamp
from execution.models import ZERO, Fill, Instrument, OrderRequest, OrderType, Side, TimeInForce
from execution.orders.evidence import (
    CommissionSeen,
    CompletedOrderSeen,
    ErrorSeen,
    Evidence,
    ExecutionSeen,
    OpenOrderSeen,
    OrderStatusSeen,
)
from execution.orders.terms import auxiliary_price
from execution.testing.memory_orders import BrokerOrder, in_ticks, price_of
from execution.testing.script import Answer, Reply

if TYPE_CHECKING:
    from execution.testing.memory_session import MemorySession

_FIRST_PERM_ID = 1_000_001
_NOT_MODIFIABLE, _NOT_FOUND, _ORDER_CANCELLED = 104, 10147, 202
_ON_CLOSE = (OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE)
_AT_ONCE = (TimeInForce.IOC, TimeInForce.FOK)


@dataclass(slots=True)
class MemoryBroker:
    """Orders, executions and accounts; the session speaks with it, tests script and move it.

    Attributes
    ----------
    prices
        Last price by symbol.
    script
        Replies to the next orders, oldest first; an order that finds none is taken.
    changes
        The same for changes of orders, `cancels` for cancellations.
    """

    clock: TradingClock
    accounts: tuple[str, ...]
    cash: Decimal
    commission: Decimal
    prices: dict[str, Decimal] = field(default_factory=dict)
    script: deque[Reply] = field(default_factory=deque)
    changes: deque[Reply] = field(default_factory=deque)
    cancels: deque[Reply] = field(default_factory=deque)
    refusals: int = 0
    session: MemorySession | None = None
    orders: list[BrokerOrder] = field(default_factory=list)
    executions: list[ExecutionSeen] = field(default_factory=list)
    ledgers: dict[str, Ledger] = field(default_factory=dict)
    instruments: dict[str, Instrument] = field(default_factory=dict)
    unheard: int = 0
    _loop: asyncio.AbstractEventLoop | None = None

    def __post_init__(self) -> None:
        for account in self.accounts:
            self.ledgers[account] = Ledger(cash=self.cash, instruments=self.instruments)

    # -- the session's side -----------------------------------------------------------------------------

    def attach(self, session: MemorySession) -> None:
        """Speak with a session from now on."""
        self.session = session
        self._loop = asyncio.get_running_loop()

    def take(
        self,
        order_id: int,
        instrument: Instrument,
        request: OrderRequest,
        *,
        client_id: int,
        parent_id: int,
        transmit: bool,
    ) -> None:
        """Take an order, or a change of one of the same id."""
        known = self.find(order_id)
        if known is not None:
            self._change(known, request)
            return
        reply = self.script.popleft() if self.script else Reply()
        if reply.answer in (Answer.LOSE, Answer.REJECT):
            if reply.answer is Answer.REJECT:
                self._say(ErrorSeen(order_id, reply.code, reply.text))
                self._end_family(parent_id)
            return
        self.instruments.setdefault(instrument.symbol, instrument)
        order = BrokerOrder(
            order_id=order_id,
            perm_id=_FIRST_PERM_ID + len(self.orders),
            account=request.account or self.accounts[0],
            instrument=instrument,
            request=request,
            client_id=client_id,
            parent=self.find(parent_id) if parent_id else None,
            held=reply.answer is Answer.DELAY,
            mute=reply.answer is Answer.IGNORE,
            most=reply.quantity,
            trail_stop=in_ticks(instrument, request.trail_stop),
        )
        self.orders.append(order)
        if reply.answer is Answer.CUT:
            self.drop("the connection was cut as scripted")
        if order.parent is not None and order.parent.over and order.waits:
            self.end(order, "Cancelled")
        elif transmit:
            for one in [o for o in self.orders if o is order or o is order.parent or o.is_exit_beside(order)]:
                self.announce(one)

    def announce(self, order: BrokerOrder) -> None:
        """Tell an order for the first time, and let it trade if the market is there."""
        if order.held or order.mute or order.over:
            return
        if not order.told:
            order.told = True
            self._say(*self.shown(order))
        price = self.prices.get(order.request.symbol)
        if price is not None:
            self._match(order, price)
        if order.request.time_in_force in _AT_ONCE and not order.over:
            self.end(order, "Cancelled")

    def cancel(self, order_id: int) -> None:
        """Take a cancellation."""
        reply = self.cancels.popleft() if self.cancels else Reply()
        order = self.find(order_id)
        if reply.answer in (Answer.IGNORE, Answer.LOSE):
            return
        if reply.answer is Answer.REJECT:
            self._say(ErrorSeen(order_id, reply.code, reply.text))
        elif order is None or order.over:
            self._say(
                ErrorSeen(
                    order_id, _NOT_FOUND, f"OrderId {order_id} that needs to be cancelled is not found."
                )
            )
        else:
            self.end(order, "Cancelled")

    def open_facts(self) -> list[Evidence]:
        """Return what the list of open orders tells; what was taken without a word is known from then on."""
        listed = [order for order in self.orders if not order.over and not order.held]
        for order in listed:
            order.told, order.mute = True, False
        return [fact for order in listed for fact in self.shown(order)]

    def execution_facts(self) -> list[Evidence]:
        """Return what the list of executions tells, with their commissions."""
        return [fact for seen in self.executions for fact in (seen, self._commission(seen))]

    def completed(self) -> list[CompletedOrderSeen]:
        """Return the orders that are over."""
        return [
            CompletedOrderSeen(o.perm_id, o.request.client_order_id or "", o.status, o.filled)
            for o in self.orders
            if o.over
        ]

    # -- what moves it -----------------------------------------------------------------------------------

    def trade(self, symbol: str, price: Decimal) -> None:
        """Let the market trade at a price."""
        self.prices[symbol] = price
        for order in list(self.orders):
            if order.request.symbol == symbol:
                self._match(order, price)

    def fill(self, order: BrokerOrder, quantity: Decimal, price: Decimal) -> None:
        """Execute a part of an order, whatever the market."""
        request = order.request
        seen = ExecutionSeen(
            exec_id=f"0000e0d5.{len(self.executions) + 1:08d}.01.01",
            order_id=order.order_id,
            client_id=order.client_id,
            perm_id=order.perm_id,
            order_ref=request.client_order_id or "",
            account=order.account,
            symbol=request.symbol,
            side=request.side.value,
            quantity=quantity,
            price=price,
            time=self.clock.now_ns(),
        )
        self.executions.append(seen)
        before = order.remaining
        order.filled += quantity
        if not order.remaining:
            order.status = "Filled"
        self._book(seen)
        self._say(seen, self._status(order), self._commission(seen))
        self._after_fill(order, before)

    def end(self, order: BrokerOrder, status: str, *, code: int = _ORDER_CANCELLED, why: str = "") -> None:
        """End an order without a fill, and the exits that waited for it."""
        order.status = status
        self._say(ErrorSeen(order.order_id, code, f"Order Canceled - reason:{why}"), self._status(order))
        for child in self.orders:
            if child.parent is order and not child.over:
                self.end(child, "Cancelled")

    def end_day(self) -> None:
        """Close the market: orders on the close fill at the last price, orders of the day end."""
        for order in list(self.orders):
            kind, price = order.request.order_type, self.prices.get(order.request.symbol)
            if order.over or order.waits or order.held:
                continue
            if kind in _ON_CLOSE and price is not None:
                limit = order.request.limit_price
                if limit is None or order.request.side.sign * (price - limit) <= 0:
                    self.fill(order, order.remaining, price)
                    continue
            if order.request.time_in_force in (TimeInForce.DAY, TimeInForce.OPG):
                self.end(order, "Cancelled")

    def drop(self, why: str) -> None:
        """Lose the session; it hears no more of what it was not told yet."""
        session, self.session = self.session, None
        if session is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(session.lose, why)

    def find(self, order_id: int) -> BrokerOrder | None:
        """Return the order of an id, or None."""
        return next((order for order in self.orders if order.order_id == order_id), None)

    def shown(self, order: BrokerOrder) -> tuple[Evidence, Evidence]:
        """Return an order as open, and its status."""
        request = order.request
        seen = OpenOrderSeen(
            order_id=order.order_id,
            client_id=order.client_id,
            perm_id=order.perm_id,
            order_ref=request.client_order_id or "",
            account=order.account,
            symbol=request.symbol,
            side=request.side.value,
            quantity=request.quantity,
            order_type=request.order_type.value,
            limit_price=request.limit_price,
            aux_price=auxiliary_price(request),
        )
        return seen, self._status(order)

    # -- parts ---------------------------------------------------------------------------------------------

    def _change(self, order: BrokerOrder, request: OrderRequest) -> None:
        reply = self.changes.popleft() if self.changes else Reply()
        if reply.answer in (Answer.IGNORE, Answer.LOSE):
            if reply.answer is Answer.IGNORE:
                order.request = request
            return
        if reply.answer is Answer.REJECT or order.over:
            code = reply.code if reply.answer is Answer.REJECT else _NOT_MODIFIABLE
            text = reply.text or f"Cannot modify an order that is {order.status}"
            self._say(ErrorSeen(order.order_id, code, text))
            return
        order.request = request
        self._say(*self.shown(order))
        price = self.prices.get(request.symbol)
        if price is not None:
            self._match(order, price)

    def _match(self, order: BrokerOrder, price: Decimal) -> None:
        request = order.request
        if order.over or order.waits or order.held or not order.told or request.order_type in _ON_CLOSE:
            return
        at = price_of(order, in_ticks(order.instrument, price))
        quantity = order.remaining if order.most is None else min(order.most, order.remaining)
        if not at or not quantity:
            return
        if order.most is not None:
            order.most -= quantity
        self.fill(order, quantity, at * order.instrument.tick)

    def _after_fill(self, order: BrokerOrder, before: Decimal) -> None:
        """End or shrink the mates of an order that had `before` left, and set its exits to work."""
        for other in list(self.orders):
            if other is order or other.over:
                continue
            if order.is_grouped_with(other) or order.is_exit_beside(other):
                cancels = order.is_grouped_with(other) and other.request.oca_type == 1
                share = ZERO if cancels else other.remaining * order.remaining / before
                lot = other.instrument.lot
                self._leave(other, (share / lot).to_integral_value(ROUND_FLOOR) * lot)
            elif other.parent is order and other.told and order.status == "Filled":
                self._say(*self.shown(other))
                if other.request.symbol in self.prices:
                    self._match(other, self.prices[other.request.symbol])

    def _leave(self, order: BrokerOrder, remaining: Decimal) -> None:
        if not remaining:
            self.end(order, "Cancelled")
        elif remaining != order.remaining:
            order.request = replace(order.request, quantity=order.filled + remaining)
            self._say(*self.shown(order))

    def _end_family(self, parent_id: int) -> None:
        parent = self.find(parent_id) if parent_id else None
        if parent is not None and not parent.over:
            self.end(parent, "Cancelled")

    def _book(self, seen: ExecutionSeen) -> None:
        self.ledgers[seen.account].apply(
            Fill(
                seen.exec_id,
                str(seen.perm_id),
                seen.symbol,
                seen.quantity,
                seen.price,
                Side(seen.side),
                timestamp(seen.time),
                commission=self.commission,
            )
        )

    def _commission(self, seen: ExecutionSeen) -> CommissionSeen:
        return CommissionSeen(seen.exec_id, self.commission, "USD")

    def _status(self, order: BrokerOrder) -> OrderStatusSeen:
        status = "PreSubmitted" if order.status == "Submitted" and order.waits else order.status
        return OrderStatusSeen(
            order_id=order.order_id,
            client_id=order.client_id,
            perm_id=order.perm_id,
            status=status,
            filled=order.filled,
            remaining=ZERO if order.over and status != "Filled" else order.remaining,
        )

    def _say(self, *facts: Evidence) -> None:
        session, loop = self.session, self._loop
        if session is not None and loop is not None:
            self.unheard += 1
            loop.call_soon_threadsafe(self._hear, session, facts)

    def _hear(self, session: MemorySession, facts: Iterable[Evidence]) -> None:
        self.unheard -= 1
        if session is self.session:
            session.hear(facts)
