"""Orders at the simulated broker, and what it reports of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, Literal

from backtesting.errors import PRICE_INCREMENT, PRICE_INCREMENT_TEXT, BrokerRejection
from execution.book.matching import (
    CONTINGENT,
    LIMIT,
    LIMIT_IF_TOUCHED,
    LIMIT_ON_CLOSE,
    MARKET,
    MARKET_IF_TOUCHED,
    MARKET_ON_CLOSE,
    STOP,
    STOP_LIMIT,
    TRAIL,
    TRAIL_LIMIT,
)
from execution.errors import NumberFormatError
from execution.models import ZERO, Instrument, OrderRequest, OrderStatus, OrderType, TimeInForce
from execution.numbers import from_ticks, round_money, to_ticks

KINDS: Final = {
    OrderType.MARKET: MARKET,
    OrderType.LIMIT: LIMIT,
    OrderType.STOP: STOP,
    OrderType.STOP_LIMIT: STOP_LIMIT,
    OrderType.MARKET_IF_TOUCHED: MARKET_IF_TOUCHED,
    OrderType.LIMIT_IF_TOUCHED: LIMIT_IF_TOUCHED,
    OrderType.TRAIL: TRAIL,
    OrderType.TRAIL_LIMIT: TRAIL_LIMIT,
    OrderType.MARKET_ON_CLOSE: MARKET_ON_CLOSE,
    OrderType.LIMIT_ON_CLOSE: LIMIT_ON_CLOSE,
}
"""Order types as matching knows them."""

PERCENT_STEP: Final = Decimal("0.0001")
"""Finest trailing percentage: one part per million."""

What = Literal["triggered", "activated", "reduced", "trailed", "adjusted"]


@dataclass(slots=True, eq=False)
class WorkingOrder:
    """An order at the broker, from acceptance to its end; two orders are equal only if they are the same.

    `expires_ns` is when it ends unless it fills before: for a DAY order the close of the session in progress
    at its placement, or of the next one if there is none; None for GTC, and where the calendar knows no
    further session. `fees` and `filled_value` are in account currency and price times quantity. An order that
    is not `transmitted`, or that `waits` for its parent, is held: nothing fills it. It takes part from
    `from_ns` on, the moment of its placement, its last modification or its release. The fields from `kind` on
    hold the same order in whole ticks and lots, as matching takes it; `plain` marks those that need no more
    than that.
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
    account: str = ""
    parent: int | None = None
    children: tuple[int, ...] = ()
    transmitted: bool = True
    waits: bool = False
    oca_group: str | None = None
    oca_type: int = 1
    ended_ns: int | None = None
    from_ns: int = field(default=0, repr=False)
    opens_ns: int | None = field(default=None, repr=False)
    volume_before: Decimal | None = field(default=None, repr=False)
    plain: bool = field(default=True, repr=False)
    kind: int = field(default=MARKET, repr=False)
    limit_ticks: int = field(default=0, repr=False)
    stop_ticks: int = field(default=0, repr=False)
    trail_ticks: int = field(default=0, repr=False)
    trail_ppm: int = field(default=0, repr=False)
    offset_ticks: int | None = field(default=None, repr=False)
    remaining_lots: int = field(default=0, repr=False)

    @property
    def remaining(self) -> Decimal:
        """Size that has not been executed."""
        return self.quantity - self.filled

    @property
    def average_price(self) -> Decimal | None:
        """Average price of what was executed, rounded as money is; None before the first fill."""
        return round_money(self.filled_value / self.filled) if self.filled else None

    @property
    def held(self) -> bool:
        """Whether it cannot fill yet: it was not transmitted, or its parent is not filled."""
        return self.waits or not self.transmitted

    @property
    def waits_for_trigger(self) -> bool:
        """Whether a price must be reached before it can fill."""
        return self.kind in CONTINGENT and not self.triggered

    @property
    def why_held(self) -> str:
        """Why it is not at work, as TWS words it: ``child``, ``trigger``, both, or empty."""
        reasons = ("child" if self.waits else "", "trigger" if self.waits_for_trigger else "")
        return ",".join(reason for reason in reasons if reason)

    @property
    def stop(self) -> Decimal | None:
        """The stop or trigger price as it stands now; None without one, or before a trail saw a price."""
        if self.kind not in CONTINGENT or not self.stop_ticks:
            return None
        return from_ticks(self.stop_ticks, self.instrument.tick)

    @property
    def limit(self) -> Decimal | None:
        """The limit price as it stands now; None without one, or before a trail saw a price."""
        return from_ticks(self.limit_ticks, self.instrument.tick) if self.limit_ticks else None

    def price(self, request: OrderRequest) -> None:
        """Take a request's prices, in ticks.

        Raises
        ------
        BrokerRejection
            110, if a price or offset is not a whole number of ticks; nothing was taken.
        """
        tick = self.instrument.tick
        amount = start = ppm = 0
        offset = None
        try:
            limit = 0 if request.limit_price is None else to_ticks(request.limit_price, tick)
            stop = 0 if request.stop_price is None else to_ticks(request.stop_price, tick)
            if request.order_type.trails:
                amount = 0 if request.trail_amount is None else to_ticks(request.trail_amount, tick)
                start = 0 if request.trail_stop is None else to_ticks(request.trail_stop, tick)
                offset = None if request.limit_offset is None else to_ticks(request.limit_offset, tick)
                percent = request.trail_percent
                ppm = 0 if percent is None else to_ticks(percent, PERCENT_STEP)
        except NumberFormatError as error:
            raise BrokerRejection(PRICE_INCREMENT, PRICE_INCREMENT_TEXT) from error
        self.request = request
        self.kind = KINDS[request.order_type]
        self.limit_ticks, self.stop_ticks = limit, stop or start
        self.trail_ticks, self.trail_ppm, self.offset_ticks = amount, ppm, offset
        self.oca_type = request.oca_type
        self.triggered = False

    def classify(self) -> None:
        """Note whether matching alone decides about it."""
        request = self.request
        self.plain = (
            self.kind <= STOP_LIMIT
            and self.oca_group is None
            and not request.all_or_none
            and request.time_in_force in (TimeInForce.DAY, TimeInForce.GTC)
        )

    def book(self, lots: int, quantity: Decimal, value: Decimal, fee: Decimal, time_ns: int) -> None:
        """Count a fill that has been booked in the ledger."""
        self.remaining_lots -= lots
        self.filled += quantity
        self.filled_value += value
        self.fees += fee
        self.fills += 1
        if self.remaining_lots:
            self.status = OrderStatus.PARTIALLY_FILLED
        else:
            self.status = OrderStatus.FILLED
            self.ended_ns = time_ns

    def recount(self, quantity: Decimal, value: Decimal) -> None:
        """Count a fill otherwise than it was; what is left to fill stays, so an open order's size follows."""
        self.filled += quantity
        self.filled_value += value
        if not self.status.is_final:
            self.quantity += quantity


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


@dataclass(frozen=True, slots=True)
class BrokerChange:
    """An order that goes on otherwise than before.

    `what` is ``triggered`` (its stop or trigger price was reached), ``activated`` (its parent was filled),
    ``reduced`` (a mate of its OCA group was filled, or its parent ended filled in part), ``trailed`` (its
    stop moved) or ``adjusted`` (a corporate action).
    """

    order: WorkingOrder
    what: What
    time_ns: int


BrokerEvent = BrokerFill | BrokerCancel | BrokerChange
