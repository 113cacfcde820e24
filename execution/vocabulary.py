"""The words of orders: side, type, life and state, and what names look like."""

from __future__ import annotations

import enum
import re

from execution.errors import InvalidOrderError

SYMBOL = re.compile(r"[A-Z0-9][A-Z0-9 ./-]{0,31}", re.ASCII)
"""A symbol of this house."""
NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
"""A client order id, account or signal id: what the wire and every journal can carry."""
LONGEST_REFERENCE = 40
"""Characters of a client order id that TWS can be trusted to give back as the order's reference.

How many it keeps is nowhere stated. An order of ours is known again by its reference, so a longer one is not
sent; journals of before may hold up to 64.
"""
WIRE_TEXT = re.compile(r"[ -~]{0,64}", re.ASCII)
"""Any other text on the wire: its fields end with a NUL, so a NUL in one would be read as more fields."""


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


def require_reference(client_order_id: str | None) -> None:
    """Raise `InvalidOrderError` for a client order id that TWS may not keep whole as a reference."""
    name = client_order_id or ""
    if len(name) > LONGEST_REFERENCE:
        raise InvalidOrderError(
            f"client_order_id {name}: it has {len(name)} characters, and TWS may keep only "
            f"{LONGEST_REFERENCE}; nothing was sent. Use a shorter one (at most {LONGEST_REFERENCE - 3} for "
            "a bracket's entry, whose exits are named after it)"
        )
