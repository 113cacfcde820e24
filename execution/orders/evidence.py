"""What the broker said, as typed facts without any client library.

Each fact goes into the journal as it came and is then applied to the blotter; replaying the journal applies
the same facts again. Facts are parsed strictly: an unreadable number is an error, never a zero.
"""

from __future__ import annotations

from dataclasses import fields
from decimal import Decimal
from operator import attrgetter
from typing import Any, ClassVar

from execution.frozen import frozen


@frozen
class OpenOrderSeen:
    """An order as the broker holds it (TWS message 5); terms that it does not tell are empty."""

    message: ClassVar[str] = "open_order"
    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    account: str
    symbol: str
    side: str
    quantity: Decimal
    order_type: str = ""
    limit_price: Decimal | None = None
    aux_price: Decimal | None = None
    security_type: str = ""


@frozen
class OrderStatusSeen:
    """A status of an order (TWS message 3)."""

    message: ClassVar[str] = "order_status"
    order_id: int
    client_id: int
    perm_id: int
    status: str
    filled: Decimal
    remaining: Decimal
    why_held: str = ""


@frozen
class ExecutionSeen:
    """An execution (TWS message 11). `time` is UTC nanoseconds."""

    message: ClassVar[str] = "execution"
    exec_id: str
    order_id: int
    client_id: int
    perm_id: int
    order_ref: str
    account: str
    symbol: str
    side: str
    quantity: Decimal
    price: Decimal
    time: int
    security_type: str = ""


@frozen
class CommissionSeen:
    """The commission of an execution (TWS message 59)."""

    message: ClassVar[str] = "commission"
    exec_id: str
    commission: Decimal
    currency: str


@frozen
class CompletedOrderSeen:
    """An order the broker no longer works (TWS message 101); it carries no order id."""

    message: ClassVar[str] = "completed_order"
    perm_id: int
    order_ref: str
    status: str
    filled: Decimal
    detail: str = ""
    symbol: str = ""


@frozen
class ErrorSeen:
    """A code and text (TWS message 4); `request_id` is an order id, a request id, or -1."""

    message: ClassVar[str] = "error"
    request_id: int
    code: int
    text: str


Evidence = OpenOrderSeen | OrderStatusSeen | ExecutionSeen | CommissionSeen | CompletedOrderSeen | ErrorSeen

_KINDS: dict[str, type[Evidence]] = {
    kind.message: kind
    for kind in (
        OpenOrderSeen,
        OrderStatusSeen,
        ExecutionSeen,
        CommissionSeen,
        CompletedOrderSeen,
        ErrorSeen,
    )
}
_NAMES = {kind: tuple(field.name for field in fields(kind)) for kind in _KINDS.values()}
_VALUES = {kind: attrgetter(*names) for kind, names in _NAMES.items()}
_AMOUNTS = {
    kind: tuple(field.name for field in fields(kind) if str(field.type).startswith("Decimal"))
    for kind in _KINDS.values()
}
_AMOUNT_PLACES = {kind: tuple(_NAMES[kind].index(name) for name in names) for kind, names in _AMOUNTS.items()}


def to_body(evidence: Evidence) -> dict[str, Any]:
    """Return a fact as plain values for the journal."""
    kind = type(evidence)
    body: dict[str, Any] = dict(zip(_NAMES[kind], _VALUES[kind](evidence), strict=True))
    for name in _AMOUNTS[kind]:
        if body[name] is not None:
            body[name] = str(body[name])
    body["message"] = evidence.message
    return body


def from_body(body: dict[str, Any]) -> Evidence:
    """Rebuild a fact from the journal."""
    kind = _KINDS[body["message"]]
    try:
        whole = [body[name] for name in _NAMES[kind]]
    except KeyError:  # an older version had fewer fields
        return _from_part(kind, body)
    for place in _AMOUNT_PLACES[kind]:
        if whole[place] is not None:
            whole[place] = Decimal(whole[place])
    return kind(*whole)


def _from_part(kind: type[Evidence], body: dict[str, Any]) -> Evidence:
    values: dict[str, Any] = {name: body[name] for name in _NAMES[kind] if name in body}
    for name in _AMOUNTS[kind]:
        if values.get(name) is not None:
            values[name] = Decimal(values[name])
    return kind(**values)
