"""The simulated broker: working orders, the one matching module and the one ledger, and nothing else.

The event engine calls it directly; the simulated gateway serves it over the wire. It has no clock: every call
is told the time. `advance` processes one step, all bars with the same end:

1. Bars are visited in symbol order, a symbol's open orders in order of acceptance. An order fills no earlier
   than the first bar that starts at or after its placement, and not in a bar that starts after its expiry.
2. `execution.matching` decides on whole ticks. A stop that was triggered and not filled in full goes on as a
   market order; a triggered stop-limit as a limit order.
3. Where a participation cap is set, the orders of a symbol share the bar's capacity; the rest keeps working.
4. Each fill is charged (`backtesting.costs`) and booked in the broker's ledger. It is stamped with the bar's
   start (filled at the open) or its end (filled within), floored to whole seconds as on the wire.
5. After all matching, DAY orders whose session has closed are cancelled, also those of symbols without a bar.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from math import inf
from typing import Protocol

from backtesting.costs import commission, participation_ppm, slippage_centi_bps
from backtesting.errors import (
    CANCEL_NOT_FOUND,
    CANCEL_WRONG_STATE,
    PRICE_INCREMENT,
    REJECTED,
    UNKNOWN_CONTRACT,
    BrokerRejection,
)
from execution.clocks import NANOS, timestamp
from execution.errors import NumberFormatError
from execution.ledger import Ledger
from execution.matching import AT_OPEN, LIMIT, MARKET, NO_FILL, STOP, STOP_LIMIT, capacity, match
from execution.models import (
    ZERO,
    Bar,
    Fill,
    Instrument,
    OrderRequest,
    OrderStatus,
    OrderType,
    TimeInForce,
)
from execution.numbers import from_ticks, round_money, to_lots, to_ticks
from strategies.spec import CostSpec

DAY_EXPIRED = "DAY order expired"
CANCELLED_BY_CLIENT = "cancelled by the client"

_KINDS = {
    OrderType.MARKET: MARKET,
    OrderType.LIMIT: LIMIT,
    OrderType.STOP: STOP,
    OrderType.STOP_LIMIT: STOP_LIMIT,
}


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


@dataclass(slots=True, eq=False)
class WorkingOrder:
    """An order at the broker, from acceptance to its end; two orders are equal only if they are the same.

    `expires_ns` is, for a DAY order, the close of the session in progress at its placement, or of the next
    one if there is none; None for GTC, and where the calendar knows no further session. `fees` and
    `filled_value` are in account currency and price times quantity; the fields from `kind` on hold the same
    order in whole ticks and lots, as matching takes it.
    """

    perm_id: int
    request: OrderRequest
    instrument: Instrument
    placed_ns: int
    expires_ns: int | None
    quantity: Decimal
    status: OrderStatus = OrderStatus.SUBMITTED
    triggered: bool = False
    filled: Decimal = ZERO
    reason: str | None = None
    fees: Decimal = ZERO
    filled_value: Decimal = ZERO
    fills: int = 0
    kind: int = field(default=MARKET, repr=False)
    limit_ticks: int = field(default=0, repr=False)
    stop_ticks: int = field(default=0, repr=False)
    remaining_lots: int = field(default=0, repr=False)

    @property
    def remaining(self) -> Decimal:
        """Size that has not been executed."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Average price of what was executed, rounded as money is; None before the first fill."""
        return round_money(self.filled_value / self.filled) if self.filled else None


@dataclass(frozen=True, slots=True)
class BrokerFill:
    """One execution: the `number`-th of its order, from 1.

    `time_ns` is in whole seconds; `realized_pnl` is the profit of what it closed, before commissions, or None
    if it closed nothing.
    """

    order: WorkingOrder
    number: int
    quantity: Decimal
    price: Decimal
    time_ns: int
    commission: Decimal
    realized_pnl: Decimal | None


@dataclass(frozen=True, slots=True)
class BrokerCancel:
    """An order that ended without filling in full; `time_ns` is the moment it stopped working."""

    order: WorkingOrder
    reason: str
    time_ns: int


class SimulatedBroker:
    """Accepts, fills, cancels and expires orders against completed bars.

    Parameters
    ----------
    instruments
        What can be traded.
    costs
        Slippage, commission and participation.
    sessions
        The market calendar, for DAY orders.
    cash
        Opening balance of the account.
    """

    def __init__(
        self, instruments: Sequence[Instrument], costs: CostSpec, sessions: Sessions, cash: Decimal
    ) -> None:
        self.instruments = {instrument.symbol: instrument for instrument in instruments}
        self.ledger = Ledger(cash=cash, instruments=dict(self.instruments))
        self.orders: dict[int, WorkingOrder] = {}
        self._costs = costs
        self._slippage = slippage_centi_bps(costs)
        self._participation = participation_ppm(costs)
        self._sessions = sessions
        self._open: dict[str, list[WorkingOrder]] = {symbol: [] for symbol in self.instruments}
        self._expiries: list[tuple[int, int]] = []
        self._closes: dict[str, float] = {}
        self._tick_floats = {symbol: float(item.tick) for symbol, item in self.instruments.items()}

    def place(self, request: OrderRequest, now_ns: int) -> WorkingOrder:
        """Accept an order at trading time `now_ns` (UTC nanoseconds).

        Raises
        ------
        BrokerRejection
            200: no such contract; 110: a price off the tick; 201: a size off the lot. Nothing changed.
        """
        instrument = self.instruments.get(request.symbol)
        if instrument is None:
            raise BrokerRejection(UNKNOWN_CONTRACT, "No security definition has been found for the request")
        try:
            limit, stop = (
                0 if price is None else to_ticks(price, instrument.tick)
                for price in (request.limit_price, request.stop_price)
            )
        except NumberFormatError as error:
            raise BrokerRejection(
                PRICE_INCREMENT,
                "The price does not conform to the minimum price variation for this contract.",
            ) from error
        try:
            lots = to_lots(request.quantity, instrument.lot)
        except NumberFormatError as error:
            raise BrokerRejection(
                REJECTED, f"Order rejected - reason:The size is not a multiple of {instrument.lot}"
            ) from error
        order = WorkingOrder(
            perm_id=len(self.orders) + 1,
            request=request,
            instrument=instrument,
            placed_ns=now_ns,
            expires_ns=self._expiry(request, now_ns),
            quantity=request.quantity,
            kind=_KINDS[request.order_type],
            limit_ticks=limit,
            stop_ticks=stop,
            remaining_lots=lots,
        )
        self.orders[order.perm_id] = order
        self._open[request.symbol].append(order)
        if order.expires_ns is not None:
            heapq.heappush(self._expiries, (order.expires_ns, order.perm_id))
        return order

    def cancel(self, perm_id: int, now_ns: int) -> BrokerCancel:
        """Cancel an open order at trading time `now_ns`.

        Raises
        ------
        BrokerRejection
            10147: no such order; 10148: it has already ended, and the text says how. Nothing changed.
        """
        order = self.orders.get(perm_id)
        if order is None:
            raise BrokerRejection(
                CANCEL_NOT_FOUND, f"OrderId {perm_id} that needs to be cancelled is not found."
            )
        if order.status.is_final:
            raise BrokerRejection(
                CANCEL_WRONG_STATE,
                f"OrderId {perm_id} that needs to be cancelled cannot be cancelled, "
                f"state: {order.status.capitalize()}.",
            )
        return self._end(order, CANCELLED_BY_CLIENT, now_ns)

    def open_orders(self) -> list[WorkingOrder]:
        """Return the orders that can still trade, in order of acceptance."""
        return sorted(
            (order for working in self._open.values() for order in working), key=lambda order: order.perm_id
        )

    def mark(self, symbol: str) -> Decimal | None:
        """Return the close of a symbol's last bar, or None before its first."""
        close = self._closes.get(symbol)
        return None if close is None else Decimal(repr(close))

    def advance(self, end_ns: int, bars: Sequence[Bar]) -> list[BrokerFill | BrokerCancel]:
        """Process the step of the bars that end at `end_ns`; return what happened, in order.

        A bar with a defect fills nothing and leaves the mark as it was.
        """
        events: list[BrokerFill | BrokerCancel] = []
        due = [bar for bar in bars if self._open.get(bar.symbol)]
        if len(due) > 1:
            due.sort(key=lambda bar: bar.symbol)
        for bar in due:
            if bar.defect() is None:
                self._fill_from(bar, events)
        for bar in bars:
            if 0 < bar.close < inf:
                self._closes[bar.symbol] = float(bar.close)
        expiries = self._expiries
        while expiries and expiries[0][0] <= end_ns:
            expires_ns, perm_id = heapq.heappop(expiries)
            order = self.orders[perm_id]
            if not order.status.is_final:
                events.append(self._end(order, DAY_EXPIRED, expires_ns))
        return events

    def _expiry(self, request: OrderRequest, now_ns: int) -> int | None:
        if request.time_in_force is TimeInForce.GTC:
            return None
        session = self._sessions.session_closing_after(now_ns)
        return None if session is None else session.close_ns

    def _fill_from(self, bar: Bar, events: list[BrokerFill | BrokerCancel]) -> None:
        tick = self._tick_floats[bar.symbol]
        open_, high, low = round(bar.open / tick), round(bar.high / tick), round(bar.low / tick)
        room: int | None = None
        if self._participation is not None:
            lots = bar.volume / float(self.instruments[bar.symbol].lot)
            room = capacity(lots, self._participation)
        working = self._open[bar.symbol]
        for order in working:
            if order.placed_ns > bar.start_ns:
                continue
            if order.expires_ns is not None and order.expires_ns <= bar.start_ns:
                continue
            price, when, order.triggered = match(
                order.kind,
                order.request.side.sign,
                order.limit_ticks,
                order.stop_ticks,
                order.triggered,
                open_,
                high,
                low,
                self._slippage,
            )
            lots = order.remaining_lots if room is None else min(room, order.remaining_lots)
            if when == NO_FILL or lots == 0:
                continue
            if room is not None:
                room -= lots
            moment = bar.start_ns if when == AT_OPEN else bar.end_ns
            events.append(self._book(order, lots, price, moment - moment % NANOS))
        self._open[bar.symbol] = [order for order in working if order.remaining_lots]

    def _book(self, order: WorkingOrder, lots: int, ticks: int, time_ns: int) -> BrokerFill:
        instrument, request = order.instrument, order.request
        quantity = lots * instrument.lot
        price = from_ticks(ticks, instrument.tick)
        fee = commission(self._costs, order, quantity)
        held = self.ledger.position(instrument.symbol)
        realized = self._realized(instrument.symbol)
        self.ledger.apply(
            Fill(
                fill_id=f"{order.perm_id}-{order.fills + 1}",
                order_id=str(order.perm_id),
                symbol=instrument.symbol,
                quantity=quantity,
                price=price,
                side=request.side,
                timestamp=timestamp(time_ns),
                commission=fee,
            )
        )
        order.remaining_lots -= lots
        order.filled += quantity
        order.filled_value += quantity * price
        order.fees += fee
        order.fills += 1
        order.status = OrderStatus.PARTIALLY_FILLED if order.remaining_lots else OrderStatus.FILLED
        closes = held * request.side.sign < 0
        gain = self._realized(instrument.symbol) - realized if closes else None
        return BrokerFill(order, order.fills, quantity, price, time_ns, fee, gain)

    def _realized(self, symbol: str) -> Decimal:
        holding = self.ledger.holdings.get(symbol)
        return holding.realized_pnl if holding else ZERO

    def _end(self, order: WorkingOrder, reason: str, time_ns: int) -> BrokerCancel:
        order.status = OrderStatus.CANCELLED
        order.reason = reason
        self._open[order.request.symbol].remove(order)
        return BrokerCancel(order, reason, time_ns)
