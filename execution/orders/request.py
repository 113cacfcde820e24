"""A wish to trade, checked for form when it is built, so that a malformed one never meets a broker."""

from __future__ import annotations

from dataclasses import field, fields
from decimal import Decimal
from typing import TYPE_CHECKING

from execution.errors import InvalidOrderError
from execution.frozen import frozen
from execution.vocabulary import NAME, SYMBOL, WIRE_TEXT, OrderType, Side, TimeInForce

if TYPE_CHECKING:
    import pandas as pd
else:
    from execution.lazily import pd

_PLAIN_LIVES = frozenset((TimeInForce.DAY, TimeInForce.GTC))
_AT_ONCE = frozenset((TimeInForce.IOC, TimeInForce.FOK))
_REGULAR_ONLY = frozenset((TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG))
_ON_CLOSE = frozenset((OrderType.MARKET_ON_CLOSE, OrderType.LIMIT_ON_CLOSE))
_OCA_TYPES = frozenset((1, 2, 3))
_LONGEST_STRATEGY = 200
_WHOLE_PERCENT = Decimal(100)
_TOO_LARGE = Decimal("1E+15")


@frozen
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
        if not isinstance(self.symbol, str) or not SYMBOL.fullmatch(self.symbol):
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
        if self.signal_id is not None and not NAME.fullmatch(self.signal_id):
            raise InvalidOrderError(f"signal_id {self.signal_id[:70]!r}: use 1 to 64 letters, digits, _ . -")
        if self.time_in_force not in _PLAIN_LIVES or self.good_till is not None:
            self._check_life()
        if self.order_type in _ON_CLOSE and self.time_in_force is not TimeInForce.DAY:
            raise InvalidOrderError(f"time_in_force: a {self.order_type} order is a DAY order; use DAY")
        if self.oca_group is not None and not (
            WIRE_TEXT.fullmatch(self.oca_group) and self.oca_group.strip()
        ):
            raise InvalidOrderError(
                f"oca_group {self.oca_group[:70]!r}: use 1 to 64 plain characters, or None for no group"
            )
        if self.strategy is not None and not (
            len(self.strategy) <= _LONGEST_STRATEGY and self.strategy.isprintable()
        ):
            raise InvalidOrderError(
                f"strategy {self.strategy[:70]!r}: use one line of at most {_LONGEST_STRATEGY} characters"
            )
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
        if text is not None and not NAME.fullmatch(text):
            raise InvalidOrderError(f"{name} {text[:70]!r}: use 1 to 64 letters, digits, _ . -")


def _require_positive(name: str, value: Decimal, *, or_zero: bool = False) -> None:
    if not isinstance(value, Decimal):
        raise InvalidOrderError(f"{name}: {value!r} is a {type(value).__name__}; use decimal.Decimal")
    if or_zero and value.is_finite() and value == 0:
        return
    if not value.is_finite() or value <= 0 or value >= _TOO_LARGE:
        raise InvalidOrderError(f"{name}: {str(value)[:40]} must be positive, finite and below 1e15")
