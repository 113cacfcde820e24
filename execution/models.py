"""Domain objects: immutable, with `Decimal` for money and sizes and UTC timestamps.

`Bar` is market data and therefore float64, rounded to the instrument's tick once, when it is loaded.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field
from decimal import Decimal

import pandas as pd

from execution.clocks import timestamp, utc_ns
from execution.errors import InvalidOrderError

ZERO = Decimal(0)
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 ./-]{0,31}", re.ASCII)
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class Side(enum.StrEnum):
    """Direction of an order or fill."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self is Side.BUY else -1


class OrderType(enum.StrEnum):
    """How an order is priced.

    With `TimeInForce.OPG` a market or limit order is one on the open (MOO, LOO).
    """

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    MARKET_ON_CLOSE = "MARKET_ON_CLOSE"
    LIMIT_ON_CLOSE = "LIMIT_ON_CLOSE"
    MARKET_IF_TOUCHED = "MARKET_IF_TOUCHED"
    LIMIT_IF_TOUCHED = "LIMIT_IF_TOUCHED"
    TRAIL = "TRAIL"
    TRAIL_LIMIT = "TRAIL_LIMIT"

    @property
    def needs_limit(self) -> bool:
        """Whether the type carries a limit price."""
        return self in _LIMITED

    @property
    def needs_stop(self) -> bool:
        """Whether the type carries a stop or trigger price."""
        return self in _STOPPED

    @property
    def trails(self) -> bool:
        """Whether its stop follows the market."""
        return self in (OrderType.TRAIL, OrderType.TRAIL_LIMIT)


_LIMITED = frozenset(
    (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_IF_TOUCHED)
)
_STOPPED = frozenset(
    (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
)


class TimeInForce(enum.StrEnum):
    """How long an order stays working."""

    DAY = "DAY"
    GTC = "GTC"
    GTD = "GTD"
    IOC = "IOC"
    FOK = "FOK"
    OPG = "OPG"


class OrderStatus(enum.StrEnum):
    """States of an order; a superset of PENDING, SUBMITTED, FILLED, CANCELLED, REJECTED.

    PENDING: the intent is durable, the broker has not answered. SUBMITTED: live at the broker.
    PARTIALLY_FILLED: live, part of it executed. PENDING_CANCEL: a cancel was sent and not confirmed.
    UNKNOWN: it may or may not be live and is being asked for; it keeps its reservation.
    NOT_SENT: proven never to have reached the broker. FILLED, CANCELLED, REJECTED and NOT_SENT are final.
    """

    PENDING = "PENDING"
    SUBMITTED = "SUBMITTED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    PENDING_CANCEL = "PENDING_CANCEL"
    UNKNOWN = "UNKNOWN"
    FILLED = "FILLED"
    CANCELLED = "CANCELLED"
    REJECTED = "REJECTED"
    NOT_SENT = "NOT_SENT"

    @property
    def is_final(self) -> bool:
        """Whether the order can no longer trade."""
        return self in _FINAL


_FINAL = frozenset((OrderStatus.FILLED, OrderStatus.CANCELLED, OrderStatus.REJECTED, OrderStatus.NOT_SENT))


@dataclass(frozen=True, slots=True)
class Instrument:
    """A tradable contract and the increments its orders must respect.

    `symbol` is this house's name of it and unique among contracts; on the wire an option or future goes by
    its underlying's symbol, `expiry` (yyyymmdd), `strike` and `right` (``C`` or ``P``).
    """

    symbol: str
    security_type: str = "STK"
    exchange: str = "SMART"
    currency: str = "USD"
    tick: Decimal = Decimal("0.01")
    lot: Decimal = Decimal(1)
    multiplier: Decimal = Decimal(1)
    primary_exchange: str = ""
    con_id: int = 0
    name: str = ""
    expiry: str = field(default="", kw_only=True)
    strike: Decimal | None = field(default=None, kw_only=True)
    right: str = field(default="", kw_only=True)
    local_symbol: str = field(default="", kw_only=True)
    trading_class: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        if not _SYMBOL.fullmatch(self.symbol):
            raise InvalidOrderError(f"symbol {self.symbol[:40]!r}: use capital letters, digits, space . / -")
        if self.tick <= 0 or self.lot <= 0 or self.multiplier <= 0:
            raise InvalidOrderError(f"{self.symbol}: tick, lot and multiplier must be positive")


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of market data.

    `start_ns` is the moment of its open (for a daily bar the session's open) and `end_ns` that of its close,
    both UTC nanoseconds; `end` gives the latter as a Timestamp. The bar is complete once the trading clock
    passes its end.
    """

    symbol: str
    start_ns: int
    end_ns: int
    open: float
    high: float
    low: float
    close: float
    volume: float = 0.0

    @classmethod
    def of(
        cls,
        symbol: str,
        start: pd.Timestamp,
        end: pd.Timestamp,
        ohlc: tuple[float, float, float, float],
        volume: float = 0.0,
    ) -> Bar:
        """Build a bar from timestamps with timezone and (open, high, low, close)."""
        return cls(symbol, utc_ns(start), utc_ns(end), *ohlc, volume)

    @property
    def start(self) -> pd.Timestamp:
        """Moment of the open, UTC."""
        return timestamp(self.start_ns)

    @property
    def end(self) -> pd.Timestamp:
        """Moment of the close, UTC."""
        return timestamp(self.end_ns)

    def defect(self) -> str | None:
        """Say what makes the bar unusable, or None if it is sound."""
        prices = (self.open, self.high, self.low, self.close)
        if not all(map(math.isfinite, prices)):
            return "a price is not a finite number"
        if min(prices) <= 0:
            return "a price is not positive"
        if self.high < max(self.open, self.low, self.close) or self.low > min(self.open, self.close):
            return "high and low do not enclose open and close"
        if not math.isfinite(self.volume) or self.volume < 0:
            return "volume is negative or not a number"
        if self.start_ns >= self.end_ns:
            return "it ends before it starts"
        return None


@dataclass(frozen=True, slots=True)
class OrderRequest:
    """A wish to trade, checked for form when it is built.

    Raises
    ------
    InvalidOrderError
        If a size or price is not a positive finite `Decimal`, a price is missing or superfluous for the
        order type, or a text has characters that the wire cannot carry.
    """

    symbol: str
    quantity: Decimal
    order_type: OrderType
    side: Side
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    account: str | None = None
    client_order_id: str | None = None
    strategy: str | None = field(default=None, kw_only=True)
    outside_rth: bool = field(default=False, kw_only=True)
    good_till: pd.Timestamp | None = field(default=None, kw_only=True)
    trail_amount: Decimal | None = field(default=None, kw_only=True)
    trail_percent: Decimal | None = field(default=None, kw_only=True)
    trail_stop: Decimal | None = field(default=None, kw_only=True)
    limit_offset: Decimal | None = field(default=None, kw_only=True)
    all_or_none: bool = field(default=False, kw_only=True)
    oca_group: str | None = field(default=None, kw_only=True)
    oca_type: int = field(default=1, kw_only=True)

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not _SYMBOL.fullmatch(self.symbol):
            raise InvalidOrderError(
                f"symbol {str(self.symbol)[:40]!r}: use capital letters, digits, space . / -"
            )
        _require_positive("quantity", self.quantity)
        for name, price, needed in (
            ("limit_price", self.limit_price, self.order_type.needs_limit),
            ("stop_price", self.stop_price, self.order_type.needs_stop),
        ):
            if needed and price is None:
                raise InvalidOrderError(f"{name}: a {self.order_type} order needs it")
            if not needed and price is not None:
                raise InvalidOrderError(f"{name}: a {self.order_type} order does not take it")
            if price is not None:
                _require_positive(name, price)
        for name, text in (("client_order_id", self.client_order_id), ("account", self.account)):
            if text is not None and not _CLIENT_ORDER_ID.fullmatch(text):
                raise InvalidOrderError(f"{name} {text[:70]!r}: use 1 to 64 letters, digits, _ . -")


def _require_positive(name: str, value: Decimal) -> None:
    if not isinstance(value, Decimal):
        raise InvalidOrderError(f"{name}: {value!r} is a {type(value).__name__}; use decimal.Decimal")
    if not value.is_finite() or value <= 0 or value >= Decimal("1E+15"):
        raise InvalidOrderError(f"{name}: {str(value)[:40]} must be positive, finite and below 1e15")


@dataclass(frozen=True, slots=True)
class Order:
    """An order as far as its evidence goes.

    `order_id` is the broker's permanent id once known, before that the session's order id.
    """

    order_id: str
    client_order_id: str | None
    symbol: str
    quantity: Decimal
    order_type: OrderType
    side: Side
    limit_price: Decimal | None
    stop_price: Decimal | None
    status: OrderStatus
    submitted_at: pd.Timestamp
    filled_quantity: Decimal = ZERO
    average_fill_price: Decimal | None = None
    time_in_force: TimeInForce = field(default=TimeInForce.DAY, kw_only=True)
    account: str | None = field(default=None, kw_only=True)
    strategy: str | None = field(default=None, kw_only=True)
    reason: str | None = field(default=None, kw_only=True)

    @property
    def remaining_quantity(self) -> Decimal:
        """Size that has not been executed."""
        return self.quantity - self.filled_quantity


@dataclass(frozen=True, slots=True)
class Fill:
    """One execution."""

    fill_id: str
    order_id: str
    symbol: str
    quantity: Decimal
    price: Decimal
    side: Side
    timestamp: pd.Timestamp
    commission: Decimal | None = None
    client_order_id: str | None = field(default=None, kw_only=True)
    account: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class Position:
    """A holding: positive quantity is long, negative is short."""

    symbol: str
    quantity: Decimal
    average_cost: Decimal
    market_value: Decimal
    unrealized_pnl: Decimal
    timestamp: pd.Timestamp
    account: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True, slots=True)
class PortfolioSnapshot:
    """Value of the book at one moment, in account currency."""

    timestamp: pd.Timestamp
    cash: Decimal
    equity: Decimal
    unrealized_pnl: Decimal
    realized_pnl: Decimal
    fees: Decimal = ZERO
    gross_exposure: Decimal = ZERO
    positions: tuple[Position, ...] = ()
