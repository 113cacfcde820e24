"""Domain objects: immutable, with `Decimal` for money and sizes and UTC timestamps.

`Bar` is market data and therefore float64, rounded to the instrument's tick once, when it is loaded. The
words of orders are in `execution.vocabulary`, the request with its checks in `execution.orders.request`; all
of them are imported from here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING

from execution.clocks import timestamp, utc_ns
from execution.errors import InvalidOrderError
from execution.frozen import frozen
from execution.numbers import ARITHMETIC
from execution.orders.request import OrderRequest
from execution.vocabulary import SYMBOL, WIRE_TEXT, OrderStatus, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd

__all__ = [
    "ZERO",
    "Bar",
    "Fill",
    "Instrument",
    "Order",
    "OrderRequest",
    "OrderStatus",
    "OrderType",
    "PortfolioSnapshot",
    "Position",
    "Side",
    "TimeInForce",
]

ZERO = Decimal(0)
_WIRE_TEXTS = (
    "security_type",
    "exchange",
    "currency",
    "primary_exchange",
    "expiry",
    "right",
    "local_symbol",
    "trading_class",
    "underlying",
)
_SIGNED = frozenset(("FUT", "CONTFUT", "BAG", "IND"))


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
        if not SYMBOL.fullmatch(self.symbol):
            raise InvalidOrderError(f"symbol {self.symbol[:40]!r}: use capital letters, digits, space . / -")
        if not all(one.is_finite() and one > 0 for one in (self.tick, self.lot, self.multiplier)):
            raise InvalidOrderError(f"{self.symbol}: tick, lot and multiplier must be positive")
        for name in _WIRE_TEXTS:
            if not WIRE_TEXT.fullmatch(getattr(self, name)):
                raise InvalidOrderError(f"{self.symbol} {name}: use at most 64 plain characters")

    @property
    def is_signed(self) -> bool:
        """Whether its price may be zero or negative: a future's, a spread's or an index's may.

        Crude oil's was on 2020-04-20, and an index such as TICK-NYSE is every other minute. Nobody pays to be
        rid of a share or an option, so theirs may not.
        """
        return self.security_type in _SIGNED


@frozen
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

    def defect(self, *, signed: bool = False) -> str | None:
        """Say what makes the bar unusable, or None if it is sound.

        `signed` says that the price may be zero or negative (`Instrument.is_signed`).
        """
        prices = (self.open, self.high, self.low, self.close)
        if not all(map(math.isfinite, prices)):
            return "a price is not a finite number"
        if not signed and min(prices) <= 0:
            return "a price is not positive"
        if self.high < max(self.open, self.low, self.close) or self.low > min(self.open, self.close):
            return "high and low do not enclose open and close"
        if not math.isfinite(self.volume) or self.volume < 0:
            return "volume is negative or not a number"
        if self.start_ns >= self.end_ns:
            return "it ends before it starts"
        return None


@frozen
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
        return ARITHMETIC.subtract(self.quantity, self.filled_quantity)


@frozen
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
    """A holding: positive quantity is long, negative is short.

    `market_value` and `unrealized_pnl` are None where nobody knows a price; in a snapshot they are known.
    """

    symbol: str
    quantity: Decimal
    average_cost: Decimal
    market_value: Decimal | None
    unrealized_pnl: Decimal | None
    timestamp: pd.Timestamp
    account: str | None = field(default=None, kw_only=True)

    @property
    def value(self) -> Decimal:
        """Market value; raise ValueError where it is not known."""
        return _known("market value", self.symbol, self.market_value)

    @property
    def gain(self) -> Decimal:
        """Unrealised profit; raise ValueError where it is not known."""
        return _known("unrealised profit", self.symbol, self.unrealized_pnl)


def _known(what: str, symbol: str, amount: Decimal | None) -> Decimal:
    if amount is None:
        raise ValueError(f"{symbol}: its {what} is not known; the broker has no price for it")
    return amount


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
