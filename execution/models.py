"""Domain objects: immutable, with `Decimal` for money and sizes and UTC timestamps.

`Bar` is market data and therefore float64, rounded to the instrument's tick once, when it is loaded.
"""

from __future__ import annotations

import enum
import math
import re
from dataclasses import dataclass, field, fields
from decimal import Decimal

import pandas as pd

from execution.clocks import timestamp, utc_ns
from execution.errors import InvalidOrderError

ZERO = Decimal(0)
_SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 ./-]{0,31}", re.ASCII)
_CLIENT_ORDER_ID = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class Side(enum.StrEnum):
    """Direction of an order or fill."""

    __hash__ = str.__hash__  # an enum's own is a function of Python; name and text are one here

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for a buy, -1 for a sell."""
        return 1 if self == "BUY" else -1


class OrderType(enum.StrEnum):
    """How an order is priced.

    With `TimeInForce.OPG` a market or limit order is one on the open (MOO, LOO).
    """

    __hash__ = str.__hash__

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
        return self in _TRAILING


_TRAILING = frozenset((OrderType.TRAIL, OrderType.TRAIL_LIMIT))
_LIMITED = frozenset(
    (OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_ON_CLOSE, OrderType.LIMIT_IF_TOUCHED)
)
_STOPPED = frozenset(
    (OrderType.STOP, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
)


class TimeInForce(enum.StrEnum):
    """How long an order stays working."""

    __hash__ = str.__hash__

    DAY = "DAY"
    GTC = "GTC"
    GTD = "GTD"
    IOC = "IOC"
    FOK = "FOK"
    OPG = "OPG"


_PLAIN_LIVES = frozenset((TimeInForce.DAY, TimeInForce.GTC))
_AT_ONCE = frozenset((TimeInForce.IOC, TimeInForce.FOK))
_REGULAR_ONLY = frozenset((TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG))
_ON_CLOSE = frozenset((OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE))
_OCA_TYPES = frozenset((1, 2, 3))
_LONGEST_GROUP = 64
_WHOLE_PERCENT = Decimal(100)
_TOO_LARGE = Decimal("1E+15")


class OrderStatus(enum.StrEnum):
    """States of an order; a superset of PENDING, SUBMITTED, FILLED, CANCELLED, REJECTED.

    PENDING: the intent is durable, the broker has not answered. SUBMITTED: live at the broker.
    PARTIALLY_FILLED: live, part of it executed. PENDING_CANCEL: a cancel was sent and not confirmed.
    UNKNOWN: it may or may not be live and is being asked for; it keeps its reservation.
    NOT_SENT: proven never to have reached the broker. FILLED, CANCELLED, REJECTED and NOT_SENT are final.
    """

    __hash__ = str.__hash__

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
    underlying: str = field(default="", kw_only=True)

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

    A trailing order gives `trail_amount` (price) or `trail_percent` (2.5 is 2.5 %), and may give
    `trail_stop`, the stop it starts with; a TRAIL_LIMIT order also `limit_offset`, the distance of its limit
    from its stop, or `limit_price`, which fixes that distance when the stop is first known. `good_till` is
    the end of a GTD order. Orders of one `oca_group` and account end or shrink each other: `oca_type` 1
    cancels, 2 and 3 reduce.

    Raises
    ------
    InvalidOrderError
        If a size or price is not a positive finite `Decimal`, a field is missing or superfluous for the
        order type or its life, or a text has characters that the wire cannot carry.
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
    signal_id: str | None = field(default=None, kw_only=True)
    """The signal that led to it, if its strategy stated one; it stays in the house."""

    def __post_init__(self) -> None:
        if not isinstance(self.symbol, str) or not _SYMBOL.fullmatch(self.symbol):
            raise InvalidOrderError(
                f"symbol {str(self.symbol)[:40]!r}: use capital letters, digits, space . / -"
            )
        _require_positive("quantity", self.quantity)
        if self.order_type.trails or self.has_trail:
            self._check_trail()
        for name, price, needed in (
            ("limit_price", self.limit_price, self.order_type.needs_limit),
            ("stop_price", self.stop_price, self.order_type.needs_stop),
        ):
            if needed and price is None:
                raise InvalidOrderError(f"{name}: a {self.order_type} order needs it")
            if not needed and price is not None and not self._trails_with(name):
                raise InvalidOrderError(f"{name}: a {self.order_type} order does not take it")
            if price is not None:
                _require_positive(name, price)
        _require_names(self.client_order_id, self.account)
        if self.signal_id is not None and not _CLIENT_ORDER_ID.fullmatch(self.signal_id):
            raise InvalidOrderError(f"signal_id {self.signal_id[:70]!r}: use 1 to 64 letters, digits, _ . -")
        if self.time_in_force not in _PLAIN_LIVES or self.good_till is not None:
            self._check_life()
        if self.order_type in _ON_CLOSE and self.time_in_force is not TimeInForce.DAY:
            raise InvalidOrderError(f"time_in_force: a {self.order_type} order is a DAY order; use DAY")
        if self.oca_group is not None and not 0 < len(self.oca_group) <= _LONGEST_GROUP:
            raise InvalidOrderError(f"oca_group: use 1 to {_LONGEST_GROUP} characters, or None for no group")
        if self.oca_type not in _OCA_TYPES:
            raise InvalidOrderError(
                f"oca_type: {self.oca_type!r} is not 1 (cancel), 2 (reduce, one at a time) or 3 (reduce)"
            )

    def under(self, client_order_id: str, account: str | None) -> OrderRequest:
        """Return it under an id and account; what was checked before is not checked again."""
        _require_names(client_order_id, account)
        same = object.__new__(OrderRequest)
        for name in _REQUEST_FIELDS:
            object.__setattr__(same, name, getattr(self, name))
        object.__setattr__(same, "client_order_id", client_order_id)
        object.__setattr__(same, "account", account)
        return same

    @property
    def has_trail(self) -> bool:
        """Whether any of the fields of a trailing order is given."""
        return (
            self.trail_amount is not None
            or self.trail_percent is not None
            or self.trail_stop is not None
            or self.limit_offset is not None
        )

    def _trails_with(self, name: str) -> bool:
        return name == "limit_price" and self.order_type is OrderType.TRAIL_LIMIT

    def _check_trail(self) -> None:
        kind = self.order_type
        fields = (
            ("trail_amount", self.trail_amount),
            ("trail_percent", self.trail_percent),
            ("trail_stop", self.trail_stop),
            ("limit_offset", self.limit_offset),
        )
        for name, value in fields:
            if value is not None and not kind.trails:
                raise InvalidOrderError(f"{name}: a {kind} order does not take it; use TRAIL or TRAIL_LIMIT")
            if value is not None:
                _require_positive(name, value, or_zero=name == "limit_offset")
        if (self.trail_amount is None) == (self.trail_percent is None):
            raise InvalidOrderError(
                f"trail_amount, trail_percent: a {kind} order takes exactly one of them; give one"
            )
        if self.trail_percent is not None and self.trail_percent >= _WHOLE_PERCENT:
            raise InvalidOrderError(f"trail_percent: {self.trail_percent} must be below 100")
        if kind is OrderType.TRAIL and self.limit_offset is not None:
            raise InvalidOrderError("limit_offset: a TRAIL order does not take it; use TRAIL_LIMIT")
        if kind is OrderType.TRAIL_LIMIT and (self.limit_offset is None) == (self.limit_price is None):
            raise InvalidOrderError(
                "limit_offset, limit_price: a TRAIL_LIMIT order takes exactly one of them; give one"
            )

    def _check_life(self) -> None:
        life = self.time_in_force
        if (life is TimeInForce.GTD) != (self.good_till is not None):
            wanted = "needs it" if life is TimeInForce.GTD else "does not take it; use GTD"
            raise InvalidOrderError(f"good_till: a {life} order {wanted}")
        if self.good_till is not None and self.good_till.tzinfo is None:
            raise InvalidOrderError(f"good_till: {self.good_till} has no timezone; give one, such as UTC")
        if life is TimeInForce.OPG and self.order_type not in (OrderType.MARKET, OrderType.LIMIT):
            raise InvalidOrderError(
                f"time_in_force: OPG takes MARKET and LIMIT orders only, not {self.order_type}"
            )
        if life in _AT_ONCE and self.all_or_none:
            raise InvalidOrderError(
                f"all_or_none: a {life} order does not take it; use FOK alone, or all_or_none with DAY or GTC"
            )
        if life in _REGULAR_ONLY and self.outside_rth:
            raise InvalidOrderError(f"outside_rth: a {life} order does not take it; use DAY, GTC or GTD")


_REQUEST_FIELDS = tuple(one.name for one in fields(OrderRequest))


def _require_names(client_order_id: str | None, account: str | None) -> None:
    for name, text in (("client_order_id", client_order_id), ("account", account)):
        if text is not None and not _CLIENT_ORDER_ID.fullmatch(text):
            raise InvalidOrderError(f"{name} {text[:70]!r}: use 1 to 64 letters, digits, _ . -")


def _require_positive(name: str, value: Decimal, *, or_zero: bool = False) -> None:
    if not isinstance(value, Decimal):
        raise InvalidOrderError(f"{name}: {value!r} is a {type(value).__name__}; use decimal.Decimal")
    if or_zero and value.is_finite() and value == 0:
        return
    if not value.is_finite() or value <= 0 or value >= _TOO_LARGE:
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
